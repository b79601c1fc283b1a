"""A bundle loads whole and unchanged, or not at all."""

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tool_side.bundle.load import Preprocessing, load_bundle, write_manifest
from tool_side.runtime.inspector import Inspector
from wafer_data.config import DataConfig
from wafer_data.errors import BundleError, InputError
from wafer_data.files import read_json, write_json
from wafer_data.imaging.levels import Levels
from wafer_data.store import ImageStore, prepare_data


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
        (lambda m: m.update(schema=3), r"schema 3, this version reads 2: update waferroute on this computer"),
        (lambda m: m.update(schema=1), r"schema 1, this version reads 2: export the bundle again"),
        (lambda m: m.update(schema=0), "export the bundle again"),
        (lambda m: m.update(schema="2"), "schema '2'"),
        (lambda m: m.update(schema=True), "schema True"),
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
        (lambda m: m["preprocessing"].pop("black"), "the levels black and white"),
        (lambda m: m["preprocessing"].update(gamma=1.0), "the levels black and white"),
        (
            lambda m: m["preprocessing"].update(black=0.5, white=0.5),
            "refused: levels: black and white must be",
        ),
        (lambda m: m["preprocessing"].update(black=0.9, white=0.1), "0 <= black < white <= 1"),
        (lambda m: m["preprocessing"].update(white=1.5), "0 <= black < white <= 1"),
        (lambda m: m["preprocessing"].update(black=float("nan")), "0 <= black < white <= 1"),
        (lambda m: m["preprocessing"].update(black=False), "must be numbers"),
        (lambda m: m["preprocessing"].update(white="1"), "must be numbers"),
        (lambda m: m["preprocessing"].update(black=None), "must be numbers"),
        (lambda m: m["thresholds"].update(escalate_above=99.0), "thresholds in manifest.json"),
    ],
)
def test_a_changed_manifest_is_refused_with_the_reason(
    edit_manifest: Callable[[Callable[[dict], object]], Path], change: Callable[[dict], object], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        load_bundle(edit_manifest(change))


class TestLevels:
    """Grey levels of the data that the models learned from: recorded, and applied as in training."""

    @pytest.fixture(scope="class")
    def twelve_bit(
        self, wafer: Callable[..., np.ndarray], tmp_path_factory: pytest.TempPathFactory
    ) -> ImageStore:
        """Images as a 12-bit camera writes them into 16-bit files, of two sizes, prepared for training."""
        root = tmp_path_factory.mktemp("twelve_bit")
        for i in range(45):
            image = wafer(i).astype(np.uint16) * 16
            Image.fromarray(image if i % 3 else np.tile(image, (2, 2))[:300, :400]).save(root / f"{i:02}.png")
        return prepare_data(DataConfig(format="folder", root=str(root)), root / "data")

    @pytest.fixture
    def with_levels(self, copy: Path, calibrated: tuple[dict, dict]) -> Callable[..., Path]:
        def write(**levels: float) -> Path:
            manifest = json.loads((copy / "manifest.json").read_text())
            write_manifest(
                copy,
                models=manifest["models"],
                policy=calibrated[0],
                provenance={},
                preprocessing=Preprocessing(**levels),
            )
            return copy

        return write

    def test_they_come_back_as_they_were_written(self, with_levels: Callable[..., Path]) -> None:
        loaded = load_bundle(with_levels(black=0.1234567890123, white=0.25))
        assert loaded.preprocessing == Preprocessing(black=0.1234567890123, white=0.25)
        assert loaded.preprocessing.levels == Levels(0.1234567890123, 0.25)

    def test_without_any_they_leave_the_image_as_it_is(self, bundle: Path) -> None:
        assert load_bundle(bundle).preprocessing.levels.unchanged

    @pytest.mark.parametrize("wrong", [{"black": 0.9, "white": 0.1}, {"white": 2.0}, {"min_side": 0}])
    def test_wrong_ones_are_not_written(
        self, with_levels: Callable[..., Path], copy: Path, wrong: dict
    ) -> None:
        before = (copy / "manifest.json").read_bytes()
        with pytest.raises(InputError, match=r"levels|preprocessing"):
            with_levels(**wrong)
        assert (copy / "manifest.json").read_bytes() == before

    def test_training_and_tool_see_the_same_bits(
        self, twelve_bit: ImageStore, with_levels: Callable[..., Path]
    ) -> None:
        assert not twelve_bit.levels.unchanged
        inspector = Inspector(with_levels(**asdict(twelve_bit.levels)))
        for index, record in enumerate(twelve_bit.records):
            path = Path(record.path)
            as_array = np.asarray(Image.open(path)).astype(np.uint16)
            for source in (path, path.read_bytes(), as_array):
                seen = inspector.inspect(source, keep_image=True).image
                assert seen is not None and seen.dtype == np.float32
                np.testing.assert_array_equal(seen, twelve_bit.grey(index))
        assert 0.3 < twelve_bit.batch(np.arange(10)).mean() < 0.7

    def test_without_its_levels_a_12_bit_image_is_dark(
        self, twelve_bit: ImageStore, inspector: Inspector
    ) -> None:
        seen = inspector.inspect(twelve_bit.records[0].path, keep_image=True).image
        assert seen is not None and seen.max() < 0.07


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        (2, "schema 2, this version reads 1: update waferroute"),
        (0, "export the bundle again"),
        (None, "schema None"),
    ],
)
def test_a_certificate_of_another_schema_is_refused(copy: Path, schema: int | None, words: str) -> None:
    data = json.dumps({"schema": schema}).encode()
    (copy / "certificate.json").write_bytes(data)
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["files"]["certificate.json"] = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    (copy / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(InputError, match=f"certificate.json: .*{words}"):
        load_bundle(copy)


def test_a_truncated_manifest_is_refused(copy: Path) -> None:
    whole = (copy / "manifest.json").read_bytes()
    for length in (0, 1, len(whole) // 2, len(whole) - 2):
        (copy / "manifest.json").write_bytes(whole[:length])
        with pytest.raises(InputError, match="is not valid JSON"):
            load_bundle(copy)


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


class TestLineage:
    def test_an_exported_bundle_has_an_id_and_no_parent(self, bundle: Path) -> None:
        loaded = load_bundle(bundle)
        assert len(loaded.id) == 16 and set(loaded.id) <= set("0123456789abcdef")
        assert loaded.parent is None and loaded.manifest["lineage"]["made_by"] == "export"
        assert loaded.id == load_bundle(bundle).id

    def test_any_change_is_another_bundle(self, bundle: Path, tmp_path: Path) -> None:
        other = shutil.copytree(bundle, tmp_path / "other")
        rewrite(other, {"parent": "f" * 16, "made_by": "export"})
        assert load_bundle(other).id != load_bundle(bundle).id
        assert load_bundle(other).parent == "f" * 16

    @pytest.mark.parametrize("section", [[], {"parent": 7}, {}, {"parent": ""}])
    def test_a_malformed_lineage_is_refused(self, bundle: Path, tmp_path: Path, section: object) -> None:
        other = shutil.copytree(bundle, tmp_path / "other")
        rewrite(other, section)
        with pytest.raises(BundleError, match="lineage"):
            load_bundle(other)

    def test_a_bundle_of_before_has_no_parent(self, bundle: Path, tmp_path: Path) -> None:
        other = shutil.copytree(bundle, tmp_path / "other")
        manifest = read_json(other / "manifest.json")
        del manifest["lineage"]
        write_json(other / "manifest.json", manifest)
        assert load_bundle(other).parent is None


def rewrite(folder: Path, lineage: object) -> None:
    write_json(folder / "manifest.json", read_json(folder / "manifest.json") | {"lineage": lineage})
