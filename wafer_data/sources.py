"""Find the images of a data set on disk: MVTec layout, plain folders, and the ELPV package."""

import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from wafer_data.config import DataConfig
from wafer_data.errors import InputError, NotFoundError
from wafer_data.imaging.read import IMAGE_SUFFIXES

GOOD = "good"
Side = Literal["train", "test", "any"]


@dataclass(frozen=True)
class Candidate:
    """An image file that has been found but not opened yet.

    side: "train" (to be divided into train and calibration), "test", or "any" (a normal image to be divided
    into all three). label: 0 normal, 1 defective. type: "good" or the defect type. mask: its pixel mask's
    file, if there is one.
    """

    path: Path
    side: Side
    label: int
    type: str
    mask: Path | None = None


def find_images(config: DataConfig) -> list[Candidate]:
    """All images that `config` describes, sorted by path within each group; paths are absolute.

    Hidden files and files without an image suffix are passed over; sub-folders are searched, except those
    that are symbolic links. Raises InputError when a folder is missing, unreadable or empty, when MVTec's
    train/good or test is missing, or when the ELPV package is not installed.
    """
    if config.format == "mvtec":
        return _find_mvtec(_existing(config.root))
    if config.format == "folder":
        return _find_folder(config)
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


def _find_mvtec(root: Path) -> list[Candidate]:
    """MVTec AD (Bergmann et al., CVPR 2019): train/good, test/<type>, ground_truth/<type>/<name>_mask.png."""
    good, test = root / "train" / GOOD, root / "test"
    for folder in (good, test):
        if not folder.is_dir():
            raise InputError(
                f"{root} is not in MVTec layout: there is no {folder.relative_to(root)} folder in it. "
                "For a plain folder of normal images use data.format=folder"
            )
    found = [Candidate(path, "train", 0, GOOD) for path in _images_in(good)]
    for folder in _folders_in(test):
        label = int(folder.name != GOOD)
        masks = root / "ground_truth" / folder.name if label else None
        found += [
            Candidate(path, "test", label, folder.name, _mask_for(path, masks)) for path in _images_in(folder)
        ]
    return found


def _find_folder(config: DataConfig) -> list[Candidate]:
    root = _existing(config.root)
    if config.defects is None:
        return [Candidate(path, "any", 0, GOOD) for path in _images_in(root)]
    defects = _existing(config.defects)
    if defects.resolve() == root.resolve():
        raise InputError(f"data.defects and data.root are the same folder ({root})")
    if defects.resolve() in root.resolve().parents:
        raise InputError(
            f"data.root ({root}) lies inside data.defects ({defects}): normal images would count as defects"
        )
    # The defects' folder may lie inside that of the normal images.
    found = [Candidate(path, "any", 0, GOOD) for path in _images_in(root, without=defects)]
    flat = [path for path in _images_in(defects) if path.parent == defects]
    found += [Candidate(path, "test", 1, "defect") for path in flat]
    for folder in _folders_in(defects):
        found += [Candidate(path, "test", 1, folder.name) for path in _images_in(folder)]
    return found


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


def _images_in(folder: Path, without: Path | None = None) -> list[Path]:
    """All image files below `folder`, sorted; at least one, or InputError."""
    images, others = [], 0
    pending = [folder]
    while pending:
        for entry in _scan(pending.pop()):
            path = Path(entry.path)
            if entry.is_dir(follow_symlinks=False):
                if without is None or path.resolve() != without.resolve():
                    pending.append(path)
            elif path.suffix.lower() in IMAGE_SUFFIXES:
                images.append(path)
            else:
                others += 1
    if not images:
        what = f"none of its {others} files is an image" if others else "it is empty"
        raise InputError(f"no image in {folder}: {what} (looked for {' '.join(IMAGE_SUFFIXES)})")
    return sorted(images)


def _folders_in(folder: Path) -> list[Path]:
    return sorted(Path(entry.path) for entry in _scan(folder) if entry.is_dir())


def _scan(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if not entry.name.startswith(".")]
    except PermissionError as error:
        raise InputError(
            f"no permission to read {folder}: change its permissions or choose another"
        ) from error
    except OSError as error:
        raise InputError(f"{folder} cannot be read: {error.strerror}") from error


def _mask_for(image: Path, folder: Path | None) -> Path | None:
    if folder is None:
        return None
    for name in (f"{image.stem}_mask.png", f"{image.stem}.png"):
        if (folder / name).is_file():
            return folder / name
    return None
