"""Where a surface has a symmetry, the students' likelihoods are fitted to mirrored and turned copies too."""

import json

import pytest

from distill import stages
from distill.augmentation import choose_augmentation
from distill.config import PoolConfig
from distill.stages import run_stage
from student_vae import load_student
from tests.conftest import tiny_distill_config
from tests.distill.test_stages import copy_of


def test_changes_that_the_teacher_found_exact_enter_the_fit(tmp_path):
    changes = {
        name: {"auroc": 0.55, "interval95": [0.5, 0.6]} for name in ("horizontal_flip", "vertical_flip")
    }
    changes["rotate90"] = {"auroc": 0.99, "interval95": [0.98, 1.0]}
    content = {"schema": 3, "fitted": 200, "judged": 200, "changes": changes, "exact": ["horizontal_flip"]}
    (tmp_path / "symmetries.json").write_text(json.dumps(content))
    found = choose_augmentation(PoolConfig(), tmp_path)
    assert found.exact == ("horizontal_flip",)
    assert found.reasons["horizontal_flip"].endswith("used, in the fit of the likelihood too")
    assert found.reasons["vertical_flip"].endswith("used")
    assert found.to_dict()["in_the_fit"] == ["horizontal_flip"]
    assert choose_augmentation(PoolConfig(flips="none"), tmp_path).exact == ()


@pytest.mark.parametrize(
    ("flips", "copies", "coordinates"),
    [
        (["vertical_flip"], 2, 10),
        (["rotate90"], 4, 2 * 10),
        (["horizontal_flip", "rotate90"], 8, 3 * 10),
    ],
)
def test_a_symmetric_surface_is_fitted_to_its_copies(
    tiny_run, tiny_store, tmp_path, monkeypatch, flips, copies, coordinates
):
    run_dir = copy_of(tiny_run, tmp_path, without=["lowres"])
    path = run_dir / "teacher" / "symmetries.json"
    content = json.loads(path.read_text())
    for name in flips:
        content["changes"][name] = {"auroc": 0.5, "interval95": [0.45, 0.55]}
    path.write_text(json.dumps(content | {"exact": flips}))
    seen = []
    real = stages.fit_with_labels

    def spy(batches, labelled, config, seed):
        seen.append((sum(len(part) for part in batches()), config.coordinates))
        return real(batches, labelled, config, seed)

    monkeypatch.setattr(stages, "fit_with_labels", spy)
    config = tiny_distill_config()
    run_stage("lowres", config, run_dir, tiny_store)
    likelihood, count = config.lowres.student.likelihood, len(tiny_store.indices("train", label=0))
    assert likelihood.coordinates == 10
    whole = count // likelihood.folds * likelihood.folds
    assert seen == [(count + (copies - 1) * whole, min(coordinates, count if copies > 2 else 3 * count // 4))]
    assert json.loads((run_dir / "lowres" / "augmentation.json").read_text())["in_the_fit"] == flips


@pytest.mark.parametrize(("loose", "more"), [(True, 3), (False, 1)])
def test_a_loosely_placed_surface_has_more_coordinates(tiny_run, tiny_store, tmp_path, loose, more):
    run_dir = copy_of(tiny_run, tmp_path, without=["lowres"])
    path = run_dir / "teacher" / "symmetries.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"loose": loose}))
    config = tiny_distill_config()
    run_stage("lowres", config, run_dir, tiny_store)
    count, configured = (
        len(tiny_store.indices("train", label=0)),
        config.lowres.student.likelihood.coordinates,
    )
    assert load_student(run_dir / "lowres").likelihood.coordinates == min(more * configured, 3 * count // 4)
