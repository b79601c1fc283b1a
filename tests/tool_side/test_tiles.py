"""A bundle that looks at large images in tiles: small defects are found wherever they are; one decision comes out."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from router.decision import PASS, REVIEW
from router.policy import RoutingPolicy
from router.route_scores import RouteScores
from tool_side.bench.command import BenchOptions, run_bench
from tool_side.bundle.load import load_bundle
from tool_side.export.recipe import run_recipe_add
from tool_side.runtime.inspection import Draft
from tool_side.runtime.inspector import Inspector
from tool_side.runtime.tiles import describe_tiles, judge_tiles
from tool_side.sinks import HeatmapFolder
from tool_side.triton.repository import export_triton
from wafer_data.errors import BundleError
from wafer_data.image_ref import ImageRef
from wafer_data.imaging.levels import Levels
from wafer_data.imaging.tiling import Tiles, Tiling
from wafer_map.geometry import find_regions

SIDE = 1024
TILING = Tiling.chosen(SIDE, SIDE)
GRID = TILING.grid(SIDE, SIDE)
EVERYTHING = {
    "mean": [0, 1],
    "std": [0, 1],
    "black_share": [0, 1],
    "white_share": [0, 1],
    "sharpness": [0, None],
}


def large(wafer: Callable[..., np.ndarray], seed: int = 0) -> np.ndarray:
    """Normal synthetic texture of 1024 pixels, whose tiles look as the bundle's normal images do."""
    reduced = np.asarray(Image.fromarray(wafer(seed)).resize((GRID.reduced[1], GRID.reduced[0]), 2))
    grain = np.random.default_rng(seed).normal(0, 1, reduced.shape)
    grey = np.clip(127.5 + 0.3 * (reduced.astype(float) - 127.5) + grain, 0, 255).astype(np.uint8)
    return np.asarray(Image.fromarray(grey).resize((SIDE, SIDE), 2))


def spotted(image: np.ndarray, top: int, left: int, side: int = 16) -> np.ndarray:
    """A copy with a black square."""
    image = image.copy()
    image[top : top + side, left : left + side] = 0
    return image


