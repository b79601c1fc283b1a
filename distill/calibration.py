"""From trained students and calibration images to a routing policy and its certificate.

Only calibration images are read here: normals and labelled defects held back from every fit, synthetic anomalies
made from the normals, and nothing of the test set.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from likelihood.arrays import ArrayScores, on_arrays
from router.calibrate import calibrate_policy
from router.calibrate_tiles import calibrate_tiled_policy
from router.certificate_parts import parts_statement
from router.config import RouterConfig
from router.decision import PASS
from router.gate import QualityGate, fit_gate_images
from router.route_scores import STUDENTS, RouteScores, ScoredBatch, score_batches
from router.samples import PICK_EVERY
from student_vae import StudentVAE, load_student
from wafer_data.errors import InputError
from wafer_data.files import new_directory, write_json
from wafer_data.imaging.tiling import TiledImage
from wafer_data.learned_from import require_unseen
from wafer_data.parts import parts_named
from wafer_data.progress import track
from wafer_data.spread import spread
from wafer_data.store import ImageStore
from wafer_data.synthetic import add_random_anomaly

GATE_IMAGES, GATE_PLANTED = 2000, 200
SYNTHETIC_SEED = 20_000
BOTH_ALIKE = 0.5
"""Share of the full student's log-score where both students answer further questions."""


def calibrate_run(run_dir: Path, store: ImageStore, config: RouterConfig, same_part: str = "auto") -> None:
    """Write `router/policy.json`, `router/certificate.json` and `router/calibration.json` of a run.

    Args:
        run_dir: Of the run; it holds both students.
        store: Its images.
        config: Which rates are asked for.
        same_part: Which images show one part, as `data.same_part`: the certificate says what that takes from it.

    Raises:
        InputError: students missing, or taught by calibration images; too few calibration images for the configured
            rates, or a `router.max_fnr` that the labelled defects do not carry.
    """
    require_unseen([run_dir / name for name in STUDENTS], store)
    loaded = {name: load_student(run_dir / name) for name in STUDENTS}
    config = _with_weight(config, loaded.values())
    students = {name: on_arrays(student) for name, student in loaded.items()}
    gate = _gate(store)
    normals = store.indices("calibration", label=0)
    scored, references = _scores(gate, _images(store, normals), students, len(normals), "calibration normals")
    usable, admitted = normals[~scored.refused], scored[~scored.refused]
    if not len(usable):
        raise InputError(
            f"the quality gate refuses all {len(normals)} calibration normals: they do not look like those "
            "trained on"
        )
    painted = (synthetic_anomaly(store, usable, place) for place in range(len(usable)))
    synthetic, _ = _scores(gate, painted, students, len(usable), "synthetic anomalies")
    labelled = store.indices("calibration", label=1)
    known, _ = _scores(gate, _images(store, labelled), students, len(labelled), "labelled defects")
    defects, refused_defects = labelled[~known.refused], int(known.refused.sum())
    known = known[~known.refused]
    types = [store.records[int(i)].type for i in defects]
    more: dict[str, Any] = {
        "defect_types": types,
        "defects_refused": refused_defects,
        "defects_trained": len(store.indices("train", label=1)),
        "gate_refused": int(scored.refused.sum()),
        "sample_fingerprint": store.fingerprint,
    }
    if admitted.tiles is not None:
        policy, certificate = calibrate_tiled_policy(admitted, gate, config, synthetic, defects=known, **more)
        # from here on an image's scores are those of its deciding tile, as on the tool
        admitted, synthetic, known = (one.per_image(policy) for one in (admitted, synthetic, known))
    else:
        policy, certificate = calibrate_policy(
            admitted.lowres,
            admitted.full,
            gate,
            config,
            synthetic.lowres,
            synthetic.full,
            defect_lowres=known.lowres if len(defects) else None,
            defect_full=known.full if len(defects) else None,
            **more,
        )
    parts = parts_named([Path(store.records[int(i)].path) for i in usable], same_part)
    if parts is not None and 1 < len(set(parts)) < len(parts):
        routed = admitted.under(policy)
        outcomes = {"escalation": routed.escalated, "flag": routed.decisions != PASS}
        certificate["parts"] = parts_statement(outcomes, parts, config.confidence)
    with new_directory(run_dir / "router") as folder:
        write_json(folder / "policy.json", policy.to_dict())
        write_json(folder / "certificate.json", certificate)
        write_json(
            folder / "calibration.json",
            {
                "schema": 1,
                "images": _names(store, usable),
                "lowres": admitted.lowres.tolist(),
                "full": admitted.full.tolist(),
                "defect_images": _names(store, defects),
                "defect_types": types,
                "defect_lowres": known.lowres.tolist(),
                "defect_full": known.full.tolist(),
                "synthetic_lowres": synthetic.lowres.tolist(),
                "synthetic_full": synthetic.full.tolist(),
                "map_reference": references,
            },
        )


