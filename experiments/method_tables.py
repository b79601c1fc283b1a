"""Markdown tables of `experiments/method_experiments.py`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

DETECTORS = {
    "pixels_error": "pixels, squared error of the student's reconstruction",
    "pixels_likelihood": "pixels (8 x 8 blocks), the same conditional Gaussian",
    "features_error": "features, plain size of what the latent does not explain",
    "features_likelihood": "features, likelihood (the full student)",
}


def markdown(found: dict[str, Any]) -> str:
    """All tables that there are figures for."""
    parts = [_vae(found["vae"])] if "vae" in found else []
    parts += [_run(name, figures) for name, figures in found.get("runs", {}).items()]
    return "\n".join(parts)


def _vae(found: dict[str, Any]) -> str:
    seeds = len(next(iter(found["variants"].values()))["seeds"])
    lines = [
        f"### Pixel VAE on {found['data']}, {found['train']} training normals at 64 px, {seeds} seeds\n",
        "| trained with | reconstruction, nats above the floor | KL, nats | latents in use | mean sigma "
        "| spread of all z | drawn from the prior: distance to nearest image | AUROC of pixel error |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for variant in found["variants"].values():
        rows = variant["seeds"]
        cells = [
            _mean(rows, "excess_nats", 1),
            _mean(rows, "kl", 1),
            _mean(rows, "active", 1),
            _mean(rows, "sigma", 3),
            _mean(rows, "aggregate", 2),
            _mean(rows, "samples_nearest", 4),
            _mean(rows, "image_auroc", 3),
        ]
        lines.append(f"| {variant['title']} | " + " | ".join(cells) + " |")
    gradients = found["gradients"]
    lines += [
        f"\nReal test normals: nearest training image {found['real_nearest']:.4f}.",
        f"\nNoise of one draw's gradient, in units of the gradient: through z {gradients['pathwise']:.2f}, score "
        f"function {gradients['score']:.0f}, with a baseline {gradients['score_centred']:.1f} "
        f"({gradients['draws']} draws; cosine of the averages {gradients['agreement']:.2f}).\n",
    ]
    return "\n".join(lines)


def _run(name: str, found: dict[str, Any]) -> str:
    lines = [
        f"### {name}\n",
        "| compared | AUROC | FNR at 5 % FPR | pixel AUROC | follows texture |",
        "|---|---|---|---|---|",
    ]
    detectors = found["detectors"]
    for key, title in DETECTORS.items():
        lines.append(_detector(title, [detectors[key]]))
    trunks = [figures for key, figures in detectors.items() if key.startswith("random_trunk")]
    lines.append(_detector("features of a student with random weights (3 seeds), likelihood", trunks))
    lines += [
        "\n| model | numbers | AUROC | FNR at 5 % FPR | ms an image |",
        "|---|---|---|---|---|",
    ]
    for model, figures in found["report"].items():
        cells = [
            f"{figures['params'] / 1e6:.2f} M",
            f"{figures['image_auroc']:.3f}",
            _percent(figures["fnr_at_fpr5"]),
        ]
        lines.append(f"| {model} | " + " | ".join(cells) + f" | {figures['latency_ms']['p50']:.2f} |")
    lines += ["\n| normals escalated | FNR at 5 % FPR | ms an image |", "|---|---|---|"]
    for point in sorted(found["routing"], key=lambda point: point["escalated_normals"]):
        cells = [_percent(point[key]) for key in ("escalated_normals", "fnr_at_fpr5")]
        lines.append("| " + " | ".join(cells) + f" | {point['milliseconds']:.2f} |")
    return "\n".join(lines) + "\n"


def _detector(title: str, rows: Sequence[dict[str, Any]]) -> str:
    cells = [_mean(rows, "image_auroc", 3), _percent(float(np.mean([row["fnr_at_fpr5"] for row in rows])))]
    for key, digits in (("pixel_auroc", 3), ("follows_texture", 2)):
        cells.append("-" if rows[0][key] is None else _mean(rows, key, digits))
    return f"| {title} | " + " | ".join(cells) + " |"


def _mean(rows: Sequence[dict[str, Any]], key: str, digits: int) -> str:
    return f"{np.mean([row[key] for row in rows]):.{digits}f}"


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"
