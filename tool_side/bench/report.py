"""The measurements as tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

_ROW = "{:<22} {:>5} {:>9} {:>9} {:>9} {:>9} {:>10} {:>6} {:>6}"
_STEP_WORDS = {
    "decode": "read and decode",
    "gate": "quality gate",
    "lowres": "low-resolution",
    "full": "full",
}


def as_text(found: dict[str, Any]) -> str:
    """`found`: what `tool_side.bench.command.measure` returned."""
    return "\n".join(_lines(found))


def _lines(found: dict[str, Any]) -> Iterator[str]:
    machine, images, start = found["machine"], found["images"], found["start_up"]
    yield f"computer   {machine['processor']}, {machine['cores']} cores, {machine['system']}"
    yield f"software   waferroute {machine['waferroute']}, onnxruntime {machine['onnxruntime']}, " + (
        f"numpy {machine['numpy']}, Pillow {machine['pillow']}, Python {machine['python']}"
    )
    yield f"images     {_about_images(images)}"
    yield (
        f"start-up   {start['seconds']:.2f} s from start to first decision: interpreter {start['interpreter']:.2f}, "
        f"imports {start['imports']:.2f}, loading {start['loading']:.2f}, deciding {start['deciding']:.3f}"
    )
    peak = start["peak_bytes"]
    amount = "not told by this system" if peak is None else f"{peak / 1e6:.0f} MB"
    yield f"memory     {amount} at most, in a process that inspected {start['images']} images"
    yield ""
    route = f"route, {found['escalation']:.1%} escalated"
    for threads, cells in found["threads"].items():
        yield _ROW.format(
            f"--threads {threads}",
            "batch",
            "p50 ms",
            "p95 ms",
            "p99 ms",
            "max ms",
            "images/s",
            "cores",
            "runs",
        )
        for name, title in (("routed", route), ("lowres", "low-resolution graph"), ("full", "full graph")):
            for timing in cells[name].values():
                yield _ROW.format(
                    title,
                    timing["batch"],
                    *(f"{timing[key]:.3f}" for key in ("p50", "p95", "p99", "max")),
                    f"{timing['images_per_second']:.0f}",
                    f"{timing['cores']:.2f}",
                    timing["runs"],
                )
                title = ""
        yield ""
    steps = ", ".join(f"{_STEP_WORDS[name]} {value:.3f}" for name, value in found["step_ms"].items())
    yield f"steps of one image, ms: {steps}"
    callers = ", ".join(f"{count}: {rate:.0f}" for count, rate in found["callers"].items())
    yield f"images/s by the number of threads that call one inspector: {callers}"
    yield "Times are a whole batch's: of the route, files judged one after the other; of a graph, images at once."
    if found["busy"]:
        yield "WARNING: other programs kept this computer busy; measure again when it is idle. Low quantiles hold best."
    yield f"Best here: --threads {found['advice']['threads']} ({found['advice']['reason']})"


def _about_images(images: dict[str, Any]) -> str:
    if images["synthetic"]:
        return (
            f"{images['count']} SYNTHETIC noise images that resemble no wafer: the times hold, for files like these; "
            "what the bundle would decide is not measured. Give a folder of your own images"
        )
    left_out = f", {images['unreadable']} unreadable ones left out" if images["unreadable"] else ""
    return (
        f"{images['count']} of yours{left_out}; of these the bundle escalates {images['escalated']:.0%} and "
        f"refuses {images['refused']:.0%}"
    )
