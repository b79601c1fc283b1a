"""The image files of a folder, and what else lies there and is said."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

from wafer_data.errors import DataError, InputError
from wafer_data.listing import (
    IMAGE_SUFFIXES,
    LEADS_NOWHERE,
    MASK_FOLDERS,
    alike,
    is_system_folder,
    leads_nowhere,
    other_formats,
    walk,
)
from wafer_data.problems import Problem

NAMED_AS_MASKS = "named as a folder of masks: give it another name if they are images"
_ANNOTATIONS = {".json", ".xml", ".txt"}  # labelme, Pascal VOC, YOLO


def is_mask_folder(name: str) -> bool:
    """Whether a folder among images holds masks by its name."""
    return alike(name) in MASK_FOLDERS


def is_image(path: Path) -> bool:
    """Whether a file is an image by its suffix."""
    return path.suffix.lower() in IMAGE_SUFFIXES


def images_in(
    folder: Path, problems: list[Problem], without: Path | None = None, masks: Collection[Path] = ()
) -> list[Path]:
    """All image files below `folder`, sorted; at least one, or InputError.

    Args:
        folder: searched with its sub-folders, also linked ones, but not those of the system and those of masks.
        problems: grows by what is passed over.
        without: a sub-folder that is not searched.
        masks: sub-folders of masks that are used; of any other it is said that it is not.
    """
    images, drawn, others = list[Path](), list[Path](), Counter[str]()
    named_as_masks = list[Path]()
    outside = without.resolve() if without is not None else None

    def skip(path: Path) -> bool:
        if outside is not None and path.resolve() == outside:
            return True
        if is_mask_folder(path.name) and path not in masks:
            named_as_masks.append(path)
        return is_mask_folder(path.name)

    for path in _walked(folder, problems, skip):
        if is_image(path):
            images.append(path)
        else:
            others[path.suffix.lower()] += 1
            if path.suffix.lower() in _ANNOTATIONS:
                drawn.append(path)
    stems = {(path.parent, alike(path.stem)) for path in images}
    notes = [path for path in drawn if (path.parent, alike(path.stem)) in stems]
    if notes:
        detail = f"{len(notes)} files like {notes[0].name}"
        problems.append(Problem(path=str(folder), problem="annotations", detail=detail))
    say_unused(sorted(named_as_masks), NAMED_AS_MASKS, problems)
    foreign = other_formats(others)
    if foreign:
        problems.append(Problem(path=str(folder), problem="other format", detail=f"passed over: {foreign}"))
    if not images:
        what = f"none of its {others.total()} files is an image" if others else "it is empty"
        raise DataError(f"no image in {folder}: {what} (looked for {' '.join(IMAGE_SUFFIXES)})")
    return sorted(images)


def say_unused(folders: Iterable[Path], why: str, problems: list[Problem]) -> None:
    """Of each folder that holds images: that they are not used."""
    for folder in folders:
        if images := images_below(folder):
            detail = f"{len(images)} images; {why}"
            problems.append(Problem(path=str(folder), problem="folder not used", detail=detail))


def folders_in(folder: Path) -> list[Path]:
    """Sub-folders, sorted, linked ones too; without those of the system.

    Raises:
        InputError: If one cannot be read, or is a link that leads nowhere.
    """
    found = list[Path]()
    for entry in scan(folder):
        if is_system_folder(entry.name):
            continue
        if leads_nowhere(entry):
            raise InputError(f"{entry.path} cannot be read: {LEADS_NOWHERE}")
        if entry.is_dir():
            found.append(Path(entry.path))
    return sorted(found)


def scan(folder: Path) -> list[os.DirEntry[str]]:
    """Everything in a folder that is not hidden.

    Raises:
        InputError: If it cannot be read.
    """
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if not entry.name.startswith(".")]
    except OSError as error:
        raise _refused(folder, error) from error


def images_below(folder: Path) -> list[Path]:
    """All image files below a folder, sorted, without a word of anything else; none is no error."""

    def refuse(error: OSError) -> None:
        raise _refused(Path(error.filename or folder), error) from error

    return sorted(path for path in walk(folder, on_error=refuse) if is_image(path) and path.is_file())


def _walked(folder: Path, problems: list[Problem], skip: Callable[[Path], bool]) -> list[Path]:
    def passed_over(path: Path) -> None:
        if path.is_dir() and not is_system_folder(path.name):
            detail = f"leads to {path.resolve()}, which is searched already"
            problems.append(Problem(path=str(path), problem="link passed over", detail=detail))
            return
        inside = [path] if path.is_file() else [Path(at) / n for at, _, names in os.walk(path) for n in names]
        count = sum(is_image(file) for file in inside)
        if count:
            detail = (
                f"{count} pictures in it" if path.is_dir() else "a hidden file, a thumbnail or a heat map"
            )
            problems.append(Problem(path=str(path), problem="passed over", detail=detail))

    def refuse(error: OSError) -> None:
        raise _refused(Path(error.filename or folder), error) from error

    return list(walk(folder, passed_over, refuse, skip))


def _refused(folder: Path, error: OSError) -> InputError:
    if isinstance(error, PermissionError):
        return InputError(f"no permission to read {folder}: change its permissions or choose another")
    return InputError(f"{folder} cannot be read: {error.strerror}")
