"""A folder of synthetic micrographs in MVTec layout, written whole or not at all."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, PngImagePlugin

from wafer_data.errors import InputError
from wafer_data.files import new_directory, write_json, write_text
from wafer_data.micrograph.config import MicrographConfig
from wafer_data.micrograph.images import GOOD, Micrograph, draw_micrograph
from wafer_data.micrograph.types import DEFECT_TYPES, KNOWN_TYPES, NOVEL_TYPES
from wafer_data.progress import track

SCHEMA = 1
GENERATOR_VERSION = 1  # counts up when the same configuration, seed and index give another image
MANIFEST = "synthetic.json"
LABEL = "SYNTHETIC micrograph made by waferroute; it shows no real wafer"
# Each part of a data set counts from a start of its own: a larger part leaves the images of the others alone.
_PART = 1_000_000_000

_README = """\
SYNTHETIC IMAGES. Every image in this folder is synthetic: it was made by a program, none shows a real wafer.

They look like electron-microscope images of a patterned wafer ({layout}) and carry synthetic defects with
exact masks. Use them to try waferroute out, to test it and to measure its speed. Figures measured on them say
nothing about real wafers or real defects.

train/good, test/good      images without defect
test/TYPE                  images with one defect: {types}
ground_truth/TYPE          masks: white where the image differs from the same one without defect
synthetic.json             how the images were made, and how visible each defect is

