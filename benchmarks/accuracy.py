"""Accuracy of whole runs over several seeds, as a table: mean and spread.

    .venv/bin/python benchmarks/accuracy.py OUT --case mtd=DIR --case elpv --case micrographs --seeds 0,1,2

Every case and seed is one `waferroute run` (of the configurations in `configs/`, untouched but for the data, the
seed and the baselines, which are left out); finished runs are not repeated. `mtd=DIR` takes any folder in MVTec AD
layout, `elpv` needs the package of that name, `micrographs` makes a synthetic set of the case study's size (1 000
normal images, 5 known and 2 novel defect types) under OUT. A case may end in `+N`: N labelled defects of each type move
from the test to training (`mtd+40=DIR`, `elpv+100`).

Writes OUT/accuracy.json and OUT/accuracy.md.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
MODELS = ("teacher", "intermediate", "target", "full", "lowres", "routed")
FIGURES = ("image_auroc", "image_auprc", "fnr_at_fpr5", "pixel_auroc", "pixel_aupro")


def command(case: str, out: Path, seed: int) -> list[str]:
    """The run of one case and seed, as `waferroute` arguments."""
    head, _, folder = case.partition("=")
    name, _, labels = head.partition("+")
    run_dir = out / f"{head}-{seed}"
    arguments = [f"run.dir={run_dir}", f"run.seed={seed}", "eval.baselines=[]", "distill.wandb=disabled"]
    if labels:
        arguments.append(f"data.labelled_defects_per_type={labels}")
        arguments.append("data.calibration_defect_fraction=0")  # all of them teach
    if name == "elpv":
        return ["run", str(ROOT / "configs" / "quickstart.yaml"), *arguments]
    if name == "micrographs":
        folder = str(out / "micrographs")
        if not Path(folder).exists():
            subprocess.run([sys.executable, "-m", "waferroute", "micrographs", folder], check=True)
    return ["run", str(ROOT / "configs" / "mvtec.yaml"), f"data.root={folder}", *arguments]


def run(case: str, out: Path, seed: int) -> dict[str, Any]:
    """Run one case and seed; its report and the seconds that this call took."""
    arguments = command(case, out, seed)
    started = time.monotonic()
    subprocess.run([sys.executable, "-m", "waferroute", *arguments], check=True)
    run_dir = next(a for a in arguments if a.startswith("run.dir=")).removeprefix("run.dir=")
    report = json.loads((Path(run_dir) / "report" / "report.json").read_text())
    return {"seconds": time.monotonic() - started, "report": report}


def table(case: str, reports: Sequence[dict[str, Any]]) -> str:
    """A Markdown table of one case: mean over the seeds, and half the distance from the lowest to the highest."""
    counts = reports[0]["data"]
    rows = [
        f"### {case.partition('=')[0]} ({len(reports)} seeds; {counts['train_normal']} training and "
        f"{counts['calibration_normal']} calibration normals, {counts['test_normal']} normal and "
        f"{counts['test_defect']} defective test images, {counts['labelled_defects']} labelled defects)\n",
        "| model | parameters | " + " | ".join(FIGURES) + " |",
        "|---" * (len(FIGURES) + 2) + "|",
    ]
    for model in MODELS:
        found = [report["models"][model] for report in reports if model in report["models"]]
        if found:
            cells = [spread([entry[figure] for entry in found], figure) for figure in FIGURES]
            rows.append(f"| {model} | {found[0]['params'] / 1e6:.3f} M | " + " | ".join(cells) + " |")
    rates = [report["routing"]["escalation_rate_normal"] for report in reports if report.get("routing")]
    if rates:
        rows.append(f"\nEscalated test normals: {spread(rates, 'fnr')}.")
    return "\n".join(rows) + "\n"


def spread(values: Sequence[float | None], figure: str) -> str:
    """Mean and half range of one figure, in per cent for error rates."""
    if any(value is None for value in values):
        return "-"
    numbers = np.array(values, float)
    mean, half = numbers.mean(), np.ptp(numbers) / 2
    return f"{100 * mean:.1f} ± {100 * half:.1f} %" if "fnr" in figure else f"{mean:.4f} ± {half:.4f}"


def main() -> None:
    """Run all cases and write the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path, help="folder for the runs and the tables")
    parser.add_argument(
        "--case", action="append", required=True, help="see above; may be given several times"
    )
    parser.add_argument("--seeds", default="0,1,2", help="comma-separated")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    seeds = [int(seed) for seed in arguments.seeds.split(",")]
    found: dict[str, list[dict[str, Any]]] = {case: [] for case in arguments.case}
    for seed in seeds:  # all cases once before any is repeated
        for case in arguments.case:
            found[case].append(run(case, arguments.out, seed))
            content = {key.partition("=")[0]: entries for key, entries in found.items()}
            (arguments.out / "accuracy.json").write_text(json.dumps(content, indent=1))
            done = [table(key, [e["report"] for e in entries]) for key, entries in found.items() if entries]
            (arguments.out / "accuracy.md").write_text("\n".join(done))
    print((arguments.out / "accuracy.md").read_text())


if __name__ == "__main__":
    main()
