"""Leave-one-type-out and time-to-detection tables over several finished runs, as Markdown.

    .venv/bin/python benchmarks/novelty.py RUN [RUN ...] [--rate 0.0001] [--images-per-month 2400000]

Each RUN is a finished run of the same data set, one for each seed. Nothing is trained: students' likelihoods and defect
heads are fitted again, thresholds calibrated again (`eval.novelty`). A rate in a table is the mean over the runs. The
results of each run go to a temporary folder and are not kept; `waferroute novelty RUN` keeps them.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from eval.novelty import NoveltySettings, assess_novelty
from waferroute.config import load_config


def assessed(run: Path, settings: NoveltySettings) -> dict[str, Any]:
    """The content of novelty.json of one run."""
    config = load_config(run / "config.yaml")
    with tempfile.TemporaryDirectory() as folder:
        return assess_novelty(run, Path(folder) / "out", settings, config.router, config.eval)


def left_out_table(results: list[dict[str, Any]]) -> list[str]:
    """A line a type: AUROC, FNR at 5 % FPR and share found, without and with labels of the other types."""
    lines = [
        "| left-out type | AUROC without | with | FNR at 5 % FPR without | with | found without | with |",
        "|---|---|---|---|---|---|---|",
    ]
    kinds = ("without", "labelled")
    for place, one in enumerate(results[0]["held_out"]["without"]):
        cells = []
        for key in ("auroc", "fnr_at_fpr5", "detection_rate"):
            for kind in kinds:
                values = [r["held_out"][kind][place][key] for r in results if r["held_out"][kind]]
                mean = float(np.mean(values)) if values else None
                cells.append("-" if mean is None else f"{mean:.4f}" if key == "auroc" else f"{mean:.1%}")
        lines.append(f"| {one['type']} | {' | '.join(cells)} |")
    return lines


def delay_table(results: list[dict[str, Any]]) -> list[str]:
    """A line a type: hours until it is noticed, means over the runs in which it is."""
    lines = [
        "| new type like | first flagged, median | 95 % | tenth flagged, median | monitor, median |",
        "|---|---|---|---|---|",
    ]
    chosen = [r["times"]["labelled"] or r["times"]["without"] for r in results]
    for place, one in enumerate(chosen[0]):
        columns = (
            ("first", "median_hours"),
            ("first", "p95_hours"),
            ("tenth", "median_hours"),
            ("alarm", "median_hours"),
        )
        cells = []
        for kind, key in columns:
            values = [times[place][kind][key] for times in chosen]
            known = [value for value in values if value is not None]
            cells.append(
                f"{np.mean(known):.1f} h ({len(known)} of {len(values)} runs)" if known else "not noticed"
            )
        lines.append(f"| {one['type']} | {' | '.join(cells)} |")
    return lines


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument(
        "--per-type", type=int, default=40, help="labelled defects a type, at most half of it"
    )
    parser.add_argument("--rate", type=float, default=1e-4, help="share of images that show the new type")
    parser.add_argument("--images-per-month", type=float, default=2.4e6, help="of 30 days")
    arguments = parser.parse_args()
    results = []
    for seed, run in enumerate(arguments.runs):
        settings = NoveltySettings(
            per_type=arguments.per_type,
            rate=arguments.rate,
            images_per_month=arguments.images_per_month,
            seed=seed,
        )
        results.append(assessed(run, settings))
    rates = [result["times"]["flag_rate"] for result in results]
    print(
        f"{len(results)} runs of {results[0]['data']}; normal images flagged without labels: {np.mean(rates):.1%}\n"
    )
    print("\n".join(left_out_table(results)))
    print(f"\nOne image in {1 / arguments.rate:.0f}, {arguments.images_per_month:.0f} images a month:\n")
    print("\n".join(delay_table(results)))


if __name__ == "__main__":
    main()
