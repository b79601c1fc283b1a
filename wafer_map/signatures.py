"""Is a wafer's pattern of bad dies spatially random? If not, which signature is it, and how sure is that?

For each kind of signature there is a family of regions on the unit disc (a centre, rings, sectors of the edge, discs,
strips). A region's excess of bad dies is standardised by its hypergeometric mean and variance; the family's statistic
is its largest excess, a spatial scan statistic (Kulldorff 1997). Its p-value comes from permutations of the bad dies
over the inspected ones, (1 + as large) / (1 + permutations), which is exact whatever the wafer looks like (Phipson and
Smyth 2010). Over the kinds it is corrected by Holm's method. numpy only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from wafer_data.errors import DataError
from wafer_map.wafer import WaferMap

KINDS = ("center", "ring", "edge_ring", "edge_local", "cluster", "scratch")
_MOST_PLACES = 150  # discs and strips are centred at that many dies at most, spread evenly
_FEWEST = 3  # dies in a region
_NEARLY = 0.85  # of the largest excess


@dataclass(frozen=True)
class SignatureTest:
    """What a test of one kind found.

    Attributes:
        kind: one of KINDS. p: permutation p-value of this kind alone. p_family: corrected for all kinds (Holm).
        excess: standard deviations by which the region has more bad dies than a random wafer.
        bad, expected, dies: bad dies in the region, as many as a random wafer has there, and its dies.
        region: places of the region's dies in the map.
    """

    kind: str
    p: float
    p_family: float
    excess: float
    bad: int
    expected: float
    dies: int
    region: tuple[int, ...]


@dataclass(frozen=True)
class Signatures:
    """What a wafer shows.

    Attributes:
        kind: that of the first test if it is significant at `level`, else "random"; "none" without a bad die.
        tests: of every kind, the most likely one first. rate: share of bad dies. level: over all kinds together.
    """

    kind: str
    tests: tuple[SignatureTest, ...]
    rate: float
    level: float

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form, without the dies of each region."""
        tests = [{k: v for k, v in vars(test).items() if k != "region"} for test in self.tests]
        return {"signature": self.kind, "rate": self.rate, "level": self.level, "tests": tests}


def find_signatures(
    wafer: WaferMap, *, level: float = 0.01, permutations: int = 999, seed: int = 0
) -> Signatures:
    """Test a wafer against a spatially random one.

    Args:
        wafer: the map. level: significance at which it is called a signature, over all kinds together.
        permutations: at least 1 / level, or nothing could be significant. seed: of the permutations.

    Returns:
        The tests.

    Raises:
        DataError: too few permutations for the level.
    """
    if not 0 < level < 1 or permutations + 1 < len(KINDS) / level:
        needed = math.ceil(len(KINDS) / max(level, 1e-9)) - 1
        raise DataError(f"level {level} needs at least {needed} permutations, got {permutations}")
    bad = np.asarray(wafer.bad)
    count, total = int(bad.sum()), len(bad)
    rate = count / total
    if count == 0 or count == total or total < 2 * _FEWEST:
        return Signatures("none" if count == 0 else "random", (), rate, level)
    rng = np.random.default_rng(seed)
    # Column 0 is the wafer itself; the others are permutations, the same for all kinds.
    maps = np.zeros((total, permutations + 1), dtype=np.float32)
    maps[:, 0] = bad
    for column in range(1, permutations + 1):
        maps[rng.permutation(total)[:count], column] = 1.0
    tests = [_test(kind, masks, maps, rate) for kind, masks in _families(wafer) if len(masks)]
    tests.sort(key=lambda test: test.p)
    corrected, worst = [], 0.0
    for i, test in enumerate(tests):
        worst = min(1.0, max(worst, test.p * (len(tests) - i)))
        corrected.append(SignatureTest(**{**vars(test), "p_family": worst}))
    found = [test for test in corrected if test.p_family <= level]
    if found:
        # Several kinds fit one pattern: a centre is a cluster, too. The simplest that explains nearly as much is it.
        enough = _NEARLY * max(test.excess for test in found)
        first = min(
            (test for test in found if test.excess >= enough), key=lambda test: KINDS.index(test.kind)
        )
        corrected.remove(first)
        corrected.insert(0, first)
    return Signatures(corrected[0].kind if found else "random", tuple(corrected), rate, level)


def _test(kind: str, masks: np.ndarray, maps: np.ndarray, rate: float) -> SignatureTest:
    total = masks.shape[1]
    size = masks.sum(axis=1)
    mean = size * rate
    deviation = np.sqrt(size * rate * (1 - rate) * (total - size) / (total - 1))
    excess = (masks.astype(np.float32) @ maps - mean[:, None].astype(np.float32)) / deviation[:, None].astype(
        np.float32
    )
    largest = excess.max(axis=0)
    best = int(excess[:, 0].argmax())
    # Sums of zeros and ones are exact; the division may round two equal ones apart.
    as_large = int((largest[1:] >= largest[0] - 1e-5).sum())
    region = np.flatnonzero(masks[best])
    return SignatureTest(
        kind,
        (1 + as_large) / maps.shape[1],
        1.0,
        float(largest[0]),
        int(maps[region, 0].sum()),
        float(mean[best]),
        len(region),
        tuple(region.tolist()),
    )


def _families(wafer: WaferMap) -> list[tuple[str, np.ndarray]]:
    place = wafer.positions
    radius, angle = np.hypot(place[:, 0], place[:, 1]), np.arctan2(place[:, 1], place[:, 0])
    die = float(np.sqrt(np.pi / len(place)))  # side of a die where the disc has the radius 1
    centres = place[np.linspace(0, len(place) - 1, min(len(place), _MOST_PLACES)).round().astype(int)]
    away = np.hypot(*(place[None] - centres[:, None]).transpose(2, 0, 1))
    inner = np.hypot(centres[:, 0], centres[:, 1]) < 0.8
    edge = radius > max(0.8, 1 - 2.5 * die)
    sectors = [
        edge & (np.abs((angle - middle + np.pi) % (2 * np.pi) - np.pi) <= half)
        for half in np.radians([12, 25, 45])
        for middle in np.linspace(-np.pi, np.pi, 36, endpoint=False)
    ]
    strips = []
    for turn in np.linspace(0, np.pi, 16, endpoint=False):
        offset = place[None] - centres[:, None]
        along = np.abs(offset[..., 0] * np.cos(turn) + offset[..., 1] * np.sin(turn))
        across = np.abs(offset[..., 1] * np.cos(turn) - offset[..., 0] * np.sin(turn))
        strips += [(along <= half) & (across <= 0.75 * die) for half in (0.25, 0.5)]
    families = {
        "center": np.stack([radius <= r for r in (0.25, 0.35, 0.5)]),
        "ring": np.stack([(radius > low) & (radius <= low + 0.3) for low in (0.2, 0.3, 0.4, 0.5)]),
        "edge_ring": np.stack([radius > 1 - depth for depth in (1.2 * die, 2 * die, 3 * die)]),
        "edge_local": np.stack(sectors),
        "cluster": np.concatenate([away[inner] <= r for r in (0.15, 0.25, 0.35)]),
        "scratch": np.concatenate(strips),
    }
    found = []
    for kind in KINDS:
        masks = families[kind]
        size = masks.sum(axis=1)
        found.append((kind, masks[(size >= _FEWEST) & (size <= len(place) - _FEWEST)]))
    return found
