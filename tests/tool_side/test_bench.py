"""`waferroute bench`: what is measured, how it is said, and which setting is advised. No time is asserted."""

import io
import json
import mmap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tool_side import Inspector, load_bundle
from tool_side.bench import command
from tool_side.bench.advice import advise
from tool_side.bench.command import BenchOptions, run_bench, target_escalation, thread_settings
from tool_side.bench.images import BenchImages, on_route, prepare_images, write_noise
from tool_side.bench.process_memory import current_bytes, peak_bytes
from tool_side.bench.start_up import measure_start_up
from tool_side.bench.timing import time_calls
from tool_side.bench.workloads import Route, graph_batches
from wafer_data.errors import InputError
from waferroute.cli import main

Wafer = Callable[..., np.ndarray]
QUICK = BenchOptions(threads=[1], batches=[1, 3], seconds=0.001)


@pytest.fixture
def folder(tmp_path: Path, wafer: Wafer) -> Path:
    """Three good wafers, one defective, and one file that is no image."""
    images = tmp_path / "images"
    images.mkdir()
    for seed in range(4):
        Image.fromarray(wafer(seed, 0.4 if seed == 3 else 0.0)).save(images / f"{seed}.png")
    (images / "text.png").write_text("this is no picture")
    return images


@pytest.fixture
def images(folder: Path, inspector: Inspector, tmp_path: Path) -> BenchImages:
    return prepare_images([folder], inspector, tmp_path)


@pytest.fixture
def one_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """One fresh process instead of three."""
    monkeypatch.setattr(command, "measure_start_up", lambda *a: measure_start_up(*a, starts=1))


class TestImages:
    def test_those_of_the_user_and_what_the_bundle_makes_of_them(self, images: BenchImages) -> None:
        assert [path.name for path in images.paths] == ["0.png", "1.png", "2.png", "3.png"]
        assert images.inputs.shape == (4, 1, 256, 256) and images.inputs.dtype == np.float32
        assert (images.synthetic, images.unreadable) == (False, 1)
        assert (images.escalated, images.refused) == (0.25, 0.0)

    def test_without_any_noise_that_is_labelled_as_such(self, inspector: Inspector, tmp_path: Path) -> None:
        images = prepare_images([], inspector, tmp_path)
        assert images.synthetic and len(images.paths) == len(images.inputs) == 32
        (tmp_path / "again").mkdir()
        again = write_noise(tmp_path / "again", 256)
        assert [path.read_bytes() for path in again] == [path.read_bytes() for path in images.paths]

    def test_of_many_a_part_is_taken_from_all_over(
        self, inspector: Inspector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: Path
    ) -> None:
        monkeypatch.setattr("tool_side.bench.images.MOST_IMAGES", 2)
        assert [path.name for path in prepare_images([folder], inspector, tmp_path).paths] == [
            "0.png"
        ]  # and text.png

    def test_only_unreadable_ones_are_refused(
        self, folder: Path, inspector: Inspector, tmp_path: Path
    ) -> None:
        with pytest.raises(InputError, match="none of the 1 images can be read"):
            prepare_images([folder / "text.png"], inspector, tmp_path)


class TestRoute:
    @pytest.mark.parametrize("share", [0.0, 0.065, 0.5, 1.0])
    def test_the_stated_share_is_escalated_whatever_the_images_show(
        self, inspector: Inspector, images: BenchImages, share: float
    ) -> None:
        route = Route(inspector, images, share)
        assert sum(map(route.is_escalated, range(1000))) == round(1000 * share)

    def test_an_image_takes_the_road_it_is_sent(
        self, inspector: Inspector, wafer: Wafer, images: BenchImages
    ) -> None:
        dark = np.zeros((64, 64), np.uint8)
        dark[::2] = 9
        for image in (wafer(1), wafer(3, 0.4), dark):
            assert on_route(inspector, escalate=True).inspect(image).route == "full"
            assert on_route(inspector, escalate=False).inspect(image).route == "lowres"
        assert inspector.inspect(dark).route == "none"  # the inspector itself is as it was
        steps = Route(inspector, images, 0.1).step_milliseconds(runs=3)
        assert list(steps) == ["decode", "gate", "lowres", "full"] and min(steps.values()) > 0

    def test_a_batch_is_that_many_files(self, inspector: Inspector, images: BenchImages) -> None:
        judged: list[int] = []
        route = Route(inspector, images, 0.5)
        route.inspect = judged.append  # type: ignore[method-assign]
        call = route.batches(3)
        call(0)
        call(1)
        assert judged == [0, 1, 2, 3, 4, 5]

    @pytest.mark.parametrize("batch", [1, 3, 9])
    def test_a_graph_gets_whole_batches_of_the_images(
        self, bundle: Path, images: BenchImages, batch: int, inspector: Inspector
    ) -> None:
        call = graph_batches(load_bundle(bundle), "full", images, batch, 1)
        known = [inspector.students["full"](image[0]).score for image in images.inputs]
        for run in range(5):
            scores = call(run)[0]  # type: ignore[index]
            assert scores.shape == (batch,)
            assert all(np.isclose(known, score, rtol=1e-5).any() for score in scores)

    def test_callers_share_the_work(self, inspector: Inspector, images: BenchImages) -> None:
        assert Route(inspector, images, 0.1).images_per_second(callers=3, seconds=0.05) > 0


