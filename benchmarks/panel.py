"""Defaults over a panel of unlike surfaces, as one table: is the product far from good anywhere?

    .venv/bin/python benchmarks/panel.py OUT --case plates=DIR --case circuits=DIR --case elpv --case micrographs
    .venv/bin/python benchmarks/panel.py OUT --case tiles=DIR --case tiles~turned=DIR --teacher

Cases are those of `benchmarks/accuracy.py` (a folder in MVTec AD layout, `elpv`, `micrographs`). `NAME~VARIANT=DIR`
takes the folder changed by a rule of `experiments/variants.py`: `turned` and mirrored at random, windows `moved` at
random, `few` (60 training and calibration normals). Every case and seed is one `waferroute run` of a configuration in
`configs/`, untouched but for the data, the seed and the baselines (left out); with `--teacher` the run stops at the
teacher, which takes a minute or two instead of a quarter of an hour. Finished runs are not repeated.

Writes OUT/panel.json and OUT/panel.md: of each model the image AUROC, the missed defects at 5 % false alarms, pixel
AUROC and AUPRO, parameters and milliseconds; what the teacher asks, with which weights; and how many test normals the
route escalates. A change to the method is kept if no row loses more than its seeds differ. For the peers on the same
backbone: `benchmarks/peers.py`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from accuracy import ROOT, command

sys.path.append(str(ROOT / "experiments"))

from teachers_of_runs import figures
from variants import VARIANTS, write_variant

MODELS = ("teacher", "full", "lowres", "routed")
CHANGES = {
    "turned": "turned and mirrored at random",
    "moved": "window moved at random",
    "few": "60 training and calibration normals",
}
HEADER = (
    "| set | seed | model | AUROC | FNR at 5 % FPR | pixel AUROC | AUPRO | parameters | ms | escalated | asked |\n"
    + "|---" * 11
    + "|"
)


def prepared(case: str, out: Path) -> str:
    """The case as `benchmarks.accuracy` understands it; a variant's images are written first."""
    head, _, folder = case.partition("=")
    name, _, variant = head.partition("~")
    if not variant:
        return case
    if variant not in CHANGES:
        raise SystemExit(f"{case}: no variant {variant}; there are {', '.join(CHANGES)}")
    target = out / f"{name}-{variant}-images"
    if not target.exists():
        change, normals = VARIANTS[CHANGES[variant]]
        partial = target.with_suffix(".part")
        write_variant(Path(folder), partial, change, normals)
        partial.rename(target)
    return f"{name}-{variant}={target}"


def stages_to_teacher(arguments: list[str]) -> list[list[str]]:
    """The commands of a run that stops at its teacher, from those of a whole one."""
    return [[stage, *arguments[1:]] for stage in ("data", "adapt")]


def measure(case: str, out: Path, seed: int, teacher_only: bool) -> dict[str, Any]:
    """Run one case with one seed; its report and the record of the teacher's choice."""
    arguments = command(prepared(case, out), out, seed)
    for one in stages_to_teacher(arguments) if teacher_only else [arguments]:
        subprocess.run([sys.executable, "-m", "waferroute", *one], check=True, cwd=ROOT)
    run_dir = Path(next(a for a in arguments if a.startswith("run.dir=")).removeprefix("run.dir="))
    return {
        "case": case.partition("=")[0],
        "seed": seed,
        "report": {"models": {"teacher": figures(run_dir)}}
        if teacher_only
        else json.loads((run_dir / "report" / "report.json").read_text()),
        "questions": json.loads((run_dir / "teacher" / "questions.json").read_text()),
    }


def table(found: list[dict[str, Any]]) -> str:
    """All rows in Markdown."""
    rows = [HEADER]
    for entry in found:
        routing = entry["report"].get("routing") or {}
        asked = ", ".join(f"{name} {weight:.2f}" for name, weight in entry["questions"]["weights"].items())
        for model in MODELS:
            figures = entry["report"]["models"].get(model)
            if figures is None:
                continue
            escalated = _figure(routing.get("escalation_rate_normal"), "{:.1%}") if model == "routed" else ""
            latency = (figures.get("latency_ms") or {}).get("p50")
            cells = [
                entry["case"],
                str(entry["seed"]),
                model,
                _figure(figures["image_auroc"], "{:.4f}"),
                _figure(figures["fnr_at_fpr5"], "{:.1%}"),
                _figure(figures["pixel_auroc"], "{:.4f}"),
                _figure(figures["pixel_aupro"], "{:.4f}"),
                f"{figures['params'] / 1e6:.2f} M",
                _figure(latency, "{:.2f}"),
                escalated,
                asked if model == "teacher" else "",
            ]
            rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows) + "\n"


def _figure(value: float | None, form: str) -> str:
    return "-" if value is None else form.format(value)


def main() -> None:
    """Run all cases and write the table after each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path, help="folder for the runs and the table")
    parser.add_argument(
        "--case", action="append", required=True, help="see above; may be given several times"
    )
    parser.add_argument("--seeds", default="0", help="comma-separated")
    parser.add_argument("--teacher", action="store_true", help="stop at the teacher")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    found: list[dict[str, Any]] = []
    for seed in (int(seed) for seed in arguments.seeds.split(",")):
        for case in arguments.case:
            found.append(measure(case, arguments.out, seed, arguments.teacher))
            (arguments.out / "panel.json").write_text(json.dumps(found, indent=1))
            (arguments.out / "panel.md").write_text(table(found))
    print((arguments.out / "panel.md").read_text())


if __name__ == "__main__":
    main()
