"""One bundle's decisions on a fixed set of labelled images; torch-free, as the tool would decide them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from router.policy import Decision
from tool_side import Inspector
from wafer_data.errors import InputError
from wafer_data.progress import track

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")


@dataclass(frozen=True)
class LabelledImage:
    """An image of the frozen set.

    Attributes:
        type: "good" or the defect's type.
        name: Relative path, what reports call it.
    """

    path: Path
    type: str
    name: str

    @property
    def defective(self) -> bool:
        """Whether it shows a defect."""
        return self.type != "good"


@dataclass(frozen=True)
class ScoredSet:
    """One bundle's view of N images.

    Attributes:
        scores: (N,) routed scores; +inf where the image could not be scored, which is REVIEW and never PASS.
        passed: (N,) bool, decision PASS.
        milliseconds: (N,) time of each decision.
    """

    scores: np.ndarray
    passed: np.ndarray
    milliseconds: np.ndarray


def labelled_images(*roots: str | Path) -> list[LabelledImage]:
    """Images of folders in MVTec layout (`test/<type>/...`) or with one folder a type.

    Raises:
        InputError: A folder holds no image.
    """
    found: list[LabelledImage] = []
    for root in map(Path, roots):
        base = root / "test" if (root / "test").is_dir() else root
        here = [
            LabelledImage(
                path,
                folder.name.lower() if folder.name.lower() == "good" else folder.name,
                f"{folder.name}/{path.name}",
            )
            for folder in sorted(base.iterdir() if base.is_dir() else [])
            if folder.is_dir()
            for path in sorted(folder.iterdir())
            if path.suffix.lower() in SUFFIXES
        ]
        if not here:
            raise InputError(
                f"{root} holds no images: give a folder with good/ and one folder for each defect type"
            )
        found += here
    return found


def score_set(bundle: str | Path, images: Sequence[LabelledImage], recipe: str | None = None) -> ScoredSet:
    """Inspect every image with a bundle.

    Args:
        bundle: Its folder.
        images: What to inspect.
        recipe: Of all of them; default the bundle's first.

    Raises:
        InputError: The bundle is refused.
    """
    inspector = Inspector(bundle)
    scores, passed, times = np.empty(len(images)), np.zeros(len(images), bool), np.empty(len(images))
    for index in track(range(len(images)), f"scoring with {Path(bundle).name}"):
        result = inspector.inspect(images[index].path, recipe=recipe or inspector.recipes[0])
        scores[index] = np.inf if result.score is None else result.score
        passed[index] = result.decision == Decision.PASS
        times[index] = 1000 * result.seconds["total"]
    return ScoredSet(scores, passed, times)
