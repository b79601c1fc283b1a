"""Open every image once, and say which ones can be used.

Looked for: files that cannot be decoded, a wrong size, constant images, broken masks, and images that occur
on both sides of a split (identical pixels), which would make the test look better than it is.
"""

import collections
import hashlib
import itertools
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from wafer_data.config import DataConfig
from wafer_data.errors import DataError, InputError
from wafer_data.files import sha256_file
from wafer_data.imaging.planes import luminance
from wafer_data.imaging.read import UnreadableImage, read_image, to_square
from wafer_data.listing import printable
from wafer_data.masks import MOST_COVERED, read_mask
from wafer_data.problems import Problem
from wafer_data.progress import Progress
from wafer_data.sources import Candidate

THREADS = 2  # decoding and hashing release the interpreter lock; more would crowd out the training
LISTED = 10  # bad images named in an error message

In = TypeVar("In")
Out = TypeVar("Out")


@dataclass(frozen=True)
class CheckedImage:
    """A usable image.

    sha256 is of the file's bytes, pixels of the decoded ones; bits is 8 or 16 (also for float images); row counts the
    images handed to `keep`; mask tells whether the mask can be used.

    Attributes:
        shape: Height and width in pixels, (0, 0) where they are not known.
        median, highest: Grey of the model input, in [0, 1].
        grey: Of a set in colour (`data.colour`), that it has none.
    """

    candidate: Candidate
    sha256: str
    pixels: str
    bits: int
    row: int
    mask: bool
    shape: tuple[int, int] = (0, 0)
    median: float = 0.0
    highest: float = 0.0
    grey: bool = False


@dataclass(frozen=True)
class Look:
    """What one image showed.

    Attributes:
        problem: Kind and detail of why it cannot be used.
        remarks: What else was seen, likewise.
        sha256, pixels, bits, shape: As in `CheckedImage`.
        mask: Bool (height, width), where there is one that can be used.
        square: The model input; None where the image cannot be used.
    """

    problem: tuple[str, str] | None = None
    remarks: tuple[tuple[str, str], ...] = ()
    sha256: str = ""
    pixels: str = ""
    bits: int = 8
    mask: np.ndarray | None = None
    shape: tuple[int, int] = (0, 0)
    square: np.ndarray | None = None

    @property
    def median(self) -> float:
        """Median grey of the model input, in [0, 1]."""
        return 0.0 if self.square is None else float(np.median(luminance(self.square)))

    @property
    def highest(self) -> float:
        """Brightest grey of the model input, in [0, 1]."""
        return 0.0 if self.square is None else float(self.square.max())

    @property
    def grey(self) -> bool:
        """Whether three channels are all the same."""
        return (
            self.square is not None and self.square.ndim == 3 and bool((self.square == self.square[0]).all())
        )


def check_images(
    candidates: list[Candidate],
    config: DataConfig,
    keep: Callable[[np.ndarray, int], None] | None = None,
) -> tuple[list[CheckedImage], list[Problem]]:
    """Decode every candidate once; return the usable ones in their order, and the problems.

    keep(square, bits), if given, receives each usable image as `to_square` gives it, float32 in [0, 1], in
    order, so that nobody has to decode twice; memory does not grow with the number of images.

    Of images with the same pixels the test's copy stays and the train side's is dropped (a test image is
    never touched); on the train side the first copy stays. Both are recorded, never fatal. Unreadable,
    wrongly sized and constant images and broken masks raise InputError after all files have been looked at,
    or are left out and recorded with `skip_bad_images`.
    """
    usable: list[CheckedImage] = []
    problems: list[Problem] = []
    bad: list[Problem] = []

    def seen(candidate: Candidate) -> tuple[Candidate, Look]:
        return candidate, look_at(candidate.path, candidate.mask, config)

    looks = in_threads(seen, candidates)
    with Progress() as progress:
        for candidate, look in progress.track(looks, "checking images", total=len(candidates), keep=True):
            path = str(candidate.path)
            if look.problem is not None:
                bad.append(as_problem(path, look.problem))
                continue
            problems += [as_problem(path, remark) for remark in look.remarks]
            square = look.square
            assert square is not None
            usable.append(
                CheckedImage(
                    candidate=candidate,
                    sha256=look.sha256,
                    pixels=look.pixels,
                    bits=look.bits,
                    row=len(usable),
                    mask=look.mask is not None,
                    shape=look.shape,
                    median=look.median,
                    highest=look.highest,
                    grey=look.grey,
                )
            )
            if keep is not None:
                keep(square, look.bits)
    if bad and not config.skip_bad_images:
        raise DataError(describe_bad(bad, len(candidates)))
    unmasked = without_mask(usable)
    usable, repeated = without_repeats(usable)
    return usable, bad + problems + unmasked + repeated


def as_problem(path: str, kind_and_detail: tuple[str, str]) -> Problem:
    """What a `Look` says of the image at `path`."""
    return Problem(path=path, problem=kind_and_detail[0], detail=kind_and_detail[1])


