"""Find the images of a data set on disk: MVTec layout, plain folders, and the ELPV package."""

import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from wafer_data.config import DataConfig
from wafer_data.errors import DataError, InputError, NotFoundError
from wafer_data.listing import NORMAL_NAMES, alike
from wafer_data.problems import Problem
from wafer_data.sources.files import (
    NAMED_AS_MASKS,
    folders_in,
    images_below,
    images_in,
    is_image,
    is_mask_folder,
    say_unused,
)
from wafer_data.sources.folder_names import check_folder_names
from wafer_data.sources.mask_files import find_masks, pair_in_folder

GOOD = "good"
Side = Literal["train", "test", "any"]


@dataclass(frozen=True)
class Candidate:
    """An image file that has been found but not opened yet.

    Attributes:
        side: "train" (to be divided into train and calibration), "test", or "any" (a normal image to be
            divided into all three).
        label: 0 normal, 1 defective.
        type: "good" or the defect type.
        mask: Its pixel mask's file, if there is one.
    """

    path: Path
    side: Side
    label: int
    type: str
    mask: Path | None = None


def find_images(config: DataConfig, problems: list[Problem] | None = None) -> list[Candidate]:
    """All images that `config` describes, sorted by path within each group; paths are absolute.

    Hidden files, those of the system and those without an image suffix are passed over; sub-folders are
    searched, also linked ones. Masks among the images are taken as masks.

    Args:
        problems: Grows by what was passed over, or found otherwise than the layout has it.

    Raises:
        InputError: When a folder is missing, unreadable or empty, when MVTec's train/good or test is missing,
            or when the ELPV package is not installed.
    """
    problems = [] if problems is None else problems
    if config.format == "mvtec":
        return _find_mvtec(_existing(config.root), problems)
    if config.format == "folder":
        return _find_folder(config, problems)
    if config.format == "shards":
        raise InputError(f"{config.root} is an archive: its images are no files that could be listed")
    return _find_elpv(config)


def data_name(config: DataConfig) -> str:
    """The name of the data set that reports show."""
    if config.name is not None:
        return config.name
    if config.format == "elpv":
        return f"elpv-{config.elpv_cells}"
    return _absolute(config.root or "").name


def _find_mvtec(root: Path, problems: list[Problem]) -> list[Candidate]:
    """MVTec AD (Bergmann et al., CVPR 2019): train/good, test/<type>, ground_truth/<type>/<name>_mask.png.

    Letter case does not count, and where no folder is called good, one called ok, normal, ... holds the normals.
    """
    train, test = (_child(root, name) for name in ("train", "test"))
    goods = _normals(train, problems) if train is not None else []
    for name, there in (("train/good", goods), ("test", test)):
        if not there:
            raise DataError(
                f"{root} is not in MVTec layout: there is no {name} folder in it. "
                "For a plain folder of normal images use data.format=folder"
            )
    assert test is not None
    found = [Candidate(path, "train", 0, GOOD) for good in goods for path in _normals_in(good, problems)]
    assert train is not None
    for folder in (root, train, test):
        loose = [path for path in folder.iterdir() if is_image(path) and path.is_file()]
        if loose:
            detail = f"{len(loose)} images lie in it, outside its sub-folders; first: {min(loose).name}"
            problems.append(Problem(path=str(folder), problem="folder not used", detail=detail))
    say_unused(
        [f for f in folders_in(train) if f not in goods], "only normal images are trained on", problems
    )
    normals = _normals(test, problems, required=False)
    masks = [folder for folder in folders_in(root) if is_mask_folder(folder.name)]
    others = [f for f in folders_in(root) if f not in (train, test) and not is_mask_folder(f.name)]
    say_unused(others, f"only {train.name} and {test.name} are read", problems)
    types = [folder for folder in folders_in(test) if not is_mask_folder(folder.name)]
    say_unused([f for f in folders_in(test) if is_mask_folder(f.name)], NAMED_AS_MASKS, problems)
    for folder in types:
        if folder in normals:
            found += [Candidate(path, "test", 0, GOOD) for path in _normals_in(folder, problems)]
        else:
            found += _defects(folder, _mask_folders(folder, masks), problems)
    known = {alike(folder.name) for folder in types}
    for place in masks:
        if any(is_image(path) for path in place.iterdir() if path.is_file()):
            detail = f"masks belong into a sub-folder of it that is named as the defect type's in {test}"
            problems.append(Problem(path=str(place), problem="masks not found", detail=detail))
        for folder in folders_in(place):
            if alike(folder.name) not in known and images_below(folder):
                detail = f"its name is that of no folder of {test}"
                problems.append(Problem(path=str(folder), problem="masks not found", detail=detail))
    if not normals:
        detail = f"there is no {GOOD} folder in it"
        problems.append(Problem(path=str(test), problem="no normal test image", detail=detail))
    return found


