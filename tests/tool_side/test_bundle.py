"""A bundle loads whole and unchanged, or not at all."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tool_side.bundle import Preprocessing, load_bundle, write_manifest
from wafer_data.errors import InputError


@pytest.fixture
def copy(bundle: Path, tmp_path: Path) -> Path:
    return shutil.copytree(bundle, tmp_path / "copy")


@pytest.fixture
def edit_manifest(copy: Path) -> Callable[[Callable[[dict], object]], Path]:
    def edit(change: Callable[[dict], object]) -> Path:
        manifest = json.loads((copy / "manifest.json").read_text())
        change(manifest)
        (copy / "manifest.json").write_text(json.dumps(manifest))
        return copy

    return edit


def test_what_was_written_is_what_loads(bundle: Path, calibrated: tuple[dict, dict]) -> None:
    loaded = load_bundle(bundle)
    assert loaded.policy.to_dict() == calibrated[0]
    assert loaded.certificate == calibrated[1]
    assert loaded.preprocessing == Preprocessing(256, 64_000_000, 16)
    assert (loaded.models["full"].decoder, loaded.models["lowres"].decoder) == ("full_decoder.onnx", None)
    assert loaded.contents["full.onnx"] == (bundle / "full.onnx").read_bytes()
    assert loaded.manifest["thresholds"]["escalate_above"] == loaded.policy.escalate_above
    assert set(loaded.manifest["files"]) == {
        "lowres.onnx",
        "full.onnx",
        "full_decoder.onnx",
        "policy.json",
        "certificate.json",
    }


@pytest.mark.parametrize("name", ["lowres.onnx", "full_decoder.onnx", "policy.json", "certificate.json"])
class TestDamagedFiles:
    def test_one_flipped_bit(self, copy: Path, name: str) -> None:
        data = bytearray((copy / name).read_bytes())
        data[len(data) // 2] ^= 1
        (copy / name).write_bytes(data)
        with pytest.raises(InputError, match=rf"refused: {name} was changed after the export"):
            load_bundle(copy)

    def test_truncated(self, copy: Path, name: str) -> None:
        (copy / name).write_bytes((copy / name).read_bytes()[:-1])
        with pytest.raises(InputError, match=rf"{name} has \d+ bytes instead of \d+"):
            load_bundle(copy)

    def test_missing(self, copy: Path, name: str) -> None:
        (copy / name).unlink()
        with pytest.raises(InputError, match=f"{name} is missing"):
            load_bundle(copy)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda m: m.update(schema=2), "update waferroute"),
        (lambda m: m.update(schema=0), "export the bundle again"),
        (lambda m: m.update(schema="1"), "schema '1'"),
        (lambda m: m.pop("schema"), "not a bundle's manifest"),
        (lambda m: m.pop("models"), "lacks models"),
        (lambda m: m["files"].pop("policy.json"), "lists no policy.json"),
        (lambda m: m["files"].pop("full.onnx"), "'full.onnx' of model full is not among its files"),
        (lambda m: m["files"].update({"../x": {"sha256": "", "bytes": 0}}), "not a plain file name"),
        (lambda m: m["files"].update({"x": {"sha256": ""}}), "must hold sha256 and bytes"),
        (lambda m: m.update(files=[]), "files must be an object"),
        (lambda m: m["models"].pop("full"), "models must be lowres and full"),
        (lambda m: m["models"]["full"].pop("map_reference"), "model full must hold"),
        (lambda m: m["models"]["full"].update(map_reference=0), "map_reference of model full"),
        (lambda m: m["models"]["full"].update(file=None), "names no file"),
        (lambda m: m["models"]["full"].update(parameters=1.5), "whole numbers"),
        (lambda m: m["preprocessing"].update(image_size=-1), "positive whole numbers"),
        (lambda m: m["thresholds"].update(escalate_above=99.0), "thresholds in manifest.json"),
    ],
)
def test_a_changed_manifest_is_refused_with_the_reason(
    edit_manifest: Callable[[Callable[[dict], object]], Path], change: Callable[[dict], object], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        load_bundle(edit_manifest(change))


def test_what_is_not_a_bundle(tmp_path: Path, bundle: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        load_bundle(tmp_path / "nowhere")
    with pytest.raises(InputError, match="not a folder"):
        load_bundle(bundle / "manifest.json")
    with pytest.raises(InputError, match=r"no manifest\.json in it"):
        load_bundle(tmp_path)
    (tmp_path / "manifest.json").write_text('{"schema": 1,')
    with pytest.raises(InputError, match="not valid JSON"):
        load_bundle(tmp_path)


def test_a_manifest_that_would_not_load_is_not_written(copy: Path, calibrated: tuple[dict, dict]) -> None:
    before = (copy / "manifest.json").read_bytes()
    model = {"file": "lowres.onnx", "input_size": 32, "parameters": 1, "map_reference": 0.1}
    for models, words in (
        ({"lowres": model}, "models must be"),
        ({"lowres": model, "full": model | {"file": "gone.onnx"}}, "gone.onnx"),
        ({"lowres": model, "full": model | {"map_reference": float("nan")}}, "map_reference"),
    ):
        with pytest.raises(InputError, match=words):
            write_manifest(copy, models=models, policy=calibrated[0], provenance={})
    assert (copy / "manifest.json").read_bytes() == before
