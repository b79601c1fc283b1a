"""What a data set is like, before anything is trained: one self-contained page, its figures as JSON, pictures.

Nothing here is fitted, chosen or calibrated, so test images may be looked at; nothing here may set a threshold.
"""

from eval.explore.run import explore_data, require_replaceable

__all__ = ["explore_data", "require_replaceable"]
