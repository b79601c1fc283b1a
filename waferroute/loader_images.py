"""Images that a program holds, as files: batches of a DataLoader become PNG files that keep every bit."""

import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from wafer_data.errors import InputError
from wafer_data.files import new_directory, write_bytes
from wafer_data.imaging.planes import COLOURS, as_picture
from waferroute.deep_png import deep_colour
from waferroute.loader_batches import read_batch

_LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601, as for colour files


def write_images(batches: Iterable[Any], folder: Path, *, colour: bool = False) -> tuple[Path, Path | None]:
    """Write every image of a loader.

    Args:
        batches: Each as `waferroute.loader_batches.read_batch` takes it; images of uint8, uint16 or floats in [0, 1].
        folder: Is written as a whole; an older one is replaced.
        colour: Whether it is kept of floats and 16 bits; of 8 bits it is kept in any case.

    Returns:
        The folders of the normal and of the defective images; None where there is none.

    Raises:
        InputError: No normal image, or values, shapes and labels that are no images.
    """
    counts = {"normal": 0, "defective": 0}
    with new_directory(folder) as new:
        for images, defective in map(read_batch, batches):
            for image, flawed in zip(images, defective, strict=True):
                kind = "defective" if flawed else "normal"
                (new / kind).mkdir(exist_ok=True)
                write_bytes(new / kind / f"{counts[kind]:07d}.png", _png(image, colour))
                counts[kind] += 1
        if not counts["normal"]:
            raise InputError("the loader gave no normal image (label 0)")
    return folder / "normal", folder / "defective" if counts["defective"] else None


def _png(image: np.ndarray, colour: bool) -> bytes:
    """One image, (H, W) or (C, H, W): bytes as they are, floats and 16 bits as 16-bit grey, or 16-bit colour."""
    if image.dtype == np.uint8:
        pixels = image.transpose(1, 2, 0).squeeze(-1) if image.ndim == 3 and len(image) == 1 else image
        pixels = pixels.transpose(1, 2, 0) if pixels.ndim == 3 else pixels
    else:
        if image.dtype == np.uint16:
            values = image.astype(np.float64) / 65535
        elif image.dtype.kind == "f" and np.isfinite(image).all() and 0 <= image.min() <= image.max() <= 1:
            values = image.astype(np.float64)
        else:
            reach = f", {image.min():g} to {image.max():g}" if image.dtype.kind in "iuf" else ""
            raise InputError(
                f"an image has values of type {image.dtype}{reach}; expected uint8, uint16, or floats in [0, 1]: leave "
                "out the standardisation (mean and std) of the loader"
            )
        if colour and values.ndim == 3 and len(values) == COLOURS:
            return deep_colour(np.rint(as_picture(values) * 65535).astype(np.uint16))
        if values.ndim == 3:
            values = np.tensordot(_LUMA, values, 1) if len(values) == 3 else values[0]
        pixels = np.rint(values.clip(0, 1) * 65535).astype(np.uint16)
    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(stream, "PNG")
    return stream.getvalue()
