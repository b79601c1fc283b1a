"""What routing costs in misses and saves in time, on the test images of finished runs.

    .venv/bin/python benchmarks/routing_tables.py runs/mtd runs/elpv

Reads report/predictions.json, report/report.json and router/certificate.json of each run; nothing is scored again and
nothing is written. "Always full" and "always low" are one student alone, thresholded so that it flags as many test
normals as the routed system does: at the same false-positive rate, misses can be compared. All three stand behind the
same quality gate, whose refusals are REVIEW whichever student would have come next; the last column but one is against
the full student alone, without a gate. Intervals: Clopper-Pearson
for shares, paired bootstrap over test images for differences. Prints Markdown.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import binomtest
from sklearn.metrics import roc_auc_score

from wafer_data.errors import InputError
from wafer_data.files import read_json

SEED = 0


@dataclass(frozen=True)
class Tested:
    """The test images of a run, each array (N,). `routed`, `low`, `full`: rankings, unjudged images on top.

    full_ungated: the full student's, of all images.
    """

    name: str
    labels: np.ndarray
    flagged: np.ndarray
    escalated: np.ndarray
    routed: np.ndarray
    low: np.ndarray
    full: np.ndarray
    full_ungated: np.ndarray
    target: float
    cost: float


def read_run(run_dir: Path) -> Tested:
    """What the report of `run_dir` says of every test image."""
    images = read_json(run_dir / "report" / "predictions.json")["images"]
    report = read_json(run_dir / "report" / "report.json")
    certificate = read_json(run_dir / "router" / "certificate.json")
    routing = report["routing"]

    def column(take: Any, kind: type = float) -> np.ndarray:
        return np.array([take(image) for image in images], dtype=kind)

    def ranking(image: dict[str, Any]) -> float:
        judged = image["route"] != "none" and image["routed_score"] is not None
        return float(image["routed_score"]) if judged else np.inf

    refused = column(lambda i: i["route"] == "none", bool)
    low, full = (column(lambda i, name=name: i["scores"][name]) for name in ("lowres", "full"))
    return Tested(
        report["data"]["name"],
        column(lambda i: i["label"], int),
        column(lambda i: i["decision"] != "PASS", bool),
        column(lambda i: i["route"] == "full", bool),
        column(ranking),
        np.where(refused, np.inf, low),
        np.where(refused, np.inf, full),
        full,
        certificate["escalation"]["target"],
        routing["mean_latency_ms"] / routing["always_full_latency_ms"],
    )


def missed_alone(scores: np.ndarray, labels: np.ndarray, alarms: int) -> int:
    """Defects that one student alone passes when it flags as many normals, `alarms`, as the routed system does."""
    threshold = np.sort(scores[labels == 0])[::-1][min(alarms, (labels == 0).sum() - 1)]
    return int((scores[labels == 1] <= threshold).sum())


def auroc(labels: np.ndarray, scores: np.ndarray) -> float:
    """As the report computes it; images that nobody judged rank first together."""
    top = scores[np.isfinite(scores)].max() + 1.0
    return float(roc_auc_score(labels, np.where(np.isfinite(scores), scores, top)))


def differences(run: Tested, drawn: np.ndarray) -> tuple[float, float, float, float]:
    """Extra misses and AUROC lost against always-full; misses of always-low and of always-full; on images `drawn`."""
    labels, flagged = run.labels[drawn], run.flagged[drawn]
    alarms = int(flagged[labels == 0].sum())
    routed = int((~flagged[labels == 1]).sum())
    low, full = (missed_alone(scores[drawn], labels, alarms) for scores in (run.low, run.full))
    lost = auroc(labels, run.full[drawn]) - auroc(labels, run.routed[drawn])
    return routed - full, lost, low, full


def row(run: Tested, draws: int) -> str:
    """One line of the table."""
    everything = np.arange(len(run.labels))
    normal, defect = run.labels == 0, run.labels == 1
    routed = int((~run.flagged[defect]).sum())
    extra, lost, low, full = differences(run, everything)
    rng = np.random.default_rng(SEED)
    groups = np.flatnonzero(normal), np.flatnonzero(defect)
    found = np.array(
        [differences(run, np.concatenate([rng.choice(g, len(g)) for g in groups]))[:2] for _ in range(draws)]
    )
    (extra_low, lost_low), (extra_high, lost_high) = np.quantile(found, [0.025, 0.975], axis=0)
    escalated = int(run.escalated[normal].sum())
    share = binomtest(escalated, int(normal.sum())).proportion_ci(0.95, "exact")
    held = "yes" if share.low <= run.target <= share.high else "NO"
    ungated = auroc(run.labels, run.full_ungated) - auroc(run.labels, run.routed)
    removed = f"{(low - routed) / (low - full):.0%}" if low > full else "full removes none"
    return (
        f"| {run.name} | {escalated} of {normal.sum()} = {escalated / normal.sum():.1%} "
        f"({share.low:.1%} to {share.high:.1%}; target {run.target:.1%} inside: {held}) "
        f"| {run.flagged[normal].mean():.1%} | {low} / {routed} / {full} of {defect.sum()} "
        f"| {extra:+.0f} = {extra / defect.sum():+.2%} ({extra_low / defect.sum():+.2%} to "
        f"{extra_high / defect.sum():+.2%}) | {lost:+.4f} ({lost_low:+.4f} to {lost_high:+.4f}) "
        f"| {removed} | {ungated:+.4f} | {run.cost:.2f} |"
    )


def main() -> None:
    """Read and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", type=Path, nargs="+", help="folders of finished runs")
    parser.add_argument("--draws", type=int, default=1000, help="bootstrap samples")
    args = parser.parse_args()
    print(
        "| run | unseen normals escalated (95 % interval) | normals flagged | defects missed: always low / routed / "
        "always full | more missed than always full (95 %) | AUROC lost against always full (95 %) | of the misses "
        "that full removes, removed | AUROC lost against full without the gate | mean time / always full |\n"
        + "|---" * 9
        + "|"
    )
    for run_dir in args.runs:
        try:
            run = read_run(run_dir)
        except InputError as error:
            parser.error(f"{run_dir} is not a finished run: {error}")
        print(row(run, args.draws), flush=True)


if __name__ == "__main__":
    main()
