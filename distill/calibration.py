"""From trained students and calibration images to a routing policy and its certificate.

Only calibration images are read here: normals held back from every fit, synthetic anomalies made from them, and
nothing of the test set.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from router.calibrate import calibrate_policy
from router.config import RouterConfig
from router.gate import QualityGate, fit_gate, measure_quality
from student_vae import StudentVAE, load_student
from wafer_data.errors import InputError
from wafer_data.files import new_directory, write_json
from wafer_data.progress import track
from wafer_data.spread import spread
from wafer_data.store import ImageStore
from wafer_data.synthetic import add_random_anomaly

GATE_IMAGES = 2000
SYNTHETIC_SEED = 20_000


def calibrate_run(run_dir: Path, store: ImageStore, config: RouterConfig) -> None:
    """Write `router/policy.json`, `router/certificate.json` and `router/calibration.json` of a run.

    Raises:
        InputError: students missing, or too few calibration images for the configured rates.
    """
    lowres, full = load_student(run_dir / "lowres"), load_student(run_dir / "full")
    gate = _gate(store)
    normals = store.indices("calibration", label=0)
    admitted = np.array([not gate.reasons(measure_quality(store.grey(int(i)))) for i in normals], bool)
    usable = normals[admitted]
    if not len(usable):
        raise InputError(
            f"the quality gate refuses all {len(normals)} calibration normals: they do not look like those trained on"
        )
    low, full_scores, references = _scores(
        lowres, full, len(usable), lambda i: store.grey(int(usable[i])), "calibration normals"
    )
    synthetic_low, synthetic_full, _ = _scores(
        lowres, full, len(usable), lambda i: synthetic_anomaly(store, usable, i), "synthetic anomalies"
    )
    policy, certificate = calibrate_policy(
        low,
        full_scores,
        gate,
        config,
        synthetic_low,
        synthetic_full,
        gate_refused=int((~admitted).sum()),
        sample_fingerprint=store.fingerprint,
    )
    with new_directory(run_dir / "router") as folder:
        write_json(folder / "policy.json", policy.to_dict())
        write_json(folder / "certificate.json", certificate)
        write_json(
            folder / "calibration.json",
            {
                "schema": 1,
                "images": [store.records[int(i)].sha256 for i in usable],
                "lowres": low.tolist(),
                "full": full_scores.tolist(),
                "synthetic_lowres": synthetic_low.tolist(),
                "synthetic_full": synthetic_full.tolist(),
                "map_reference": references,
            },
        )


def synthetic_anomaly(store: ImageStore, normals: np.ndarray, place: int) -> np.ndarray:
    """The normal image at `place` of `normals` with a synthetic anomaly, (S, S) float32, fixed by the place."""
    rng = np.random.default_rng((SYNTHETIC_SEED, place))
    donor = store.grey(int(rng.choice(normals)))
    return add_random_anomaly(store.grey(int(normals[place])), rng, donor)[0].astype(np.float32)


def _gate(store: ImageStore) -> QualityGate:
    """Ranges of image quality from training normals, evenly spaced where there are many."""
    chosen = spread(store.indices("train", label=0), GATE_IMAGES)
    return fit_gate([measure_quality(store.grey(int(i))) for i in chosen])


@torch.no_grad()
def _scores(
    lowres: StudentVAE, full: StudentVAE, count: int, image: Callable[[int], np.ndarray], title: str
) -> tuple[np.ndarray, np.ndarray, dict[str, float]]:
    """Raw scores of both students on image(0) to image(count - 1), and the 99.9 % quantile of each one's map values."""
    low: list[np.ndarray] = []
    high: list[np.ndarray] = []
    maps: dict[str, list[np.ndarray]] = {"lowres": [], "full": []}
    for start in track(range(0, count, 32), title):
        batch = torch.from_numpy(np.stack([image(i) for i in range(start, min(start + 32, count))])[:, None])
        for name, model, scores in (("lowres", lowres, low), ("full", full, high)):
            result = model.score(batch)
            scores.append(result.score.numpy())
            maps[name].append(result.map.numpy().ravel())
    references = {name: float(np.quantile(np.concatenate(parts), 0.999)) for name, parts in maps.items()}
    return np.concatenate(low).astype(float), np.concatenate(high).astype(float), references