def look_at(source: Path | bytes, mask: Path | bytes | None, config: DataConfig) -> Look:
    """Decode one image (and its mask), a file or the bytes of one, and judge it alone."""
    try:
        image = read_image(
            source, colour=config.colour, max_pixels=config.max_pixels, min_side=config.min_side
        )
        sha256 = hashlib.sha256(source).hexdigest() if isinstance(source, bytes) else sha256_file(source)
    except InputError as error:
        return Look(("unreadable", getattr(error, "reason", str(error))))
    shape = (image.shape[0], image.shape[1])
    if config.expected_size is not None and list(shape) != config.expected_size:
        wanted = " x ".join(map(str, config.expected_size))
        return Look(("wrong size", f"{shape[0]} x {shape[1]} (height x width), not {wanted}"))
    if (image == image[0, 0]).all():
        return Look(("constant", f"every pixel is {image[0, 0]}"))
    marked, remarks = None, []
    if mask is not None:
        name = mask.name if isinstance(mask, Path) else "its mask"
        try:
            marked = read_mask(mask, shape, max_pixels=config.max_pixels)
        except UnreadableImage as error:
            return Look(("bad mask", f"{name}: {error.reason}"))
        covered = float(marked.mean())
        if covered == 0:
            remarks.append(("empty mask", f"{name} marks no pixel; the image counts without mask"))
        elif covered > MOST_COVERED:
            detail = f"{name} covers {covered:.1%}: inverted? The image counts without mask"
            remarks.append(("mask covers most", detail))
        marked = None if remarks else marked
    return Look(
        remarks=tuple(remarks),
        sha256=sha256,
        pixels=pixel_digest(image),
        bits=8 if image.dtype == np.uint8 else 16,
        mask=marked,
        shape=shape,
        square=to_square(image, config.image_size),
    )


def pixel_digest(image: np.ndarray) -> str:
    """SHA-256 over type, shape and values: equal for equal pixels, whatever file format held them."""
    digest = hashlib.sha256(f"{image.dtype.name} {image.shape}".encode())
    digest.update(np.ascontiguousarray(image).data)
    return digest.hexdigest()


def without_repeats(images: list[CheckedImage]) -> tuple[list[CheckedImage], list[Problem]]:
    """Drop train-side copies of images that occur more than once; report those and contradictory labels."""
    groups: dict[str, list[CheckedImage]] = collections.defaultdict(list)
    for image in images:
        groups[image.pixels].append(image)
    dropped: set[int] = set()
    problems: list[Problem] = []
    for group in groups.values():
        tests = [image for image in group if image.candidate.side == "test"]
        others = [image for image in group if image.candidate.side != "test"]
        if len({image.candidate.type for image in tests}) > 1:
            seen = ", ".join(f"{image.candidate.path} ({image.candidate.type})" for image in tests)
            problems.append(
                Problem(
                    path=str(tests[0].candidate.path),
                    problem="conflicting labels",
                    detail=f"same pixels: {seen}",
                )
            )
        elif len(tests) > 1:
            detail = f"same pixels as {tests[0].candidate.path}; both count in the test"
            problems += [
                Problem(path=str(copy.candidate.path), problem="repeated in the test", detail=detail)
                for copy in tests[1:]
            ]
        original = (tests or others)[0]
        for copy in others if tests else others[1:]:
            dropped.add(copy.row)
            detail = f"same pixels as {original.candidate.path}; left out of the train side"
            problems.append(Problem(path=str(copy.candidate.path), problem="duplicate", detail=detail))
    return [image for image in images if image.row not in dropped], problems


def without_mask(images: list[CheckedImage]) -> list[Problem]:
    """Defects that have no mask although others of their type do: pixel metrics will leave them out."""
    masked = {image.candidate.type for image in images if image.candidate.mask is not None}
    return [
        Problem(path=str(image.candidate.path), problem="no mask", detail="others of its type have one")
        for image in images
        if image.candidate.type in masked and image.candidate.mask is None
    ]


def describe_bad(bad: list[Problem], total: int) -> str:
    """The message that lists the first `LISTED` images which cannot be used, and what to do."""
    lines = [f"{len(bad)} of {total} images cannot be used:"]
    lines += [
        printable(f"  {problem['path']}: {problem['problem']}: {problem['detail']}")
        for problem in bad[:LISTED]
    ]
    if len(bad) > LISTED:
        lines.append(f"  and {len(bad) - LISTED} more")
    lines.append("Repair or remove them, or set data.skip_bad_images=true to leave them out.")
    return "\n".join(lines)


def in_threads(work: Callable[[In], Out], items: Iterable[In]) -> Iterator[Out]:
    """`work` on each item in THREADS threads; results in order, only a few items ahead of the consumer."""
    pending: collections.deque[Future[Out]] = collections.deque()
    waiting = iter(items)
    pool = ThreadPoolExecutor(THREADS)
    try:
        for item in itertools.islice(waiting, 4 * THREADS):
            pending.append(pool.submit(work, item))
        while pending:
            yield pending.popleft().result()
            for item in itertools.islice(waiting, 1):
                pending.append(pool.submit(work, item))
    finally:
        pool.shutdown(cancel_futures=True)
