"""A defect type that nobody has labelled: how well it is found, and after how many images and hours it is noticed.

Measured by leaving out one known type at a time (`leave_one_out`); simulated from those rates (`delay`, `monitor`).
"""

from eval.novelty.run import assess_novelty, require_replaceable
from eval.novelty.settings import NoveltySettings

__all__ = ["NoveltySettings", "assess_novelty", "require_replaceable"]
