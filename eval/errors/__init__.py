"""Every missed defect and false alarm of a run at its calibrated operating point, grouped by what was measured on it.

Nothing is fitted or chosen here: thresholds are those of the run. What a changed setting would do is computed by
calibrating again on the calibration images, and shown as a proposal to be checked on images that nobody has seen.
"""

from eval.errors.run import analyse_errors, require_replaceable

__all__ = ["analyse_errors", "require_replaceable"]
