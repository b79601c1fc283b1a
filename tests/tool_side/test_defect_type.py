"""Types of defects in a bundle: learned, added, grouped, shown, and never in the way of a decision."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tool_side.bundle.load import load_bundle
from tool_side.runtime import defect_type
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
    found = defect_type.describe(
        classes,
        np.full((256, 256), 0.5, np.float32),
        np.pad(np.ones((4, 4), np.float32), ((32, 28), (48, 12))),
        np.zeros(2, np.float32),
        0.2,
        (384, 512),
    )
    assert found["box"] == [48 * 6, 32 * 8, 52 * 6, 36 * 8]


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
        ("not a bundle", lambda: run_add(named, "bar", [folder / "dark"], folder)),
        ("no classifier", lambda: run_group(bundle, [folder / "dark"])),
        ("a group has at least", lambda: run_group(named, [folder / "dark" / "00.png"])),
    ):
        with pytest.raises(InputError, match=words):
            call()
    assert not out.exists()
