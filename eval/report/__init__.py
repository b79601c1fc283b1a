"""A run's report: one self-contained HTML page, and beside it every figure that it shows."""

from eval.report.run import evaluate_run, remake_report

__all__ = ["evaluate_run", "remake_report"]
