"""The programs that measure the service measure what they say (a few images each; their figures mean nothing here)."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

Benchmark = Callable[[str], ModuleType]
Png = Callable[..., bytes]


@pytest.fixture
def images(png: Png) -> list[bytes]:
    return [*(png(8000 + i) for i in range(5)), png(8005, 0.4)]


def test_latency_names_every_part_of_an_answer(
    bundle: Path, images: list[bytes], tmp_path: Path, benchmark: Benchmark
) -> None:
    found = benchmark("service_load").latency(bundle, images, tmp_path, rate=25, count=30)
    assert sum(found["decisions"].values()) == sum(found["routes"].values()) == 30
    assert {"decode", "gate", "lowres", "total"} <= set(found["steps_ms"]), "as the rows have them"
    assert found["heat_map_png_ms"]["p50"] > 0
    parts = found["inspect_in_service_ms"], found["outside_inspect_ms"], found["answer_ms"]
    assert all(0 < part["p50"] <= part["p95"] <= part["p99"] for part in parts)
    assert parts[0]["p50"] < parts[2]["p50"]


def test_a_long_run_keeps_what_it_is_sent(
    bundle: Path, images: list[bytes], tmp_path: Path, benchmark: Benchmark
) -> None:
    found = benchmark("service_load").soak(bundle, images, tmp_path, rate=40, count=40)
    assert found["rows"] == found["images"] == sum(found["decisions"].values()) == 40
    assert len(found["parts"]) == 10 and set(found["drift"]) == {"p50", "p99", "memory_mb"}


def test_images_are_made_where_none_are_named(benchmark: Benchmark, tmp_path: Path) -> None:
    module = benchmark("service_images")
    made = module.synthetic_images(8)
    assert len(set(made)) == 8 and all(b"synthetic" in one.lower() for one in made), "and say that they are"
    with pytest.raises(SystemExit, match="no image"):
        module.read_images(tmp_path)


def test_an_inspectors_verdicts_are_timed_one_by_one(
    bundle: Path, images: list[bytes], tmp_path: Path, benchmark: Benchmark
) -> None:
    pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    station = benchmark("review_station")
    if station.chromium() is None:
        pytest.skip("no Chromium here (Debian: apt-get install chromium)")
    found = station.judge(bundle, images, tmp_path, count=5, think=0.0)
    assert found["verdicts"] == found["in_the_database"] == 5
    assert found["said"] == {"good": 3, "defect": 1, "unsure": 1}
    assert 0 < found["page_ms"]["p50"] <= found["slowest_ms"]