def _with_weight(config: RouterConfig, students: Iterable[StudentVAE]) -> RouterConfig:
    """`config` with half of each for a `full_weight` that is not given, where students answer further questions."""
    if config.full_weight is None and any(student.likelihood.answers is not None for student in students):
        return config.model_copy(update={"full_weight": BOTH_ALIKE})
    return config


def _images(store: ImageStore, indices: np.ndarray) -> Iterator[np.ndarray | TiledImage]:
    return (store.image(int(index)) for index in indices)


def _names(store: ImageStore, indices: np.ndarray) -> list[str]:
    return [store.records[int(i)].sha256 for i in indices]


def synthetic_anomaly(store: ImageStore, normals: np.ndarray, place: int) -> np.ndarray | TiledImage:
    """The normal image at `place` of `normals` with a synthetic anomaly, fixed by the place.

    Float32 as the models see it. A large image has it in one of its tiles, as small as it would be in a whole image of
    that size.
    """
    rng = np.random.default_rng((SYNTHETIC_SEED, place))
    # From the part of the sample that its own normal belongs to: the parts must not know of each other.
    other = int(rng.choice(normals[place % PICK_EVERY :: PICK_EVERY]))
    image = store.image(int(normals[place]))
    if isinstance(image, TiledImage):
        tiles, donors = list(image.tiles), store.tiles_of(other)
        spot = int(rng.integers(len(tiles)))
        donor = donors[int(rng.integers(len(donors)))]
        tiles[spot] = add_random_anomaly(tiles[spot], rng, donor)[0].astype(np.float32)
        return TiledImage(image.whole, tiles)
    return add_random_anomaly(image, rng, store.pixels(other))[0].astype(np.float32)


def _gate(store: ImageStore) -> QualityGate:
    """What can be judged, from training normals, evenly spaced where there are many."""
    chosen = spread(store.indices("train", label=0), GATE_IMAGES)
    every = -(-len(chosen) // GATE_PLANTED)
    return fit_gate_images(_images(store, chosen), plant_every=max(every, 1))


def _scores(
    gate: QualityGate,
    images: Iterable[np.ndarray | TiledImage],
    students: Mapping[str, Callable[[np.ndarray], ArrayScores]],
    count: int,
    title: str,
) -> tuple[RouteScores, dict[str, float]]:
    """Scores of `count` images, and the 99.9 % quantile of each student's map values on those that the gate admits."""
    maps: dict[str, list[np.ndarray]] = {name: [] for name in students}

    def kept(batches: Iterable[ScoredBatch]) -> Iterator[ScoredBatch]:
        for batch in batches:
            for name, output in batch.outputs.items():
                maps[name].append(output.map[batch.admitted_parts].ravel())
            yield batch

    scores = RouteScores.of(kept(score_batches(gate, track(images, title, total=count), students)))
    values = {name: np.concatenate(parts) for name, parts in maps.items() if parts}
    return scores, {name: float(np.quantile(v, 0.999)) for name, v in values.items() if len(v)}
