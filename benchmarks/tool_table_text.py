"""The figures of tool_table.py as the table of docs/tool_side.md."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# What is measured, key, unit, goal and least that is good enough; larger is better where marked ">".
ROWS = (
    ("low-resolution student, array in, decision out", "lowres_array_ms", "ms", "<", 0.15, 0.4),
    ("full student with map, graph alone", "full_graph_ms", "ms", "<", 1.2, 2.5),
    ("routed mean, array in", "routed_array_ms", "ms", "<", 0.25, 0.6),
    ("routed mean, PNG file in", "routed_png_ms", "ms", "<", 0.6, 1.2),
    ("routed mean against WideResNet-50 features", "times_faster_than_wide_resnet50", "x", ">", 500, 250),
    ("routed mean against EfficientAD-S", "times_faster_than_efficient_ad_s", "x", ">", 1000, 400),
    ("routed mean against always full, array in", "routed_by_always_full", "%", "<", 0.20, 0.30),
    ("share of the routed time outside the networks", "outside_share", "%", "<", 0.25, 0.40),
    ("p99 / p50, not escalated, other core busy", "p99_by_p50.lowres_array", "", "<", 1.5, 2.5),
    ("p99 / p50, escalated, other core busy", "p99_by_p50.full_array", "", "<", 1.5, 2.5),
    ("start-up to first decision", "start_up_s", "s", "<", 0.3, 1.0),
    ("peak memory of the process", "peak_bytes", "MB", "<", 120e6, 200e6),
    ("bare install", "install_bytes", "MB", "<", 200e6, 350e6),
)
_BUSY_BELOW_CORES = 0.9


def as_text(found: Mapping[str, Any]) -> str:
    """`found`: what tool_table.py prints as JSON."""
    machine = found["machine"]
    lines = [
        f"{machine['processor']}, {machine['cores']} cores, onnxruntime {machine['onnxruntime']}, one thread, batch 1; "
        f"{found['escalation']:.1%} escalated; {found['images']} images of 256 x 256",
        "",
        "| measured | found | goal | at least | |",
        "|---|---|---|---|---|",
    ]
    for title, key, unit, better, goal, least in ROWS:
        value = _look_up(found, key)
        if value is not None:
            cells = (title, *(_with_unit(number, unit) for number in (value, goal, least)))
            lines.append(f"| {' | '.join(cells)} | {_verdict(value, better, goal, least)} |")
    times = ", ".join(
        f"{name} {found[f'{key}_ms']:.1f} ms"
        for name, key in (("WideResNet-50 features", "wide_resnet50"), ("EfficientAD-S", "efficient_ad_s"))
        if f"{key}_ms" in found
    )
    if times:
        lines += ["", f"References, random weights: {times}; their accuracy is not measured here."]
    if found["least_cores"] < _BUSY_BELOW_CORES:
        lines.append(
            f"WARNING: other programs took part of the processor (load average {found['load_average_before']:.1f} "
            f"before, {found['least_cores']:.2f} of a core left at worst): times and ratios are not those of an idle "
            "computer."
        )
        own = ", ".join(
            f"{title} {_with_unit(found[f'processor_{key}'], unit)}"
            for title, key, unit, *_ in ROWS
            if f"processor_{key}" in found
        )
        lines.append(f"By processor time, which other programs disturb less: {own}.")
    return "\n".join(lines)


def _verdict(value: float, better: str, goal: float, least: float) -> str:
    sign = 1 if better == "<" else -1
    if sign * value <= sign * goal:
        return "goal"
    return "enough" if sign * value <= sign * least else "short"


def _look_up(found: Mapping[str, Any], key: str) -> float | None:
    value: Any = found
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _with_unit(value: float, unit: str) -> str:
    if unit == "MB":
        return f"{value / 1e6:.0f} MB"
    if unit == "%":
        return f"{value:.0%}"
    if unit == "x":
        return f"{value:.0f}x"
    return f"{value:.2f} {unit}".strip()
