"""What cannot be judged is REVIEW with a reason, never PASS, and never stops a batch."""

from collections.abc import Callable
from pathlib import Path
from typing import Never

import numpy as np
import pytest
from PIL import Image, ImageFilter

from tool_side import Inspection, Inspector

Wafer = Callable[..., np.ndarray]


def assert_refused(result: Inspection, words: str) -> None:
    assert (result.decision, result.route, result.score) == ("REVIEW", "none", None)
    assert words in " ".join(result.reasons)
    assert not result.judged
    assert result.map is None and result.latent is None
    assert result.seconds["lowres"] == 0 and result.seconds["total"] > 0


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("text", "not an image"),
        ("empty", "empty file"),
        ("truncated", "truncated"),
        ("pixel", "too small: 1 x 1"),
        ("black", "constant"),
        ("huge", "too large"),
        ("missing", "does not exist"),
        ("folder", "folder"),
    ],
)
def test_bad_files(inspector: Inspector, bad_images: dict[str, Path], name: str, words: str) -> None:
    result = inspector.inspect(bad_images[name])
    assert_refused(result, words)
    assert result.source == str(bad_images[name])
    if bad_images[name].is_file():
        assert_refused(inspector.inspect(bad_images[name].read_bytes()), words)


GOOD_SHAPE = (64, 64)


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.full(GOOD_SHAPE, np.nan, np.float32), "not finite"),
        (np.where(np.eye(64), np.inf, 0.5), "not finite"),
        (np.full(GOOD_SHAPE, 128.0), "scale them to [0, 1]"),
        (np.full(GOOD_SHAPE, -0.1), "scale them to [0, 1]"),
        (np.zeros(GOOD_SHAPE, np.int32), "pixel type int32"),
        (np.zeros(GOOD_SHAPE, bool), "pixel type bool"),
        (np.zeros(GOOD_SHAPE, complex), "pixel type complex128"),
        (np.full(GOOD_SHAPE, "x"), "pixel type"),
        (np.full(GOOD_SHAPE, None), "pixel type object"),
        (np.zeros((64, 64, 2), np.uint8), "shape (64, 64, 2)"),
        (np.zeros(64, np.uint8), "shape (64,)"),
        (np.zeros((0, 0), np.uint8), "too small: 0 x 0"),
        (np.zeros((300, 15), np.uint8), "too small: 15 x 300"),
        (np.broadcast_to(np.uint8(7), (20_000, 20_000)), "too large: 20000 x 20000"),
        (np.zeros(GOOD_SHAPE, np.uint16), "constant"),
        (np.full((64, 64, 3), 255, np.uint8), "constant"),
    ],
)
def test_bad_arrays(inspector: Inspector, array: np.ndarray, words: str) -> None:
    assert_refused(inspector.inspect(array), words)


def test_images_without_evidence_are_refused_by_the_quality_gate(inspector: Inspector, wafer: Wafer) -> None:
    picture = Image.fromarray(wafer(5000))
    assert_refused(inspector.inspect(np.asarray(picture.filter(ImageFilter.GaussianBlur(8)))), "out of focus")
    assert_refused(inspector.inspect(np.asarray(picture.point(lambda grey: min(255, 2 * grey)))), "saturated")
    assert_refused(inspector.inspect(np.asarray(picture.point(lambda grey: grey // 4))), "too dark")


@pytest.mark.parametrize(
    "kind", ["uint16", ">u2", "float32", "float64", "float16", "colour", "rgba", "one channel"]
)
def test_good_arrays_of_every_allowed_kind_are_judged_alike(
    inspector: Inspector, wafer: Wafer, kind: str
) -> None:
    grey = wafer(1003, 0.4)
    changed = {
        "colour": lambda: np.dstack([grey] * 3),
        "rgba": lambda: np.dstack([grey] * 3 + [np.zeros_like(grey)]),
        "one channel": lambda: grey[:, :, np.newaxis],
        "uint16": lambda: grey.astype(np.uint16) * 257,
        ">u2": lambda: (grey.astype(np.uint16) * 257).astype(">u2"),
    }.get(kind, lambda: (grey / 255).astype(kind))()
    result, plain = inspector.inspect(changed), inspector.inspect(grey)
    assert (result.decision, result.route) == (plain.decision, plain.route) == ("REJECT", "full")
    assert result.score == pytest.approx(plain.score, rel=2e-3)


def test_views_and_other_sizes_are_judged(inspector: Inspector, wafer: Wafer) -> None:
    grey = wafer(1003)
    assert inspector.inspect(grey[::-1, ::-1]).judged
    assert inspector.inspect(np.asfortranarray(grey)).judged
    assert inspector.inspect(np.repeat(grey, 2, axis=1)).judged
    readonly = grey.copy()
    readonly.flags.writeable = False
    assert inspector.inspect(readonly).judged


def test_a_batch_of_good_and_bad_images_goes_on_to_its_end(
    inspector: Inspector, bad_images: dict[str, Path], wafer: Wafer
) -> None:
    good = [wafer(seed) for seed in range(3)]
    batch = [good[0], bad_images["text"], None, good[1], 42, b"", bad_images["huge"], good[2]]
    results = list(inspector.inspect_many(batch))  # type: ignore[arg-type]
    judged = [position for position, result in enumerate(results) if result.judged]
    assert judged == [0, 3, 7]
    refused = [result for result in results if not result.judged]
    assert all(result.decision == "REVIEW" and result.reasons for result in refused)
    assert results[2].source == "<NoneType>"
    assert [results[i].score for i in judged] == [inspector.inspect(image).score for image in good]


def test_a_fault_of_the_reader_costs_one_image(
    bundle: Path, wafer: Wafer, monkeypatch: pytest.MonkeyPatch
) -> None:
    inspector, good = Inspector(bundle), wafer(1)

    def read(image: object) -> Never:
        raise IndexError("nobody thought of this")

    assert inspector.inspect(good).judged
    monkeypatch.setattr(inspector, "_read_sized", read)
    assert_refused(inspector.inspect(good), "its reader failed (IndexError: nobody thought of this)")


def test_a_batch_is_read_one_image_at_a_time(inspector: Inspector, wafer: Wafer) -> None:
    taken: list[int] = []

    def images() -> object:
        for seed in range(3):
            taken.append(seed)
            yield wafer(seed)

    stream = inspector.inspect_many(images())  # type: ignore[arg-type]
    next(stream)
    assert taken == [0]