def _find_folder(config: DataConfig, problems: list[Problem]) -> list[Candidate]:
    root = _existing(config.root)
    test = _child(root, "test")
    within = test is not None and config.defects is not None and _existing(config.defects).samefile(test)
    if test is not None and _child(root, "train") is not None and not within:
        raise InputError(
            f"{root} holds train and test folders, and all of their images would count as normal: "
            f"use data.format=mvtec, or the folder of normal images as data.root"
        )
    if config.defects is None:
        return _any_normals(root, problems)
    defects = _existing(config.defects)
    if defects.resolve() == root.resolve():
        raise InputError(f"data.defects and data.root are the same folder ({root})")
    if defects.resolve() in root.resolve().parents:
        raise InputError(
            f"data.root ({root}) lies inside data.defects ({defects}): normal images would count as defects"
        )
    # The defects' folder may lie inside that of the normal images.
    found = _any_normals(root, problems, without=defects)
    types = [folder for folder in folders_in(defects) if not is_mask_folder(folder.name)]
    masks = [folder for folder in folders_in(defects) if is_mask_folder(folder.name)]
    if any(is_image(path) for path in defects.iterdir() if path.is_file()) or not types:
        used = [*masks, *(mask for folder in types for mask in _mask_folders(folder, []))]
        flat = [path for path in images_in(defects, problems, masks=used) if path.parent == defects]
        found += _paired(flat, defects, "defect", masks, problems)
    for folder in types:
        if alike(folder.name) in NORMAL_NAMES:
            detail = "the test gets them as normal images, not as a defect type"
            problems.append(Problem(path=str(folder), problem="normals by another name", detail=detail))
            found += [Candidate(path, "test", 0, GOOD) for path in _normals_in(folder, problems)]
        else:
            found += _defects(folder, _mask_folders(folder, masks), problems)
    return found


def _any_normals(root: Path, problems: list[Problem], without: Path | None = None) -> list[Candidate]:
    images = _normals_in(root, problems, without)
    check_folder_names(images, root, problems)
    return [Candidate(path, "any", 0, GOOD) for path in images]


def _child(folder: Path, name: str) -> Path | None:
    """The sub-folder of this name in any letter case, that of exactly this one first."""
    exact = folder / name
    if exact.is_dir() or not folder.is_dir():
        return exact if exact.is_dir() else None
    return next((found for found in folders_in(folder) if alike(found.name) == name), None)


def _normals(folder: Path, problems: list[Problem], required: bool = True) -> list[Path]:
    """The sub-folders of normal images: good in any letter case, else those whose name says the same."""
    every = folders_in(folder)
    goods = [found for found in every if alike(found.name) == GOOD]
    others = [found for found in every if alike(found.name) in NORMAL_NAMES and found not in goods]
    if goods:
        for other in others if not required else []:
            detail = f"beside {goods[0].name} it counts as a defect type"
            problems.append(Problem(path=str(other), problem="two names for normals", detail=detail))
        others = []
    for found in goods or others:
        if found.name != GOOD:
            detail = f"it counts as {GOOD}"
            problems.append(Problem(path=str(found), problem="normals by another name", detail=detail))
    return goods or others


def _normals_in(folder: Path, problems: list[Problem], without: Path | None = None) -> list[Path]:
    return pair_in_folder(images_in(folder, problems, without), problems).images


def _defects(folder: Path, masks: list[Path], problems: list[Problem]) -> list[Candidate]:
    return _paired(images_in(folder, problems, masks=masks), folder, folder.name, masks, problems)


def _paired(
    paths: list[Path], folder: Path, kind: str, mask_folders: list[Path], problems: list[Problem]
) -> list[Candidate]:
    beside = pair_in_folder(paths, problems)
    masks = find_masks(beside.images, folder, mask_folders, problems) | beside.masks
    return [Candidate(path, "test", 1, kind, masks.get(path)) for path in beside.images]


def _mask_folders(folder: Path, masks: list[Path]) -> list[Path]:
    """Where the masks of a defect type may lie: in folders of its name among the masks, or inside its own."""
    named = [
        child for place in masks for child in folders_in(place) if alike(child.name) == alike(folder.name)
    ]
    return [*named, *(found for found in folders_in(folder) if is_mask_folder(found.name))]


def _find_elpv(config: DataConfig) -> list[Candidate]:
    """ELPV (Deitsch et al. 2019): labels.csv holds path, defect probability (0, 1/3, 2/3, 1) and cell type.

    Only the two sure labels are used: probability 0 is normal, 1 is defective.
    """
    root = _existing(config.root) if config.root else _elpv_package_data()
    table = root / "labels.csv"
    found = []
    try:
        lines = table.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise InputError(
            f"{table} cannot be read ({error.strerror}): is {root} the ELPV data folder?"
        ) from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            name, probability, cells = line.split()
            sure = {0.0: 0, 1.0: 1}.get(float(probability))
        except ValueError as error:
            raise InputError(
                f"{table}, line {number}: expected a path, a probability and a cell type, found {line!r}"
            ) from error
        if sure is None or config.elpv_cells not in (cells, "both"):
            continue
        found.append(Candidate(root / name, "test" if sure else "any", sure, "defective" if sure else GOOD))
    if not found:
        raise InputError(f"{table} lists no {config.elpv_cells} cell with a sure label")
    return sorted(found, key=lambda candidate: (candidate.label, candidate.path))


def _elpv_package_data() -> Path:
    package = importlib.util.find_spec("elpv_dataset")
    if package is None or package.origin is None:
        raise InputError(
            'data.format=elpv needs the package elpv-dataset: pip install "waferroute[demo]", '
            "or point data.root at a folder with its labels.csv and images"
        )
    return Path(package.origin).parent / "data"


def _existing(folder: str | None) -> Path:
    path = _absolute(folder or "")
    if not path.exists():
        raise NotFoundError(f"{path} does not exist: check data.root and data.defects")
    if not path.is_dir():
        raise InputError(f"{path} is a file; a folder of images is needed")
    return path


def _absolute(folder: str) -> Path:
    return Path(os.path.abspath(folder))  # noqa: PTH100 (Path.resolve would show a link's target, not its name)
