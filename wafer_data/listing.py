"""Which files of a folder are images that a person means: what computers put beside them is passed over, and said.

Standard library only: training and tool search folders by the same rule.
"""

from __future__ import annotations

import errno
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
_OTHER_FORMATS = {
    ".webp", ".gif", ".jp2", ".j2k", ".j2c", ".jpc", ".jpx", ".jpf", ".jxl", ".jxr", ".wdp", ".hdp", ".heic", ".heif",
    ".avif", ".dng", ".raw", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf", ".pef", ".pbm", ".pgm", ".ppm",
    ".pnm", ".pam", ".pfm", ".npy", ".npz", ".dcm", ".fits", ".fit", ".exr", ".hdr", ".psd", ".tga", ".pcx", ".sgi",
    ".qoi", ".ico", ".czi", ".h5", ".hdf5", ".jfif", ".jpe", ".mpo", ".apng", ".dib", ".svg", ".pdf", ".avi", ".mp4",
    ".mov", ".mkv", ".zip", ".7z", ".rar", ".tar", ".gz", ".tgz", ".bz2", ".xz",
}  # fmt: skip
"""Suffixes of pictures, videos and archives that are not read: where they lie in a folder, that is said."""
_FILE_SUFFIX = re.compile(r"\.([a-z]{1,8}\d?|j2k|7z)", re.IGNORECASE)
NORMAL_NAMES = {
    "good", "ok", "o.k.", "normal", "normals", "io", "i.o.", "pass", "passed", "defect_free", "defect-free",
    "defectfree", "no_defect", "no-defect", "nodefect", "non_defective", "fine", "good_images", "ok_images",
    "normal_images", "anomaly_free", "anomaly-free", "no_anomaly", "nominal", "healthy", "intact", "gut",
    "gutteil", "gutteile", "bon", "conforme", "bueno", "良品", "正常", "合格", "정상",
}  # fmt: skip
"""How people call their folder of normal images, in the form of `alike`."""
MASK_FOLDERS = {"ground_truth", "groundtruth", "ground-truth", "gt", "mask", "masks"}
# Network storage (Synology, QNAP), Windows, Linux, macOS. Those that begin with a dot are hidden anyway.
_SYSTEM_FOLDERS = {
    "#recycle", "#snapshot", "$recycle.bin", "recycler", "recycled", "found.000", "_gsdata_", "lost+found", "__macosx",
    "system volume information", "~snapshot", "network trash folder", "temporary items", "thumbs", "thumbnails",
    "_thumbs",
}  # fmt: skip
_SYSTEM_FILES = ("synophoto_thumb", "synoindex_", "synovideo_", "thumb_", "thumbnail_")
_THUMBNAILS = ("_thumb", "-thumb", ".thumb", "_thumbnail", "-thumbnail", ".thumbnail")
HEATMAP_SUFFIX = ".heatmap.png"
"""How the name of a heat map that this program wrote ends."""


def is_system_folder(name: str) -> bool:
    """Whether an operating system or a network storage made this folder: thumbnails, deleted files, snapshots."""
    return name.startswith((".", "@")) or name.casefold() in _SYSTEM_FOLDERS


def is_system_file(name: str) -> bool:
    """Whether a file is hidden, a thumbnail, or a heat map of an earlier inspection."""
    lower = name.casefold()
    return (
        lower.startswith((".", *_SYSTEM_FILES))
        or lower.endswith(HEATMAP_SUFFIX)
        or lower.rpartition(".")[0].endswith(_THUMBNAILS)
    )


def alike(name: str) -> str:
    """A form that names share if people take them for one: letter case does not count, nor how accents are stored.

    macOS and some programs store an accent as a character of its own behind its letter, others do not.
    """
    return unicodedata.normalize("NFC", name).casefold()


def printable(text: str) -> str:
    """A text as one line that cannot steer a terminal: names of files may hold line breaks and escapes."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def is_other_format(name: str) -> bool:
    """Whether a file is a picture that is not read, by its suffix."""
    return os.path.splitext(name)[1].lower() in _OTHER_FORMATS  # noqa: PTH122 (a Path for each of 100 000 names)


def other_formats(suffixes: Counter[str]) -> str:
    """What of files, counted by their suffixes in lower case, is pictures that are not read: `2 .gif, 1 .webp`."""
    return ", ".join(
        f"{count} {suffix}" for suffix, count in sorted(suffixes.items()) if suffix in _OTHER_FORMATS
    )


def _raise(error: OSError) -> None:
    raise error


def walk(
    folder: Path,
    passed_over: Callable[[Path], None] = lambda path: None,
    on_error: Callable[[OSError], None] = _raise,
    skip: Callable[[Path], bool] = lambda path: False,
) -> Iterator[Path]:
    """All files below `folder` but those of the system; linked folders are followed, each real folder once.

    Args:
        folder: where to begin.
        passed_over: called with each file of the system, each folder of it, and each link to a folder that is
            searched under another name already (also one that leads back).
        on_error: called with the error of a folder that cannot be read, or holds a link that cannot be followed, or of
            a link that leads nowhere and is named as a folder; default: it is raised.
        skip: whether a sub-folder is left out, without a word.

    Yields:
        Files in no particular order; of a folder that is reached in several ways the way without links counts.
    """
    pending, links, seen = [folder], list[Path](), set[tuple[int, int]]()
    while pending or links:
        place = pending.pop() if pending else links.pop(0)
        try:
            status = place.stat()
            if (status.st_dev, status.st_ino) in seen:
                passed_over(place)
                continue
            seen.add((status.st_dev, status.st_ino))
            with os.scandir(place) as entries:
                found = sorted((entry.name, _is_folder(entry), entry) for entry in entries)
        except OSError as error:
            on_error(error)
            continue
        for _, is_folder, entry in found:
            path = Path(entry.path)
            if is_folder:
                if skip(path):
                    continue
                if is_system_folder(entry.name):
                    passed_over(path)
                else:
                    (links if entry.is_symlink() else pending).append(path)
            elif is_system_file(entry.name):
                passed_over(path)
            elif leads_nowhere(entry):
                on_error(FileNotFoundError(errno.ENOENT, LEADS_NOWHERE, entry.path))
            else:
                yield path


LEADS_NOWHERE = "a link that leads nowhere: is what it names mounted?"


def leads_nowhere(entry: os.DirEntry[str]) -> bool:
    """Whether it is a link to a folder that is not there: all its images would be missing without a word.

    `lot_2024.05` is the name of a folder, `notes.txt` that of a file, which holds nobody's images.
    """
    if not entry.is_symlink() or _FILE_SUFFIX.fullmatch(Path(entry.name).suffix):
        return False
    return not Path(entry.path).exists()


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError as error:
        # A link into itself, named as an image, is a broken image; any other may stand for a folder and must be said.
        if error.errno != errno.ELOOP or not entry.name.lower().endswith(IMAGE_SUFFIXES):
            raise
        return False