Made by waferroute {version}, seed {seed}. The same command makes the same images again.
"""


@dataclass(frozen=True)
class Entry:
    """One image of a data set: its folder below the root, its type and its index."""

    folder: str
    type: str
    index: int

    @property
    def name(self) -> str:
        """File name without suffix."""
        return f"synthetic_{self.index % _PART:06d}"


def plan(normal: int, test_normal: int, per_type: Mapping[str, int]) -> list[Entry]:
    """All images of a data set.

    Index ranges: train from 0, test/good from 1e9, each defect type from its own multiple.

    Raises:
        InputError: For an unknown type, a negative count, no training image or too many images.
    """
    unknown = [name for name in per_type if name not in DEFECT_TYPES]
    if unknown:
        raise InputError(f"no such defect type: {', '.join(unknown)}; there are {', '.join(DEFECT_TYPES)}")
    counts = [normal, test_normal, *per_type.values()]
    if min(counts) < 0 or normal < 1:
        raise InputError("counts of images must be 0 or more, and at least one normal image is needed")
    if max(counts) >= _PART:
        raise InputError(f"at most {_PART - 1} images of a kind can be made")
    parts = [("train/good", GOOD, normal, 0), ("test/good", GOOD, test_normal, 1)]
    parts += [
        (f"test/{name}", name, per_type.get(name, 0), 2 + number) for number, name in enumerate(DEFECT_TYPES)
    ]
    return [
        Entry(folder, name, part * _PART + i) for folder, name, count, part in parts for i in range(count)
    ]


def write_micrographs(
    config: MicrographConfig,
    directory: str | Path,
    *,
    normal: int = 1000,
    test_normal: int = 300,
    per_type: Mapping[str, int] | None = None,
    bits: int = 8,
    seed: int = 0,
) -> dict[str, Any]:
    """Write a data set in MVTec layout and return the content of its synthetic.json.

    Args:
        per_type: Defect type -> number of images; default 40 of each known and 30 of each novel type.
        bits: 8 or 16. Files: train/good, test/good, test/TYPE, ground_truth/TYPE/<name>_mask.png, README.txt
            and synthetic.json, which holds the parameters and the severity of every defect. PNG, each with a
            comment that says that it is synthetic. One image is in memory at a time.

    Raises:
        InputError: If `directory` exists and is not an empty folder, for counts that make no data set, a full
            disk or a missing permission; then nothing is left behind. ValueError for other `bits`.
    """
    if bits not in (8, 16):
        raise ValueError(f"bits must be 8 or 16, not {bits}")
    if seed < 0:
        raise InputError(f"the seed must be 0 or more, not {seed}")
    per_type = default_counts() if per_type is None else per_type
    entries = plan(normal, test_normal, per_type)
    directory = Path(directory)
    _refuse_used(directory)
    with new_directory(directory) as new:
        (new / "test").mkdir()  # MVTec layout has one, also if it were to stay empty
        severities = [
            _write_one(new, micrograph, entry, bits)
            for entry, micrograph in iterate_data_set(config, seed, track(entries, "synthetic micrographs"))
        ]
        manifest = _manifest(config, entries, severities, bits, seed)
        shown = ", ".join(name for name in DEFECT_TYPES if per_type.get(name))
        text = _README.format(layout=config.layout, types=shown, version=manifest["version"], seed=seed)
        write_text(new / "README.txt", text)
        write_json(new / MANIFEST, manifest)
    return manifest


def iterate_data_set(
    config: MicrographConfig, seed: int, entries: Iterable[Entry]
) -> Iterator[tuple[Entry, Micrograph]]:
    """The images of a `plan`, one after another, without any file."""
    for entry in entries:
        yield entry, draw_micrograph(config, seed, entry.index, entry.type)


def default_counts(known: int = 40, novel: int = 30) -> dict[str, int]:
    """Images per defect type."""
    return dict.fromkeys(KNOWN_TYPES, known) | dict.fromkeys(NOVEL_TYPES, novel)


def to_bits(image: np.ndarray, bits: int) -> np.ndarray:
    """Float image in [0, 1] as uint8 or uint16, rounded."""
    top, kind = (255, np.uint8) if bits == 8 else (65535, np.uint16)
    return np.rint(image * np.float32(top)).astype(kind)


def _refuse_used(directory: Path) -> None:
    if not directory.exists() and not directory.is_symlink():
        return
    try:
        used = not directory.is_dir() or any(directory.iterdir())
    except OSError as error:
        raise InputError(f"{directory} cannot be read: {error.strerror}") from error
    if used:
        raise InputError(f"{directory} exists and is not an empty folder: choose another, or remove it first")


def _write_one(root: Path, micrograph: Micrograph, entry: Entry, bits: int) -> dict[str, Any] | None:
    """Write image and mask; returns the defect's line in the manifest."""
    path = root / entry.folder / f"{entry.name}.png"
    _save(path, to_bits(micrograph.image, bits))
    if micrograph.mask is None or micrograph.severity is None:
        return None
    mask = root / "ground_truth" / entry.type / f"{entry.name}_mask.png"
    _save(mask, micrograph.mask.astype(np.uint8) * np.uint8(255))
    files = {"file": path.relative_to(root).as_posix(), "mask": mask.relative_to(root).as_posix()}
    return files | {"type": entry.type, "index": entry.index} | asdict(micrograph.severity)


def _save(path: Path, pixels: np.ndarray) -> None:
    comment = PngImagePlugin.PngInfo()
    comment.add_text("Comment", LABEL)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Noise hardly shrinks however hard one tries.
    Image.fromarray(pixels).save(path, pnginfo=comment, compress_level=1)


def _manifest(
    config: MicrographConfig,
    entries: list[Entry],
    severities: list[dict[str, Any] | None],
    bits: int,
    seed: int,
) -> dict[str, Any]:
    def count(folder: str) -> int:
        return sum(entry.folder == folder for entry in entries)

    return {
        "schema": SCHEMA,
        "synthetic": True,
        "note": LABEL,
        "version": version("waferroute"),
        "generator_version": GENERATOR_VERSION,
        "made_with": {name: version(name) for name in ("numpy", "scipy")},
        "seed": seed,
        "bits": bits,
        "config": config.model_dump(mode="json"),
        "pitch_px": config.pitch_px,
        "counts": {
            "train_good": count("train/good"),
            "test_good": count("test/good"),
            "test_defects": {name: count(f"test/{name}") for name in DEFECT_TYPES if count(f"test/{name}")},
        },
        "known_types": list(KNOWN_TYPES),
        "novel_types": list(NOVEL_TYPES),
        "defects": [line for line in severities if line is not None],
    }
