"""What dropping pixels could save, and what it would cost: mask, decoding at reduced size, only a region.

    .venv/bin/python experiments/gate.py BUNDLE NORMALS DEFECTS [--images 100]

NORMALS and DEFECTS are folders of test images. One thread; times are medians over the images. Three questions:
  1. How much of the image is the same in all normal images, so that no network needs it? What does the gate cost?
  2. Decoding JPEG at reduced size: each image, enlarged (no new detail) and compressed as JPEG, is judged decoded
     in full and decoded at a part of its size.
  3. Only the suspicious region for the full student: an upper bound. Outside the region that the low-resolution map
     finds, plus context, the image is replaced by the mean of the NORMALS, and the full student looks at that. A
     student that takes a part of an image does not exist (its latent describes all of it), so the time saved is what
     it would save if its time went with the area.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Sequence
from time import perf_counter

import numpy as np
from PIL import Image

from router.gate import measure_quality
from router.policy import PASS
from tool_side import Inspection, Inspector
from tool_side.runtime.inspect_files import expand_inputs
from wafer_data.spread import spread

CONTEXT, SUSPICIOUS = 32, 0.5


def main() -> None:
    """Print the answers."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("bundle")
    parser.add_argument("normals")
    parser.add_argument("defects")
    parser.add_argument("--images", type=int, default=100, help="of each kind")
    args = parser.parse_args()
    inspector = Inspector(args.bundle)
    normals, defects = (_read(inspector, folder, args.images) for folder in (args.normals, args.defects))
    found = [inspector.inspect(image) for image in [*normals, *defects]]
    _mask_and_cost(inspector, normals, found)
    for factor in (2, 4):
        _reduced(args.bundle, inspector, [*normals, *defects], factor)
    _regions(inspector, normals, defects)


def _read(inspector: Inspector, folder: str, count: int) -> list[np.ndarray]:
    files = list(expand_inputs([folder]))
    return [inspector.prepare(files[i].path) for i in spread(np.arange(len(files)), count)]


def _mask_and_cost(inspector: Inspector, normals: Sequence[np.ndarray], found: Sequence[Inspection]) -> None:
    mask = inspector.policy.gate.mask
    share = 1.0 if mask is None else mask.informative_share
    print(
        f"1. informative share of the image {share:.1%}; crop {'the whole image' if mask is None else mask.crop}"
    )
    figures = [measure_quality(image) for image in normals]
    measuring = _median_ms(lambda i: measure_quality(normals[i]), len(normals))
    judging = _median_ms(lambda i: inspector.policy.gate.reasons(figures[i]), len(normals))
    steps = {
        name: 1e3 * float(np.median([r.seconds[name] for r in found if r.route != "none"]))
        for name in ("lowres", "total")
    }
    full = 1e3 * float(np.median([r.seconds["full"] for r in found if r.route == "full"]))
    print(
        f"   gate: figures {measuring:.3f} ms, judging them {judging:.3f} ms; low-resolution graph "
        f"{steps['lowres']:.3f} ms, full graph {full:.3f} ms, all {steps['total']:.3f} ms an image"
    )


def _reduced(bundle: str, inspector: Inspector, images: Sequence[np.ndarray], factor: int) -> None:
    reducing = Inspector(bundle, reduced_decoding=True)
    files = [_jpeg(image, factor) for image in images]
    pairs = [(inspector.inspect(data), reducing.inspect(data)) for data in files]
    ms = [
        [1e3 * r.seconds[name] for r in column] for column in zip(*pairs, strict=True) for name in ("decode",)
    ]
    judged = [(a, b) for a, b in pairs if a.judged and b.judged]
    spread_of = inspector.policy.lowres_scale
    moved = [abs(np.log(b.lowres_score / a.lowres_score)) / spread_of for a, b in judged]
    routes = sum(a.route != b.route for a, b in pairs)
    decisions = sum(a.decision != b.decision for a, b in pairs)
    print(
        f"2. JPEG enlarged x {factor} ({images[0].shape[0] * factor} pixels a side): decoding and resizing "
        f"{np.median(ms[0]):.2f} ms in full, {np.median(ms[1]):.2f} ms reduced; low-resolution score moves by "
        f"{np.median(moved):.3f} robust standard deviations (median), {np.max(moved):.3f} (most); "
        f"of {len(pairs)} images {routes} "
        f"take another route, {decisions} get another decision"
    )


def _regions(inspector: Inspector, normals: Sequence[np.ndarray], defects: Sequence[np.ndarray]) -> None:
    mean = np.mean(normals, axis=0, dtype=np.float64).astype(np.float32)
    policy = inspector.policy
    shares, lost, gained, escalated = [], 0, 0, 0
    for kind, images in (("normal", normals), ("defect", defects)):
        for image in images:
            whole = inspector.inspect(image)
            if whole.route != "full":
                continue
            escalated += 1
            top, left, bottom, right = _region(_lowres_map(inspector, image), image.shape[0])
            part = mean.copy()
            part[top:bottom, left:right] = image[top:bottom, left:right]
            shares.append((bottom - top) * (right - left) / image.size)
            full = np.array([inspector.raw_scores(part)[1]])
            low = np.array([whole.lowres_score])
            decision = str(policy.decide(policy.routed_score(low, full), np.array([True]))[0])
            lost += kind == "defect" and whole.decision != PASS and decision == PASS
            gained += kind == "normal" and whole.decision == PASS and decision != PASS
    if escalated:
        print(
            f"3. {escalated} escalated images: region and context are {np.mean(shares):.0%} of the image (mean), so "
            f"at most {1 - np.mean(shares):.0%} of the full student's time could be saved; {lost} defects would be "
            f"missed that it finds now, {gained} normals flagged that PASS now"
        )


def _lowres_map(inspector: Inspector, image: np.ndarray) -> np.ndarray:
    heat = inspector.students["lowres"](image).map  # the benchmark looks at what the route throws away
    return np.asarray(heat)


def _region(heat: np.ndarray, size: int) -> tuple[int, int, int, int]:
    """Box around every map cell above half of the largest value, and 32 pixels more."""
    rows, columns = np.nonzero(heat >= SUSPICIOUS * heat.max())
    scale = size / heat.shape[0]
    low = [max(0, int(axis.min() * scale) - CONTEXT) for axis in (rows, columns)]
    high = [min(size, int((axis.max() + 1) * scale) + CONTEXT) for axis in (rows, columns)]
    return low[0], low[1], high[0], high[1]


def _jpeg(image: np.ndarray, factor: int) -> bytes:
    picture = Image.fromarray(np.rint(255 * image).astype(np.uint8))
    side = factor * image.shape[0]
    buffer = io.BytesIO()
    picture.resize((side, side), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=92)
    return buffer.getvalue()


def _median_ms(call: object, count: int) -> float:
    times = []
    for i in range(count):
        start = perf_counter()
        call(i)  # type: ignore[operator]
        times.append(perf_counter() - start)
    return 1e3 * float(np.median(times))


if __name__ == "__main__":
    main()
