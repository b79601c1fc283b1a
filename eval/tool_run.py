"""The run's bundle as the tool runs it: its students, latency of the route and the graphs, parity with PyTorch."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image

from eval.latency import Latency, measure_latency
from eval.results import Parity
from router.policy import RoutingPolicy
from router.route_scores import STUDENTS, Routed, RouteScores, look
from tool_side import Bundle, Inspector
from tool_side.runtime.inspection import MAP, Draft
from tool_side.runtime.session import DecoderGraph, StudentGraph, session_options
from tool_side.runtime.tiles import judge_tiles
from wafer_data.errors import DataError
from wafer_data.files import sha256_file
from wafer_data.image_ref import ImageRef
from wafer_data.imaging.planes import as_picture
from wafer_data.imaging.read import read_image
from wafer_data.imaging.tiling import TiledImage, Tiles
from wafer_data.progress import track
from wafer_data.store import ImageStore

ENGINE = f"ONNX Runtime {onnxruntime.__version__}"


class BundleStudents:
    """Both students of a bundle, and what pictures of their answers need.

    Args:
        bundle: a verified bundle.

    Attributes:
        graphs: by student's name; `StudentGraph.batch` scores several images.
        references: by name, the map value that 1 in 1000 calibration pixels exceeds.
    """

    def __init__(self, bundle: Bundle) -> None:
        entries = {name: bundle.models[name] for name in STUDENTS}
        self.graphs = {n: StudentGraph(n, bundle.contents[e.file], 1) for n, e in entries.items()}
        self.references = {name: entry.map_reference for name, entry in entries.items()}
        self._decoders = {
            name: DecoderGraph(name, bundle.contents[entry.decoder], 1)
            for name, entry in entries.items()
            if entry.decoder is not None
        }

    def heat(self, route: str, seen: np.ndarray) -> np.ndarray | None:
        """Map (h, w) of the deepest student on the route over its reference, for an image as networks see it.

        None for an image that no student judged.
        """
        return None if route == "none" else self.graphs[route](seen).map / np.float32(self.references[route])

    def heat_of(self, route: str, image: np.ndarray | TiledImage, policy: RoutingPolicy) -> np.ndarray | None:
        """`heat` of an image as the store gives it; of a large one the map of all of it."""
        if not isinstance(image, TiledImage) or route == "none":
            return self.heat(route, look(policy.gate, image).seen)
        assert isinstance(image.tiles, Tiles)
        draft = Draft(ImageRef(), None, None)
        judge_tiles(image.tiles, policy, self.graphs, self.references, draft)
        return np.asarray(draft.evidence[MAP] / np.float32(self.references[draft.route]))

    def reconstruct(self, route: str, seen: np.ndarray) -> np.ndarray | None:
        """The image (S, S) or (3, S, S) in [0, 1] that the latent describes; None where no student can draw it.

        Where the one that decided cannot, as a rule the low-resolution one, the full student draws: that is closest.
        """
        for name in (route, "full") if route != "none" else ():
            if name in self._decoders:
                return _enlarged(self._decoders[name](self.graphs[name](seen).latent), seen.shape[-1])
        return None


@dataclass(frozen=True)
class ToolRun:
    """What the tool-side runtime made of every test image, in the order of the test indices."""

    decisions: np.ndarray
    routes: np.ndarray
    total_ms: np.ndarray
    network_ms: np.ndarray
    """(N,) milliseconds of both graphs together; the rest of `total_ms` is preprocessing and the gate."""

    def latency(self, chosen: np.ndarray | None = None) -> Latency:
        """Time from a decoded image to its decision; of the images that `chosen` (N,) bool picks, or of all."""
        return Latency.of(self.total_ms if chosen is None else self.total_ms[chosen])

    def always_full_ms(self, full: Latency, tiles: np.ndarray | None = None) -> float:
        """Mean time if every image, or each of its (N,) tiles, skipped the low-resolution graph for the full one."""
        looks = 1.0 if tiles is None else float(tiles.mean())
        return float((self.total_ms - self.network_ms).mean()) + looks * full.mean


def plain_inspector(bundle: Bundle, store: ImageStore, *, measuring: bool = False) -> Inspector:
    """The runtime for the images of a store, on one thread; measuring: as of `Inspector`."""
    # The store's images already are squares in the data set's grey levels; the tool would apply these a second time.
    plain = bundle.preprocessing.of_prepared()
    if store.reduced is not None:
        plain = bundle.preprocessing  # tiles are cut from the images as they were taken
    return Inspector(replace(bundle, preprocessing=plain), threads=1, measuring=measuring)


def run_inspector(bundle: Bundle, store: ImageStore, indices: np.ndarray) -> ToolRun:
    """Inspect the images one by one, as arrays, on one thread."""
    inspector = plain_inspector(bundle, store)
    recipe = inspector.recipes[0]  # the run's own, whatever was added to its bundle since
    rows = []
    for index in track(indices, "inspecting with the bundle"):
        found = inspector.inspect(as_taken(store, int(index), bundle), recipe=recipe)
        network = found.seconds["lowres"] + found.seconds["full"]
        rows.append((found.decision, found.route, 1e3 * found.seconds["total"], 1e3 * network))
    return ToolRun(*(np.array(column) for column in zip(*rows, strict=True)))


def as_taken(store: ImageStore, index: int, bundle: Bundle) -> np.ndarray:
    """What the tool is given: the prepared image, or of a large one its file, which is cut into tiles once more.

    Raises:
        DataError: the file is no longer the one that was prepared.
    """
    if store.reduced is None:
        return as_picture(store.pixels(index))
    record, limits = store.records[index], bundle.preprocessing
    path = Path(record.path)
    if not path.is_file() or sha256_file(path) != record.sha256:
        raise DataError(
            f"{path} is missing or was changed since the data were prepared: run `waferroute data` again"
        )
    return read_image(path, colour=limits.colour, max_pixels=limits.max_pixels, min_side=limits.min_side)


def _enlarged(drawn: np.ndarray, side: int) -> np.ndarray:
    if drawn.ndim == 3:
        return np.stack([_enlarged(plane, side) for plane in drawn])
    return np.asarray(Image.fromarray(drawn).resize((side, side), Image.Resampling.BILINEAR))


def graph_latency(bundle: Bundle, name: str, images: np.ndarray, runs: int) -> Latency:
    """Latency of the scoring graph `name` alone, one image (of `images`, (N, C, S, S)) at a time."""
    session = onnxruntime.InferenceSession(
        bundle.contents[bundle.models[name].file], session_options(1), providers=["CPUExecutionProvider"]
    )
    return measure_latency(
        lambda image: session.run(None, {"image": image}), [image[None] for image in images], runs=runs
    )


def compare(
    tool: ToolRun, scores: RouteScores, reference: RouteScores, policy: RoutingPolicy, paths: list[str]
) -> Parity:
    """Parity of the tool with PyTorch.

    Args:
        tool: what the runtime decided.
        scores: by the bundle's graphs.
        reference: by the trained students, of the same images.
        policy: of both.
        paths: of the images.
    """
    theirs: Routed = reference.under(policy)
    other_decision, other_route = tool.decisions != theirs.decisions, tool.routes != theirs.routes
    differing = np.flatnonzero(other_decision | other_route)
    return Parity(
        images=len(paths),
        decisions_differ=int(other_decision.sum()),
        routes_differ=int(other_route.sum()),
        max_relative_lowres_deviation=_deviation(scores.lowres, reference.lowres),
        max_relative_full_deviation=_deviation(scores.full, reference.full),
        differing_paths=[paths[i] for i in differing],
    )


def _deviation(ours: np.ndarray, reference: np.ndarray) -> float:
    return float(np.max(np.abs(ours - reference) / np.abs(reference), initial=0.0))
