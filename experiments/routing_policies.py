"""Which rule should decide what goes on to the full student? Compared on finished runs, at equal escalation.

    .venv/bin/python experiments/routing_policies.py runs/mtd runs/elpv

Five rules, each with one number per image that says who is escalated first:

- threshold: the low-resolution score. Not escalated: PASS. (What `router.policy` does.)
- learned, disagreement: P(the full student decides differently than the low-resolution one), a logistic regression on
  the score, mean, spread and peak of the map, KL, distance to the nearest calibration latent, and the quality
  figures. Not escalated: the low-resolution student decides alone, PASS or REVIEW.
- learned, flag: P(the full student flags the image), the same regression. Not escalated: PASS.
- two-sided band: escalated inside a band of the low-resolution score; PASS below it, REVIEW above it (the
  highest-scoring 1 % of normals).
- bound: who the full student would score highest. No tool can do this, the full student would have to run first; no
  rule that escalates as many normals lets the full student flag more.

The regressions are fitted on calibration normals and on SYNTHETIC anomalies painted into them, in 5 folds by image; an
unseen image gets the mean of the folds' log odds. Nothing is fitted on test images. Thresholds, though, are set on the
test normals, so that every rule escalates and flags exactly the same shares of them and the difference is the rule's
alone. The interval is a paired bootstrap over test images of the extra misses, thresholds set anew each time.
Prints Markdown.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from routing_scores import CLUES, RunScores, score_run
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

FOLDS, SEED = 5, 0
BAND_TOP = 0.01


@dataclass(frozen=True)
class Rule:
    """How images are routed. `first`: (N,) who is escalated first; `kept_flags`: what happens to those that are not.

    With `kept_flags` an image that is not escalated is flagged by its low-resolution score.
    """

    name: str
    first: np.ndarray
    kept_flags: bool


def learned(scores: RunScores, flag_rate: float, disagreement: bool) -> np.ndarray:
    """Log odds (N,) on the test images that the full student flags, or with `disagreement` decides differently."""
    parts = scores.calibration, scores.synthetic
    count = len(scores.calibration.lowres)
    cuts = [
        np.quantile(values, 1 - flag_rate) for values in (scores.calibration.lowres, scores.calibration.full)
    ]
    low, full = (np.concatenate([getattr(part, name) for part in parts]) for name in ("lowres", "full"))
    target = (full > cuts[1]) ^ (low > cuts[0]) if disagreement else full > cuts[1]
    clues = np.concatenate([part.clues for part in parts])
    fold = np.tile(np.random.default_rng(SEED).permutation(count) % FOLDS, 2)
    odds = []
    for held in range(FOLDS):
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2000))
        model.fit(clues[fold != held], target[fold != held])
        odds.append(model.decision_function(scores.test.clues))
    return np.mean(odds, 0)


def rules(scores: RunScores, flag_rate: float) -> list[Rule]:
    """The rules that are compared."""
    low = np.log(scores.test.lowres)
    top = np.quantile(low[scores.test.labels == 0], 1 - BAND_TOP)
    return [
        Rule("threshold on the score", low, False),
        Rule("learned, full decides differently", learned(scores, flag_rate, True), True),
        Rule("learned, full flags", learned(scores, flag_rate, False), False),
        Rule("two-sided band", np.where(low > top, -np.inf, low), True),
        Rule("bound: the full student's own score", scores.test.full, False),
    ]


def route(
    rule: Rule, low: np.ndarray, full: np.ndarray, labels: np.ndarray, escalation: float, flag_rate: float
) -> tuple[np.ndarray, np.ndarray]:
    """Who is flagged and a ranking of all images, both (N,), at these shares of the normal ones among them.

    Both students' scores become ranks among the normals, the low-resolution one's where it decides alone.
    """
    normal = labels == 0
    escalated = rule.first > _cut(rule.first[normal], escalation)
    rank = np.where(
        escalated, _ranks(full, full[normal]), _ranks(low, low[normal]) if rule.kept_flags else -np.inf
    )
    flagged = rank > _cut(rank[normal], flag_rate)
    # For the ROC curve an image that was passed without a second look ranks by its first one, below all others.
    lowest = -2.0 + _ranks(low, low[normal]) / (1 + np.abs(_ranks(low, low[normal])))
    return flagged, np.where(np.isneginf(rank), lowest - 1e6, rank)


def _cut(values: np.ndarray, share: float) -> float:
    """The largest value that is exceeded by at most `share` of `values`."""
    return float(np.sort(values)[::-1][int(share * len(values))])


def _ranks(values: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """Robust z of log scores; the two students' tails are then comparable."""
    logs = np.log(normals)
    centre = np.median(logs)
    return (np.log(values) - centre) / np.median(np.abs(logs - centre))


