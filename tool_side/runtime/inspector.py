"""The torch-free runtime: one image in, one decision out. numpy, onnxruntime and Pillow only.

decode -> square -> quality gate -> low-resolution graph -> policy -> (full graph -> policy) -> decision; gate and
policy are those of the image's recipe. A large image's tiles go through graphs and policy one by one
(`tool_side.runtime.tiles`).
What cannot be judged ends as REVIEW with the reason; nothing but a score below a threshold ends as PASS.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from time import perf_counter

import numpy as np
from PIL import Image

from classify.crops import PLACES, Example, example_of, look_at, peaks
from classify.features import BY_CELLS, BY_CROPS, Seen
from classify.model import FILE as CLASSES
from classify.model import TypeClassifier
from router.decision import PASS, REVIEW, STAGES, Route
from router.gate import FIGURES, QualityFigures
from router.gate_figures import measure_images
from router.policy import RoutingPolicy
from router.recipe_names import FIRST_RECIPE
from router.route_scores import look
from tool_side.bundle.load import CROPS, Bundle, ModelEntry, load_bundle
from tool_side.runtime.defect_bins import DefectBins
from tool_side.runtime.defect_type import DEFECT, DEFECTS, Types, strongest_features
from tool_side.runtime.inspection import APPEARANCE, IMAGE, LATENT, RECONSTRUCTION, Draft, Inspection
from tool_side.runtime.session import CropGraph, DecoderGraph, StudentGraph, StudentOutput
from tool_side.runtime.tiles import SeenTile, describe_tiles, judge_tiles
from tool_side.runtime.under_way import UnderWay
from wafer_data.errors import BundleError, ConfigurationError, InputError, RecipeError
from wafer_data.image_ref import ImageRef, ImageSource
from wafer_data.imaging.arrays import ChannelOrder, image_from_array, image_from_picture
from wafer_data.imaging.read import UnreadableImage, read_sized, to_square
from wafer_data.imaging.tiling import TiledImage, Tiles, Tiling
from wafer_data.masks import mask_to_square

GROUP = 16
"""Images that :meth:`Inspector.inspect_group` takes to advantage: their inputs are 4 MB; more gain nothing."""


class Inspector:
    """Judges wafer images with one bundle. Safe to share between threads.

    bundle: a verified Bundle, or the path of one. threads: threads of onnxruntime inside one operator, >=
    1; one is fastest for the small default students. reduced_decoding: decode large JPEG files at a part of
    their size (see `wafer_data.imaging.read.read_image`), which is faster and changes scores a little: not what
    the thresholds were calibrated on, so off unless asked for. public_key: file of the key that the bundle at
    this path must be signed with (`tool_side.bundle.signature`). channel_order: of colour arrays, "rgb" or "bgr" (as
    OpenCV and many cameras' programs hand them out; an array itself does not tell). Whether colour counts is for the
    bundle to say: its models see luminance, or colour, where a grey image has three equal channels. bins: rules that
    give the defects of flagged images a bin, and may make a decision stricter, never milder. measuring: also
    be ready for `example` where the bundle has no classifier. quick: measure defects for a classifier to come
    by what the full student computed alone, though the bundle has a backbone that looks at crops of them.

    bundle_id: `Bundle.id`. students: what scores a prepared image at each stage of the route, by its name; an inference
    server puts its own there. source_size: the size that images of the first recipe must have, another is REVIEW; None
    for any. tiling: how large images are cut; None where each is one square. classes: the classifier of defect types
    that flagged images are given to; None where the bundle has none. crop_look: what looks at crops of defects; None
    where types are told from what the full student computed.
    policy: that of the bundle's first recipe. recipes: the names of all. references: what a
    `router.monitor.Monitor` of a recipe compares with, by name, where the bundle holds it. Raises InputError
    for a bundle that is refused, or whose graphs do not run.
    """

    def __init__(
        self,
        bundle: Bundle | str | Path,
        *,
        threads: int = 1,
        reduced_decoding: bool = False,
        public_key: str | Path | None = None,
        channel_order: ChannelOrder = "rgb",
        bins: DefectBins | None = None,
        measuring: bool = False,
        quick: bool = False,
    ) -> None:
        if threads < 1:
            raise ConfigurationError(f"threads must be at least 1, got {threads}")
        if channel_order not in ("rgb", "bgr"):
            raise ConfigurationError(f'channel_order must be "rgb" or "bgr", got {channel_order!r}')
        self._channel_order = channel_order
        if not isinstance(bundle, Bundle):
            bundle = load_bundle(bundle, public_key=public_key)
        elif public_key is not None:
            raise ConfigurationError("public_key goes with a bundle's path; give it to load_bundle")
        # The bundle itself is not kept: its bytes would stay in memory beside the loaded graphs.
        self.policy, self.bundle_id = bundle.policy, bundle.id
        self.recipes = tuple(bundle.recipes) or (FIRST_RECIPE,)
        self.references = dict(bundle.references)
        self._further = {name: bundle.recipes[name] for name in self.recipes[1:]}
        self._masks = any(policy.gate.mask is not None for policy in (self.policy, *self._further.values()))
        self.tiling = bundle.preprocessing.tiles
        # A part of its size is what tiles are there to avoid: their images are decoded whole.
        self._reduce_to = (
            bundle.preprocessing.image_size if reduced_decoding and self.tiling is None else None
        )
        self.preprocessing = bundle.preprocessing
        self._levels = bundle.preprocessing.levels
        self.source_size, self._further_sizes = bundle.preprocessing.source_size, dict(bundle.sizes)
        self.models = dict(bundle.models)
        self.classes, self._bins = bundle.classes, bins
        self.crop_look = _look_of(bundle, threads, measuring and not quick)
        self.needs_cells = self.crop_look is None and (measuring or self.classes is not None)
        self.students: dict[str, Callable[[np.ndarray], StudentOutput]] = {}
        self._decoders: dict[str, DecoderGraph] = {}
        for name, entry in bundle.models.items():
            data, cells = bundle.contents[entry.file], self.needs_cells and name == Route.FULL
            self.students[name] = StudentGraph(entry.file, data, threads, cells=cells)
            if entry.decoder is not None:
                self._decoders[name] = DecoderGraph(entry.decoder, bundle.contents[entry.decoder], threads)
        self._warm_up()
        self._types = None if self.classes is None else Types(self.classes, self.crop_look)
        if self.classes is not None:
            self._check_classes(self.classes)

    def inspect(
        self,
        image: ImageSource,
        *,
        recipe: str | None = None,
        reconstruction: bool = False,
        keep_image: bool = False,
        bins: DefectBins | None = None,
    ) -> Inspection:
        """Score one image and decide.

        It is a path, the bytes of an image file, an array or a picture of Pillow (which: see
        wafer_data.imaging.arrays), or an `ImageRef` that holds one of these and says which wafer, lot, ... it shows.

        recipe: name of the image's recipe, default that of the `ImageRef`; needed where the bundle holds several.
        Without it there, or with a name that the bundle does not know, the image is not looked at and is REVIEW.

        reconstruction: also decode the latent, of the low-resolution student where that one decided and has
        a decoder, else of the full one (which then runs for its latent only). keep_image: also return the
        model input. bins: instead of those that the inspector was made with.

        A bad image or a failing graph gives REVIEW with the reason. Raises TypeError for an object of
        another type.
        """
        (found,) = self.inspect_group(
            [image], [recipe], reconstruction=reconstruction, keep_image=keep_image, bins=bins
        )
        return found

    def inspect_group(
        self,
        images: Sequence[ImageSource],
        recipes: Sequence[str | None],
        *,
        reconstruction: bool = False,
        keep_image: bool = False,
        bins: DefectBins | None = None,
    ) -> list[Inspection]:
        """Some images, each as :meth:`inspect` judges it, to the last bit, and faster: `GROUP` are a good number.

        Each step is taken for all of them before the next, so that its code and its weights stay in the processor's
        caches, where reading the next image drives them out. The models' inputs of all are in memory together.

        recipes: of each image; the rest as for :meth:`inspect`.
        """
        refs = [ImageRef.of(image) for image in images]
        group = [self._entered(ref, recipe) for ref, recipe in zip(refs, recipes, strict=True)]
        for one in group:
            one.step(self._open, keep_image)
        self._measure([one for one in group if not one.ended and one.tiles is None])
        for one in group:
            one.step_that_may_fail(self._admit)
        for one in group:
            one.step_that_may_fail(self._first_look)
        for one in group:
            one.step_that_may_fail(self._decide, reconstruction, bins or self._bins)
        return [one.result.finished(one.seconds) for one in group]

    def inspect_many(
        self,
        images: Iterable[ImageSource],
        *,
        recipe: str | None = None,
        reconstruction: bool = False,
        keep_image: bool = False,
    ) -> Iterator[Inspection]:
        """Judge images of one recipe in order, in constant memory. Never raises for a bad item: it becomes REVIEW.

        One by one, so that an image gets the same scores to the last bit whatever its neighbours are.
        """
        for image in images:
            try:
                yield self.inspect(image, recipe=recipe, reconstruction=reconstruction, keep_image=keep_image)
            except TypeError as error:
                yield Inspection(
                    source=f"<{type(image).__name__}>",
                    decision=REVIEW,
                    reasons=(str(error),),
                    bundle=self.bundle_id,
                )

    def raw_scores(self, square: np.ndarray) -> tuple[float, float]:
        """Raw scores of the low-resolution and the full student on a prepared image, whatever its route."""
        low, full = (self.students[stage](square).score for stage in STAGES)
        return low, full

    def example(
        self, image: ImageSource, *, recipe: str | None = None, mask: np.ndarray | None = None
    ) -> Example:
        """What a classifier of defect types learns from a labelled image, whatever its route and decision.

        mask: bool, of the image's own height and width, True on the defect; None where it is not known. Of an image
        that is cut into tiles the tile of the highest score is taken, and its mask is not used.
        Raises UnreadableImage for an image that cannot be judged, RecipeError for an unknown recipe.
        """
        policy = self.policy_of(recipe if recipe is not None else self.recipes[0])
        grey = self.read(image)
        tiles = None if self.tiling is None else self._tiles(grey, self.tiling)
        square = self.square(grey)
        shown = square if tiles is None else TiledImage(square, tiles)
        found = look(policy.gate, shown, binned=self._masks, checked=True)
        if found.reasons:
            raise UnreadableImage(ImageRef.of(image).source, "; ".join(found.reasons))
        square = found.seen
        if found.tiles is not None:
            square, mask = max(found.tiles, key=lambda tile: self.students[Route.FULL](tile).score), None
        if self.crop_look is None:
            copies = (square, square[..., ::-1], square[..., ::-1, :], square[..., ::-1, ::-1])
            views = np.stack([self._features_of(np.ascontiguousarray(copy)) for copy in copies])
            return Example(views, views[:1], np.empty((0, *views.shape), np.float32))
        heat, size = self.students[Route.FULL](square).map, square.shape[-1]
        if mask is not None:
            return example_of(square, heat, None, mask_to_square(mask, size), self.crop_look)
        places = peaks(heat, PLACES, size)
        best = 0
        if self.classes is not None:
            best = self.classes.most_telling(look_at(square, heat, places, self.crop_look))
        return example_of(square, heat, places[best], None, self.crop_look)

    @property
    def measures(self) -> int:
        """How `example` measures: `classify.features.BY_CELLS` or `BY_CROPS`."""
        return BY_CELLS if self.crop_look is None else BY_CROPS

    def _features_of(self, square: np.ndarray) -> np.ndarray:
        """By what the full student computed, (f,)."""
        seen = Seen(square, *self.students[Route.FULL](square)[1:])
        return strongest_features(seen, self.map_reference(Route.FULL))

    def map_reference(self, route: str) -> float:
        """Unit of the fixed heat-map scale of a stage of the route."""
        return self.models[route].map_reference

    def _warm_up(self) -> None:
        image = np.full(self.preprocessing.shape, 0.5, dtype=np.float32)
        for name, student in self.students.items():
            try:
                output = student(image)
                _check_output(self.models[name], output)
                if name in self._decoders:
                    self._decoders[name](output.latent)
            except InputError:
                raise
            except Exception as error:  # onnxruntime's exceptions share no base class but this one
                raise BundleError(f"model {name} of the bundle does not run: {error}") from error

    def _check_classes(self, classes: TypeClassifier) -> None:
        blank = np.full(self.preprocessing.shape, 0.5, dtype=np.float32)
        if self.crop_look is None:
            given = self._features_of(blank).size
        else:
            given = look_at(blank, np.zeros((8, 8)), [(4, 4)], self.crop_look).size
        if classes.center.size != given:
            raise BundleError(
                f"{CLASSES} was learned with other students: it takes {classes.center.size} features, these "
                f"give {given}; `waferroute classes learn` makes a new one"
            )

    def prepare(self, image: ImageSource) -> np.ndarray:
        """The models' input for an image, (S, S) or of colour (3, S, S), in [0, 1]. Raises UnreadableImage."""
        return self.square(self.read(image))

    def picture(self, image: ImageSource) -> np.ndarray:
        """An image as it is shown under its heat map, float32 in [0, 1]: the models' input, at the scale of its tiles.

        Raises UnreadableImage.
        """
        grey = self.read(image)
        return self.square(grey) if self.tiling is None else self._tiles(grey, self.tiling).whole

    def read(self, image: ImageSource) -> np.ndarray:
        """The image as it was taken, of any size that the bundle allows: grey, (H, W), or colour, (H, W, 3).

        Raises UnreadableImage.
        """
        return self._read_sized(image)[0]

    def _read_sized(self, image: ImageSource) -> tuple[np.ndarray, tuple[int, int]]:
        """What :meth:`read` gives, and (H, W) of the image itself: a JPEG may have been decoded at a part of it."""
        limits: dict[str, int] = {
            "max_pixels": self.preprocessing.max_pixels,
            "min_side": self.preprocessing.min_side,
        }
        colour = self.preprocessing.colour
        content = ImageRef.of(image).content
        if isinstance(content, np.ndarray):
            taken = image_from_array(content, channel_order=self._channel_order, colour=colour, **limits)
        elif isinstance(content, Image.Image):
            taken = image_from_picture(content, colour=colour, **limits)
        else:
            return read_sized(content, colour=colour, reduce_to=self._reduce_to, **limits)
        return taken, (taken.shape[0], taken.shape[1])

    def square(self, taken: np.ndarray) -> np.ndarray:
        """The models' input made from what :meth:`read` gives, float32 (S, S) in [0, 1], of colour (3, S, S)."""
        return np.ascontiguousarray(self._levels.apply(to_square(taken, self.preprocessing.image_size)))

    def _tiles(self, grey: np.ndarray, tiling: Tiling) -> Tiles:
        return Tiles(tiling.grid(*grey.shape), tiling.reduce(grey), self._levels)

    def _other_size(self, shape: tuple[int, int], policy: RoutingPolicy, recipe: str | None) -> str | None:
        """Why an image of this size is none of its recipe's; a bundle of an older version may not know."""
        size = self.source_size if policy is self.policy else self._further_sizes.get(recipe or "")
        return None if size is None else size.problem(*shape)

    def policy_of(self, recipe: str) -> RoutingPolicy:
        """The policy of a recipe. Raises RecipeError if the bundle does not know it."""
        policy = self._find(recipe)
        if policy is None:
            raise RecipeError(self._unknown_recipe(recipe))
        return policy

    def _find(self, recipe: str | None) -> RoutingPolicy | None:
        if recipe is None:
            return None if self._further else self.policy
        return self.policy if recipe == self.recipes[0] else self._further.get(recipe)

    def _unknown_recipe(self, recipe: str | None) -> str:
        known = ", ".join(self.recipes)
        if recipe is None:
            return f"no recipe was named, and the bundle holds several: {known}"
        return f"unknown recipe {recipe!r}: the bundle knows {known}"

    def _better_fit(self, figures: QualityFigures) -> list[str]:
        """What recipe of the bundle an image that was refused could be of instead, as a reason."""
        every = {self.recipes[0]: self.policy, **self._further} if self._further else {}
        fitting = [name for name, other in every.items() if not other.gate.reasons(figures)]
        return [f"it looks like an image of the recipe {' or '.join(fitting)}"] if fitting else []

    def _entered(self, ref: ImageRef, recipe: str | None) -> UnderWay:
        recipe = recipe if recipe is not None else ref.recipe
        result, policy = Draft(ref, recipe, self.bundle_id), self._find(recipe)
        if policy is None:
            result.reasons.append(self._unknown_recipe(recipe))
        return UnderWay(ref, result, policy or self.policy, ended=policy is None)

    def _open(self, one: UnderWay, keep_image: bool) -> None:
        """From a file to the models' input; ends what cannot be read, and what is of another size."""
        result, started = one.result, perf_counter()
        try:
            taken, one.shape = self._read_sized(one.ref)
            other_size = self._other_size(one.shape, one.policy, result.recipe)
            if other_size is None:
                one.square = self.square(taken)
                one.tiles = None if self.tiling is None else self._tiles(taken, self.tiling)
        except UnreadableImage as error:
            one.unreadable(error.reason)
        except MemoryError:
            one.unreadable("not enough memory")
        except Exception as error:  # a fault of the reader costs this image, not those that wait beside it
            one.unreadable(f"its reader failed ({type(error).__name__}: {error})")
        else:
            result.seconds["decode"] = perf_counter() - started
            if other_size is not None:
                result.reasons.append(f"it cannot be compared with the training images: {other_size}")
                one.ended = True
            elif keep_image:
                result.evidence[IMAGE] = one.square if one.tiles is None else one.tiles.whole

    def _measure(self, group: list[UnderWay]) -> None:
        """What the gate looks at, of several images in one go; the time is shared between them."""
        if len(group) < 2:
            return
        started = perf_counter()
        try:
            found = measure_images([one.square for one in group], binned=self._masks)
        except Exception:  # each is measured alone then, and fails alone
            return
        seconds = (perf_counter() - started) / len(group)
        for one, figures in zip(group, found, strict=True):
            one.figures, one.result.seconds["gate"] = figures, seconds
            one.seconds += seconds

    def _admit(self, one: UnderWay) -> None:
        """The quality gate; ends what it refuses."""
        clock, result = perf_counter(), one.result
        shown = one.square if one.tiles is None else TiledImage(one.square, one.tiles)
        found = look(one.policy.gate, shown, binned=self._masks, checked=True, figures=one.figures)
        values = [getattr(found.figures, name) for name in FIGURES]
        result.evidence[APPEARANCE] = np.array(values, np.float32)
        if found.reasons:
            result.reasons = found.reasons + self._better_fit(found.figures)
            one.ended = True
        elif one.tiles is None:
            one.square = found.seen
        result.seconds["gate"] += perf_counter() - clock

    def _first_look(self, one: UnderWay) -> None:
        """The low-resolution student; tiles are looked at when their image is decided."""
        if one.tiles is None:
            one.lowres = self._asked(Route.LOWRES, one)

    def _asked(self, stage: Route, one: UnderWay) -> StudentOutput:
        clock = perf_counter()
        output = self.students[stage](one.square)
        one.result.seconds[stage] = perf_counter() - clock
        return output

    def _decide(self, one: UnderWay, reconstruction: bool, bins: DefectBins | None) -> None:
        """The rest of the route, and what was asked for beside it."""
        result = one.result
        if one.tiles is not None:
            references = {name: entry.map_reference for name, entry in self.models.items()}
            shown = judge_tiles(one.tiles, one.policy, self.students, references, result)
        else:
            shown = [SeenTile(self._judge(one))]
        self._name_defects(shown, one.shape, one.ref, bins, result)
        if reconstruction and result.score is not None and one.tiles is None:
            self._reconstruct(one.square, result)

    def _judge(self, one: UnderWay) -> Seen:
        """Fills in decision, route, scores, reasons, map, latent and times; returns what the last student saw."""
        assert one.lowres is not None  # the step before this one
        last = one.lowres

        def ask(stage: Route) -> float:
            nonlocal last
            if stage != Route.LOWRES:
                last = self._asked(stage, one)
            one.result.take(stage, last)
            return last.score

        routed = one.policy.route(ask)
        one.result.decide(routed.decision, routed.score, one.policy)
        return Seen(one.square, *last[1:])

    def _name_defects(
        self,
        shown: list[SeenTile],
        shape: tuple[int, int],
        ref: ImageRef,
        bins: DefectBins | None,
        result: Draft,
    ) -> None:
        """Add types and bins of a flagged image's defects. A type changes no decision; a bin may make it stricter."""
        nothing_to_name = result.decision is PASS or result.score is None or result.route != Route.FULL
        if nothing_to_name or (self.classes is None and bins is None):
            return
        size, recipe = (shape[1], shape[0]), result.recipe
        pixel_um = None if bins is None else bins.pixel_um(recipe)
        found = describe_tiles(self._types, shown, self.map_reference(Route.FULL), size, pixel_um)
        if bins is not None:
            found, result.decision, reasons = bins.assign(
                found, result.decision, recipe=recipe, site=ref.site or _stem(ref.path), size=size
            )
            result.reasons += reasons
        result.evidence[DEFECT] = found[0].to_dict()
        result.evidence[DEFECTS] = [one.to_dict() for one in found]

    def _reconstruct(self, square: np.ndarray, result: Draft) -> None:
        clock = perf_counter()
        decoder, latent = self._decoders.get(result.route), result.evidence.get(LATENT)
        if decoder is None and Route.FULL in self._decoders:
            decoder, latent = self._decoders[Route.FULL], self.students[Route.FULL](square).latent
        if decoder is not None and latent is not None:
            result.evidence[RECONSTRUCTION] = _resize(decoder(latent), square.shape[-1])
        result.seconds["reconstruction"] = perf_counter() - clock


def _look_of(bundle: Bundle, threads: int, wanted: bool) -> CropGraph | None:
    """The backbone that looks at crops of defects; None where nothing asks for it, or nothing has to.

    Raises BundleError where the classifier was learned from its looks and the bundle does not have it.
    """
    needed = bundle.classes is not None and bundle.classes.measured == BY_CROPS
    wanted = needed if bundle.classes is not None else wanted
    if needed and CROPS not in bundle.contents:
        raise BundleError(
            f"{CLASSES} was learned from looks at crops, and the bundle has no {CROPS} for them"
        )
    return CropGraph(CROPS, bundle.contents[CROPS], threads) if wanted and CROPS in bundle.contents else None


def _stem(path: str | None) -> str | None:
    return None if path is None else Path(path).stem


def _check_output(entry: ModelEntry, output: StudentOutput) -> None:
    if output.map.ndim != 2 or output.latent.ndim != 1:
        raise BundleError(
            f"graph {entry.file}: map must be [N, h, w] and latent [N, k], got {output.map.ndim + 1} and "
            f"{output.latent.ndim + 1} dimensions"
        )


def _resize(plane: np.ndarray, size: int) -> np.ndarray:
    if plane.ndim == 3:
        return np.stack([_resize(channel, size) for channel in plane])
    if plane.shape == (size, size):
        return plane
    resized = Image.fromarray(plane).resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(resized)
