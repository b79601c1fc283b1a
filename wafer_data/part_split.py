"""Whole parts train, calibrate or test: no picture of a part sets a threshold that another one has taught.

Pictures of one part are alike in all that makes parts differ: lamp, focus, pattern, lot. A threshold from pictures of
parts that the models have seen promises too much for parts that they have not, which are all the tool ever sees.
"""

from __future__ import annotations

import collections
from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np

from wafer_data.checks import CheckedImage
from wafer_data.config import DataConfig
from wafer_data.errors import InputError
from wafer_data.parts import cut_from, numbered, parts_of
from wafer_data.problems import Problem

FEWEST_PARTS = 10
"""Of normal images; fewer, unless asked for, are divided image by image: a threshold of one part is worth no more."""
BLOCK = 20  # parts

SplitName = TypeVar("SplitName", bound=str)


def shown_parts(images: Sequence[CheckedImage], config: DataConfig) -> list[int] | None:
    """Number of the part that each image shows, as `data.same_part` has it; None: each image is a part of its own.

    "auto": tiles that are named by row and column show the part that they were cut from (`cut_from`), if all normal
    images that are to be divided are named so, and were cut from at least `FEWEST_PARTS` parts. A pattern is asked for
    the images that may move: those, and defects where some are to be labelled examples.

    Raises:
        InputError: The pattern does not fit a name.
    """
    if config.same_part == "never":
        return None
    if config.same_part == "auto":
        if not FEWEST_PARTS <= _tiled_parts(images) < len(_divided(images)):
            return None
        shown: list[str | int] = [cut_from(image.candidate.path) or i for i, image in enumerate(images)]
    else:
        moving = set(_divided(images))
        if config.labelled_defects_per_type:
            moving |= {i for i, image in enumerate(images) if image.candidate.label == 1}
        asked = sorted(moving)
        names = [images[i].candidate.path.name for i in asked]
        try:
            numbers = parts_of(names, config.same_part)
        except InputError as error:
            raise type(error)(f"data.same_part: {error}") from error
        by_image = dict(zip(asked, numbers, strict=True))
        shown = [by_image.get(i, f"image {i}") for i in range(len(images))]
    return numbered(shown)


def parts_said(images: Sequence[CheckedImage], config: DataConfig) -> list[Problem]:
    """One line on what was read from the names unasked, if anything was."""
    count, normals = _tiled_parts(images), _divided(images)
    if config.same_part != "auto" or not 0 < count < len(normals):
        return []
    detail = f"{len(normals)} normal images of {count} parts by their names"
    if count < FEWEST_PARTS:
        kind, rest = "tiles of few parts", f"fewer than {FEWEST_PARTS}"
    else:
        kind, rest = "tiles of parts", "data.same_part=never divides them one by one"
    return [{"path": str(images[normals[0]].candidate.path), "problem": kind, "detail": f"{detail}; {rest}"}]


def divide_parts(
    parts: Sequence[int], shares: Mapping[SplitName, float], rest: SplitName, random: np.random.Generator
) -> list[SplitName]:
    """A split for each image, the same for all images of a part.

    Parts are cut into consecutive blocks of about 20 and drawn within each block, as single images are
    (`wafer_data.split`). A part joins a split while that brings the split's number of images nearer to its share. Parts
    with more than a quarter of a split's images do not join it where half of the parts are smaller: a threshold needs
    many parts more than it needs many images.

    Args:
        parts: Number of the part that each image shows, in the images' order.
        shares: Of all images, in [0, 1], that each split gets; the first draws first.
        rest: The split of all others.
        random: Draws the parts.
    """
    sizes = collections.Counter(parts)
    order = list(sizes)
    median = float(np.median(list(sizes.values()))) if order else 0.0
    largest = {split: max(len(parts) * share / 4, median) for split, share in shares.items()}
    given = dict.fromkeys(shares, 0)
    found: dict[int, SplitName] = {}
    seen = 0
    for block in np.array_split(np.array(order, dtype=np.int64), max(1, round(len(order) / BLOCK))):
        seen += sum(sizes[part] for part in block.tolist())
        for part in random.permutation(block).tolist():
            found[part] = rest
            for split, share in shares.items():
                if sizes[part] <= largest[split] and given[split] + sizes[part] / 2 <= seen * share:
                    found[part] = split
                    given[split] += sizes[part]
                    break
    return [found[part] for part in parts]


def _divided(images: Sequence[CheckedImage]) -> list[int]:
    """Positions of the normal images that are divided, in the order of their paths."""
    found = [
        i for i, image in enumerate(images) if image.candidate.label == 0 and image.candidate.side != "test"
    ]
    return sorted(found, key=lambda i: images[i].candidate.path)


def _tiled_parts(images: Sequence[CheckedImage]) -> int:
    """From how many parts the normal images that are divided were cut; 0 where a name does not say."""
    cut = {cut_from(images[i].candidate.path) for i in _divided(images)}
    return 0 if None in cut else len(cut)
