"""The baselines' own curves, from `baselines.json`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from eval.pages.svg import canvas, to_svg
from eval.pages.theme import STAND_INS
from eval.report.plots import in_percent


@dataclass(frozen=True)
class SweepRow:
    """PCA with `components` components and what came of it."""

    components: int
    image_auroc: float | None


def sweep_rows(baselines: Mapping[str, Any] | None) -> list[SweepRow]:
    """One row a number of components, rising; empty where PCA was not run with several."""
    return [SweepRow(components, entry.get("image_auroc")) for components, entry in _sweep(baselines).items()]


def sweep_plot(baselines: Mapping[str, Any] | None) -> str | None:
    """ROC curves of PCA at each number of components; None where there are none."""
    curves = {
        k: entry["roc"] for k, entry in _sweep(baselines).items() if isinstance(entry.get("roc"), Mapping)
    }
    if not curves:
        return None
    dashes: list[Any] = [(None, None), (6, 1.5), (3, 1.5), (1, 1.2), (6, 1.5, 1, 1.5), (2, 2)]
    with canvas("pca-sweep") as (figure, axes):
        for number, (components, curve) in enumerate(curves.items()):
            axes.plot(
                np.asarray(curve["fpr"], dtype=float),
                np.asarray(curve["tpr"], dtype=float),
                color=STAND_INS["ink"] if number == 0 else STAND_INS["m-pca"],
                linewidth=1.6,
                dashes=dashes[number % len(dashes)],
                drawstyle="steps-post",
                label=f"k = {components}",
            )
        axes.plot([0, 1], [0, 1], color=STAND_INS["muted"], linewidth=0.8)
        axes.axvline(0.05, color=STAND_INS["muted"], linewidth=1, linestyle=":")
        axes.set(xlim=(0, 1), ylim=(0, 1.01))
        axes.set(xlabel="false alarms (share of normal images)", ylabel="defects found")
        axes.legend(frameon=False, fontsize=10, loc="lower right")
        in_percent(axes)
        return to_svg(figure, "ROC curves of PCA")


def _sweep(baselines: Mapping[str, Any] | None) -> dict[int, Mapping[str, Any]]:
    entries = (baselines or {}).get("pca")
    if not isinstance(entries, Mapping):
        return {}
    found = {int(k): entry for k, entry in entries.items() if str(k).isdigit() and isinstance(entry, Mapping)}
    return dict(sorted(found.items()))
