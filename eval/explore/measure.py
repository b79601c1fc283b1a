"""Measures a prepared data set: one pass over training normals, one over test normals, one over defects."""

from dataclasses import dataclass
from pathlib import Path, PurePath

import numpy as np

from eval.config import EvalConfig
from eval.explore import container, period
from eval.explore.alignment import ALIGNED, Alignment, AlignmentSums
from eval.explore.answers import answer_all
from eval.explore.differences import Drift, best_threshold, compare, measure_drift
from eval.explore.extent import Extent, MaskSums
from eval.explore.findings import DataFigures, Exploration, Kind, MeanFigures, Shown, Texture
from eval.explore.intensity import histograms
from eval.explore.sample import evenly, evenly_by_type, pick_by_type
from eval.explore.survey import MeanImage, Survey, level_count, survey
from eval.explore.texture import TextureSums, radial_mean
from eval.provenance import describe
from wafer_data.config import DataConfig
from wafer_data.store import ImageStore

TEXTURES = 500
"""At most this many images go into the spectrum and the autocorrelation."""

SHOWN = 16
ENOUGH_NORMALS = 10
"""Test normals below which defects are compared with all normals instead."""


@dataclass(frozen=True)
class Maps:
    """Arrays that are shown but too large for the figures.

    (S, S) mean and deviation in [0, 1], centred spectrum (S, S), autocorrelation (2 R + 1, 2 R + 1).
    """

    mean: np.ndarray
    deviation: np.ndarray
    spectrum: np.ndarray
    correlation: np.ndarray


def measure(
    run_dir: Path, store: ImageStore, config: EvalConfig, data: DataConfig
) -> tuple[Exploration, Maps]:
    """All figures of the data set, answered in words.

    Raises:
        InputError: For files that cannot be read.
    """
    rng = np.random.default_rng(config.seed)
    train = store.indices("train", 0)
    shown = np.sort(rng.choice(train, min(SHOWN, len(train)), replace=False))
    read = evenly(train)
    textured = evenly(read, TEXTURES)
    mean, alignment_sums, texture_sums = (
        MeanImage(store.size),
        AlignmentSums(store.size),
        TextureSums(store.size),
    )
    wanted = set(textured.tolist())

    def add_texture(index: int, grey: np.ndarray) -> None:
        if index in wanted:
            texture_sums.add(index, grey)

    normals = survey(store, read, "training normals", mean.add, alignment_sums.add, add_texture)
    spectrum, correlation = texture_sums.spectrum(), texture_sums.correlation()
    alignment = alignment_sums.measure(rng)

    compared, compared_with = _compared_normals(store)
    others = survey(store, compared, f"{compared_with} normals") if len(compared) else None
    defects = _Defects(store, rng)
    differences = threshold = contrasts = None
    if others is not None and defects.survey is not None:
        values = others.statistics, defects.survey.statistics
        differences = compare(*values, config.bootstrap, config.seed)
        threshold = best_threshold(differences, *values, defects.types, config.bootstrap, config.seed)
        groups = {"normal": others.levels, "defect": defects.survey.levels, "inside": defects.inside}
        contrasts = histograms(groups)
    exploration = Exploration(
        data=DataFigures(
            name=store.name,
            fingerprint=store.fingerprint,
            counts=store.counts(),
            size=store.size,
            normals_read=len(read),
            texture_read=texture_sums.count,
            compared_with=compared_with,
            compared_normals=len(compared),
            defects_read=len(defects.types),
            types=defects.counts,
        ),
        container=_container(store, read, data),
        intensities=histograms({"normal": normals.levels}),
        levels=(store.levels.black, store.levels.white),
        mean_image=MeanFigures(_extremes(mean.mean), _extremes(mean.deviation)),
        texture=_texture(spectrum, correlation, alignment),
        alignment=alignment,
        drift=_drift(normals, others, compared_with, config.seed),
        differences=differences,
        threshold=threshold,
        extent=defects.extent,
        contrasts=contrasts,
        normals_shown=[_shown(store, int(index)) for index in shown],
        defects_shown=[_shown(store, int(index)) for index in defects.shown],
        provenance=describe(run_dir, store, config.seed),
    )
    return answer_all(exploration), Maps(mean.mean, mean.deviation, spectrum, correlation)


class _Defects:
    """The defects of every split, read once. `survey` and `extent` are None when there is none."""

    def __init__(self, store: ImageStore, rng: np.random.Generator) -> None:
        indices = np.array([i for i, record in enumerate(store.records) if record.label == 1], dtype=np.int64)
        self.survey: Survey | None = None
        self.extent: Extent | None = None
        self.types: list[str] = []
        self.counts: dict[str, int] = {}
        self.shown = indices[:0]
        self.inside = np.zeros(level_count(store), np.int64)
        if not len(indices):
            return
        types = [store.records[i].type for i in indices]
        self.counts = {name: types.count(name) for name in sorted(set(types))}
        self.shown = pick_by_type(indices, types, SHOWN, rng)
        read = evenly_by_type(indices, types)
        self.types = [store.records[i].type for i in read]
        masks = MaskSums(level_count(store))
        self.survey = survey(store, read, "defects", lambda index, grey: masks.add(grey, store.mask(index)))
        self.extent, self.inside = masks.measure(self.types, store.size), masks.inside


def _compared_normals(store: ImageStore) -> tuple[np.ndarray, str]:
    """The normals that defects are compared with: those of the test, as in the report, if there are enough."""
    test = store.indices("test", 0)
    if len(test) >= ENOUGH_NORMALS:
        return evenly(test), "test"
    everything = np.array([i for i, record in enumerate(store.records) if record.label == 0], dtype=np.int64)
    return evenly(everything), "all"


def _container(store: ImageStore, read: np.ndarray, data: DataConfig) -> container.Container:
    paths = [store.records[i].path for i in evenly(read, container.FILES)]
    return container.measure_container(paths, data.max_pixels, data.min_side)


def _drift(normals: Survey, others: Survey | None, compared_with: str, seed: int) -> Drift | None:
    if others is None or compared_with != "test":
        return None
    return measure_drift(normals.statistics, others.statistics, seed)


def _texture(spectrum: np.ndarray, correlation: np.ndarray, alignment: Alignment) -> Texture:
    rays = period.to_rays(correlation)
    pattern, grain = period.find_pattern(rays), period.find_grain(rays)
    periodic = pattern is not None and pattern.periodic
    kind: Kind = (
        "aligned object"
        if alignment.correlation >= ALIGNED
        else "periodic pattern"
        if periodic
        else "random texture"
    )
    direction = pattern.direction if pattern is not None and periodic else grain.longest_direction
    row = round(direction * period.DIRECTIONS / 180) % period.DIRECTIONS
    whole = round(1 / period.STEP)
    return Texture(
        kind=kind,
        pattern=pattern,
        grain=grain,
        radial_peak=period.find_radial_peak(spectrum),
        radial_power=radial_mean(spectrum).tolist(),
        along=rays[row, ::whole].tolist(),
        across=rays[(row + period.DIRECTIONS // 2) % period.DIRECTIONS, ::whole].tolist(),
    )


def _shown(store: ImageStore, index: int) -> Shown:
    record = store.records[index]
    path = "/".join(PurePath(record.path).parts[-3:])
    return Shown(index, path, record.type, store.mask(index) is not None)


def _extremes(image: np.ndarray) -> tuple[float, float]:
    return float(image.min()), float(image.max())
