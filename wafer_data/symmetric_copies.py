"""Mirrored and turned copies of training normals for the fit of the likelihood, where a surface has the symmetry.

The likelihood is fitted place by place, so a surface that the camera meets any way round is many surfaces to it, with
few images of each. Where such a copy cannot be told from an image, it is one more image.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import NamedTuple

import numpy as np

from wafer_data.imaging.planes import stacked
from wafer_data.store import ImageStore

MOST_FITTED = 10_000
"""No copies are added beyond this many images: so many need none, and a fit takes as long as there are images."""


class Change(NamedTuple):
    """Turned by so many quarters, then mirrored left-right or not: the symmetries of a square are these eight."""

    quarters: int
    mirrored: bool

    def of(self, image: np.ndarray) -> np.ndarray:
        """`image`, (..., H, W), changed; may be a view of it."""
        turned = np.rot90(image, self.quarters, axes=(-2, -1))
        return turned[..., ::-1] if self.mirrored else turned


SAME = Change(0, False)


def changes_from(flips: Collection[str]) -> list[Change]:
    """What `horizontal_flip`, `vertical_flip` and `rotate90`, as many of them as given, make together; `SAME` first."""
    mirrors = {"horizontal_flip", "vertical_flip"} & set(flips)
    if "rotate90" in flips:
        return [Change(k, m) for m in ((False, True) if mirrors else (False,)) for k in range(4)]
    changes = [SAME]
    if "horizontal_flip" in mirrors:
        changes.append(Change(0, True))
    if "vertical_flip" in mirrors:
        changes.append(Change(2, True))
    return [*changes, Change(2, False)] if len(mirrors) == 2 else changes


def in_folds(count: int, copies: int, folds: int) -> Iterator[tuple[int, int]]:
    """(image, copy) in an order in which a place, modulo `folds`, is that of the image, modulo `folds`.

    So an image and its copies share a fold: a likelihood that has seen one of them says nothing honest about the
    others. The last `count` % `folds` images have no copies.
    """
    whole = count // folds * folds
    for start in range(0, whole, folds):
        for copy in range(copies):
            yield from ((image, copy) for image in range(start, start + folds))
    yield from ((image, 0) for image in range(whole, count))


def within(changes: list[Change], images: int) -> list[Change]:
    """As many of the `changes` as a fit to that many images makes use of, at least one."""
    return changes[: max(1, MOST_FITTED // max(1, images))]


def normals_and_copies(
    store: ImageStore, indices: np.ndarray, changes: list[Change], folds: int, batch: int = 32
) -> Iterator[np.ndarray]:
    """Images `indices` and their copies, float32 (B, C, S, S) in [0, 1]; in the order of `in_folds`."""
    rows: list[np.ndarray] = []
    for image, copy in in_folds(len(indices), len(changes), folds):
        rows.append(changes[copy].of(store.pixels(int(indices[image]))))
        if len(rows) == batch:
            yield stacked(rows)
            rows = []
    if rows:
        yield stacked(rows)
