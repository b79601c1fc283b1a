"""Several finished runs side by side, on the test images they share."""

from eval.compare.run import compare_runs

__all__ = ["compare_runs"]
