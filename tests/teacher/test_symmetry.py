"""Which symmetries a surface has: found on surfaces whose symmetry is known, with an interval that can be trusted."""

import json

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import nn

from teacher import fit
from teacher.config import TeacherConfig
from teacher.fit import fit_teacher
from teacher.model import Teacher
from teacher.symmetry import CHANGES, measure_symmetries, paired_auroc
from teacher.symmetry_record import (
    FEWEST_JUDGED,
    SCHEMA,
    exact_symmetries,
    loosely_placed,
    read_symmetries,
)
from wafer_data.errors import InputError
from wafer_data.image_size import IMAGE_SIZE

SIDE, MAP = 32, 16
ENLARGED = IMAGE_SIZE // SIDE
CONFIG = TeacherConfig(batch_size=16)


class Patches(nn.Module):
    """A backbone whose features are four grey values of a cell, 2 x 2 blocks; it counts the images it sees."""

    channels, map_size = 4, MAP

    def __init__(self) -> None:
        super().__init__()
        self.seen = 0

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        self.seen += len(image)
        return nn.functional.pixel_unshuffle(image[..., ::ENLARGED, ::ENLARGED], SIDE // MAP)


class Normals:
    """Stands in for an image store: training normals in places 0, 2, 4, ..., and nothing else may be asked for."""

    def __init__(self, images: np.ndarray) -> None:
        self.images = images

    def indices(self, split: str, label: int) -> np.ndarray:
        assert (split, label) == ("train", 0)
        return 2 * np.arange(len(self.images))

    def batch(self, indices: np.ndarray) -> np.ndarray:
        images = self.images[np.asarray(indices) // 2][:, None]
        return images.repeat(ENLARGED, 2).repeat(ENLARGED, 3)


def surface(kind: str, count: int = 120) -> Normals:
    """Noise over nothing, over a slope from left to right, or over bars that look alike from all four sides.

    Jittered bars lie up to a quarter of the side to the left or right.
    """
    rng = np.random.default_rng(0)
    images = 0.5 + 0.05 * rng.standard_normal((count, SIDE, SIDE))
    along = np.linspace(-0.2, 0.2, SIDE)
    if kind == "slope":
        images += along
    elif kind == "bars":
        images += 0.2 * (np.abs(along) < 0.05)
    elif kind == "jittered bars":
        for image, by in zip(images, rng.integers(-SIDE // 4, SIDE // 4 + 1, count), strict=True):
            image += 0.2 * np.roll(np.abs(along) < 0.05, by)
    return Normals(images.clip(0, 1).astype(np.float32))


def teacher() -> Teacher:
    made = Teacher(Patches(), directions=4)
    made.projection.copy_(torch.eye(4))
    return made.eval()


def aurocs(kind: str) -> dict[str, float]:
    found = measure_symmetries(teacher(), surface(kind), CONFIG, 0)
    return {name: values["auroc"] for name, values in found["changes"].items()}


def test_noise_looks_the_same_from_every_side():
    assert set(aurocs("noise")) == set(CHANGES)
    assert all(0.3 < auroc < 0.7 for auroc in aurocs("noise").values())


def test_a_slope_is_told_when_mirrored_along_it_and_not_across():
    found = aurocs("slope")
    assert found["horizontal_flip"] > 0.95 and found["rotate90"] > 0.95
    assert 0.3 < found["vertical_flip"] < 0.7


def test_bars_may_be_mirrored_but_not_turned():
    found = aurocs("bars")
    assert found["rotate90"] > 0.95
    assert found["horizontal_flip"] < 0.7 and found["vertical_flip"] < 0.7


@pytest.mark.parametrize(
    ("kind", "loose"), [("noise", True), ("jittered bars", True), ("bars", False), ("slope", False)]
)
def test_loose_is_a_surface_that_lies_otherwise_in_every_image(kind, loose):
    found = measure_symmetries(teacher(), surface(kind), CONFIG, 0)
    assert found["loose"] == loose, found["shift"]
    assert "shift" not in found["changes"], "no copies are made of it"


def test_the_record_says_whether_the_surface_is_loose(tmp_path):
    assert not loosely_placed(tmp_path), "nothing was measured"
    for loose in (True, False):
        (tmp_path / "symmetries.json").write_text(json.dumps({"schema": SCHEMA, "loose": loose}))
        assert loosely_placed(tmp_path) == loose


def test_the_interval_holds_the_estimate_and_the_seed_draws_the_halves():
    first, again, other = (
        measure_symmetries(teacher(), surface("noise"), CONFIG, seed) for seed in (0, 0, 1)
    )
    assert first == again != other
    assert (first["fitted"], first["judged"]) == (60, 120)  # each half is judged by the other
    for values in first["changes"].values():
        low, high = values["interval95"]
        assert 0 <= low < values["auroc"] < high <= 1
    json.dumps(first, allow_nan=False)


def test_features_at_hand_are_not_computed_again():
    store, ours, with_known = surface("slope", 100), teacher(), teacher()
    alone = measure_symmetries(ours, store, CONFIG, 0)
    images = torch.from_numpy(store.batch(store.indices("train", 0)))
    features = teacher().features(images)
    known = measure_symmetries(with_known, store, CONFIG, 0, lambda rows: features[rows])
    assert known == alone
    assert (ours.backbone.seen, with_known.backbone.seen) == (100 + 4 * 100, 4 * 100)


def test_never_more_than_800_passes_beside_the_features_at_hand():
    store = surface("noise", 1000)
    ours = teacher()
    features = teacher().features(torch.from_numpy(store.batch(store.indices("train", 0))))
    found = measure_symmetries(ours, store, CONFIG, 0, lambda rows: features[rows])
    assert (found["fitted"], found["judged"]) == (200, 200)
    assert ours.backbone.seen == 800


@pytest.mark.parametrize("count", [2, 2 * FEWEST_JUDGED - 2])
def test_too_few_images_leave_it_undecided(count):
    found = measure_symmetries(teacher(), surface("slope", count), CONFIG, 0)
    assert found["judged"] == count and found["exact"] == [] and not found["loose"]
    assert found["shift"] == {"auroc": None, "interval95": None}
    assert all(v == {"auroc": None, "interval95": None} for v in found["changes"].values())


def test_just_enough_images_decide():
    found = measure_symmetries(teacher(), surface("slope", 2 * FEWEST_JUDGED), CONFIG, 0)
    assert found["changes"]["horizontal_flip"]["auroc"] > 0.8


def test_the_auroc_is_that_of_scikit_learn_also_with_ties():
    rng = np.random.default_rng(0)
    for decimals in (1, 6):
        before, after = rng.normal(0, 1, 50).round(decimals), rng.normal(0.5, 1, 50).round(decimals)
        reference = roc_auc_score(np.r_[np.zeros(50), np.ones(50)], np.r_[before, after])
        assert paired_auroc([(before, after)])[0] == pytest.approx(reference, abs=1e-12)


@pytest.mark.parametrize(("shared", "sets"), [(0.0, 1), (0.8, 1), (0.8, 2)])
def test_the_interval_covers_the_truth_as_often_as_it_says(shared, sets):
    """Scores of an image before and after share much of their spread; the interval must know."""
    rng, hits = np.random.default_rng(1), 0
    for _ in range(400):
        pairs = []
        for _ in range(sets):
            common = np.sqrt(shared) * rng.normal(size=100)
            before, after = (common + np.sqrt(1 - shared) * rng.normal(size=100) for _ in range(2))
            pairs.append((before, after + 0.5))
        low, high = paired_auroc(pairs)[1]
        hits += low <= 0.6382 <= high  # Phi(0.5 / sqrt 2)
    assert 0.92 <= hits / 400 <= 0.98


def test_a_fitted_teacher_has_its_symmetries_beside_it(tiny_store, tiny_teacher_config, tmp_path):
    fit_teacher(tiny_teacher_config, tiny_store, tmp_path / "teacher")
    found = read_symmetries(tmp_path / "teacher")
    assert found["schema"] == SCHEMA and set(found["changes"]) == set(CHANGES)
    assert found["judged"] == len(tiny_store.indices("train", label=0))


def test_a_teacher_without_them_or_of_another_schema_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"adapt the teacher again.*distill\.pool\.flips"):
        read_symmetries(tmp_path)
    (tmp_path / "symmetries.json").write_text('{"schema": 99}')
    with pytest.raises(InputError, match=f"schema 99, expected {SCHEMA}"):
        read_symmetries(tmp_path)


def test_exact_is_what_cannot_be_told_and_is_known_well_enough():
    changes = {
        "horizontal_flip": {"auroc": 0.52, "interval95": [0.48, 0.56]},
        "vertical_flip": {"auroc": 0.64, "interval95": [0.6, 0.68]},
        "rotate90": {"auroc": 0.55, "interval95": [0.4, 0.7]},  # too few images to be sure
    }
    assert exact_symmetries(changes, 0.6) == ["horizontal_flip"]
    assert exact_symmetries(changes, 0.65) == ["horizontal_flip", "vertical_flip", "rotate90"]
    assert exact_symmetries(changes, 0.5) == []
    assert exact_symmetries({"rotate90": {"auroc": None, "interval95": None}}, 0.6) == []


def test_a_teacher_of_a_symmetric_surface_is_fitted_to_its_copies(
    tiny_store, tiny_teacher_config, tmp_path, monkeypatch
):
    real = fit.measure_symmetries
    monkeypatch.setattr(fit, "measure_symmetries", lambda *args: real(*args) | {"exact": ["vertical_flip"]})
    symmetric = fit_teacher(tiny_teacher_config, tiny_store, tmp_path / "symmetric")
    normals = torch.from_numpy(tiny_store.batch(tiny_store.indices("train", label=0)))
    monkeypatch.undo()
    plain = fit_teacher(tiny_teacher_config, tiny_store, tmp_path / "plain")
    mirrored, images = normals.flip(2), normals
    with torch.no_grad():
        gain = [(t.score(mirrored).score.mean() / t.score(images).score.mean()) for t in (symmetric, plain)]
    assert gain[0] < gain[1], "mirrored images are as ordinary to it as the others"


def test_a_teacher_of_a_loosely_placed_surface_has_more_coordinates_where_places_alone_are_asked(
    tiny_store, tiny_teacher_config, tmp_path, monkeypatch
):
    real = fit.measure_symmetries
    configured = tiny_teacher_config.likelihood.coordinates
    most = 3 * len(tiny_store.indices("train", label=0)) // 4
    for loose, more in ((True, 3), (False, 1)):
        monkeypatch.setattr(
            fit, "measure_symmetries", lambda *args, loose=loose: real(*args) | {"loose": loose}
        )
        fitted = fit_teacher(tiny_teacher_config, tiny_store, tmp_path / str(loose))
        assert fitted.likelihood.coordinates == min(most, more * configured)
