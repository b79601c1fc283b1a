"""`waferroute bench`: what is measured, in which order."""

from __future__ import annotations

import json
import os
import platform
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any, TextIO

import numpy
import onnxruntime
import PIL

from tool_side.bench.advice import advise
from tool_side.bench.images import BenchImages, prepare_images
from tool_side.bench.report import as_text
from tool_side.bench.start_up import measure_start_up
from tool_side.bench.timing import Timing, time_calls
from tool_side.bench.workloads import Route, graph_batches
from tool_side.bundle.load import Bundle, load_bundle
from tool_side.runtime.inspector import Inspector
from wafer_data.errors import InputError

MODELS = ("lowres", "full")
BUSY_BELOW_CORES = 0.7
"""A measurement that kept less of a core busy than this was kept waiting by other programs (or by the drive)."""


@dataclass(frozen=True)
class BenchOptions:
    """What to measure.

    Attributes:
        threads: Settings of the graph runner; None: 1, 2, 4 ... up to the cores.
        batches: Batch sizes.
        escalation: Share of images that the full student sees; None: the target in the bundle's certificate.
        seconds: How long to measure each figure.
    """

    threads: Sequence[int] | None = None
    batches: Sequence[int] = field(default=(1, 8, 32, 64))
    escalation: float | None = None
    seconds: float = 1.0


def run_bench(
    bundle: str | Path,
    images: Sequence[str | Path],
    options: BenchOptions,
    *,
    json_output: bool = False,
    out: TextIO | None = None,
) -> int:
    """Measure and print, as tables or as JSON. Returns 0; out: default standard output.

    Raises:
        InputError: For a refused bundle, for images that do not exist or cannot be read, and when the bundle
            states no escalation and none is given.
    """
    loaded = load_bundle(bundle)
    loaded.preprocessing.require_squares("`waferroute bench`")
    found = measure(loaded, images, options)
    print(json.dumps(found, indent=2) if json_output else as_text(found), file=out or sys.stdout, flush=True)
    return 0


def measure(bundle: Bundle, given: Sequence[str | Path], options: BenchOptions) -> dict[str, Any]:
    """All measurements, JSON-ready (schema 1)."""
    share = options.escalation if options.escalation is not None else target_escalation(bundle)
    settings = sorted(set(options.threads or thread_settings(usable_cores())))
    with tempfile.TemporaryDirectory(prefix="waferroute_bench_") as folder:
        images = prepare_images(given, Inspector(bundle), Path(folder))
        start_up = measure_start_up(bundle.path, images.paths)
        table = {threads: _measure_setting(bundle, images, share, threads, options) for threads in settings}
        routes = {threads: Route(Inspector(bundle, threads=threads), images, share) for threads in settings}
        advice = advise(_typical_milliseconds(routes, options.seconds))
        route = routes[advice.threads]
        callers = sorted({1, usable_cores()})
        return {
            "schema": 1,
            "bundle": str(bundle.path),
            "machine": describe_machine(),
            "images": {name: value for name, value in vars(images).items() if name not in ("paths", "inputs")}
            | {"count": len(images.paths)},
            "escalation": share,
            "start_up": asdict(start_up),
            "busy": min(t.cores for cells in table.values() for row in cells.values() for t in row.values())
            < BUSY_BELOW_CORES,
            "threads": {
                threads: {
                    name: {batch: asdict(timing) for batch, timing in row.items()}
                    for name, row in cells.items()
                }
                for threads, cells in table.items()
            },
            "step_ms": route.step_milliseconds(),
            "callers": {count: route.images_per_second(count, options.seconds) for count in callers},
            "advice": asdict(advice),
        }


def target_escalation(bundle: Bundle) -> float:
    """The escalation that the bundle was calibrated for.

    Raises:
        InputError: If its certificate states none.
    """
    section = bundle.certificate.get("escalation", {})
    target = section.get("target") if isinstance(section, dict) else None
    if not isinstance(target, int | float) or not 0 <= target <= 1:
        raise InputError(
            "the bundle's certificate states no target escalation: give one with --escalation SHARE"
        )
    return float(target)


def usable_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def thread_settings(cores: int) -> list[int]:
    """1, 2, 4 ... and the number of cores."""
    return sorted({2**power for power in range(cores.bit_length()) if 2**power <= cores} | {cores})


def describe_machine() -> dict[str, Any]:
    """What a timing depends on."""
    return {
        "processor": _processor(),
        "cores": usable_cores(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "waferroute": metadata.version("waferroute"),
        "onnxruntime": onnxruntime.__version__,
        "numpy": numpy.__version__,
        "pillow": PIL.__version__,
    }


def _measure_setting(
    bundle: Bundle, images: BenchImages, share: float, threads: int, options: BenchOptions
) -> dict[str, dict[int, Timing]]:
    route = Route(Inspector(bundle, threads=threads), images, share)
    batches = sorted(set(options.batches))
    found: dict[str, dict[int, Timing]] = {
        "routed": {
            batch: time_calls(route.batches(batch), batch=batch, seconds=options.seconds) for batch in batches
        }
    }
    for name in MODELS:
        found[name] = {
            batch: time_calls(
                graph_batches(bundle, name, images, batch, threads), batch=batch, seconds=options.seconds
            )
            for batch in batches
        }
    return found


def _typical_milliseconds(routes: Mapping[int, Route], seconds: float) -> dict[int, float]:
    """The best of three rounds for each thread setting, in turns: other programs only ever add time."""
    rounds = [
        {threads: route.typical_milliseconds(seconds) for threads, route in routes.items()} for _ in range(3)
    ]
    return {threads: min(one[threads] for one in rounds) for threads in routes}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
