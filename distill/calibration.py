"""From trained students and calibration images to a routing policy and its certificate.

Only calibration images are read here: normals and labelled defects held back from every fit, synthetic anomalies
made from the normals, and nothing of the test set.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from router.calibrate import calibrate_policy
from router.config import RouterConfig
from router.decision import STAGES
from router.gate import QualityGate, fit_gate_images, measure_quality
from router.samples import PICK_EVERY
from student_vae import StudentVAE, load_student
from wafer_data.errors import InputError
from wafer_data.files import new_directory, write_json
from wafer_data.progress import track
from wafer_data.spread import spread
from wafer_data.store import ImageStore
from wafer_data.synthetic import add_random_anomaly

GATE_IMAGES, GATE_PLANTED = 2000, 200
SYNTHETIC_SEED = 20_000


def calibrate_run(run_dir: Path, store: ImageStore, config: RouterConfig) -> None:
    """Write `router/policy.json`, `router/certificate.json` and `router/calibration.json` of a run.

    Raises:
        InputError: students missing, too few calibration images for the configured rates, or a `router.max_fnr`
            that the labelled defects do not carry.
    """
    lowres, full = load_student(run_dir / "lowres"), load_student(run_dir / "full")
    gate = _gate(store)
    usable, refused_normals = _admitted(store, gate, label=0)
    defects, refused_defects = _admitted(store, gate, label=1)
    if not len(usable):
        raise InputError(
            f"the quality gate refuses all {refused_normals} calibration normals: they do not look like those "
            "trained on"
        )
    low, full_scores, references = _scores(
        lowres, full, len(usable), _images(store, gate, usable), "calibration normals"
    )
    synthetic_low, synthetic_full, _ = _scores(
        lowres,
        full,
        len(usable),
        lambda i: gate.cleaned(synthetic_anomaly(store, usable, i)),
        "synthetic anomalies",
    )
    scored: dict[str, np.ndarray] = {}
    types = [store.records[int(i)].type for i in defects]
    if len(defects):
        title = "labelled defects"
        scored["defect_lowres"], scored["defect_full"], _ = _scores(
            lowres, full, len(defects), _images(store, gate, defects), title
        )
    policy, certificate = calibrate_policy(
        low,
        full_scores,
        gate,
        config,
        synthetic_low,
        synthetic_full,
        **scored,
        defect_types=types,
        defects_refused=refused_defects,
        defects_trained=len(store.indices("train", label=1)),
        gate_refused=refused_normals,
        sample_fingerprint=store.fingerprint,
    )
    with new_directory(run_dir / "router") as folder:
        write_json(folder / "policy.json", policy.to_dict())
        write_json(folder / "certificate.json", certificate)
        write_json(
            folder / "calibration.json",
            {
                "schema": 1,
                "images": _names(store, usable),
                "lowres": low.tolist(),
                "full": full_scores.tolist(),
                "defect_images": _names(store, defects),
                "defect_types": types,
                "defect_lowres": scored.get("defect_lowres", np.empty(0)).tolist(),
                "defect_full": scored.get("defect_full", np.empty(0)).tolist(),
                "synthetic_lowres": synthetic_low.tolist(),
                "synthetic_full": synthetic_full.tolist(),
                "map_reference": references,
            },
        )


def _admitted(store: ImageStore, gate: QualityGate, label: int) -> tuple[np.ndarray, int]:
    """Calibration images of one label that the gate admits, and how many it refuses."""
    found = store.indices("calibration", label=label)
    admitted = np.array([not gate.reasons(measure_quality(store.grey(int(i)))) for i in found], bool)
    return found[admitted], int((~admitted).sum())


def _images(store: ImageStore, gate: QualityGate, indices: np.ndarray) -> Callable[[int], np.ndarray]:
    """Images as the students get them on the tool."""
    return lambda place: gate.cleaned(store.grey(int(indices[place])))


def _names(store: ImageStore, indices: np.ndarray) -> list[str]:
    return [store.records[int(i)].sha256 for i in indices]


def synthetic_anomaly(store: ImageStore, normals: np.ndarray, place: int) -> np.ndarray:
    """The normal image at `place` of `normals` with a synthetic anomaly, (S, S) float32, fixed by the place."""
    rng = np.random.default_rng((SYNTHETIC_SEED, place))
    # From the part of the sample that its own normal belongs to: the parts must not know of each other.
    donor = store.grey(int(rng.choice(normals[place % PICK_EVERY :: PICK_EVERY])))
    return add_random_anomaly(store.grey(int(normals[place])), rng, donor)[0].astype(np.float32)


def _gate(store: ImageStore) -> QualityGate:
    """What can be judged, from training normals, evenly spaced where there are many."""
    chosen = spread(store.indices("train", label=0), GATE_IMAGES)
    every = -(-len(chosen) // GATE_PLANTED)
    return fit_gate_images((store.grey(int(i)) for i in chosen), plant_every=max(every, 1))


@torch.no_grad()
def _scores(
    lowres: StudentVAE, full: StudentVAE, count: int, image: Callable[[int], np.ndarray], title: str
) -> tuple[np.ndarray, np.ndarray, dict[str, float]]:
    """Raw scores of both students on image(0) to image(count - 1), and the 99.9 % quantile of each one's map values."""
    low: list[np.ndarray] = []
    high: list[np.ndarray] = []
    maps: dict[str, list[np.ndarray]] = {stage.value: [] for stage in STAGES}
    for start in track(range(0, count, 32), title):
        batch = torch.from_numpy(np.stack([image(i) for i in range(start, min(start + 32, count))])[:, None])
        for name, model, scores in (("lowres", lowres, low), ("full", full, high)):
            result = model.score(batch)
            scores.append(result.score.numpy())
            maps[name].append(result.map.numpy().ravel())
    references = {name: float(np.quantile(np.concatenate(parts), 0.999)) for name, parts in maps.items()}
    return np.concatenate(low).astype(float), np.concatenate(high).astype(float), references
