"""Which of a fixed path of thresholds may promise a miss rate: Learn-then-Test with MAPIE.

For each pair of thresholds the hypothesis "its miss rate exceeds max_fnr" is tested on labelled defects, in the
path's order, until one test fails (fixed-sequence testing). All pairs before it keep the promise together with the
asked confidence, so the cheapest of them may be taken although the same defects helped to choose it (Angelopoulos,
Bates, Candès, Jordan & Lei, "Learn then Test", 2021, section 2). The path has one dimension although there are two
thresholds, so no defect is spent on learning an order, as split fixed-sequence testing would.
"""

from __future__ import annotations

import numpy as np

from router.config import RouterCosts
from router.thresholds import ThresholdPath


def certified_steps(misses: np.ndarray, defects: int, max_fnr: float, confidence: float) -> int:
    """How many steps, from the first on, have a miss rate of at most `max_fnr`, all at once at `confidence`.

    Args:
        misses: (S,) int, missed of the same `defects` > 0 at each step, in an order that no defect decided.
    """
    # MAPIE is needed for this alone, and importing it takes seconds.
    from mapie.risk_control import control_fwer
    from mapie.risk_control.methods import compute_hoeffding_bentkus_p_value

    # Just below each share: it is multiplied by the number again and rounded up. For a yes-or-no loss the smaller of
    # both p-values is the binomial one, so the first step's test is Clopper and Pearson's.
    shares = np.maximum(np.asarray(misses) - 1e-6, 0) / defects
    p_values = compute_hoeffding_bentkus_p_value(shares, int(defects), max_fnr, binary=True)[:, 0]
    return len(control_fwer(p_values, 1 - confidence, fwer_method="fixed_sequence"))


def cheapest_step(
    path: ThresholdPath, certified: int, misses: np.ndarray, defects: int, normals: int, costs: RouterCosts
) -> int:
    """The step to use among the first `certified` >= 1 of `path`.

    Escalation comes first: as near its target as is certified. Of the steps with that escalation, those that miss
    equally many defects cannot be distinguished by this sample, and the safest stands for them. Among these the
    expected cost of an image decides, escapes against reviews of normal images.
    """
    orders = path.escalation_order[:certified]
    steps = np.flatnonzero(orders == orders.min())
    distinct = steps[np.unique(misses[steps], return_index=True)[1]]
    escapes = costs.defect_share * costs.escape_usd * misses[distinct] / defects
    reviewed_defects = costs.defect_share * costs.review_usd * (1 - misses[distinct] / defects)
    reviews = (1 - costs.defect_share) * costs.review_usd * path.flag_order[distinct] / (normals + 1)
    return int(distinct[np.argmin(escapes + reviewed_defects + reviews)])


def cheapest_reject_order(normals: int, rejected_defects: np.ndarray, costs: RouterCosts) -> int:
    """How many of normals + 1 to reject without a person, 0 to R, at the lowest expected cost of an image.

    Args:
        rejected_defects: (R + 1,), share of labelled defects that each order rejects, 0 first. A rejected
            image spares a review; a normal one among them costs a false reject.
    """
    normal_share = (1 - costs.defect_share) * np.arange(rejected_defects.size) / (normals + 1)
    saved = costs.review_usd * (costs.defect_share * rejected_defects + normal_share)
    return int(np.argmin(costs.false_reject_usd * normal_share - saved))