class TestTiming:
    def test_figures_of_calls_that_take_a_known_time(self, monkeypatch: pytest.MonkeyPatch) -> None:
        now = [0.0]
        monkeypatch.setattr(time, "perf_counter", lambda: now[0])
        monkeypatch.setattr(time, "process_time", lambda: now[0] / 2)
        taken = [*range(1, 101)]  # milliseconds

        def call(run: int) -> None:
            now[0] += 1e-3 * taken[run % 100]

        timing = time_calls(call, batch=4, seconds=0.001, least=100)
        assert (timing.runs, timing.max) == (100, pytest.approx(100))
        assert (timing.mean, timing.p50) == (pytest.approx(50.5), pytest.approx(50.5))
        assert (timing.p95, timing.p99) == (pytest.approx(95.05), pytest.approx(99.01))
        assert timing.images_per_second == pytest.approx(400 / 5.05)
        assert timing.cores == pytest.approx(0.5)

    def test_it_ends_after_the_time_or_the_most_calls(self) -> None:
        assert time_calls(lambda _: None, batch=1, seconds=1e-9, least=7).runs == 7
        assert time_calls(lambda _: None, batch=1, seconds=100, least=1, most=50).runs == 50


class TestStartUp:
    def test_a_fresh_process_is_measured_from_its_start(self, bundle: Path, images: BenchImages) -> None:
        found = measure_start_up(bundle, images.paths, starts=1)
        parts = (found.interpreter, found.imports, found.loading, found.deciding)
        assert min(parts) > 0 and found.seconds == pytest.approx(sum(parts))
        assert found.images == 4
        assert found.peak_bytes is None or 20e6 < found.peak_bytes < 2e9

    def test_what_fails_there_is_said(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"a fresh process on this bundle failed: .*no such folder"):
            measure_start_up(tmp_path / "nowhere", [tmp_path], starts=1)

    @pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="this system does not say")
    def test_memory_is_counted(self) -> None:
        before = current_bytes()
        # fresh pages of its own: the heap may hold freed ones of earlier tests
        block = np.frombuffer(mmap.mmap(-1, 64_000_000), np.uint8)
        block[:] = 1
        now, peak = current_bytes(), peak_bytes()
        assert before is not None and now is not None and peak is not None
        assert now - before > 0.9 * block.nbytes and peak >= now


class TestAdvice:
    @pytest.mark.parametrize(
        ("milliseconds", "threads", "words"),
        [
            ({1: 2.0}, 1, "no other setting was measured"),
            ({1: 1.0, 2: 0.95}, 1, "more would save less than 10%"),
            ({1: 1.0, 2: 1.5}, 1, "1.50 ms with 2"),
            ({1: 1.0, 2: 0.7}, 2, "fewer would cost more than 10%"),
            ({1: 4.0, 2: 2.1, 4: 2.0, 8: 3.0}, 2, "leave the cores to others"),
        ],
    )
    def test_further_threads_must_be_worth_their_cores(
        self, milliseconds: dict[int, float], threads: int, words: str
    ) -> None:
        advice = advise(milliseconds)
        assert advice.threads == threads and words in advice.reason

    def test_settings_go_up_to_the_cores(self) -> None:
        assert [thread_settings(cores) for cores in (1, 2, 6, 8)] == [[1], [1, 2], [1, 2, 4, 6], [1, 2, 4, 8]]

    def test_the_escalation_is_what_the_bundle_was_calibrated_for(
        self, bundle: Path, calibrated: tuple[dict, dict], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        loaded = load_bundle(bundle)
        assert target_escalation(loaded) == calibrated[1]["escalation"]["target"]
        object.__setattr__(loaded, "certificate", {})
        with pytest.raises(InputError, match="--escalation SHARE"):
            target_escalation(loaded)


@pytest.mark.usefixtures("one_start")
class TestCommand:
    def bench(self, *arguments: Any, **options: Any) -> str:
        out = io.StringIO()
        assert run_bench(*arguments, QUICK, out=out, **options) == 0
        return out.getvalue()

    def test_json_holds_every_measurement(self, bundle: Path, folder: Path) -> None:
        found = json.loads(self.bench(bundle, [folder], json_output=True))
        assert set(found) == {
            "schema", "bundle", "machine", "images", "escalation", "start_up", "busy", "threads", "step_ms",
            "callers", "advice",
        }  # fmt: skip
        cells = found["threads"]["1"]
        assert set(cells) == {"routed", "lowres", "full"}
        for row in cells.values():
            assert set(row) == {"1", "3"}
            for batch, timing in row.items():
                assert timing["batch"] == int(batch) and timing["runs"] >= 20
                assert 0 < timing["p50"] <= timing["p95"] <= timing["p99"] <= timing["max"]
        assert found["advice"]["threads"] == 1
        assert found["images"]["count"] == 4 and found["images"]["unreadable"] == 1

    def test_the_table_labels_synthetic_images_and_gives_advice(self, bundle: Path) -> None:
        said = self.bench(bundle, [])
        assert "SYNTHETIC noise images that resemble no wafer" in said
        assert "Best here: --threads 1" in said and "--threads 1 " in said
        assert "route, 6.5% escalated" in said

    def test_the_command_takes_options_and_images_in_any_order(
        self, bundle: Path, folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        arguments = [
            "--seconds",
            "0.001",
            "--threads",
            "1",
            str(folder),
            "--batches",
            "1",
            "--escalation",
            "0.5",
        ]
        assert main(["bench", str(bundle), *arguments]) == 0
        said = capsys.readouterr().out
        assert "route, 50.0% escalated" in said and "4 of yours, 1 unreadable ones left out" in said

    def test_wrong_arguments(self, bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["bench", str(bundle), "nowhere"]) == 2
        assert "no such file or folder" in capsys.readouterr().err
        for wrong in (["--threads", "0"], ["--threads", "x"], ["--escalation", "1.5"], ["--seconds", "0"]):
            with pytest.raises(SystemExit):
                main(["bench", str(bundle), *wrong])
