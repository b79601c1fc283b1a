"""Do images that cannot be judged ever PASS? Plants what goes wrong into real normal images and counts.

    .venv/bin/python benchmarks/unjudgeable.py BUNDLE NORMALS --other DIR [--defects DIR] [--images 60]

NORMALS is a folder of normal test images that nothing of the bundle was fitted to; --other a folder of images of
another recipe. Every planting is a rule applied to a real image. The aim is that none of the counted ones PASS.

Which plantings count is decided here and from the images alone, before the bundle sees them:
  - blank (one grey, with and without camera noise), blurred (a Gaussian of at least 4 of the 256 pixels a side: detail
    narrower than 10 pixels is gone; or 25 pixels of motion), saturated (three quarters or more of the pixels clipped),
    another recipe: always;
  - a shifted gain: to a mean grey a quarter below the darkest or above the brightest of all NORMALS (three quarters
    of the way to white where there is no room). A gain that leaves an image as bright as normal ones are is no
    fault that anyone could see, and is listed below the line;
  - a turned image: where the surface has an orientation. A linear classifier on 16 x 16 thumbnails, fitted to one half
    of the NORMALS and their turned copies, must tell the other half apart with an AUROC of at least 0.99.

What is near but does not count is listed too, and with --defects the share of real defects that PASS when the same is
done to them: where that stays what it was, the bundle can still judge such an image. Also the price: how many real
normals and defects the gate refuses. Reads the images one by one.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

from router.policy import PASS
from tool_side import Inspector
from tool_side.runtime.inspect_files import expand_inputs
from wafer_data.imaging.read import read_grey, to_square
from wafer_data.spread import spread

Planting = Callable[[np.ndarray, np.random.Generator], np.ndarray]
SIZE, ORIENTED = 256, 0.99


@dataclass(frozen=True)
class Case:
    """A planting; `counts` in the aim, or is only listed."""

    name: str
    plant: Planting
    counts: bool
    why: str = ""


def main() -> None:
    """Print the table as Markdown."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("bundle")
    parser.add_argument("normals")
    parser.add_argument("--other", required=True, help="images of another recipe")
    parser.add_argument("--defects", help="defective images of this recipe")
    parser.add_argument(
        "--images", type=int, default=60, help="normal images that each planting is applied to"
    )
    args = parser.parse_args()
    inspector = Inspector(args.bundle)
    recipe = inspector.recipes[0]
    normals = read_all(args.normals)
    defects = read_all(args.defects) if args.defects else []
    chosen = [normals[i] for i in spread(np.arange(len(normals)), args.images)]

    def tally(images: Sequence[np.ndarray]) -> tuple[int, int]:
        """How many PASS, and how many the gate refuses."""
        found = [inspector.inspect(image, recipe=recipe) for image in images]
        return sum(r.decision == PASS for r in found), sum(r.route == "none" for r in found)

    for title, images in (("normal", normals), ("defective", defects)):
        if images:
            passed, refused = tally(images)
            print(f"{len(images)} {title} images as they are: {passed} PASS, the gate refuses {refused}.")
    if defects:
        defects = [defects[i] for i in spread(np.arange(len(defects)), args.images)]
        print(f"Of the {len(defects)} defects used below, {tally(defects)[0]} PASS as they are.")
    print("\n| planted | counts | images | gate refuses | PASS | defects with it that PASS |")
    print("|---|---|---|---|---|---|")
    total = passed_total = 0
    for case in [*cases(normals), Case("another recipe", lambda image, _: image, True)]:
        source = read_all(args.other)[: args.images * 2] if case.name == "another recipe" else chosen
        rng = np.random.default_rng(0)
        images = [case.plant(image, rng) for image in source]
        passed, refused = tally(images)
        with_defect = (
            ""
            if case.name == "another recipe" or not defects
            else (f"{tally([case.plant(image, rng) for image in defects])[0]} of {len(defects)}")
        )
        counts = "yes" if case.counts else f"no: {case.why}"
        print(
            f"| {case.name} | {counts} | {len(images)} | {refused} | {passed} | {with_defect} |", flush=True
        )
        if case.counts:
            total, passed_total = total + len(images), passed_total + passed
    print(f"\n{passed_total} of {total} planted unjudgeable images PASS.")


def read_all(folder: str) -> list[np.ndarray]:
    """Float images (256, 256) in [0, 1] of a folder, in sorted order."""
    return [to_square(read_grey(file.path), SIZE) for file in expand_inputs([folder])]


