"""Which image a result is about: where it lies, and which wafer, site, layer, tool and moment it shows.

An `ImageRef` is made where an image enters (a watched folder, a request, a manifest) and travels with it into the
result, the journal and the database. Standard library, numpy and Pillow only: this module also runs on the tool.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Self

import numpy as np
from PIL import Image

from wafer_data.errors import IdentityError

LONGEST = 256
"""Characters of a name at most: it ends in file names, database columns and web addresses."""
_NAMES = ("tool", "layer", "recipe", "lot", "wafer", "site")
_DIGITS = frozenset("0123456789abcdef")


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageRef:
    """Identity of one image. Everything is optional: who knows nothing but a path gives a path.

    Attributes:
        path: where the image file lies.
        data: the image itself - the bytes of a file, an array, or a picture of Pillow - where it does not (or not only)
            lie in a file. It takes no part in comparisons and in JSON.
        sha256: of the file's bytes, 64 lower-case hexadecimal digits.
        tool: inspection tool that took the image.
        layer: process layer.
        recipe: recipe of the bundle to inspect under (`router.recipe_names`).
        lot: lot of the wafer.
        wafer: wafer; unique within the lot at least.
        site: place on the wafer, for example a die or an inspection point.
        time: when the image was taken, with its time zone.

    Raises:
        IdentityError: for an empty name, one longer than 256 characters or with characters that cannot be printed,
            a sha256 that is none, and a time without zone.
    """

    path: str | None = None
    data: bytes | np.ndarray | Image.Image | None = field(default=None, repr=False, compare=False)
    sha256: str | None = None
    tool: str | None = None
    layer: str | None = None
    recipe: str | None = None
    lot: str | None = None
    wafer: str | None = None
    site: str | None = None
    time: datetime | None = None

    def __post_init__(self) -> None:
        for name in _NAMES:
            _check_name(name, getattr(self, name))
        if self.path is not None and not isinstance(self.path, str):
            raise IdentityError(f"image: path must be a string, got {self.path!r}")
        if self.sha256 is not None and not _is_sha256(self.sha256):
            raise IdentityError(
                f"image: sha256 must be 64 lower-case hexadecimal digits, got {self.sha256!r}"
            )
        if self.time is not None and (not isinstance(self.time, datetime) or self.time.tzinfo is None):
            raise IdentityError(
                f"image: time must be a moment with its time zone, such as 2026-05-04T13:45:00+02:00, got {self.time!r}"
            )

    @classmethod
    def of(cls, image: ImageSource) -> ImageRef:
        """The reference of whatever an image may be given as; an `ImageRef` itself is returned as it is.

        Raises:
            TypeError: for an object that is no image.
        """
        if isinstance(image, ImageRef):
            return image
        if isinstance(image, str | Path):
            return cls(path=str(image))
        if isinstance(image, bytes | np.ndarray | Image.Image):
            return cls(data=image)
        if isinstance(image, bytearray | memoryview):  # what a socket or a buffer of a camera program gives
            return cls(data=bytes(image))
        raise TypeError(
            f"an image is a path, the bytes of a file, a numpy array or a picture of Pillow, not {type(image).__name__}"
        )

    @property
    def source(self) -> str:
        """How a result names the image: its path, else "<bytes>", "<array>", "<picture>" or "<image>"."""
        if self.path is not None:
            return self.path
        kinds = {bytes: "<bytes>", np.ndarray: "<array>", Image.Image: "<picture>"}
        return next((name for kind, name in kinds.items() if isinstance(self.data, kind)), "<image>")

    @property
    def content(self) -> str | bytes | np.ndarray | Image.Image:
        """What there is to read: the data, else the path.

        Raises:
            TypeError: for a reference that holds neither.
        """
        found = self.data if self.data is not None else self.path
        if found is None:
            raise TypeError(
                "an image is a path, bytes, a numpy array or a picture: this reference holds neither path nor data"
            )
        return found

    def without_data(self) -> Self:
        """The identity alone, which a result keeps: the image's bytes would stay in memory with it."""
        return self if self.data is None else replace(self, data=None)

    def to_dict(self) -> dict[str, str]:
        """JSON-ready form, read back by :meth:`from_dict`: only what is known, and never the data."""
        known = {
            name: getattr(self, name)
            for name in ("path", "sha256", *_NAMES)
            if getattr(self, name) is not None
        }
        return known if self.time is None else known | {"time": self.time.isoformat()}

    @classmethod
    def from_dict(cls, content: Any) -> Self:
        """Reads and checks what :meth:`to_dict` wrote.

        Raises:
            IdentityError: where it is malformed, naming the key.
        """
        allowed = {entry.name for entry in fields(cls)} - {"data"}
        if not isinstance(content, Mapping) or not set(content) <= allowed:
            raise IdentityError(f"image: expected an object of {', '.join(sorted(allowed))}, got {content!r}")
        values = dict(content)
        if values.get("time") is not None:
            try:
                values["time"] = datetime.fromisoformat(values["time"])
            except (TypeError, ValueError) as error:
                raise IdentityError(f"image: time {values['time']!r} is no ISO 8601 moment") from error
        return cls(**values)


def _check_name(name: str, value: Any) -> None:
    if value is None:
        return
    if not isinstance(value, str) or not value.strip() or len(value) > LONGEST or not value.isprintable():
        raise IdentityError(
            f"image: {name} must be 1 to {LONGEST} printable characters, got {str(value)[:LONGEST]!r}"
        )


def _is_sha256(value: Any) -> bool:
    return isinstance(value, str) and len(value) == 64 and set(value) <= _DIGITS


ImageSource = str | Path | bytes | bytearray | memoryview | np.ndarray | Image.Image | ImageRef
"""A path, the bytes of an image file, an array, a picture of Pillow, or an `ImageRef` to one of these."""