@pytest.fixture(scope="module")
def folders(
    write_bundle: Callable[..., Path], calibrated: tuple[dict, dict], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """The same bundle with and without tiles; its gate admits whatever can be looked at."""
    policy = {**calibrated[0], "gate": {"schema": 3, "fitted_on": 100, "ranges": EVERYTHING}}
    found = {}
    for name, tiling in (("tiled", TILING.to_dict()), ("plain", None)):
        folder = write_bundle(tmp_path_factory.mktemp("bundles") / name, policy=policy)
        manifest = json.loads((folder / "manifest.json").read_text())
        source = {"height": [SIDE, SIDE], "width": [SIDE, SIDE], "aspect": [1.0, 1.0]}
        manifest["preprocessing"] |= {"source": source} | ({} if tiling is None else {"tiling": tiling})
        (folder / "manifest.json").write_text(json.dumps(manifest))
        found[name] = folder
    return found


@pytest.fixture(scope="module")
def tiled(folders: dict[str, Path]) -> Inspector:
    return Inspector(folders["tiled"])


@pytest.fixture(scope="module")
def plain(folders: dict[str, Path]) -> Inspector:
    return Inspector(folders["plain"])


def test_a_normal_image_passes(tiled: Inspector, wafer: Callable[..., np.ndarray]):
    result = tiled.inspect(large(wafer))
    assert (result.decision, result.route) == (PASS, "lowres")
    assert result.evidence["tiles"]["count"] == 9
    assert result.evidence["tiles"]["escalated"] == 0


@pytest.mark.parametrize("start", range(4))
def test_a_small_defect_is_found_wherever_it_is_and_is_lost_when_the_image_is_shrunk(
    tiled: Inspector, plain: Inspector, wafer: Callable[..., np.ndarray], start: int
):
    image = large(wafer, start)
    seams = sorted(
        {round(edge * SIDE / GRID.reduced[0]) for edge in (*GRID.rows, *(r + 256 for r in GRID.rows))}
    )
    places = [min(max(0, seam - offset), SIDE - 16) for seam in seams for offset in (0, 8, 16)]
    for top in places[start::4]:
        left = places[(7 * top) % len(places)]
        result = tiled.inspect(spotted(image, top, left))
        assert result.decision != PASS, (top, left)
        found = find_regions(result.map, tiled.map_reference(result.route), (SIDE, SIDE))[0][0]
        assert abs(found.center[0] - left - 8) < 16 and abs(found.center[1] - top - 8) < 16
        box = result.evidence["tiles"]["deciding"]["box"]
        assert box[0] < left + 16 and left < box[0] + box[2]
        assert box[1] < top + 16 and top < box[1] + box[3]
        assert plain.inspect(spotted(image, top, left, side=6)).decision == PASS


def test_only_tiles_are_escalated_and_the_result_says_how_many(
    tiled: Inspector, wafer: Callable[..., np.ndarray]
):
    result = tiled.inspect(spotted(large(wafer), 20, 20))
    assert result.route == "full"
    assert result.evidence["tiles"]["escalated"] == 1
    assert result.evidence["tiles"]["deciding"] == {"tile": 0, "box": list(GRID.box(0))}
    written = json.loads(json.dumps(result.to_dict()))
    assert written["evidence"]["tiles"]["count"] == 9
    assert written["lowres_score"] > 0 and written["full_score"] > 0


def test_the_decision_is_that_of_the_route_over_the_same_tiles(
    tiled: Inspector, wafer: Callable[..., np.ndarray]
):
    image = spotted(large(wafer, 3), 500, 480)
    tiles = list(GRID.cut(TILING.reduce(image)))
    squares = [tile.astype(np.float32) / np.float32(255) for tile in tiles]
    low, full = (
        np.array([tiled.students[name](one).score for one in squares]) for name in ("lowres", "full")
    )
    expected = RouteScores(low, full, tiles=np.array([9])).under(tiled.policy)
    result = tiled.inspect(image)
    assert result.decision == expected.decisions[0]
    assert result.score == expected.score[0]


def test_the_map_of_an_image_without_tiles_is_its_single_tiles(
    folders: dict[str, Path], wafer: Callable[..., np.ndarray]
):
    """An image of 256 pixels is one tile: score, map and decision are the same to the last bit with and without."""
    one, other = (Inspector(folders[name]) for name in ("tiled", "plain"))
    one.source_size = other.source_size = None
    for defect in (0.0, 0.4):
        with_tiles, without = one.inspect(wafer(5, defect)), other.inspect(wafer(5, defect))
        assert (with_tiles.decision, with_tiles.score) == (without.decision, without.score)
        assert dict(with_tiles.scores) == dict(without.scores)
        np.testing.assert_array_equal(with_tiles.map, without.map)
        np.testing.assert_array_equal(with_tiles.latent, without.latent)


@pytest.mark.parametrize(
    ("shape", "words"),
    [((512, 512), "trained on 1024 x 1024"), ((1024, 300), "trained on"), ((1024, 2048), "trained on")],
)
def test_an_image_of_another_size_or_aspect_is_review(tiled: Inspector, shape: tuple[int, int], words: str):
    result = tiled.inspect(np.full(shape, 127, np.uint8))
    assert result.decision == REVIEW and not result.judged
    assert words in result.reasons[0]


def test_an_image_that_is_too_large_is_review(folders: dict[str, Path], tmp_path: Path):
    inspector = Inspector(folders["tiled"])
    result = inspector.inspect(np.zeros((9000, 9000), np.uint8))
    assert result.decision == REVIEW
    assert "too large" in result.reasons[0]


def test_a_tile_without_a_usable_score_makes_the_image_review(
    folders: dict[str, Path], wafer: Callable[..., np.ndarray]
):
    inspector, calls = Inspector(folders["tiled"]), []
    student = inspector.students["lowres"]

    def failing(tile: np.ndarray):
        calls.append(1)
        return student(tile)._replace(score=float("nan")) if len(calls) == 5 else student(tile)

    inspector.students["lowres"] = failing
    result = inspector.inspect(large(wafer))
    assert result.decision == REVIEW and not result.judged
    assert "no usable score" in result.reasons[-1]


def test_the_gate_still_refuses_what_cannot_be_judged(tiled: Inspector):
    result = tiled.inspect(np.full((SIDE, SIDE), 90, np.uint8))
    assert result.decision == REVIEW
    assert "constant" in result.reasons[0]
    assert "tiles" not in result.evidence


def test_the_picture_of_a_heat_map_shows_the_image_at_the_scale_of_the_tiles(
    tiled: Inspector, wafer: Callable[..., np.ndarray], tmp_path: Path
):
    image = tmp_path / "large.png"
    Image.fromarray(spotted(large(wafer), 700, 200)).save(image)
    result = tiled.inspect(image, keep_image=True)
    assert result.image is not None and result.image.shape == GRID.reduced
    HeatmapFolder(tmp_path, tiled.map_reference, lambda _: Path("large.heatmap.png")).write([result])
    with Image.open(tmp_path / "large.heatmap.png") as drawn:
        assert drawn.size == GRID.reduced[::-1]
        pixels = np.asarray(drawn).astype(int)
    reddest = np.unravel_index(np.argmax(pixels[:, :, 0] - pixels[:, :, 2]), pixels.shape[:2])
    assert abs(reddest[0] * SIDE / GRID.reduced[0] - 708) < 24
    assert abs(reddest[1] * SIDE / GRID.reduced[1] - 208) < 24


def test_the_picture_of_an_image_is_at_the_scale_of_its_tiles(
    tiled: Inspector, plain: Inspector, wafer: Callable[..., np.ndarray]
):
    assert tiled.picture(large(wafer)).shape == GRID.reduced
    np.testing.assert_array_equal(plain.picture(large(wafer)), plain.prepare(large(wafer)))


def test_tiles_are_never_decoded_at_a_part_of_their_size(folders: dict[str, Path], wafer, tmp_path: Path):
    image = tmp_path / "large.jpg"
    Image.fromarray(spotted(large(wafer), 700, 200)).save(image, quality=98)
    fast, exact = (
        Inspector(folders["tiled"], reduced_decoding=reduced).inspect(image) for reduced in (True, False)
    )
    assert fast.score == exact.score


def test_bundles_without_tiles_are_written_as_before(write_bundle: Callable[..., Path], tmp_path: Path):
    folder = write_bundle(tmp_path / "bundle")
    assert "tiling" not in json.loads((folder / "manifest.json").read_text())["preprocessing"]
    assert Inspector(folder).tiling is None


def test_a_manifest_whose_tiling_is_damaged_is_refused(folders: dict[str, Path], tmp_path: Path):
    import shutil

    folder = tmp_path / "bundle"
    shutil.copytree(folders["tiled"], folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["preprocessing"]["tiling"] = {"scale": 0.1, "overlap": 64}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match="tiling: scale"):
        load_bundle(folder)


def test_what_does_not_know_tiles_says_so(folders: dict[str, Path], tmp_path: Path):
    for call in (
        lambda: run_bench(folders["tiled"], [], BenchOptions()),
        lambda: export_triton(folders["tiled"], tmp_path / "triton"),
        lambda: run_recipe_add(folders["tiled"], "other", [tmp_path], tmp_path / "out"),
    ):
        with pytest.raises(BundleError, match="looks at large images in tiles"):
            call()


def test_the_policy_of_the_bundle_is_read_as_it_was_written(tiled: Inspector, folders: dict[str, Path]):
    written = RoutingPolicy.from_dict(json.loads((folders["tiled"] / "policy.json").read_text()))
    assert written == tiled.policy


def test_defects_of_several_tiles_are_named_once_each_in_pixels_of_the_image(
    tiled: Inspector, wafer: Callable[..., np.ndarray]
):
    """One spot in the first tile, one in the last, one where the middle tiles overlap."""
    spots = [(40, 60), (950, 930), (400, 500)]
    image = large(wafer, 1)
    for top, left in spots:
        image = spotted(image, top, left)
    draft = Draft(ImageRef(), None, None)
    references = {name: tiled.map_reference(name) for name in ("lowres", "full")}
    tiles = Tiles(GRID, TILING.reduce(image), Levels())
    shown = judge_tiles(tiles, tiled.policy, tiled.students, references, draft)
    assert len(shown) > 3
    found = describe_tiles(None, shown, references["full"], (SIDE, SIDE))
    assert len(found) == 3
    for top, left in spots:
        assert min(abs(one.center[0] - left - 8) + abs(one.center[1] - top - 8) for one in found) < 12
    assert [one.peak for one in found] == sorted((one.peak for one in found), reverse=True)
