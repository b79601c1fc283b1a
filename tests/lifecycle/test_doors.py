"""A version that does not verify, or whose gate said no, decides nowhere: every door is tried."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from lifecycle.conductor.canary import start_canary
from lifecycle.fleet.start import start_rollout
from service.serve import take_in
from service.versions.folder import VersionFolder
from service.versions.switch import promote
from tool_side import load_bundle
from tool_side.bundle.signature import make_keys
from wafer_data.errors import InputError

Door = Callable[[VersionFolder, str], object]
DOORS: dict[str, Door] = {
    "promote": lambda folder, name: promote(folder, name, by="eva", reason="hope"),
    "the folder's promote": lambda folder, name: folder.promote(name, by="eva", reason="hope"),
    "canary": lambda folder, name: start_canary(folder, name, share=0.1, days=7, by="eva", reason="hope"),
    "fleet": lambda folder, name: start_rollout(folder, name, by="eva"),
}
NO = {"passed": False, "reasons": ["it lost blowholes"]}


@pytest.fixture
def folder(tmp_path: Path, bundles: list[Path]) -> VersionFolder:
    """v1.0.0 decides; v1.1.0 wants to."""
    folder = VersionFolder(tmp_path / "models")
    for bundle in bundles[:2]:
        folder.push(bundle)
    folder.promote("v1.0.0", by="eva", reason="first")
    return folder


def spoil(folder: VersionFolder, how: str, bundles: list[Path]) -> None:
    place = folder.bundle("vae-wafer-v1.1.0")
    if how == "gate":
        folder.set_gate("v1.1.0", NO)
    elif how == "gate of the bundle":
        folder.keep_verdict(folder.get("v1.1.0").bundle, NO)
    elif how == "damaged":
        (place / "full.onnx").write_bytes(b"x")
    elif how == "exchanged":  # a whole bundle, but another one
        shutil.rmtree(place)
        shutil.copytree(bundles[2], place)
    elif how == "archived":
        folder.archive("v1.1.0")
    else:
        folder.public_key = make_keys(folder.path.parent / "keys")[1]  # from now on only signed ones


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(
    "how", ["gate", "gate of the bundle", "damaged", "exchanged", "archived", "not signed"]
)
def test_a_version_that_may_not_decide_comes_in_by_no_door(
    door: str, how: str, folder: VersionFolder, bundles: list[Path]
):
    spoil(folder, how, bundles)
    with pytest.raises(InputError):
        DOORS[door](folder, "v1.1.0")
    pointer = folder.pointer()
    assert pointer.champion == "vae-wafer-v1.0.0" and pointer.canary is None
    assert not (folder.path / "fleet" / "rollouts.json").is_file()


@pytest.mark.parametrize("door", [name for name in DOORS if name != "fleet"])
def test_the_doors_are_open_to_one_that_may(door: str, folder: VersionFolder):
    DOORS[door](folder, "v1.1.0")
    pointer = folder.pointer()
    assert "vae-wafer-v1.1.0" in (pointer.champion, pointer.canary and pointer.canary.version)


def test_a_refused_bundle_is_not_what_a_service_starts_with(tmp_path: Path, bundles: list[Path]):
    folder = VersionFolder(tmp_path / "models")
    folder.keep_verdict(load_bundle(bundles[0]).id, NO)
    with pytest.raises(InputError, match="lost blowholes"):
        take_in(folder, bundles[0], None)
    assert folder.pointer() is None
