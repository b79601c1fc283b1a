"""The markers of a JPEG file, read before any decoder sees it (ITU-T T.81). Standard library only."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass

MOST_SCANS = 100
"""Scans of a JPEG. A progressive one has about ten, and every further one goes over the whole image again."""

_START, _END, _SCAN, _ADOBE, _APP2, _RESTART_INTERVAL = 0xD8, 0xD9, 0xDA, 0xEE, 0xE2, 0xDD
# In a scan's compressed data FF is followed by 00 (a data byte), D0-D7 (a restart) or FF (a fill byte);
# anything else is the next marker (B.1.1). One FF is enough to find it: asking for the whole run of fill bytes
# would take the square of its length.
_NEXT_MARKER = re.compile(rb"\xff([^\x00\xd0-\xd7\xff])")
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # tables and a reserved marker lie among them
_JPEG_LS = 0xF7
_READ_FRAMES = (0xC0, 0xC1, 0xC2, 0xC9, 0xCA)
_FRAME_NAMES = dict.fromkeys((0xC3, 0xC7, 0xCB, 0xCF), "lossless") | dict.fromkeys(
    (0xC5, 0xC6, 0xCD, 0xCE), "hierarchical"
)


@dataclass
class JpegStructure:
    """What the markers say.

    Attributes:
        complete: The end marker is there.
        trap: Why no decoder should be given the file.
        unsupported: What kind it is that is not read.
        pictures: How many the file holds one after the other.
        end: Where the end marker is.
        frame: Where the segment of the frame begins, behind its marker.
        width: Pixels, as the frame states them.
        interval: Groups of blocks between two restart markers of the first scan; 0 where there are none.
        scans: How many there are.
        scan: Where the compressed data of the last one begin.
    """

    complete: bool = False
    trap: str | None = None
    unsupported: str | None = None
    pictures: int = 1
    end: int = 0
    frame: int = 0
    width: int = 0
    interval: int = 0
    scans: int = 0
    scan: int = 0


def examine_jpeg(data: bytes) -> JpegStructure:
    """Walk the markers up to end-of-image; those inside segments (an embedded thumbnail) do not count."""
    found = JpegStructure()
    position = channels = 0
    adobe = False
    while (match := _NEXT_MARKER.search(data, position)) is not None:
        marker, position = match.group(1)[0], match.end()
        if marker == _END:
            found.complete, found.end = True, position - 2
            if data[position:].lstrip(b"\0")[:3] == b"\xff\xd8\xff":
                found.pictures = 2
            if channels == 4 and not adobe:
                found.unsupported = "JPEG of four channels that does not say which"
            return found
        if marker in (_START, 0x01):  # markers without a segment
            continue
        if marker == _SCAN:
            found.scans += 1
            if found.scans > MOST_SCANS:
                found.trap = f"more than {MOST_SCANS} scans"
                return found
        if position + 2 > len(data):
            break
        if marker == _JPEG_LS:
            found.complete, found.unsupported = True, "JPEG-LS picture"
            return found
        if marker in _FRAMES and position + 8 <= len(data):
            depth, channels = data[position + 2], data[position + 7]
            if not found.frame:  # decoders may never see what follows the pixels
                found.frame, found.width = position, struct.unpack_from(">H", data, position + 5)[0]
            if data[position + 3 : position + 5] == b"\0\0":
                found.unsupported = "JPEG that states its height behind its pixels"
            found.unsupported = found.unsupported or _unsupported(marker, depth, channels)
        adobe = adobe or (marker == _ADOBE and data[position + 2 : position + 7] == b"Adobe")
        if marker == _RESTART_INTERVAL and not found.scans and position + 4 <= len(data):
            found.interval = struct.unpack_from(">H", data, position + 2)[0]
        position += struct.unpack_from(">H", data, position)[0]
        if marker == _SCAN:
            found.scan = position
    return found


def _unsupported(marker: int, depth: int, channels: int) -> str | None:
    if marker not in _READ_FRAMES:
        return f"{_FRAME_NAMES[marker]} JPEG"
    if depth != 8:
        return f"{depth}-bit JPEG"
    return None if channels in (1, 3, 4) else f"JPEG of {channels} channels"
