"""What only the whole data set shows: mixed bit depths, other brightness, other sizes, images shrunk too far."""

from __future__ import annotations

import collections

import numpy as np

from wafer_data.checks import CheckedImage
from wafer_data.imaging.source_size import SourceSize
from wafer_data.imaging.tiling import Tiling
from wafer_data.problems import Problem
from wafer_data.tiled import said

FAR = 1.8
"""Normal images whose median grey is more than this many powers of two from the usual one are named (two bits of depth
make two of them, less what images of one kind differ by) ..."""
FAR_DEVIATIONS = 6.0
"""... if that is also this many robust standard deviations, or they are a group of their own."""
GAP = 1.2
"""Powers of two without any image that part two groups: a deviation over both would take any mixture for spread."""
NEARLY_ALL = 0.9
"""Where that share of the training normals has one size, those of another are more likely a mistake than a recipe's."""
SHRUNK = 2.0
SEEN_PIXELS = 4
"""A defect of fewer pixels a side of what the models see is doubtful."""


def survey(
    images: list[CheckedImage],
    image_size: int,
    expected: list[int] | None = None,
    tiling: Tiling | None = None,
    colour: bool = False,
) -> list[Problem]:
    """Problems of the set as a whole; none of them stops anything.

    Args:
        images: all usable ones.
        image_size: side of the models' input, pixels.
        expected: data.expected_size.
        tiling: how large images are cut, where they are.
        colour: whether the models see colour: such images are not cut.
    """
    known = [image for image in images if image.shape != (0, 0)]
    normals = [image for image in known if image.candidate.label == 0]
    measured = [image for image in normals if image.candidate.side != "test"]
    if not measured:
        return []
    others = [image for image in known if image.candidate.label != 0 or image.candidate.side == "test"]
    return [
        *(_depths(measured) or _other_depths(measured[0].bits, others)),
        *_brightness(measured, normals),
        *(_without_colour(measured) if colour else []),
        *_odd_sizes(measured),
        *_sizes(images, SourceSize.of([image.shape for image in measured], expected)),
        *(_shrunk(measured, image_size, colour) if tiling is None else [said(images, tiling)]),
    ]


def _depths(normals: list[CheckedImage]) -> list[Problem]:
    groups: dict[int, list[CheckedImage]] = collections.defaultdict(list)
    for image in normals:
        groups[image.bits].append(image)
    if len(groups) < 2:
        return []
    fewest = min(groups.values(), key=len)
    counts = ", ".join(f"{len(members)} with {bits} bits" for bits, members in sorted(groups.items()))
    highest = max(image.highest for image in groups[16])
    note = f"; the 16-bit ones use the lower {highest:.1%} of their range" if highest < 0.5 else ""
    return [Problem(path=str(fewest[0].candidate.path), problem="mixed bit depths", detail=counts + note)]


def _other_depths(bits: int, others: list[CheckedImage]) -> list[Problem]:
    """Test images of another depth than all normal images that train: the tool would see others than it learned."""
    strange = [image for image in others if image.bits != bits]
    if not strange:
        return []
    detail = f"{len(strange)} images with {strange[0].bits} bits, where all training normals have {bits}"
    return [Problem(path=str(strange[0].candidate.path), problem="mixed bit depths", detail=detail)]


def _brightness(measured: list[CheckedImage], normals: list[CheckedImage]) -> list[Problem]:
    """Normal images, also of the test, that are far from the largest group of those of the training side."""
    logs = np.log2([max(image.median, 1 / 512) for image in normals])
    is_measured = np.array([image.candidate.side != "test" for image in normals])
    order = np.argsort(logs)
    group = np.empty(len(logs), int)
    group[order] = np.cumsum(np.diff(logs[order], prepend=logs[order[0]]) > GAP)
    counts = np.bincount(group[is_measured])
    usual = len(counts) - 1 - int(np.argmax(counts[::-1]))  # the brighter one of two equal ones
    of_usual = logs[is_measured & (group == usual)]
    middle = float(np.median(of_usual))
    deviation = 1.4826 * float(np.median(np.abs(of_usual - middle)))
    far = np.abs(logs - middle) > max(FAR, FAR_DEVIATIONS * deviation)
    for other in set(group) - {usual}:
        far |= (group == other) & (abs(np.median(logs[group == other]) - middle) > FAR)
    return [
        Problem(
            path=str(image.candidate.path),
            problem="brightness",
            detail=f"its median grey is {image.median:.3f} of white, that of {len(of_usual)} of the {len(measured)} "
            f"normal images of the training side about {2**middle:.3f}",
        )
        for image, is_far in zip(normals, far, strict=True)
        if is_far
    ]


def _without_colour(measured: list[CheckedImage]) -> list[Problem]:
    """Grey images among those of a set in colour: what is colour to the others they do not show."""
    grey = [image for image in measured if image.grey]
    if not grey or len(grey) == len(measured):
        return []
    detail = f"{len(grey)} of {len(measured)} training normals have three equal channels"
    return [Problem(path=str(grey[0].candidate.path), problem="grey among colour", detail=detail)]


def _odd_sizes(measured: list[CheckedImage]) -> list[Problem]:
    """Training normals of another size than nearly all: a thumbnail among them opens the tool to thumbnails."""
    (usual, count), *others = collections.Counter(image.shape for image in measured).most_common()
    if not others or count < NEARLY_ALL * len(measured):
        return []
    known = f"{count} of {len(measured)} have {usual[0]} x {usual[1]}"
    return [
        Problem(
            path=str(image.candidate.path),
            problem="odd size",
            detail=f"{image.shape[0]} x {image.shape[1]} pixels (height x width), {known}",
        )
        for image in measured
        if image.shape != usual
    ]


def _sizes(images: list[CheckedImage], recipe: SourceSize) -> list[Problem]:
    found = [(image, recipe.problem(*image.shape)) for image in images if image.shape != (0, 0)]
    return [
        Problem(path=str(image.candidate.path), problem="another size", detail=detail)
        for image, detail in found
        if detail is not None
    ]


def _shrunk(normals: list[CheckedImage], image_size: int, colour: bool) -> list[Problem]:
    height, width = np.median([image.shape for image in normals], axis=0)
    times = max(height, width) / image_size
    if times < SHRUNK:
        return []
    remedy = "cut the images yourself" if colour else "data.tiling=always cuts images into tiles"
    detail = (
        f"{height:g} x {width:g} pixels (height x width, median) are shrunk {times:.1f} times to {image_size}; a "
        f"defect of fewer than about {SEEN_PIXELS * times:.0f} pixels a side is less than {SEEN_PIXELS} pixels to the "
        f"models and may PASS: {remedy} if such defects matter"
    )
    return [Problem(path=str(normals[0].candidate.path), problem="shrunk", detail=detail)]
