"""The torch-free runtime: one image in, one decision out. numpy, onnxruntime and Pillow only.

decode -> square -> quality gate -> low-resolution graph -> policy -> (full graph -> policy) -> decision.
What cannot be judged ends as REVIEW with the reason; nothing but a score below a threshold ends as PASS.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from PIL import Image

from router.gate import measure_quality
from router.policy import REVIEW
from tool_side import arrays
from tool_side.bundle import Bundle, ModelEntry, Preprocessing, load_bundle
from tool_side.inspection import Inspection
from tool_side.session import DecoderGraph, StudentGraph, StudentOutput
from wafer_data.errors import InputError
from wafer_data.images import UnreadableImage, read_grey, to_square

ImageSource = str | Path | bytes | np.ndarray


class Inspector:
    """Judges wafer images with one bundle. Safe to share between threads.

    bundle: a verified Bundle, or the path of one. threads: threads of onnxruntime inside one operator, >=
    1; one is fastest for the small default students. Raises InputError for a bundle that is refused, or
    whose graphs do not run.
    """

    def __init__(self, bundle: Bundle | str | Path, *, threads: int = 1) -> None:
        if threads < 1:
            raise InputError(f"threads must be at least 1, got {threads}")
        if not isinstance(bundle, Bundle):
            bundle = load_bundle(bundle)
        # The bundle itself is not kept: its bytes would stay in memory beside the loaded graphs.
        self.policy = bundle.policy
        self.preprocessing = bundle.preprocessing
        self._levels = bundle.preprocessing.levels
        self.models = dict(bundle.models)
        students, decoders = {}, {}
        for name, entry in bundle.models.items():
            students[name] = StudentGraph(entry.file, bundle.contents[entry.file], threads)
            if entry.decoder is not None:
                decoders[name] = DecoderGraph(entry.decoder, bundle.contents[entry.decoder], threads)
        self._lowres, self._full = students["lowres"], students["full"]
        self._decoders = decoders
        self._warm_up()

    def inspect(
        self, image: ImageSource, *, reconstruction: bool = False, keep_image: bool = False
    ) -> Inspection:
        """Judge one image: a path, the bytes of an image file, or an array (which: see tool_side.arrays).

        reconstruction: also decode the latent, of the low-resolution student where that one decided and has
        a decoder, else of the full one (which then runs for its latent only). keep_image: also return the
        model input.

        A bad image or a failing graph gives REVIEW with the reason. Raises TypeError for an object of
        another type.
        """
        started = perf_counter()
        result = Inspection(_name(image), REVIEW)
        try:
            square = self._square(image)
        except UnreadableImage as error:
            result.unreadable = True
            result.reasons.append(f"the image cannot be read: {error.reason}")
        except MemoryError:
            result.unreadable = True
            result.reasons.append("the image cannot be read: not enough memory")
        else:
            result.seconds["decode"] = perf_counter() - started
            if keep_image:
                result.image = square
            try:
                self._judge(square, result)
                if reconstruction and result.judged:
                    self._reconstruct(square, result)
            except Exception as error:  # onnxruntime's exceptions share no base class but this one
                result.decision, result.score = REVIEW, None
                result.reasons.append(f"a model failed: {error}")
        result.seconds["total"] = perf_counter() - started
        return result

    def inspect_many(
        self, images: Iterable[ImageSource], *, reconstruction: bool = False, keep_image: bool = False
    ) -> Iterator[Inspection]:
        """Judge images in order, in constant memory. Never raises for a bad item: it becomes REVIEW.

        One by one, so that an image gets the same scores to the last bit whatever its neighbours are.
        """
        for image in images:
            try:
                yield self.inspect(image, reconstruction=reconstruction, keep_image=keep_image)
            except TypeError as error:
                yield Inspection(f"<{type(image).__name__}>", REVIEW, reasons=[str(error)])

    def map_reference(self, route: str) -> float:
        """Unit of the fixed heat-map scale of the model `route` ("lowres" or "full")."""
        return self.models[route].map_reference

    def _warm_up(self) -> None:
        size = self.preprocessing.image_size
        image = np.full((size, size), 0.5, dtype=np.float32)
        for name, student in (("lowres", self._lowres), ("full", self._full)):
            try:
                output = student(image)
                _check_output(self.models[name], output)
                if name in self._decoders:
                    self._decoders[name](output.latent)
            except InputError:
                raise
            except Exception as error:  # onnxruntime's exceptions share no base class but this one
                raise InputError(f"model {name} of the bundle does not run: {error}") from error

    def _square(self, image: ImageSource) -> np.ndarray:
        grey = _read(image, self.preprocessing)
        return np.ascontiguousarray(self._levels.apply(to_square(grey, self.preprocessing.image_size)))

    def _judge(self, square: np.ndarray, result: Inspection) -> None:
        """Fills in decision, route, scores, reasons, map, latent and times."""
        clock = perf_counter()
        result.reasons = self.policy.gate.reasons(measure_quality(square))
        result.seconds["gate"] = perf_counter() - clock
        if result.reasons:
            return

        clock = perf_counter()
        output = self._lowres(square)
        result.seconds["lowres"] = perf_counter() - clock
        lowres_scores, full_scores = np.array([output.score]), np.array([np.nan])
        _take(result, "lowres", output)
        result.lowres_score = output.score
        escalated = self.policy.escalate(lowres_scores)
        if escalated[0]:
            clock = perf_counter()
            output = self._full(square)
            result.seconds["full"] = perf_counter() - clock
            full_scores[0] = output.score
            _take(result, "full", output)
            result.full_score = output.score

        routed = self.policy.routed_score(lowres_scores, full_scores)
        result.decision = str(self.policy.decide(routed, escalated)[0])
        if not np.isfinite(routed[0]):
            result.reasons = [
                "a model gave no usable score "
                f"(low-resolution {result.lowres_score}, full {result.full_score})"
            ]
            return
        result.score = float(routed[0])
        result.reasons = self._score_reasons(result)

    def _score_reasons(self, result: Inspection) -> list[str]:
        if result.decision == "PASS":
            return []
        if result.decision == "REJECT":
            return [f"score {result.score:.3f} above the reject threshold {self.policy.reject_above:.3f}"]
        return [f"score {result.score:.3f} above the review threshold {self.policy.review_above:.3f}"]

    def _reconstruct(self, square: np.ndarray, result: Inspection) -> None:
        clock = perf_counter()
        decoder, latent = self._decoders.get(result.route), result.latent
        if decoder is None and "full" in self._decoders:
            decoder, latent = self._decoders["full"], self._full(square).latent
        if decoder is not None and latent is not None:
            result.reconstruction = _resize(decoder(latent), square.shape[0])
        result.seconds["reconstruction"] = perf_counter() - clock


def _read(image: ImageSource, preprocessing: Preprocessing) -> np.ndarray:
    limits = {"max_pixels": preprocessing.max_pixels, "min_side": preprocessing.min_side}
    if isinstance(image, np.ndarray):
        return arrays.grey_from_array(image, **limits)
    return read_grey(image, **limits)


def _take(result: Inspection, route: str, output: StudentOutput) -> None:
    result.route, result.map, result.latent = route, output.map, output.latent


def _check_output(entry: ModelEntry, output: StudentOutput) -> None:
    if output.map.ndim != 2 or output.latent.ndim != 1:
        raise InputError(
            f"graph {entry.file}: map must be [N, h, w] and latent [N, k], got {output.map.ndim + 1} and "
            f"{output.latent.ndim + 1} dimensions"
        )


def _name(image: Any) -> str:
    if isinstance(image, np.ndarray):
        return arrays.SOURCE
    if isinstance(image, bytes):
        return "<bytes>"
    if isinstance(image, str | Path):
        return str(image)
    raise TypeError(f"an image is a path, bytes or a numpy array, not {type(image).__name__}")


def _resize(plane: np.ndarray, size: int) -> np.ndarray:
    if plane.shape == (size, size):
        return plane
    resized = Image.fromarray(plane).resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(resized)
