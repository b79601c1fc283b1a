"""How much should each student say about an escalated image? Finished runs, recalibrated with other shares.

    .venv/bin/python experiments/both_scores.py RUN [RUN ...]

For shares of the full student's log-score of 1, 3/4, 1/2, 1/4 and 0, and `auto` where there are images enough: AUROC
and missed defects at 5 % false alarms of the route, what its thresholds miss, flag and escalate, and the same sum of
log-scores for all images, as if each were shown to both. Read from `router/calibration.json` and
`report/predictions.json`. The test images are looked at: a choice made here is made on them. Prints Markdown.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score

from eval.metrics.image import fnr_at_fpr
from router.calibrate import calibrate_policy
from router.config import RouterConfig
from router.policy import PASS, RoutingPolicy
from router.route_scores import RouteScores
from router.standardise import log_share
from wafer_data.errors import InputError
from wafer_data.files import read_json

SHARES = (1.0, 0.75, 0.5, 0.25, 0.0, "auto")
_ABOVE_ALL = 1e9


def rows_of(run: Path) -> list[str]:
    """Markdown rows of one run."""
    policy = RoutingPolicy.from_dict(read_json(run / "router" / "policy.json"))
    calibration = read_json(run / "router" / "calibration.json")
    images = read_json(run / "report" / "predictions.json")["images"]
    label = np.array([image["label"] for image in images])
    judged = np.array([image["route"] != "none" for image in images])
    low, full = (
        np.array([float(image["scores"].get(name) or 1.0) for image in images]) for name in ("lowres", "full")
    )
    scores = RouteScores(low, full, ~judged)
    return [
        row
        for share in SHARES
        if (row := _row(run.name, share, policy, calibration, scores, label)) is not None
    ]


def _row(
    name: str,
    share: Any,
    policy: RoutingPolicy,
    calibration: dict[str, Any],
    scores: RouteScores,
    label: np.ndarray,
) -> str | None:
    keys = ("lowres", "full", "synthetic_lowres", "synthetic_full")
    sample = [np.asarray(calibration[key]) for key in keys]
    try:
        chosen, _ = calibrate_policy(*sample[:2], policy.gate, RouterConfig(full_weight=share), *sample[2:])
    except InputError:  # too few images to choose with
        return None
    routed, taken = scores.under(chosen), log_share(chosen)
    ranks = np.minimum(routed.ranks, _ABOVE_ALL)
    everything = taken * np.log(scores.full) + (1 - taken) * np.log(scores.lowres)
    everything[scores.refused] = _ABOVE_ALL
    missed = (routed.decisions[label == 1] == PASS).mean()
    flagged, escalated = (routed.decisions[label == 0] != PASS).mean(), routed.escalated[label == 0].mean()
    route, both = (
        f"{roc_auc_score(label, one):.4f} / {fnr_at_fpr(label, one):.1%}" for one in (ranks, everything)
    )
    said = f"auto ({taken:.2f})" if share == "auto" else f"{share:g}"
    return f"| {name} | {said} | {route} | {missed:.1%} | {flagged:.1%} | {escalated:.1%} | {both} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", metavar="RUN", type=Path, nargs="+", help="finished run folder")
    print("| run | share of full | route | decided: missed | flagged | escalated | all images by both |")
    print("|---|---|---|---|---|---|---|")
    for run in parser.parse_args().runs:
        print("\n".join(rows_of(run)))


if __name__ == "__main__":
    main()
