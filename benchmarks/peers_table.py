"""The Markdown table of `benchmarks/peers.py`."""

from __future__ import annotations

from typing import Any

HEAD = (
    "model",
    "looks through",
    "AUROC (95 % interval)",
    "FNR at 5 % FPR",
    "pixel AUROC",
    "training",
    "ms an image, PyTorch",
    "ms, ONNX Runtime",
    "memory",
    "on disk",
    "published AUROC",
)
PUBLISHED = {
    ("mtd", "patchcore"): (0.979, "Roth et al. 2022, WideResNet-50"),
    ("mtd", "differnet"): (0.977, "Rudolph et al. 2021"),
}
"""Image AUROC that the authors print. Their splits of MTD's good images differ from this one."""


def markdown(cases: dict[str, dict[str, Any]]) -> str:
    """Tables of all cases, each with what a reader must know."""
    return "\n".join(_case(name, found) for name, found in cases.items())


def _case(name: str, found: dict[str, Any]) -> str:
    data, routed = found["data"], found["own"]["routed"]
    lines = [
        f"### {name}: {data['train_normal']} training normals, {data['test_normal']} normal and {data['test_defect']} "
        "defective test images\n",
        "| " + " | ".join(HEAD) + " |",
        "|---" * len(HEAD) + "|",
        _row(_own_routed(found)),
    ]
    for model in ("full", "lowres"):
        if model in found["own"]:
            lines.append(_row(_own(model, found["own"][model])))
    lines += [_row(_peer(name, key, peer)) for key, peer in found["peers"].items()]
    others = [key for case, key in PUBLISHED if case == name and key not in found["peers"]]
    lines += [_row([_title(key), *["-"] * 9, _published(name, key)]) for key in others]
    return "\n".join(lines) + "\n\n" + _notes(found, routed) + "\n"


def _own_routed(found: dict[str, Any]) -> list[str]:
    own, times = found["own"]["routed"], found["own_time"]
    median = [time["normal"]["cpu"] for time in times]
    mean = [time["normal"]["cpu_mean"] for time in times]
    spread = f"{min(median):.2f} to {max(median):.2f} (mean {min(mean):.2f} to {max(mean):.2f})"
    size = times[0]["megabytes"]
    return [
        "**waferroute, routed**",
        "two distilled students",
        _interval(own["image_auroc"], found["routed_interval"]),
        _percent(own["fnr_at_fpr5"]),
        _number(own["pixel_auroc"]),
        f"{found['own_training_seconds']:.0f} s by the clock",
        "-",
        spread,
        f"{max(time['peak_megabytes'] for time in times):.0f} MB",
        f"{size:.1f} MB",
        "-",
    ]


def _own(name: str, own: dict[str, Any]) -> list[str]:
    accuracy = [_number(own["image_auroc"]), _percent(own["fnr_at_fpr5"]), _number(own["pixel_auroc"])]
    time = f"{own['latency_ms']['p50']:.2f} (in the run)"
    return [
        f"waferroute, {name} student",
        f"{own['params'] / 1e6:.2f} M numbers",
        *accuracy,
        "-",
        time,
        *["-"] * 4,
    ]


def _peer(case: str, key: str, found: dict[str, Any]) -> list[str]:
    if "failed" in found:
        return [_title(key), found["failed"], *["-"] * 8, _published(case, key)]
    fit, torch, onnx = found["fit"], found["torch"], found.get("onnx")
    training = "-" if fit["seconds"] is None else f"{fit['seconds']:.0f} s; {fit['how']}"
    memory = f"{torch['peak_megabytes']:.0f} MB" + (f" / {onnx['peak_megabytes']:.0f} MB" if onnx else "")
    return [
        fit["title"],
        fit["note"],
        _interval(found.get("image_auroc"), found.get("image_auroc_interval")),
        _percent(found.get("fnr_at_fpr5")),
        _number(found.get("pixel_auroc")),
        training,
        f"{torch['cpu']:.1f}",
        f"{onnx['cpu']:.1f}" if onnx else "not exported",
        memory,
        f"{fit['megabytes']:.0f} MB",
        _published(case, key),
    ]


def _notes(found: dict[str, Any], routed: dict[str, Any]) -> str:
    first = found["own_time"][0]
    lines = [
        "Times: median processor time of single images on one thread (on an idle core that is the clock's time), array "
        "in, score and map out. waferroute's are of the whole decision on normal test images "
        f"({first['escalated_normal']:.1%} of them escalated), before and after the peers; over all test images, of "
        f"which many are defective and escalated, the median is {first['all']['cpu']:.2f} ms. Training: processor time "
        "on one thread; of waferroute what the stages of the run took, all models together. Memory: peak of a "
        "process that judges single images (peers: PyTorch / ONNX Runtime). On disk: the weights; of waferroute the "
        "whole bundle.",
    ]
    for peer in found["peers"].values():
        if "routed_ahead_by" in peer:
            gap, low, high = peer["routed_ahead_by"]
            lines.append(
                f"waferroute's routed AUROC minus that of {peer['fit']['title']} on the same images: {gap:+.4f} "
                f"(95 % {low:+.4f} to {high:+.4f}, paired bootstrap)."
            )
        elif reason := peer.get("judge", {}).get("export"):
            lines.append(f"{peer['fit']['title']} could not be exported: {reason}")
    return "\n".join(f"- {line}" for line in lines) + "\n"


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _title(key: str) -> str:
    return {"patchcore": "PatchCore", "differnet": "DifferNet"}.get(key, key)


def _published(case: str, key: str) -> str:
    found = PUBLISHED.get((case, key))
    return f"{found[0]} ({found[1]})" if found else "-"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"


def _interval(value: float | None, interval: list[float] | tuple[float, float] | None) -> str:
    if value is None or interval is None:
        return "-"
    return f"{value:.3f} ({interval[0]:.3f} to {interval[1]:.3f})"
