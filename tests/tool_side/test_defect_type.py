"""Types of defects in a bundle: learned, added, grouped, shown, and never in the way of a decision."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from classify.features import BY_CELLS, BY_CROPS, Seen
from teacher.backbones import TimmBackbone
from tool_side.bundle.load import load_bundle
from tool_side.export.crop_graph import crop_graph
from tool_side.export.write import to_bytes
from tool_side.runtime import defect_type
from tool_side.runtime.defect_bins import load_bins
from tool_side.runtime.inspector import Inspector
from wafer_data.errors import BundleError, InputError
from wafer_data.files import read_json, sha256_file, write_json
from waferroute.cli import main

Wafer = Callable[..., np.ndarray]


def defect(wafer: Wafer, seed: int, kind: str) -> np.ndarray:
    """A synthetic defect: a bright spot, a dark spot, or a bright bar across the image."""
    if kind == "bar":
        image = wafer(seed).copy()
        row = int(np.random.default_rng(seed).integers(20, 220))
        image[row : row + 10] = 230
        return image
    return wafer(seed, 0.4 if kind == "bright" else -0.4)


@pytest.fixture(scope="module")
def folder(wafer: Wafer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("types")
    for start, kind in enumerate(("bright", "dark", "good")):
        (root / kind).mkdir()
        for i in range(24):
            seed = 5000 + 100 * start + i
            Image.fromarray(wafer(seed) if kind == "good" else defect(wafer, seed, kind)).save(
                root / kind / f"{i:02d}.png"
            )
    (root.parent / f"{root.name}_bars").mkdir()
    for i in range(24):
        Image.fromarray(defect(wafer, 7000 + i, "bar")).save(
            root.parent / f"{root.name}_bars" / f"{i:02d}.png"
        )
    return root


@pytest.fixture(scope="module")
def named(bundle: Path, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("named") / "bundle"
    assert main(["classes", "learn", str(bundle), str(folder), "--out", str(out)]) == 0
    return out


@pytest.fixture(scope="module")
def never_rejecting(
    write_bundle: Callable[..., Path],
    calibrated: tuple[dict, dict],
    folder: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A bundle whose policy says REVIEW at most, with the same types."""
    root = tmp_path_factory.mktemp("never")
    plain = write_bundle(root / "plain", policy=calibrated[0] | {"reject_above": None})
    assert main(["classes", "learn", str(plain), str(folder), "--out", str(root / "named")]) == 0
    return root / "named"


