"""Hours and USD of a fab's volumes, from measured rates and stated prices.

    .venv/bin/python benchmarks/fab_cost.py

Every rate and price is an option, so that a fab can put in its own; the defaults are those of docs/scale.md, which says
where each comes from. Prints a table in Markdown.
"""

from __future__ import annotations

import argparse

RATES = {
    "images": (500_000, "normal images to train on"),
    "inspected": (2_400_000, "images inspected a month"),
    "epochs": (50, "epochs of the four students together over the pool"),
    "pool": (2, "images of the pool for each normal image"),
    "inspect-per-core": (787, "images a second and core, from PNG file to decision"),
    "teacher-per-core": (38, "images a second and core, EfficientNet-Lite0 features and likelihood"),
    "student-per-core": (16, "training images a second and core, full student"),
    "teacher-gflop": (162, "billion operations a forward pass of ViT-L/16 at 256 pixels"),
    "teacher-utilisation": (0.25, "ASSUMED share of the bf16 peak"),
    "student-per-gpu": (5000, "ASSUMED training images a second and GPU"),
    "pretrain-passes": (3, "epochs of continued pretraining over the normal images"),
    "pretrain-per-gpu": (200, "ASSUMED images a second and GPU, continued pretraining of ViT-L"),
    "pretrain-per-core": (4, "images a second and core, continued pretraining of EfficientNet-Lite0"),
    "t4-student": (1000, "ASSUMED images a second and T4, both students"),
    "t4-usd": (0.35, "ASSUMED USD an hour and T4"),
    "t4s": (2, "T4 of the case study's line"),
    "gpu-peak": (312, "TFLOP/s of one A100, bf16 dense"),
    "gpus": (4, "GPUs"),
    "cores": (64, "cores of a server without GPU"),
    "gpu-usd": (3.0, "ASSUMED USD an hour and A100"),
    "server-usd": (2.5, "ASSUMED USD an hour of the server"),
    "tools": (200, "tool computers"),
    "case-study-usd": (1950, "USD a month, as the case study states"),
}


def main() -> None:
    """Compute, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, (value, about) in RATES.items():
        parser.add_argument(
            f"--{name}", type=float, default=float(value), help=f"{about} (default: {value:g})"
        )
    a = parser.parse_args()
    pool = a.images * a.pool
    teacher_gpu = pool * a.teacher_gflop / (1000 * a.gpu_peak * a.teacher_utilisation * a.gpus) / 3600
    student_gpu = pool * a.epochs / (a.student_per_gpu * a.gpus) / 3600
    teacher_server = pool / (a.teacher_per_core * a.cores) / 3600
    student_server = pool * a.epochs / (a.student_per_core * a.cores) / 3600
    core_hours = a.inspected / a.inspect_per_core / 3600
    trained = a.images * a.pretrain_passes
    pretrain_gpu = trained / (a.pretrain_per_gpu * a.gpus) / 3600
    pretrain_server = trained / (a.pretrain_per_core * a.cores) / 3600
    t4_hours = a.inspected / (a.t4_student * a.t4s) / 3600
    rows = [
        (f"pretraining, {a.gpus:g} A100, ViT-L", pretrain_gpu, pretrain_gpu * a.gpus * a.gpu_usd),
        (
            f"pretraining, {a.cores:g} cores, EfficientNet-Lite0",
            pretrain_server,
            pretrain_server * a.server_usd,
        ),
        (f"teacher features, {a.gpus:g} A100, ViT-L", teacher_gpu, teacher_gpu * a.gpus * a.gpu_usd),
        (f"students, {a.gpus:g} A100", student_gpu, student_gpu * a.gpus * a.gpu_usd),
        (
            f"teacher features, {a.cores:g} cores, EfficientNet-Lite0",
            teacher_server,
            teacher_server * a.server_usd,
        ),
        (f"students, {a.cores:g} cores", student_server, student_server * a.server_usd),
        ("a month's inspection, one core", core_hours, core_hours * a.server_usd / a.cores),
        (f"the same on {a.t4s:g} T4", t4_hours, t4_hours * a.t4s * a.t4_usd),
        (f"the same on each of {a.tools:g} tools", core_hours / a.tools, 0.0),
    ]
    print("| work | hours | USD |\n|---|---|---|")
    for name, hours, usd in rows:
        print(f"| {name} | {hours:.3g} | {usd:.3g} |")
    print(f"| the case study, a month | - | {a.case_study_usd:g} |")


if __name__ == "__main__":
    main()
