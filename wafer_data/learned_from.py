"""Which images a model learned from, kept beside it: what is certified must have taught none of the models.

Within one run folder the stages see to that. A program that opens the images anew, with another split, would calibrate
with images that the students of the folder were trained on.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from wafer_data.errors import DataError, InputError
from wafer_data.files import read_json, write_json
from wafer_data.split import Split
from wafer_data.store import ImageStore

FILE, SCHEMA = "learned_from.json", 1
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class LearnedFrom:
    """What a model has seen, its teachers included.

    Attributes:
        fingerprint: Of the prepared data, where all of it came from one; else None.
        images: SHA-256 of every training image, as `ImageRecord.sha256`.
    """

    fingerprint: str | None
    images: frozenset[str]

    @classmethod
    def of(cls, store: ImageStore, teachers: Iterable[LearnedFrom] = ()) -> LearnedFrom:
        """The training images of `store`, and those of the `teachers`."""
        every = [cls(store.fingerprint, _images(store, "train")), *teachers]
        same = len({one.fingerprint for one in every}) == 1
        return cls(store.fingerprint if same else None, frozenset().union(*(one.images for one in every)))

    @classmethod
    def read(cls, folder: Path) -> LearnedFrom | None:
        """What `write` left in a model's folder; None: an earlier version wrote the model, which did not note it.

        Raises:
            InputError: The file is damaged.
        """
        path = folder / FILE
        if not path.is_file():
            return None
        content = read_json(path)
        try:
            if content["schema"] == SCHEMA:
                return cls(content["data_fingerprint"], frozenset(content["images"]))
        except (KeyError, TypeError):
            pass
        raise InputError(f"{path} is not of schema {SCHEMA}: make the model in its folder again")

    def write(self, folder: Path) -> None:
        """Write `learned_from.json` into the existing folder of a model."""
        content = {"schema": SCHEMA, "data_fingerprint": self.fingerprint, "images": sorted(self.images)}
        write_json(folder / FILE, content)


def require_unseen(models: Iterable[Path], store: ImageStore) -> list[LearnedFrom]:
    """See that no calibration image of `store` taught a model.

    Args:
        models: Folders of models. Of one without the note nothing can be said, which is logged.
        store: The prepared images.

    Returns:
        What those models that say so learned from.

    Raises:
        DataError: One did; names the model and what to do.
    """
    held_back: frozenset[str] | None = None
    found = []
    for folder in models:
        learned = LearnedFrom.read(folder)
        if learned is None:
            _LOG.info("%s does not say which images it learned from, so they are not compared", folder)
            continue
        found.append(learned)
        if learned.fingerprint == store.fingerprint:
            continue
        held_back = _images(store, "calibration") if held_back is None else held_back
        seen = len(held_back & learned.images)
        if seen:
            raise DataError(
                f"{seen} of the {len(held_back)} images that are to calibrate taught the model in {folder}: it was "
                "fitted to another split of the data. Call fit_teacher and distill again with these images "
                "(on the command line: waferroute run)"
            )
    return found


def _images(store: ImageStore, split: Split) -> frozenset[str]:
    return frozenset(store.records[int(index)].sha256 for index in store.indices(split))