@pytest.fixture(scope="module")
def looking(write_bundle: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with a backbone for crops: EfficientNet-Lite0 with random weights."""
    torch.manual_seed(0)
    model = crop_graph(TimmBackbone("tf_efficientnet_lite0", None, 32, ((0.5,) * 3, (0.5,) * 3)).eval())
    assert model is not None
    return write_bundle(tmp_path_factory.mktemp("looking") / "bundle", crops=to_bytes(model))


def crossed(wafer: Wafer, kind: str, seed: int) -> tuple[np.ndarray, tuple[int, int]]:
    """A spot, bright or dark, and a brighter cross elsewhere (synthetic); the place of the spot."""
    rng = np.random.default_rng(seed)
    image = wafer(seed).copy()
    rows, columns = np.mgrid[: image.shape[0], : image.shape[1]]
    row, column = int(rng.integers(40, 100)), int(rng.integers(40, 216))
    spot = np.hypot(rows - row, columns - column) < 7
    image[spot] = 200 if kind == "bright" else 60
    down, right = int(rng.integers(160, 220)), int(rng.integers(40, 216))
    image[down - 9 : down + 9, right - 3 : right + 3] = 255
    image[down - 3 : down + 3, right - 9 : right + 9] = 255
    return image, (row, column)


def write_crossed(data: Path, kind: str, seed: int, wafer: Wafer, *, mask: bool) -> None:
    image, (row, column) = crossed(wafer, kind, seed)
    (data / "test" / kind).mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(data / "test" / kind / f"{seed:03d}.png")
    if mask:
        (data / "ground_truth" / kind).mkdir(parents=True, exist_ok=True)
        rows, columns = np.mgrid[: image.shape[0], : image.shape[1]]
        on = np.hypot(rows - row, columns - column) < 7
        Image.fromarray(255 * on.astype(np.uint8)).save(data / "ground_truth" / kind / f"{seed:03d}_mask.png")


def bars(folder: Path) -> list[Path]:
    return sorted((folder.parent / f"{folder.name}_bars").iterdir())


def test_flagged_images_get_type_probability_set_and_box(named: Path, wafer: Wafer) -> None:
    inspector, right = Inspector(named), 0
    for seed in range(40):
        kind = ("bright", "dark")[seed % 2]
        found = inspector.inspect(defect(wafer, 9000 + seed, kind)).evidence["defect"]
        right += found["type"] == kind
        left, top, end, bottom = found["box"]
        assert found["set"] and 0 <= left < end <= 256 and 0 <= top < bottom <= 256
        assert found["type"] == "unknown" or 0.5 <= found["probability"] <= 1
    assert right >= 36


def test_the_box_is_in_pixels_of_the_image_and_holds_the_defect(named: Path) -> None:
    classes = load_bundle(named).classes
    assert classes is not None
    seen = Seen(
        np.full((256, 256), 0.5, np.float32),
        np.pad(np.ones((4, 4), np.float32), ((32, 28), (48, 12))),
        np.zeros(2, np.float32),
    )
    (found,) = defect_type.describe(defect_type.Types(classes), seen, 0.2, (384, 512))
    assert found.box == (48 * 6, 32 * 8, 52 * 6, 36 * 8)


class TestByCrops:
    def test_a_bundle_with_a_backbone_tells_types_by_its_look_at_crops(
        self, looking: Path, folder: Path, wafer: Wafer, tmp_path: Path
    ) -> None:
        assert main(["classes", "learn", str(looking), str(folder), "--out", str(tmp_path / "named")]) == 0
        inspector = Inspector(tmp_path / "named")
        assert inspector.measures == BY_CROPS and not inspector.needs_cells
        images = [(kind, defect(wafer, 9000 + i, kind)) for i in range(10) for kind in ("bright", "dark")]
        found = [inspector.inspect(image).evidence["defect"]["type"] for _, image in images]
        assert sum(name == kind for name, (kind, _) in zip(found, images, strict=True)) >= 17

    def test_quick_leaves_the_backbone_out(self, looking: Path, folder: Path, tmp_path: Path) -> None:
        out = tmp_path / "named"
        assert main(["classes", "learn", str(looking), str(folder), "--out", str(out), "--quick"]) == 0
        assert Inspector(out).measures == BY_CELLS

    def test_a_type_is_added_and_groups_are_made_as_the_others_were_measured(
        self, looking: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        named, more = tmp_path / "named", tmp_path / "more"
        assert main(["classes", "learn", str(looking), str(folder), "--out", str(named)]) == 0
        files = [str(file) for file in bars(folder)]
        assert main(["classes", "group", str(named), *files, "--every", "--json"]) == 0
        assert capsys.readouterr().out.count('"typicality"') > len(files) // 2  # the gate refuses some
        assert main(["classes", "add", str(named), "bar", *files[:8], "--out", str(more)]) == 0
        classes = load_bundle(more).classes
        assert classes is not None and classes.measured == BY_CROPS and "bar" in classes.types

    def test_masks_teach_which_bright_places_are_no_defect(
        self, looking: Path, wafer: Wafer, tmp_path: Path
    ) -> None:
        """A cross that stands out more than the defect is on every image: without masks it hides the type."""
        right = {}
        for name, masks in (("masked", True), ("blind", False)):
            data, out = tmp_path / name, tmp_path / f"{name}_bundle"
            for i in range(24):
                for kind in ("bright", "dark"):
                    write_crossed(data, kind, i, wafer, mask=masks)
            assert main(["classes", "learn", str(looking), str(data / "test"), "--out", str(out)]) == 0
            inspector = Inspector(out)
            classes = inspector.classes
            assert classes is not None and (classes.nothing is not None) == masks
            found = []
            for i in range(100, 112):
                for kind in ("bright", "dark"):
                    image, (row, column) = crossed(wafer, kind, i)
                    first = inspector.inspect(image).evidence["defect"]
                    left, top, end, bottom = first["box"]
                    on_it = left - 24 < column < end + 24 and top - 24 < row < bottom + 24
                    found.append(
                        on_it and max(first["probabilities"], key=first["probabilities"].get) == kind
                    )
            right[name] = sum(found)
        assert right["masked"] >= 20 > right["blind"] + 5

    def test_a_classifier_without_its_backbone_is_refused(
        self, looking: Path, folder: Path, tmp_path: Path
    ) -> None:
        out = tmp_path / "named"
        assert main(["classes", "learn", str(looking), str(folder), "--out", str(out)]) == 0
        manifest = read_json(out / "manifest.json")
        del manifest["files"]["crops.onnx"]
        write_json(out / "manifest.json", manifest)
        with pytest.raises(BundleError, match=r"learned from looks at crops.*no crops\.onnx"):
            Inspector(out)


def test_decisions_scores_and_reasons_are_those_without_a_classifier(
    bundle: Path, named: Path, folder: Path, wafer: Wafer
) -> None:
    plain, naming = Inspector(bundle), Inspector(named)
    images = [wafer(seed, contrast) for seed in range(6) for contrast in (0.0, 0.05, 0.1, 0.4)]
    for image in [*images, *bars(folder)]:
        one, two = plain.inspect(image), naming.inspect(image)
        assert (one.decision, one.score, one.reasons, one.scores) == (
            two.decision,
            two.score,
            two.reasons,
            two.scores,
        )
        assert "defect" not in one.evidence
        assert ("defect" in two.evidence) == (two.decision.value != "PASS" and two.route == "full")


def test_a_classifier_that_breaks_costs_no_decision(
    named: Path, wafer: Wafer, monkeypatch: pytest.MonkeyPatch
) -> None:
    inspector = Inspector(named)
    before = inspector.inspect(wafer(1, 0.4))

    def broken(*_: object) -> None:
        raise ValueError("broken")

    monkeypatch.setattr(defect_type, "defect_features", broken)
    after = inspector.inspect(wafer(1, 0.4))
    assert (after.decision, after.score) == (before.decision, before.score)
    assert after.evidence["defect"]["type"] == "unknown"
    assert set(after.evidence["defect"]["set"]) == {"bright", "dark", "unknown"}


def test_the_command_shows_the_defect(named: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(named), str(folder / "dark" / "03.png"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["evidence"]["defect"]
    assert found["type"] == "dark" and {"probability", "set", "bin", "box"} <= set(found)


def test_an_unknown_type_is_grouped_named_and_then_known(
    named: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [str(path) for path in bars(folder)]
    assert main(["classes", "group", str(named), *files, "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    group = [row["source"] for row in rows if row["group"] == 0]
    assert len(group) >= 6
    assert main(["classes", "add", str(named), "bar", *group[:6], "--out", str(tmp_path / "more")]) == 0
    inspector = Inspector(tmp_path / "more")
    results = [inspector.inspect(path) for path in files]
    types = [result.evidence["defect"]["type"] for result in results if "defect" in result.evidence]
    assert len(types) >= 6 and types.count("bar") >= 0.9 * len(types)
    assert inspector.inspect(folder / "dark" / "03.png").evidence["defect"]["type"] == "dark"


def test_each_of_several_defects_has_its_own_type(named: Path, wafer: Wafer) -> None:
    inspector, both = Inspector(named), 0
    for seed in range(20):
        image = wafer(9500 + seed).copy()
        image[40:52, 40:52] = 250
        image[180:192, 180:192] = 5
        found = inspector.inspect(image).evidence
        assert found["defect"] == found["defects"][0]
        types = {one["type"]: one["box"] for one in found["defects"]}
        both += len(found["defects"]) == 2 and set(types) == {"bright", "dark"} and types["bright"][0] < 60
    assert both >= 16


@pytest.fixture(scope="module")
def rules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("rules") / "bins.toml"
    path.write_text(
        """
        schema = 1
        otherwise = "other"
        [bins.killer]
        rough = 11
        disposition = "REJECT"
        killer = true
        [bins.other]
        rough = 9
        [[rules]]
        bin = "killer"
        types = ["dark"]
        area = "gate"
        [areas]
        gate = [[0.0, 0.0, 500.0, 1000.0]]
        [costs]
        missed_killer = 1.0
        false_killer = 1.0
        """
    )
    return path


def stage(path: Path, *sites: tuple[str, float]) -> Path:
    """Images 256 um wide; a site's x decides whether it lies in the gate's left half of the die."""
    write_json(
        path,
        {
            "schema": 1, "die_um": [1000, 1000], "center_um": [500, 500], "pixel_um": 1.0,
            "sites": {name: {"die": [2, 3], "offset_um": [x, 500]} for name, x in sites},
        },
    )  # fmt: skip
    return path


def test_a_bin_follows_type_and_place_and_makes_the_decision_stricter(
    never_rejecting: Path, rules: Path, wafer: Wafer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("left", "right"):
        Image.fromarray(wafer(9001, -0.4)).save(tmp_path / f"{name}.png")
    where = stage(tmp_path / "stage.json", ("left", 200.0), ("right", 800.0))
    files, bundle = [str(tmp_path / f"{name}.png") for name in ("left", "right")], never_rejecting
    assert main(["inspect", str(bundle), *files, "--json", "--rules", str(rules), "--stage", str(where)]) == 0
    left, right = (json.loads(line) for line in capsys.readouterr().out.splitlines()[:2])
    assert (left["evidence"]["defect"]["bin"], left["decision"]) == ("killer", "REJECT")
    assert any("killer" in reason for reason in left["reasons"])
    assert (right["evidence"]["defect"]["bin"], right["decision"]) == ("other", "REVIEW")
    assert left["evidence"]["defect"]["die"] == [2, 3] and left["evidence"]["defect"]["length_um"] > 0
    # a place that is not known is taken for the worse one
    assert main(["inspect", str(bundle), files[1], "--json", "--rules", str(rules)]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[0])["decision"] == "REJECT"


def test_neither_types_nor_bins_ever_make_a_decision_milder(
    bundle: Path, named: Path, rules: Path, folder: Path, wafer: Wafer
) -> None:
    order = ["PASS", "REVIEW", "REJECT"]
    plain, binned = Inspector(bundle), Inspector(named, bins=load_bins(rules))
    rng = np.random.default_rng(5)
    images = [wafer(int(seed), float(contrast)) for seed, contrast in zip(
        rng.integers(0, 9000, 60), rng.uniform(-0.5, 0.5, 60), strict=True)]  # fmt: skip
    for image in [*images, *bars(folder)]:
        before, after = plain.inspect(image), binned.inspect(image)
        assert order.index(after.decision.value) >= order.index(before.decision.value)
        assert after.score == before.score and set(before.reasons) <= set(after.reasons)
        assert (after.decision == before.decision) == (after.reasons == before.reasons)


def test_the_classifier_is_sealed_in_the_manifest(bundle: Path, named: Path, tmp_path: Path) -> None:
    manifest = read_json(named / "manifest.json")
    assert manifest["files"]["classes.json"]["sha256"] == sha256_file(named / "classes.json")
    assert load_bundle(named).parent == load_bundle(bundle).id != load_bundle(named).id
    for path in named.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    content = (tmp_path / "classes.json").read_text().replace('"bright"', '"brighT"')
    (tmp_path / "classes.json").write_text(content)
    with pytest.raises(BundleError, match="was changed"):
        load_bundle(tmp_path)


def test_a_classifier_of_other_students_is_refused(named: Path, tmp_path: Path) -> None:
    for path in named.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    content = read_json(tmp_path / "classes.json")
    content |= {name: content[name][:-1] for name in ("center", "scale", "whiten")}
    write_json(tmp_path / "classes.json", content)
    manifest = read_json(tmp_path / "manifest.json")
    size = (tmp_path / "classes.json").stat().st_size
    manifest["files"]["classes.json"] = {"sha256": sha256_file(tmp_path / "classes.json"), "bytes": size}
    write_json(tmp_path / "manifest.json", manifest)
    with pytest.raises(BundleError, match="other students"):
        Inspector(tmp_path)


def test_bad_input_is_refused_and_nothing_is_written(
    bundle: Path, named: Path, folder: Path, tmp_path: Path, bad_images: dict[str, Path]
) -> None:
    from waferroute.classes import run_add, run_group, run_learn

    out = tmp_path / "out"
    (tmp_path / "empty").mkdir()
    for words, call in (
        ("no such folder", lambda: run_learn(bundle, tmp_path / "gone", out)),
        ("no folders that name", lambda: run_learn(bundle, tmp_path / "empty", out)),
        ("too few", lambda: run_learn(bundle, folder, out, at_most=3)),
        ("no classifier", lambda: run_add(bundle, "bar", [folder / "dark"], out)),
        ("already", lambda: run_add(named, "dark", [folder / "dark"], out)),
        ("none of the images", lambda: run_add(named, "bar", [bad_images["text"]], out)),
        ("exists, and a bundle never changes", lambda: run_add(named, "bar", [folder / "dark"], folder)),
        ("exists, and a bundle never changes", lambda: run_add(named, "bar", [folder / "dark"], named)),
        ("exists, and a bundle never changes", lambda: run_learn(bundle, folder, named)),
        ("no classifier", lambda: run_group(bundle, [folder / "dark"])),
        ("a group has at least", lambda: run_group(named, [folder / "dark" / "00.png"])),
    ):
        with pytest.raises(InputError, match=words):
            call()
    assert not out.exists()
