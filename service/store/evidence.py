"""Heat maps and latents as bytes in the database, and back.

A map is a few kilobytes as deflated float16, which keeps three digits: more than a picture of it shows. The latent
stays float32, as it left the graph.
"""

from __future__ import annotations

import struct
import zlib

import numpy as np


def pack_map(anomaly_map: np.ndarray | None) -> bytes | None:
    """float32 (h, w), >= 0 -> bytes; values beyond float16's range become its largest."""
    if anomaly_map is None:
        return None
    height, width = anomaly_map.shape
    half = np.minimum(anomaly_map, np.float32(65504)).astype("<f2")
    return struct.pack("<HH", height, width) + zlib.compress(half.tobytes(), 1)


def unpack_map(data: bytes) -> np.ndarray:
    """The float32 (h, w) map that :func:`pack_map` wrote."""
    height, width = struct.unpack_from("<HH", data)
    half = np.frombuffer(zlib.decompress(data[4:]), dtype="<f2")
    return half.reshape(height, width).astype(np.float32)


def pack_latent(latent: np.ndarray | None) -> bytes | None:
    """float32 (k,) -> bytes."""
    return None if latent is None else latent.astype("<f4").tobytes()


def unpack_latent(data: bytes) -> np.ndarray:
    """The float32 (k,) latent that :func:`pack_latent` wrote."""
    return np.frombuffer(data, dtype="<f4").astype(np.float32)
