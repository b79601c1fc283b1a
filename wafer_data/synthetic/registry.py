"""The kinds of anomaly by name, and how often each is drawn."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from wafer_data.synthetic.films import residue
from wafer_data.synthetic.lines import crack, scratch
from wafer_data.synthetic.patches import cut_paste, pattern_shift, perlin_texture, swap
from wafer_data.synthetic.pattern import bridge, missing_feature
from wafer_data.synthetic.small import slip, speck
from wafer_data.synthetic.spots import particle, stain

Generator = Callable[
    [np.ndarray, np.random.Generator, np.ndarray | None],
    tuple[np.ndarray, np.ndarray],
]


@dataclass(frozen=True)
class AnomalyType:
    """A generator and its weight: how often it is drawn, relative to the others."""

    generator: Generator
    weight: float


# The six that any surface can show have full weight; the four that belong to a patterned wafer, or are faint
# films, have half: on a surface without pattern they say less. The small ones are drawn most often: what is hardest
# to see needs the most examples.
ANOMALY_TYPES: dict[str, AnomalyType] = {
    "scratch": AnomalyType(scratch, 1.0),
    "particle": AnomalyType(particle, 1.0),
    "cut_paste": AnomalyType(cut_paste, 1.0),
    "perlin_texture": AnomalyType(perlin_texture, 1.0),
    "stain": AnomalyType(stain, 1.0),
    "crack": AnomalyType(crack, 1.0),
    "residue": AnomalyType(residue, 0.5),
    "pattern_shift": AnomalyType(pattern_shift, 0.5),
    "bridge": AnomalyType(bridge, 0.5),
    "missing_feature": AnomalyType(missing_feature, 0.5),
    "speck": AnomalyType(speck, 1.5),
    "slip": AnomalyType(slip, 1.5),
    "swap": AnomalyType(swap, 1.0),
}
GENERATORS: dict[str, Generator] = {name: kind.generator for name, kind in ANOMALY_TYPES.items()}


def add_random_anomaly(
    image: np.ndarray,
    rng: np.random.Generator,
    donor: np.ndarray | None = None,
    weights: Mapping[str, float] | None = None,
) -> tuple[np.ndarray, np.ndarray, str]:
    """One generator, drawn by weight: (image, mask, name of the generator). See the package.

    Args:
        weights: Name -> weight of those to draw from; default: all, weighted as in ANOMALY_TYPES.

    Raises:
        ValueError: For an unknown name, a negative weight or no positive one.
    """
    if weights is None:
        weights = {name: kind.weight for name, kind in ANOMALY_TYPES.items()}
    unknown = [name for name in weights if name not in ANOMALY_TYPES]
    if unknown:
        raise ValueError(f"no such anomaly: {', '.join(unknown)}; there are {', '.join(ANOMALY_TYPES)}")
    odds = np.array(list(weights.values()), dtype=float)
    if not odds.size or odds.min() < 0 or odds.sum() <= 0:
        raise ValueError(f"weights must be 0 or more and not all 0, not {dict(weights)}")
    name = list(weights)[rng.choice(len(odds), p=odds / odds.sum())]
    changed, mask = GENERATORS[name](image, rng, donor)
    return changed, mask, name