def extra_misses(
    one: Rule, other: Rule, scores: RunScores, escalation: float, flag_rate: float, draws: int
) -> tuple[float, float]:
    """95 % paired bootstrap interval of the misses of `one` less those of `other`, of all test defects."""
    test, rng = scores.test, np.random.default_rng(SEED)
    groups = [np.flatnonzero(test.labels == label) for label in (0, 1)]
    found = []
    for _ in range(draws):
        drawn = np.concatenate([rng.choice(group, len(group)) for group in groups])
        labels = test.labels[drawn]
        missed = []
        for rule in (one, other):
            part = Rule(rule.name, rule.first[drawn], rule.kept_flags)
            flagged, _ = route(part, test.lowres[drawn], test.full[drawn], labels, escalation, flag_rate)
            missed.append((~flagged[labels == 1]).sum())
        found.append(missed[0] - missed[1])
    low, high = np.quantile(found, [0.025, 0.975])
    return float(low), float(high)


def table(scores: RunScores, escalation: float, flag_rate: float, draws: int) -> str:
    """Markdown rows for one run."""
    test = scores.test
    defect = test.labels == 1
    compared = rules(scores, flag_rate)

    def row(name: str, flagged: np.ndarray, ranking: np.ndarray, looked: np.ndarray, extra: str) -> str:
        auroc = roc_auc_score(test.labels, ranking)
        return (
            f"| {scores.name} | {name} | {looked[~defect].mean():.1%} | {looked[defect].mean():.1%} | "
            f"{flagged[~defect].mean():.1%} | {(~flagged[defect]).sum()} of {defect.sum()} | {extra} | {auroc:.4f} |"
        )

    everyone = np.ones(len(test.labels), dtype=bool)
    lines = []
    for name, values, looked in (
        ("always low", test.lowres, ~everyone),
        ("always full", test.full, everyone),
    ):
        lines.append(row(name, values > _cut(values[~defect], flag_rate), values, looked, "-"))
    for rule in compared:
        flagged, ranking = route(rule, test.lowres, test.full, test.labels, escalation, flag_rate)
        looked = rule.first > _cut(rule.first[~defect], escalation)
        extra = "-"
        if rule is not compared[0]:
            low, high = extra_misses(rule, compared[0], scores, escalation, flag_rate, draws)
            extra = f"{low:+.0f} to {high:+.0f}"
        lines.append(row(rule.name, flagged, ranking, looked, extra))
    return "\n".join(lines)


def main() -> None:
    """Compare and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", type=Path, nargs="+", help="folders of finished runs")
    parser.add_argument("--escalation", type=float, default=0.065, help="share of normals that is escalated")
    parser.add_argument("--flag-rate", type=float, default=0.05, help="share of normals that is flagged")
    parser.add_argument("--draws", type=int, default=500, help="bootstrap samples")
    args = parser.parse_args()
    torch.set_num_threads(1)
    print(f"Clues of the learned rules: {', '.join(CLUES)}.\n")
    print(
        "| run | rule | normals escalated | defects escalated | normals flagged | defects missed "
        "| more than the threshold, 95 % interval | AUROC |\n|---|---|---|---|---|---|---|---|"
    )
    for run_dir in args.runs:
        print(table(score_run(run_dir), args.escalation, args.flag_rate, args.draws), flush=True)


if __name__ == "__main__":
    main()
