"""Which mask belongs to which image: the ways in which published and home-made data sets name them.

A mask is recognised by its name (`000_mask.png`, `000_GT.bmp`, `000_label.PNG`, `mask_000.png`, `000.png` in a folder
of masks, `000/` with a mask a defect in MVTec LOCO), in any letter case and image format, in sub-folders like those of
the images; and beside the images, where a name alone would not do, by having two grey values only, or, where the image
that it is named after lies there too, by a black background.
"""

from __future__ import annotations

import collections
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wafer_data.imaging.read import UnreadableImage, read_grey
from wafer_data.listing import IMAGE_SUFFIXES, alike
from wafer_data.masks import MOST_COVERED
from wafer_data.problems import Problem
from wafer_data.sources.files import folders_in, images_below

_ENDINGS = (
    "_mask", "-mask", " mask", "_masks", "_gt", "-gt", "_label", "_labels", "_seg", "_ground_truth", "_groundtruth",
    "_annotation", ".mask", ".masks", ".gt", ".label", ".seg",
)  # fmt: skip
_STARTS = ("mask_", "gt_", "label_")
_TWO_VALUES = 0.98
"""Share of a mask's pixels that have its two most frequent values; the rest are smoothed edges and class numbers."""
_BLACK = 0.04
"""Share of white below which a pixel is the background of a mask with soft edges, class numbers, or a JPEG's noise."""


def image_name(mask: Path) -> str | None:
    """The stem, in lower case, of the image that a mask is named after; None for a name that says nothing of masks."""
    stem = alike(mask.stem)
    for ending in _ENDINGS:
        if stem.endswith(ending) and stem != ending:
            return stem.removesuffix(ending)
    return next(
        (stem.removeprefix(start) for start in _STARTS if stem.startswith(start) and stem != start), None
    )


def looks_like_mask(path: Path, beside_its_image: bool = False) -> bool:
    """Whether an image file has two grey values, as masks do.

    Beside the image that it is named after it is enough that half of it is black, as of masks with soft edges and of
    class numbers.
    """
    try:
        grey = read_grey(path, min_side=1)
    except UnreadableImage:
        return False
    counts = np.unique(grey, return_counts=True)[1]
    if np.sort(counts)[-2:].sum() >= _TWO_VALUES * counts.sum():
        return True
    white = np.iinfo(grey.dtype).max if np.issubdtype(grey.dtype, np.integer) else 1.0
    return beside_its_image and bool((grey < _BLACK * white).mean() >= 1 - MOST_COVERED)


@dataclass(frozen=True)
class Paired:
    """Images without the masks that lay among them, and the mask of each that has one."""

    images: list[Path]
    masks: dict[Path, Path]


def pair_in_folder(paths: list[Path], problems: list[Problem]) -> Paired:
    """Tell masks that lie beside their images from images.

    Two files of one stem are image and mask if one of them has two grey values only; a file that is named as a mask
    is one if it looks like it. One that does not, but lies beside the image of that name (a picture with the defect
    drawn in), is neither, and that is said.
    """
    by_stem: dict[tuple[Path, str], list[Path]] = collections.defaultdict(list)
    for path in paths:
        by_stem[path.parent, alike(path.stem)].append(path)
    masks: dict[Path, Path] = {}
    alone, drawn = list[Path](), list[Path]()
    for path in paths:
        named = image_name(path)
        if named is None:
            continue
        images = by_stem.get((path.parent, named), [])
        if looks_like_mask(path, beside_its_image=bool(images)):
            if images:
                masks[images[0]] = path
            else:
                alone.append(path)
        elif images and "label" not in alike(path.stem):  # a labelled picture is a picture
            drawn.append(path)
    for members in by_stem.values():
        if len(members) < 2 or set(members) & {*masks, *masks.values()}:
            continue
        flat = [path for path in members if looks_like_mask(path)] if len(members) == 2 else []
        if len(flat) == 1:
            masks[next(path for path in members if path != flat[0])] = flat[0]
        else:
            detail = f"beside {members[0].name}"
            problems += [Problem(path=str(path), problem="same name", detail=detail) for path in members[1:]]
    for image, mask in masks.items():
        problems.append(Problem(path=str(mask), problem="mask beside its image", detail=f"of {image.name}"))
    for mask in alone:
        problems.append(
            Problem(path=str(mask), problem="mask without image", detail="no image of that name beside it")
        )
    for path in drawn:
        detail = "it shows no mask: give it another name if it is an image of its own"
        problems.append(Problem(path=str(path), problem="named as a mask", detail=detail))
    left_out = {*masks.values(), *alone, *drawn}
    return Paired([path for path in paths if path not in left_out], masks)


def find_masks(
    images: list[Path], root: Path, folders: Iterable[Path], problems: list[Problem]
) -> dict[Path, Path]:
    """The mask of each image of `root` that has one in `folders`.

    Where a folder has a sub-folder named as an image (MVTec LOCO), that sub-folder is its mask.
    """
    found: dict[Path, Path] = {}
    for folder in folders:
        files = images_below(folder)
        if not files:
            if folders_in(folder) or any(path.is_file() for path in folder.iterdir()):
                detail = f"it holds no image file; masks are images ({', '.join(IMAGE_SUFFIXES)})"
                problems.append(Problem(path=str(folder), problem="masks not found", detail=detail))
            continue
        matched = _match(images, root, folder, files)
        users = collections.Counter(matched.values())
        for mask in sorted(mask for mask, count in users.items() if count > 1):
            names = ", ".join(image.name for image, its in matched.items() if its == mask)
            problems.append(
                Problem(path=str(mask), problem="one mask for several images", detail=f"it fits {names}")
            )
        used = {*users, *(file for file in files if file.parent in users)}
        unused = [file for file in files if file not in used]
        if not users:
            detail = f"it holds {len(files)} files, none fits an image of {root}"
            problems.append(Problem(path=str(folder), problem="masks not found", detail=detail))
        else:
            problems += [
                Problem(
                    path=str(file), problem="mask without image", detail=f"no image of {root} has its name"
                )
                for file in unused
            ]
        found |= {image: mask for image, mask in matched.items() if users[mask] == 1 and image not in found}
    return found


def _match(images: list[Path], root: Path, folder: Path, files: list[Path]) -> dict[Path, Path]:
    """Image to mask; several images may get one."""
    exact: dict[tuple[str, str], Path] = {}
    loose: dict[str, list[Path]] = collections.defaultdict(list)
    for file in sorted(files, key=lambda file: image_name(file) is None):  # 000_mask.png before 000.png
        place = alike(str(file.parent.relative_to(folder)))
        name = image_name(file) or alike(file.stem)
        exact.setdefault((place, name), file)
        exact.setdefault((place, alike(file.stem)), file)
        loose[name].append(file)
    grouped = {(alike(str(file.parent.parent.relative_to(folder))), alike(file.parent.name)): file.parent
               for file in files if file.parent != folder}  # fmt: skip
    found = {}
    for image in images:
        key = (alike(str(image.parent.relative_to(root))), alike(image.stem))
        same = loose.get(key[1], [])
        mask = exact.get(key) or grouped.get(key) or (same[0] if len(same) == 1 else None)
        if mask is not None:
            found[image] = mask
    return found
