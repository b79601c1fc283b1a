"""The ways to adapt the teacher, on the data of finished runs: closed form, LoRA, a bottleneck decoder, or both.

    .venv/bin/python experiments/adaptations.py OUT RUN ... [--only NAME ...]

The decoder is the non-linear conditional mean (`teacher.gradient.decoder`); without one the mean is linear in the
latent. Each RUN is a finished run (`waferroute run`) whose images and split are used; the teacher is fitted anew under
OUT, with the defaults but for the method, and measured on the test images. Rows that are under OUT already are not
repeated. One to fifteen minutes a row.
"""

from __future__ import annotations

import argparse
import shutil
import time
from pathlib import Path

from eval.config import EvalConfig
from eval.report import evaluate_run
from teacher.config import TeacherConfig
from teacher.fit import fit_teacher
from teacher.gradient.config import DecoderConfig, GradientConfig
from wafer_data.allocator import keep_freed_memory
from wafer_data.errors import InputError
from wafer_data.files import read_json, write_json
from wafer_data.store import ImageStore

WAYS = {
    "closed form": GradientConfig(),
    "LoRA": GradientConfig(method="lora"),
    "decoder, 4 x 4 bottleneck": GradientConfig(method="decoder"),
    "decoder, 8 x 8 bottleneck": GradientConfig(method="decoder", decoder=DecoderConfig(bottleneck_grid=8)),
    "LoRA and decoder": GradientConfig(method="lora+decoder"),
}


def measure(run: Path, gradient: GradientConfig, out: Path) -> dict[str, float | None]:
    """Fit the teacher on the run's images under `out` and measure it on the run's test images."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    (out / "data").symlink_to((run / "data").resolve())
    started = time.monotonic()
    fit_teacher(TeacherConfig(gradient=gradient), ImageStore.open(run / "data"), out / "teacher")
    seconds = time.monotonic() - started
    report = evaluate_run(out, EvalConfig(baselines=[], bootstrap=100, latency_runs=10))
    figures = report["models"]["teacher"]
    return {
        "auroc": figures["image_auroc"],
        "fnr": figures["fnr_at_fpr5"],
        "pixel_auroc": figures["pixel_auroc"],
        "seconds": seconds,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN")
    parser.add_argument("--only", nargs="+", choices=list(WAYS), default=list(WAYS), metavar="NAME")
    args = parser.parse_args()
    keep_freed_memory()
    print("| run | adaptation | AUROC | FNR | pixel AUROC | seconds |\n|---|---|---|---|---|---|")
    for name in args.only:
        for run in args.runs:
            folder = args.out / f"{run.name}-{name.replace(' ', '-').replace(',', '')}"
            done = folder / "figures.json"
            if not done.is_file():
                try:
                    write_json(done, measure(run, WAYS[name], folder))
                except InputError as error:
                    parser.error(str(error))
            row = read_json(done)
            pixel = "-" if row["pixel_auroc"] is None else f"{row['pixel_auroc']:.3f}"
            print(
                f"| {run.name} | {name} | {row['auroc']:.4f} | {row['fnr']:.1%} | {pixel} | {row['seconds']:.0f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
