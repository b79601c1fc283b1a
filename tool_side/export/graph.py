"""Students as ONNX graphs, written node by node: pixels in; raw score, map and latent out.

Writing the graph ourselves, rather than tracing it, keeps it small and the same to the last byte each time,
folds batch normalisation into the convolutions, and leaves the batch dimension free. No threshold enters a
graph: a threshold baked into an export is a decision nobody can review or recalibrate.
"""

from __future__ import annotations

import math

import onnx
import torch.nn.functional as F
from onnx import helper
from torch import Tensor, nn

from likelihood.defect_head import SMALLEST, DefectHead
from likelihood.level import ENCODER, FIRST, FeatureLevel, enlarge
from likelihood.model import FARTHEST, UNIT, FeatureLikelihood
from likelihood.prototypes import Prototypes
from student_vae import StudentVAE
from student_vae.decoder import ImageDecoder
from student_vae.trunk import InvertedBlock, ResidualBlock
from tool_side.export.answers import answered, split_features
from tool_side.export.graph_builder import GraphBuilder, Shape
from wafer_data.image_size import IMAGE_SIZE

CONTRAST = 4.0
"""`StudentVAE.prepare` multiplies by it; a power of two, so the weights take it without rounding."""
FEATURES = "features"
"""Name of what the trunk gives to the likelihood: the sum of the graph's last two convolutions."""
CELLS = ("fine", "deep")
"""Names of the trunk's activations: at the map's resolution, and at half of it (`tool_side.runtime.session`)."""
MANY_DIRECTIONS = 16
"""From here on a matrix product whitens faster than the product written out; measured in docs/tool_side.md."""


