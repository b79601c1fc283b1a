"""Eight numbers of one image: the simple measurements that a threshold could be put on."""

from dataclasses import dataclass

import numpy as np

_BLOCKS = 16  # windows a side for the local contrast


@dataclass(frozen=True)
class Statistic:
    """How a number is called, and what it is."""

    label: str
    meaning: str


STATISTICS: dict[str, Statistic] = {
    "mean": Statistic("mean", "mean intensity"),
    "variance": Statistic("variance", "variance of the intensity over the image"),
    "minimum": Statistic("minimum", "darkest pixel"),
    "p1": Statistic("1st percentile", "intensity that 1 % of the pixels stay below"),
    "p99": Statistic("99th percentile", "intensity that 1 % of the pixels exceed"),
    "maximum": Statistic("maximum", "brightest pixel"),
    "edge_energy": Statistic("edge energy", "mean squared step between neighbouring pixels"),
    "local_contrast": Statistic(
        "local contrast", "largest standard deviation in any window of a 16th of the side"
    ),
}
"""In the order of `image_statistics`."""


def image_statistics(grey: np.ndarray) -> np.ndarray:
    """The `STATISTICS` of an image (S, S) in [0, 1], S >= 16, as float64 (8,)."""
    values = grey.astype(np.float64)
    low, high = np.percentile(grey, [1, 99])
    steps_down, steps_right = np.diff(values, axis=0), np.diff(values, axis=1)
    return np.array(
        [
            values.mean(),
            values.var(),
            values.min(),
            low,
            high,
            values.max(),
            0.5 * (np.mean(steps_down**2) + np.mean(steps_right**2)),
            _windows(values).std(axis=1).max(),
        ]
    )


def _windows(values: np.ndarray) -> np.ndarray:
    """Square windows side by side, (W, pixels of one); what does not fill a window at the far edges is left."""
    side = max(2, len(values) // _BLOCKS)
    count = len(values) // side
    grid = values[: count * side, : count * side].reshape(count, side, count, side)
    return grid.transpose(0, 2, 1, 3).reshape(count * count, side * side)
