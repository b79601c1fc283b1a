"""Heat maps and latents as bytes in the database, and back.

A map is a few kilobytes as deflated float16, which keeps three digits: more than a picture of it shows. The latent
stays float32, as it left the graph.
"""

from __future__ import annotations

import struct
import zlib

import numpy as np

_HEAD = struct.Struct("<HHB")
_PLAIN, _DEFLATED = 0, 1


def pack_map(anomaly_map: np.ndarray | None) -> bytes | None:
    """float32 (h, w), >= 0 -> bytes; values beyond float16's range become its largest. Quick: see :func:`deflated`."""
    if anomaly_map is None:
        return None
    half = np.minimum(anomaly_map, np.float32(65504)).astype("<f2")
    return _HEAD.pack(*half.shape, _PLAIN) + half.tobytes()


def deflated(packed: bytes | None) -> bytes | None:
    """The same map in fewer bytes, for the database: not on the way of an answer."""
    if packed is None:
        return None
    height, width, _ = _HEAD.unpack_from(packed)
    return _HEAD.pack(height, width, _DEFLATED) + zlib.compress(packed[_HEAD.size :], 1)


def unpack_map(data: bytes) -> np.ndarray:
    """The float32 (h, w) map of :func:`pack_map` or :func:`deflated`."""
    height, width, kind = _HEAD.unpack_from(data)
    content = data[_HEAD.size :]
    half = np.frombuffer(zlib.decompress(content) if kind == _DEFLATED else content, dtype="<f2")
    return half.reshape(height, width).astype(np.float32)


def pack_latent(latent: np.ndarray | None) -> bytes | None:
    """float32 (k,) -> bytes."""
    return None if latent is None else latent.astype("<f4").tobytes()


def unpack_latent(data: bytes) -> np.ndarray:
    """The float32 (k,) latent that :func:`pack_latent` wrote."""
    return np.frombuffer(data, dtype="<f4").astype(np.float32)