def cases(normals: Sequence[np.ndarray]) -> list[Case]:
    """All plantings for one set of normal images."""
    means = [float(image.mean()) for image in normals]
    darkest, brightest = min(means), max(means)
    dark = 0.75 * darkest
    bright = brightest + min(0.25 * brightest, 0.75 * (1 - brightest))
    inside = "as bright as normal images are"
    found = [
        Case("blank", lambda image, _: np.full_like(image, image.mean()), True),
        Case(
            "blank with camera noise", lambda image, rng: noisy(np.full_like(image, image.mean()), rng), True
        ),
        *(Case(f"blurred, {s} pixels", blur(s), True) for s in (4, 6, 10)),
        Case(
            "blurred, 5 pixels, with camera noise", lambda image, rng: noisy(blur(5)(image, rng), rng), True
        ),
        *(Case(f"blurred, {s} pixels", blur(s), False, "small detail may be seen") for s in (2, 3)),
        Case("moved, 25 pixels down", moved(25, 0), True),
        Case("moved, 25 pixels sideways", moved(25, 25), True),
        Case("moved, 9 pixels down", moved(9, 0), False, "small detail may be seen"),
        Case("moved, 9 pixels aslant", moved(9, 9), False, "small detail may be seen"),
        Case("saturated, 75 % white", clipped(0.75), True),
        Case("saturated, 95 % white", clipped(0.95), True),
        Case("saturated, 75 % black", blackened(0.75), True),
        Case(f"gain, to mean {dark:.2f}", to_mean(dark), True),
        Case(f"gain, to mean {dark / 2:.2f}", to_mean(dark / 2), True),
        Case(f"gain, to mean {bright:.2f}", to_mean(bright), True),
        Case("gain x 0.5", lambda image, _: image * np.float32(0.5), False, inside),
        Case("gain x 1.5", lambda image, _: np.clip(image * np.float32(1.5), 0, 1), False, inside),
        Case(
            "contrast x 0.15", lambda image, _: image.mean() + np.float32(0.15) * (image - image.mean()), True
        ),
    ]
    for turns in (1, 2, 3):
        auroc = orientation(normals, turns)
        counts = auroc >= ORIENTED
        why = "" if counts else f"AUROC {auroc:.3f}: hardly to be told from upright"
        found.append(Case(f"turned by {90 * turns}", turned(turns), counts, why))
    return found


def noisy(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """With pixel noise of three 8-bit levels."""
    return np.clip(image + rng.normal(0, 3 / 255, image.shape), 0, 1).astype(np.float32)


def blur(sigma: float) -> Planting:
    """Gaussian of `sigma` pixels."""

    def plant(image: np.ndarray, _: np.random.Generator) -> np.ndarray:
        picture = Image.fromarray(np.rint(255 * image).astype(np.uint8))
        return np.asarray(picture.filter(ImageFilter.GaussianBlur(sigma)), np.float32) / np.float32(255)

    return plant


def moved(length: int, across: int) -> Planting:
    """Averaged along a line `length` pixels down and `across` pixels sideways."""

    def plant(image: np.ndarray, _: np.random.Generator) -> np.ndarray:
        padded = np.pad(image, max(length, across), mode="reflect")
        shifts = [(i, round(i * across / length)) for i in range(length)]
        total = sum(np.roll(padded, shift, (0, 1)) for shift in shifts)
        edge = max(length, across)
        return np.asarray(total[edge:-edge, edge:-edge] / length, np.float32)

    return plant


def clipped(share: float) -> Planting:
    """A gain that clips this share of the pixels at white."""

    def plant(image: np.ndarray, _: np.random.Generator) -> np.ndarray:
        return np.clip(image / max(float(np.quantile(image, 1 - share)), 1e-3), 0, 1).astype(np.float32)

    return plant


def blackened(share: float) -> Planting:
    """An offset that clips this share of the pixels at black."""

    def plant(image: np.ndarray, _: np.random.Generator) -> np.ndarray:
        return np.clip(image - np.quantile(image, share), 0, 1).astype(np.float32)

    return plant


def to_mean(target: float) -> Planting:
    """A gain that brings the mean grey to `target`, before clipping at white."""

    def plant(image: np.ndarray, _: np.random.Generator) -> np.ndarray:
        return np.clip(image * np.float32(target / max(float(image.mean()), 1e-3)), 0, 1)

    return plant


def turned(turns: int) -> Planting:
    """By 90 degrees, this many times."""
    return lambda image, _: np.ascontiguousarray(np.rot90(image, turns))


def orientation(normals: Sequence[np.ndarray], turns: int) -> float:
    """AUROC with which a ridge classifier on thumbnails tells turned normals from others that it was not fitted to."""
    thumbnails = np.stack([image.reshape(16, 16, 16, 16).mean((1, 3)) for image in normals])
    thumbnails = thumbnails / thumbnails.mean((1, 2), keepdims=True) - 1
    upright, other = (
        thumbnails.reshape(len(normals), -1),
        np.rot90(thumbnails, turns, (1, 2)).reshape(len(normals), -1),
    )
    x = np.concatenate([upright[0::2], other[0::2]])
    y = np.repeat([-1.0, 1.0], [len(upright[0::2]), len(other[0::2])])
    weights = np.linalg.solve(x.T @ x + 0.1 * len(x) * x.var() * np.eye(x.shape[1]), x.T @ y)
    a, b = upright[1::2] @ weights, other[1::2] @ weights
    return float(np.mean((b[:, None] > a) + 0.5 * (b[:, None] == a)))


if __name__ == "__main__":
    main()
