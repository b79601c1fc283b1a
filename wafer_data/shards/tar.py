"""Tar files in WebDataset's layout: files of one stem, one after another, are one sample.

`000123.png` is the image, `000123.json` says what is known about it (an object with side, label, type, tool, ...),
`000123.mask.png` is its ground-truth mask. WebDataset ends a stem at the first dot of a name; here `W1.site1.png` and
`W1.site2.png`, which would be one sample without an image, are two. Read as a stream through the standard library.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from wafer_data.errors import DataError
from wafer_data.imaging.read import IMAGE_SUFFIXES
from wafer_data.shards.item import IMAGE, MASK, Item
from wafer_data.shards.tar_stream import tar_files

if TYPE_CHECKING:
    from wafer_data.shards.archive import Entry

ABOUT = "about"
_SUFFIX = "|".join(suffix.removeprefix(".") for suffix in IMAGE_SUFFIXES)
_KNOWN = re.compile(
    rf"(?P<stem>.+?)\.(?:(?P<{MASK}>mask\.[^./]+)|(?P<{ABOUT}>json)|(?P<{IMAGE}>{_SUFFIX}))",
    re.IGNORECASE | re.DOTALL,
)
_log = logging.getLogger(__name__)
Sample = tuple[str, dict[str, bytes]]
"""Stem, and what is there of image, mask and description."""


class TarShard:
    """See `wafer_data.shards.archive.Shard`."""

    def __init__(self, name: str, entry: Entry) -> None:
        self._entry = entry
        self.name = name
        self.identity = entry.look

    def items(self) -> Iterator[Item]:
        """Images in the order of the file, one sample in memory at a time; a warning counts what has no image."""
        first, without = "", 0
        for stem, parts in self._samples():
            if IMAGE in parts:
                yield self._item(stem, parts)
            else:
                first, without = first or stem, without + 1
        if without:
            _log.warning(
                "%s: %d samples without an image are passed over, the first is %s",
                self._entry.path,
                without,
                first,
            )

    def _samples(self) -> Iterator[Sample]:
        # macOS adds a hidden file to each, of the same suffix
        visible = (file for file in tar_files(self._entry) if not PurePosixPath(file[0]).name.startswith("."))
        for short, files in groupby(visible, lambda file: _short_stem(file[0])):
            yield from self._divided(short, files)

    def _divided(self, short: str, files: Iterable[tuple[str, bytes]]) -> Iterator[Sample]:
        """The samples in what WebDataset takes for one.

        Raises:
            DataError: It holds two images, and names do not say whether the second is an image of its own or belongs
                to the first (a picture of its segments).
        """
        pending: dict[str, dict[str, bytes]] = {}
        image = before = ""
        for path, content in files:
            known = _KNOWN.fullmatch(path)
            stem, kind = (known["stem"], str(known.lastgroup)) if known else (short, "")
            parts = pending.setdefault(stem, {})
            if kind == IMAGE and image:
                if stem == image or short in (stem, image):
                    raise DataError(
                        f"{self._entry.path}: {before} and {path} are one sample, which has one image: leave one out, "
                        "or give it a name that differs before the first dot"
                    )
                yield image, pending.pop(image)
            if kind == IMAGE:
                image, before = stem, path
            if kind:
                parts[kind] = content
        for stem, parts in pending.items():
            if parts or not image:  # further files beside an image are none of ours
                yield stem, parts

    def _item(self, stem: str, parts: dict[str, bytes]) -> Item:
        try:
            about = json.loads(parts.get(ABOUT, b"{}"))
            if not isinstance(about, dict):
                raise ValueError("no object")
        except ValueError as error:
            raise DataError(f"{self._entry.path}: {stem}.json is not a JSON object ({error})") from error
        source = str(about.pop("source", f"{self.name}/{stem}"))
        known = {name: value for name, value in about.items() if value is not None}
        return Item(source, parts[IMAGE], parts.get(MASK), known)


def _short_stem(path: str) -> str:
    """Folder and name up to the first dot: what files of one sample have in common for WebDataset."""
    folder, slash, name = path.rpartition("/")
    return folder + slash + name.partition(".")[0]
