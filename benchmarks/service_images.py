"""The images that benchmarks of the service send: those of a folder, or synthetic ones where none is named.

The synthetic ones are of the kind that `configs/synthetic_small.yaml` trains on (`waferroute micrographs`), but others,
one in twenty with a defect: a bundle of that configuration judges them; any other refuses them as unlike its own.
"""

from __future__ import annotations

import argparse
import io
from pathlib import Path

SUFFIXES = (".png", ".tif", ".tiff", ".jpg", ".bmp")
SYNTHETIC, _ONE_IN = 120, 20
_SEED = 2026  # other images than the configuration's, whose seed is 0


def add_images(parser: argparse.ArgumentParser) -> None:
    """Add the argument that :func:`read_images` reads."""
    parser.add_argument(
        "images_in", metavar="IMAGE_FOLDER", type=Path, nargs="?",
        help="folder of image files of the kind that the bundle was made for (default: synthetic micrographs, of the "
        "kind that configs/synthetic_small.yaml trains on)",
    )  # fmt: skip


def read_images(folder: Path | None, most: int = 400) -> list[bytes]:
    """The bytes of up to `most` image files, or of synthetic ones."""
    if folder is None:
        return synthetic_images()
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    found = [path.read_bytes() for path in files if "ground_truth" not in path.parts]
    if not found:
        raise SystemExit(f"error: there is no image in {folder}")
    # spread over the folder: the first ones may all be of one kind
    step = max(1, len(found) / most)
    return [found[int(i * step)] for i in range(min(most, len(found)))]


def synthetic_images(count: int = SYNTHETIC) -> list[bytes]:
    """PNG files of synthetic line patterns, 256 x 256, which say so in a comment."""
    from PIL import Image, PngImagePlugin

    from wafer_data.micrograph import DEFECT_TYPES, GOOD, MicrographConfig, draw_micrograph
    from wafer_data.micrograph.dataset import LABEL, to_bits

    comment = PngImagePlugin.PngInfo()
    comment.add_text("Comment", LABEL)
    found = []
    for i in range(count):
        kind = DEFECT_TYPES[i // _ONE_IN % len(DEFECT_TYPES)] if i % _ONE_IN == 7 else GOOD
        drawn = draw_micrograph(MicrographConfig(), _SEED, i, kind)
        buffer = io.BytesIO()
        Image.fromarray(to_bits(drawn.image, 8)).save(buffer, "PNG", pnginfo=comment)
        found.append(buffer.getvalue())
    return found
