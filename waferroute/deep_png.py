"""16-bit colour as a PNG file, which Pillow reads in part and does not write."""

import struct
import zlib

import numpy as np

_RGB = 2


def deep_colour(pixels: np.ndarray) -> bytes:
    """The content of a PNG file of uint16 (H, W, 3); `wafer_data.imaging.read.read_image` reads all its bits."""
    height, width, _ = pixels.shape
    rows = pixels.astype(">u2").reshape(height, -1).view(np.uint8)
    lines = np.hstack(
        [np.zeros((height, 1), np.uint8), rows]
    )  # a row begins with the number of its filter: none
    header = struct.pack(">IIBBBBB", width, height, 16, _RGB, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(lines.tobytes(), 1)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, body) for kind, body in parts)


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
