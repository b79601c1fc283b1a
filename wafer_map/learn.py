"""Learn a classifier of signatures from labelled maps. The training side: scikit-learn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score

from wafer_data.errors import DataError
from wafer_data.imaging.read import IMAGE_SUFFIXES
from wafer_map.signature_features import BAD, GOOD, OFF, features
from wafer_map.signature_model import SignatureModel

FEWEST = 2
_PENALTIES = (0.01, 0.03, 0.1, 0.3)


def learn_signatures(grids: Sequence[np.ndarray], kinds: Sequence[str], seed: int = 0) -> SignatureModel:
    """Fit the classifier.

    Multinomial logistic regression on standardised features, each kind with the same total weight; the strength of the
    penalty is the one with the best macro F1 in a stratified cross-validation on these maps.

    Args:
        grids: int (h, w) each, of `WaferMap.grid`. kinds: their labels. seed: of the cross-validation.

    Returns:
        The model.

    Raises:
        DataError: fewer than two kinds, or fewer than `FEWEST` maps of one.
    """
    counts = Counter(kinds)
    few = [kind for kind, count in counts.items() if count < FEWEST]
    if len(counts) < 2 or few:
        raise DataError(f"two kinds of at least {FEWEST} maps are needed; got {dict(counts)}")
    values = np.stack([features(grid) for grid in grids])
    labels = np.asarray(kinds)
    center, scale = values.mean(axis=0), values.std(axis=0)
    scale[scale < 1e-9] = 1.0
    values = (values - center) / scale
    folds = StratifiedKFold(min(5, min(counts.values())), shuffle=True, random_state=seed)

    def fit(penalty: float) -> LogisticRegression:
        return LogisticRegression(C=penalty, max_iter=2000, class_weight="balanced")

    best = max(
        _PENALTIES, key=lambda c: cross_val_score(fit(c), values, labels, cv=folds, scoring="f1_macro").mean()
    )
    model = fit(best).fit(values, labels)
    weights, bias = model.coef_, model.intercept_
    if len(counts) == 2:  # scikit-learn keeps one row for two kinds
        weights, bias = np.vstack([0 * weights, weights]), np.concatenate([0 * bias, bias])
    return SignatureModel(tuple(model.classes_.tolist()), center, scale, weights, bias, dict(counts))


def read_map_image(path: str | Path, die_pixels: int) -> np.ndarray:
    """A map that was drawn as a picture of three colours, `die_pixels` a die.

    The colour of the corners is off the wafer; of the other two, the one nearer to yellow (bright, little blue) is bad,
    as in the common colour map viridis.

    Args:
        path: an image file. die_pixels: side of a die in pixels.

    Returns:
        int8 grid.

    Raises:
        DataError: it cannot be read, is no whole number of dies, or has other than two or three colours.
    """
    try:
        with Image.open(path) as image:
            pixels = np.asarray(image.convert("RGB")).astype(int)
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read as a wafer map ({error})") from error
    if die_pixels < 1 or pixels.shape[0] % die_pixels or pixels.shape[1] % die_pixels:
        size = f"{pixels.shape[1]} x {pixels.shape[0]}"
        raise DataError(
            f"{path}: {size} pixels are no whole number of dies of {die_pixels} pixels; use --die-pixels"
        )
    middle = pixels[die_pixels // 2 :: die_pixels, die_pixels // 2 :: die_pixels]
    colours, index = np.unique(middle.reshape(-1, 3), axis=0, return_inverse=True)
    index = index.reshape(middle.shape[:2])
    off = index[0, 0]
    others = [i for i in range(len(colours)) if i != off]
    if not 1 <= len(others) <= 2 or len({index[0, 0], index[0, -1], index[-1, 0], index[-1, -1]}) > 1:
        raise DataError(
            f"{path}: a wafer map has a colour for off the wafer (its corners), for good and for bad dies"
        )
    others.sort(key=lambda i: colours[i][0] - colours[i][2])
    grid = np.full(index.shape, OFF, dtype=np.int8)
    grid[index == others[0]] = GOOD
    grid[index == others[-1]] = (
        BAD if len(others) == 2 or colours[others[0]][0] > colours[others[0]][2] else GOOD
    )
    return grid


def read_labelled_maps(folder: str | Path, die_pixels: int) -> tuple[list[np.ndarray], list[str], list[Path]]:
    """Maps in folders that name their kind: FOLDER/KIND/*.png. Returns grids, kinds and files, in sorted order.

    Raises:
        DataError: the folder holds no such map, or one that cannot be read.
    """
    root = Path(folder)
    files = sorted(
        p for p in root.glob("*/*") if p.suffix.lower() in IMAGE_SUFFIXES and not p.name.startswith(".")
    )
    if not files:
        raise DataError(f"{root}: no wafer maps in folders that name their kind")
    return [read_map_image(file, die_pixels) for file in files], [file.parent.name for file in files], files
