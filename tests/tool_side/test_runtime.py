"""The runtime: routes, decisions and outputs on real graphs."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from router.policy import RoutingPolicy
from tool_side import Inspection, Inspector, load_bundle
from tool_side.runtime.inspection import STEPS
from wafer_data.errors import InputError

Wafer = Callable[..., np.ndarray]
Graph = Callable[..., bytes]
WriteBundle = Callable[..., Path]


@pytest.fixture(scope="module")
def images(wafer: Wafer) -> list[np.ndarray]:
    """60 fresh normals and 60 with spots from hardly visible to strong."""
    return [wafer(1000 + i, 0.0 if i < 60 else (i - 59) * 0.007) for i in range(120)]


@pytest.fixture(scope="module")
def results(inspector: Inspector, images: list[np.ndarray]) -> list[Inspection]:
    return [inspector.inspect(image) for image in images]


class TestOnePictureOneScore:
    """The same picture as file or array, of 8 or 16 bits or as floats."""

    @pytest.fixture(scope="class")
    def picture(self) -> np.ndarray:
        grey = np.random.default_rng(0).normal(128, 20, (300, 310))
        grey[100:115, 100:115] += 60
        return np.clip(grey, 0, 255).astype(np.uint8)

    def test_to_the_last_bit(self, inspector: Inspector, picture: np.ndarray, tmp_path: Path) -> None:
        sixteen = picture.astype(np.uint16) * 257
        single, colour = (picture / 255).astype(np.float32), np.dstack([picture] * 3)
        for name, stored in {
            "8.png": picture, "8.bmp": picture, "16.png": sixteen, "16.tif": sixteen, "f.tif": single, "c.png": colour,
        }.items():  # fmt: skip
            Image.fromarray(stored).save(tmp_path / name)
        forms = [picture, sixteen, picture / 255, np.dstack([sixteen] * 3), *sorted(tmp_path.iterdir())]
        results = [inspector.inspect(form) for form in forms]
        assert len({result.full_score or result.lowres_score for result in results}) == 1
        assert len({(result.decision, result.route, result.score) for result in results}) == 1

    def test_colour_arrays_may_have_blue_first(self, bundle: Path) -> None:
        colour = np.random.default_rng(1).integers(0, 256, (300, 310, 3), dtype=np.uint8)
        swapped = Inspector(bundle, channel_order="bgr").prepare(np.ascontiguousarray(colour[:, :, ::-1]))
        np.testing.assert_array_equal(swapped, Inspector(bundle).prepare(colour))
        with pytest.raises(InputError, match="channel_order"):
            Inspector(bundle, channel_order="brg")  # type: ignore[arg-type]

    def test_masked_arrays_are_review(self, inspector: Inspector, picture: np.ndarray) -> None:
        result = inspector.inspect(np.ma.masked_all_like(picture))
        assert result.decision == "REVIEW"
        assert "masked array" in result.reasons[0]


class TestDecisions:
    def test_every_route_and_decision_occurs(self, results: list[Inspection]) -> None:
        assert {result.route for result in results} == {"lowres", "full"}
        assert {result.decision for result in results} == {"PASS", "REVIEW", "REJECT"}
        assert all(result.decision == "REJECT" for result in results[-20:])

    def test_they_are_those_of_the_policy_on_arrays(
        self,
        results: list[Inspection],
        images: list[np.ndarray],
        calibrated: tuple[dict, dict],
        student_graph: Graph,
        scores: Callable[[bytes, np.ndarray], np.ndarray],
    ) -> None:
        squares = np.stack(images).astype(np.float32) / np.float32(255)
        policy = RoutingPolicy.from_dict(calibrated[0])
        lowres, full = scores(student_graph(32), squares), scores(student_graph(64), squares)
        escalated = policy.escalate(lowres)
        routed = policy.routed_score(lowres, np.where(escalated, full, np.nan))
        assert [result.route for result in results] == ["full" if up else "lowres" for up in escalated]
        assert [result.decision for result in results] == policy.decide(routed, escalated).tolist()
        assert [result.score for result in results] == pytest.approx(routed, rel=1e-5)
        assert [result.lowres_score for result in results] == pytest.approx(lowres, rel=1e-6)

    def test_reasons_are_given_unless_the_image_passes(self, results: list[Inspection]) -> None:
        for result in results:
            assert bool(result.reasons) == (result.decision != "PASS")
            assert result.judged
        assert "above the reject threshold" in results[-1].reasons[0]

    def test_files_bytes_and_arrays_give_the_same_result(
        self, inspector: Inspector, images: list[np.ndarray], tmp_path: Path
    ) -> None:
        path = tmp_path / "image.png"
        Image.fromarray(images[-1]).save(path)
        found = [inspector.inspect(source) for source in (path, str(path), path.read_bytes(), images[-1])]
        assert {(result.score, result.decision, result.route) for result in found} == {
            (found[0].score, "REJECT", "full")
        }
        assert [result.source for result in found] == [str(path), str(path), "<bytes>", "<array>"]

    def test_a_blended_policy_is_followed(
        self,
        write_bundle: WriteBundle,
        calibrated: tuple[dict, dict],
        images: list[np.ndarray],
        tmp_path: Path,
    ) -> None:
        policy = calibrated[0] | {"full_weight": 0.25, "reject_above": None}
        result = Inspector(write_bundle(tmp_path / "bundle", policy=policy)).inspect(images[-1])
        assert result.lowres_score is not None and result.full_score is not None
        z_low = (np.log(result.lowres_score) - policy["lowres_location"]) / policy["lowres_scale"]
        z_full = (np.log(result.full_score) - policy["full_location"]) / policy["full_scale"]
        assert result.score == pytest.approx(0.25 * z_full + 0.75 * z_low)
        assert result.decision == "REVIEW"


def told(result: Inspection) -> dict:
    """All that a result says but its times, arrays as bytes."""
    evidence = {name: value.tobytes() for name, value in result.evidence.items()}
    return result.to_dict() | {"seconds": None, "unreadable": result.unreadable, "evidence": evidence}


class TestGroups:
    def test_each_image_is_judged_as_it_is_alone(
        self, inspector: Inspector, images: list[np.ndarray]
    ) -> None:
        flat = np.full((256, 256), 0.5, np.float32)
        group = [b"no image", *images[55:90], flat, images[0]]
        recipes = [*[None] * (len(group) - 1), "no such recipe"]
        found = inspector.inspect_group(group, recipes, reconstruction=True, keep_image=True)
        alone = [
            inspector.inspect(image, recipe=recipe, reconstruction=True, keep_image=True)
            for image, recipe in zip(group, recipes, strict=True)
        ]
        assert [told(one) for one in found] == [told(one) for one in alone]
        assert {one.route for one in found} == {"none", "lowres", "full"}
        assert found[0].unreadable and "unknown recipe" in found[-1].reasons[0]

    def test_each_counts_its_own_time(self, inspector: Inspector, images: list[np.ndarray]) -> None:
        for one in inspector.inspect_group(images[:20], [None] * 20):
            steps = sum(value for step, value in one.seconds.items() if step != "total")
            assert 0 < steps <= one.seconds["total"]

    def test_one_that_fails_costs_no_other(
        self, inspector: Inspector, images: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        expected = [told(inspector.inspect(image)) for image in images[:3]]
        student = inspector.students["lowres"]
        broken = inspector.prepare(images[1])

        def fails(square: np.ndarray) -> object:
            if np.array_equal(square, broken):
                raise RuntimeError("out of order")
            return student(square)

        monkeypatch.setitem(inspector.students, "lowres", fails)
        found = inspector.inspect_group(images[:3], [None] * 3)
        assert [told(found[i]) for i in (0, 2)] == [expected[0], expected[2]]
        assert found[1].decision == "REVIEW" and found[1].reasons == ("a model failed: out of order",)

    def test_where_they_cannot_be_measured_together_each_is_measured_alone(
        self, inspector: Inspector, images: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        expected = [told(inspector.inspect(image)) for image in images[:3]]

        def fails(*_: object, **__: object) -> object:
            raise MemoryError

        monkeypatch.setattr("tool_side.runtime.inspector.measure_images", fails)
        assert [told(one) for one in inspector.inspect_group(images[:3], [None] * 3)] == expected


class TestOutputs:
    def test_map_and_latent_are_those_of_the_deepest_model(self, results: list[Inspection]) -> None:
        for result in results:
            side = {"lowres": 32, "full": 64}[result.route]
            raw = result.lowres_score if result.route == "lowres" else result.full_score
            assert result.map is not None and result.latent is not None and raw is not None
            assert result.map.shape == (side, side)
            assert result.map.max() == pytest.approx(raw - 1e-3, rel=1e-4)
            assert result.latent[1] == pytest.approx(raw)
            assert (result.full_score is None) == (result.route == "lowres")

    def test_reconstruction_and_image_on_request_only(
        self, inspector: Inspector, images: list[np.ndarray]
    ) -> None:
        plain = inspector.inspect(images[0])
        assert plain.reconstruction is None and plain.image is None
        asked = inspector.inspect(images[0], reconstruction=True, keep_image=True)
        # Passed by the low-resolution student, which has no decoder: the full one's is used.
        assert (asked.route, asked.score) == ("lowres", plain.score)
        assert asked.reconstruction is not None and asked.image is not None
        assert asked.reconstruction.shape == (256, 256)
        assert asked.reconstruction == pytest.approx(images[0].mean() / 255, abs=1e-4)
        assert np.array_equal(asked.image, images[0].astype(np.float32) / np.float32(255))

    def test_without_any_decoder_there_is_no_reconstruction(
        self, write_bundle: WriteBundle, images: list[np.ndarray], tmp_path: Path
    ) -> None:
        result = Inspector(write_bundle(tmp_path / "bundle")).inspect(images[0], reconstruction=True)
        assert result.reconstruction is None
        assert result.decision == "PASS"

    def test_times_of_the_steps_that_ran(self, results: list[Inspection]) -> None:
        for result in results:
            assert tuple(result.seconds) == STEPS
            assert (result.seconds["full"] > 0) == (result.route == "full")
            assert result.seconds["total"] >= sum(result.seconds[step] for step in STEPS[:-1])

    def test_to_dict_is_strict_json_without_arrays(self, results: list[Inspection]) -> None:
        data = results[-1].to_dict()
        assert json.loads(json.dumps(data, allow_nan=False)) == data
        assert set(data) == {
            "source", "decision", "route", "score", "lowres_score", "full_score", "reasons", "seconds",
        }  # fmt: skip


class TestUse:
    def test_sixteen_threads_share_one_inspector(
        self, inspector: Inspector, images: list[np.ndarray], results: list[Inspection]
    ) -> None:
        with ThreadPoolExecutor(16) as pool:
            found = list(pool.map(inspector.inspect, images * 2))
        expected = [(result.score, result.decision, result.route) for result in results] * 2
        assert [(result.score, result.decision, result.route) for result in found] == expected
        assert all(np.array_equal(a.map, b.map) for a, b in zip(found, results * 2, strict=True))

    def test_more_threads_inside_a_graph_decide_alike(
        self, bundle: Path, images: list[np.ndarray], results: list[Inspection]
    ) -> None:
        two = Inspector(load_bundle(bundle), threads=2)
        found = [two.inspect(image) for image in images[::10]]
        assert [(result.decision, result.route) for result in found] == [
            (result.decision, result.route) for result in results[::10]
        ]

    def test_the_callers_array_is_not_changed(self, inspector: Inspector, images: list[np.ndarray]) -> None:
        before = images[0].copy()
        inspector.inspect(images[0], reconstruction=True)
        assert np.array_equal(before, images[0])

    def test_programming_errors_raise(self, inspector: Inspector, bundle: Path) -> None:
        with pytest.raises(TypeError, match="a picture of Pillow, not int"):
            inspector.inspect(3)  # type: ignore[arg-type]
        with pytest.raises(InputError, match="threads must be at least 1"):
            Inspector(bundle, threads=0)


class TestBrokenGraphs:
    def test_a_graph_whose_score_is_no_number_never_passes_an_image(
        self, write_bundle: WriteBundle, student_graph: Graph, images: list[np.ndarray], tmp_path: Path
    ) -> None:
        for number, offset in enumerate((float("nan"), float("inf"), -10.0)):
            for part in ("lowres", "full"):
                graphs = {part: student_graph(32, offset=offset)}
                judge = Inspector(write_bundle(tmp_path / f"{part}{number}", **graphs))
                for image in (images[0], images[-1]):
                    result = judge.inspect(image)
                    if part == "full" and result.route == "lowres":
                        continue  # the broken graph was not needed
                    assert (result.decision, result.score) == ("REVIEW", None)
                    assert "no usable score" in result.reasons[0]
                    json.dumps(result.to_dict(), allow_nan=False)

    def test_a_graph_that_fails_while_running_gives_review(
        self, inspector: Inspector, images: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(image: np.ndarray) -> None:
            raise RuntimeError("bad allocation")

        monkeypatch.setitem(inspector.students, "full", fail)
        result = inspector.inspect(images[-1])
        assert (result.decision, result.score) == ("REVIEW", None)
        assert result.reasons == ("a model failed: bad allocation",)
        assert inspector.inspect(images[0]).decision == "PASS"

    def test_what_is_no_graph_or_another_graph_is_refused_at_load(
        self, write_bundle: WriteBundle, decoder_graph: Graph, tmp_path: Path
    ) -> None:
        with pytest.raises(InputError, match=r"full\.onnx cannot be loaded"):
            Inspector(write_bundle(tmp_path / "a", full=b"no graph"))
        with pytest.raises(InputError, match=r"lowres\.onnx must have the input image"):
            Inspector(write_bundle(tmp_path / "b", lowres=decoder_graph()))