def scoring_graph(student: StudentVAE, *, cells: bool = False) -> onnx.ModelProto:
    """`StudentVAE.score` as a graph: image [N,C,256,256] -> score [N], map [N,h,h], latent [N,k].

    Args:
        cells: Also give what the trunk's two branches end in, `CELLS`: [N,c,m,m] and [N,c',m/2,m/2]. The classifier of
            defect types looks at them. A run that does not ask for them computes nothing more.
    """
    b = GraphBuilder("waferroute_student")
    features = _trunk(b, student, _input(b, student), cells)
    _likelihood(b, student, features)
    side, size, trunk = student.likelihood.map_side, student.config.map_size, student.trunk
    outputs: dict[str, Shape] = {
        "score": ["N"],
        "map": ["N", side, side],
        "latent": ["N", student.likelihood.latent],
    }
    if cells:
        for name, channels, at in zip(CELLS, trunk.branch_channels, (size, size // 2), strict=True):
            outputs[name] = ["N", channels, at, at]
    return b.model({"image": ["N", student.image_channels, IMAGE_SIZE, IMAGE_SIZE]}, outputs)


def decoder_graph(decoder: ImageDecoder, latent: int) -> onnx.ModelProto:
    """`StudentVAE.reconstruct` as a graph: latent [N,k] -> reconstruction [N,C,R,R] in [0, 1]."""
    b = GraphBuilder("waferroute_decoder")
    x = b.node("Gemm", "latent", b.constant(decoder.start.weight), b.constant(decoder.start.bias), transB=1)
    x = b.reshape(x, -1, decoder.channels, 4, 4)
    for stage in decoder.stages:
        x = b.conv_relu(b.enlarge(x, 2, "nearest"), stage)
    x = b.conv(x, decoder.last)
    factor = decoder.shuffle.upscale_factor
    if factor > 1:
        x = b.node("DepthToSpace", x, blocksize=factor, mode="CRD")
    b.node("Sigmoid", x, out="reconstruction")
    shape: Shape = ["N", decoder.image_channels, decoder.size, decoder.size]
    return b.model({"latent": ["N", latent]}, {"reconstruction": shape})


def _input(b: GraphBuilder, student: StudentVAE) -> str:
    """`StudentVAE.prepare` but for its factor, which the first convolution's weights take."""
    x, factor = "image", IMAGE_SIZE // student.config.input_size
    if factor > 1:
        x = b.node("AveragePool", x, kernel_shape=[factor] * 2, strides=[factor] * 2)
    return b.node("Sub", x, b.constant(0.5))


def _trunk(b: GraphBuilder, student: StudentVAE, x: str, cells: bool) -> str:
    trunk = student.trunk
    for i, block in enumerate(trunk.stem):
        x = b.conv_relu(x, block, gain=CONTRAST if i == 0 else 1.0)
    fine = _blocks(b, x, trunk.fine)
    deep = _blocks(b, b.conv_relu(fine, trunk.down), trunk.deep)
    if cells:
        fine, deep = (b.rename(old, new) for old, new in zip((fine, deep), CELLS, strict=True))
    of_fine, of_deep, bias = (b.constant(part) for part in trunk.head_parts())
    deep = b.enlarge(b.node("Conv", deep, of_deep), 2)
    return b.node("Add", b.node("Conv", fine, of_fine, bias), deep, out=FEATURES)


def _blocks(b: GraphBuilder, x: str, blocks: nn.Sequential) -> str:
    for block in blocks:
        if isinstance(block, InvertedBlock):
            inner = b.conv_relu(b.conv_relu(x, block.widen), block.depthwise)
            x = b.node("Add", x, b.conv(inner, *block.narrow))
        else:
            assert isinstance(block, ResidualBlock)
            inner = b.conv(b.conv_relu(x, block.first), *block.second)
            x = b.node("Relu", b.node("Add", x, inner))
    return x


def _likelihood(b: GraphBuilder, student: StudentVAE, features: str) -> None:
    lik = student.likelihood
    answers, features = split_features(b, lik, features)
    encoder = b.constant(lik.encoder)
    coordinates = _coordinates(b, lik, features, encoder)
    if lik.answers is not None and not lik.answers.asks_place and lik.head is None:
        score, heat = answered(b, lik.answers, answers, lik, "", "")
        return _outputs(b, lik, score, heat)
    first, cells, scores, maps = "", "", [], []
    for i, level in enumerate(lik.level_list):
        averaged = _averaged(b, level, features, lik.map_size, lik.channels)
        predicted = _predicted(b, lik, level, coordinates, encoder, first)
        first, cells = first or predicted, cells or averaged
        residual = b.node("Sub", averaged, predicted)
        if i == 0 and lik.head is not None:
            whitened = _whitened(b, level, residual)
            added = _defect_head(b, lik.head, averaged, whitened, level)
            mean_square = b.node("ReduceMean", b.node("Mul", whitened, whitened), b.constant([1]), keepdims=0)
            distance = b.reshape(b.node("Sqrt", mean_square), -1, level.grid**2)
        else:
            distance = _distance(b, level, residual)
        if level.scored:
            scores.append(_top_mean(b, distance, level))
        heat = b.reshape(distance, -1, 1, level.grid, level.grid)
        maps.append(b.enlarge(heat, lik.map_side // level.grid))
    score = _combined(b, lik, scores)
    heat = b.smoothed(_heat(b, lik, maps, cells), lik.config.map_smoothing)
    if lik.answers is not None:
        score, heat = answered(b, lik.answers, answers, lik, score, heat)
    if lik.head is not None:
        score = b.node("Add", score, added)
    _outputs(b, lik, score, heat)


def _outputs(b: GraphBuilder, lik: FeatureLikelihood, score: str, heat: str) -> None:
    """`positive` of the score (N,), and the map (N, 1, side, side)."""
    score = b.node("Clip", score, b.constant(-FARTHEST), b.constant(FARTHEST))
    b.node("Exp", b.node("Mul", score, b.constant(UNIT)), out="score")
    b.reshape(heat, -1, lik.map_side, lik.map_side, out="map")


def _combined(b: GraphBuilder, lik: FeatureLikelihood, scores: list[str]) -> str:
    """`FeatureLikelihood.combine` of [N, 1] scores; centre, spread and the logarithm of their number in one product."""
    columns = b.node("Concat", *scores, axis=1) if len(scores) > 1 else scores[0]
    spread = lik.level_spread.double()
    shift = -lik.level_centre.double() / spread - math.log(len(scores))
    standard = b.node("Gemm", columns, b.constant((1.0 / spread).diag().float()), b.constant(shift.float()))
    return b.node("ReduceLogSumExp", standard, b.constant([1]), keepdims=0)


def _heat(b: GraphBuilder, lik: FeatureLikelihood, maps: list[str], cells: str) -> str:
    """`FeatureLikelihood.heat_map` before it is smoothed, (N, 1, side, side)."""
    heat = _mean_of(b, maps)
    if lik.prototypes is None:
        return heat
    grid = lik.level_list[0].grid
    nearest = _nearest(b, lik.prototypes, b.reshape(cells, -1, lik.level_list[0].channels, grid**2))
    nearest = b.enlarge(b.reshape(nearest, -1, 1, grid, grid), lik.map_side // grid)
    return b.node("Mul", heat, nearest)


def _nearest(b: GraphBuilder, prototypes: Prototypes, columns: str) -> str:
    """`Prototypes.nearest`: (N, d, n) -> (N, n)."""
    whitening, axis = prototypes.whitening.double(), b.constant([1])
    shift = -(whitening @ prototypes.mean.double()).float()
    white = b.node("MatMul", b.constant(prototypes.whitening), columns)
    white = b.node("Add", white, b.constant(shift[:, None]))
    nearness = b.node("MatMul", b.constant(2.0 * prototypes.centres), white)
    offset = prototypes.centres.square().sum(1, keepdim=True)
    nearness = b.node("ReduceMax", b.node("Sub", nearness, b.constant(offset)), axis, keepdims=0)
    squared = b.node("Sub", b.node("ReduceSumSquare", white, axis, keepdims=0), nearness)
    return b.node("Sqrt", b.node("Relu", squared))


def _mean_of(b: GraphBuilder, parts: list[str]) -> str:
    if len(parts) == 1:
        return parts[0]
    return b.node("Mul", b.node("Sum", *parts), b.constant(1.0 / len(parts)))


def _average_to(b: GraphBuilder, x: str, side: int, grid: int) -> str:
    window = side // grid
    return x if window == 1 else b.node("AveragePool", x, kernel_shape=[window] * 2, strides=[window] * 2)


def _first_channels(b: GraphBuilder, x: str, count: int, available: int) -> str:
    if count == available:
        return x
    return b.node("Slice", x, b.constant([0]), b.constant([count]), b.constant([1]))


def _coordinates(b: GraphBuilder, lik: FeatureLikelihood, features: str, encoder: str) -> str:
    """`FeatureLikelihood.encode`; the latent is the first of them."""
    own = _first_channels(b, features, lik.latent_channels, lik.channels)
    pooled = _average_to(b, own, lik.map_size, lik.latent_grid)
    pooled = b.reshape(pooled, -1, lik.latent_channels * lik.latent_grid**2)
    centred = b.node("Sub", pooled, b.constant(lik.pooled_mean))
    if lik.coordinates == lik.latent:
        return b.node("MatMul", centred, encoder, out="latent")
    coordinates = b.node("MatMul", centred, encoder)
    b.node("Slice", coordinates, b.constant([0]), b.constant([lik.latent]), b.constant([1]), out="latent")
    return coordinates


def _averaged(b: GraphBuilder, level: FeatureLevel, features: str, side: int, available: int) -> str:
    return _average_to(b, _first_channels(b, features, level.channels, available), side, level.grid)


def _predicted(
    b: GraphBuilder, lik: FeatureLikelihood, level: FeatureLevel, coordinates: str, encoder: str, first: str
) -> str:
    """`FeatureLevel.predict`; `first`: the same at the first level, (N, d, grid, grid)."""
    factor = level.grid // level.mean_grid
    if level.mean_from == FIRST:
        source = lik.level_list[0]
        own = _first_channels(b, first, level.channels, source.channels)
        own = b.enlarge(_average_to(b, own, source.grid, level.mean_grid), factor)
        # what this level expects without the latent, instead of what the first one does
        return b.node("Add", own, b.constant((level.mean - _expected(source, level))[None]))
    mean = [b.constant(level.mean.reshape(1, -1))] if factor == 1 else []
    if level.mean_from == ENCODER:
        coarse = b.node("Gemm", b.node("Mul", coordinates, b.constant(level.gain)), encoder, *mean, transB=1)
    else:
        coarse = b.node("Gemm", coordinates, b.constant(level.weight), *mean)
    coarse = b.reshape(coarse, -1, level.channels, level.mean_grid, level.mean_grid)
    return coarse if mean else b.node("Add", b.enlarge(coarse, factor), b.constant(level.mean[None]))


def _expected(first: FeatureLevel, level: FeatureLevel) -> Tensor:
    """The first level's mean on the grid of another one, (channels, grid, grid)."""
    coarse = F.avg_pool2d(first.mean[: level.channels], first.grid // level.mean_grid)
    return enlarge(coarse[None], level.grid)[0]


def _distance(b: GraphBuilder, level: FeatureLevel, residual: str) -> str:
    """(N, d, g, g) residuals -> (N, g * g) distances: `FeatureLevel.whiten` and `distance`.

    The root mean square over the directions is a norm of matrices that are divided by the root of their number.
    """
    d, cells = level.channels, level.grid**2
    unit = 1.0 / math.sqrt(d)
    if d == 1 and level.block == 1:
        scale = b.constant(level.whitening.reshape(1, cells))
        return b.node("Abs", b.node("Mul", b.reshape(residual, -1, cells), scale))
    if d < MANY_DIRECTIONS or level.block > 1:
        norm = b.node("ReduceL2", _whitened(b, level, residual, unit), b.constant([1]), keepdims=0)
        return b.reshape(norm, -1, cells)
    rows = _whitened_cells(b, level, residual, unit)
    norm = b.node("ReduceL2", rows, b.constant([2]), keepdims=0)
    return b.node("Transpose", norm, perm=[1, 0])


def _whitened_cells(b: GraphBuilder, level: FeatureLevel, residual: str, unit: float) -> str:
    """(N, d, g, g) residuals -> (g * g, N, d), whitened, times `unit`; a matrix for each cell."""
    matrices = b.constant(unit * level.whitening.transpose(1, 2))
    rows = b.node("Transpose", b.reshape(residual, -1, level.channels, level.grid**2), perm=[2, 0, 1])
    return b.node("MatMul", rows, matrices)


def _whitened(b: GraphBuilder, level: FeatureLevel, residual: str, unit: float = 1.0) -> str:
    """(N, d, g, g) residuals -> the same, whitened, times `unit`; one (d, d) matrix for all cells of a block."""
    d, block, side = level.channels, level.block, level.grid
    g, whitening = side // block, unit * level.whitening
    if d < MANY_DIRECTIONS:
        # Matrices this small are products of a few numbers: a call for each would cost more than they do.
        spread_out = b.reshape(b.constant(whitening.permute(1, 2, 0).reshape(d * d, g * g)), d, d, g, 1, g, 1)
        if block > 1:
            spread_out = b.node("Expand", spread_out, b.constant([d, d, g, block, g, block]))
        matrices = b.reshape(spread_out, 1, d, d, side, side)
        terms = b.node("Mul", b.node("Unsqueeze", residual, b.constant([1])), matrices)
        return b.node("ReduceSum", terms, b.constant([2]), keepdims=0)
    if block == 1:
        rows = _whitened_cells(b, level, residual, unit)
        return b.reshape(b.node("Transpose", rows, perm=[1, 2, 0]), -1, d, g, g)
    matrices = b.constant(whitening.transpose(1, 2))
    rows = b.node("Transpose", b.reshape(residual, -1, d, g, block, g, block), perm=[2, 4, 0, 3, 5, 1])
    rows = b.node("MatMul", b.reshape(rows, g * g, -1, d), matrices)
    rows = b.reshape(rows, g, g, -1, block, block, d)
    return b.reshape(b.node("Transpose", rows, perm=[2, 5, 0, 3, 1, 4]), -1, d, side, side)


def _top_mean(b: GraphBuilder, distance: str, level: FeatureLevel) -> str:
    """(N, cells) distances -> (N, 1)."""
    found, places = f"strangest{len(b.nodes)}", f"places{len(b.nodes)}"
    top = helper.make_node(
        "TopK", [distance, b.constant([level.top])], [found, places], name=f"n_{found}", axis=1, sorted=0
    )
    b.nodes.append(top)
    return b.node("ReduceMean", found, b.constant([1]), keepdims=1)


def _defect_head(b: GraphBuilder, head: DefectHead, features: str, whitened: str, level: FeatureLevel) -> str:
    """`DefectHead` over `describe` (likelihood.defect_head)."""
    cells, axis = level.grid**2, b.constant([2])
    f, w = (b.reshape(x, -1, level.channels, cells) for x in (features, whitened))

    def reduced(kind: str, x: str) -> str:
        return b.node(kind, x, axis, keepdims=0)

    def log(x: str) -> str:
        return b.node("Log", b.node("Add", x, b.constant(SMALLEST)))

    def half(x: str) -> str:
        return b.node("Mul", x, b.constant(0.5))

    mean, squares = reduced("ReduceMean", f), b.node("Mul", w, w)
    spread = b.node("Sub", reduced("ReduceMean", b.node("Mul", f, f)), b.node("Mul", mean, mean))
    parts = [
        mean,
        half(log(b.node("Relu", spread))),
        reduced("ReduceMax", f),
        reduced("ReduceMin", f),
        reduced("ReduceMean", w),
        log(reduced("ReduceMean", squares)),
        half(log(reduced("ReduceMax", squares))),
    ]
    description = b.node("Concat", *parts, axis=1)
    raw = b.node("MatMul", description, b.constant(head.weight[:, None]))
    raw = b.node("Relu", b.node("Add", raw, b.constant(head.bias)))
    return b.reshape(raw, -1)
