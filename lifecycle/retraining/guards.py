"""The guards that keep defects out of the normal images, and shares that keep one lot or tool from filling them.

A model that learns from what it passed itself learns its own misses as normal. So an image is normal only if

1. the model and the site's rules answered PASS, each time that these bytes were inspected. An image that was REVIEW or
   REJECT stays out even where people overturned that: it shows what the model in use does not know, and one mistaken
   click on it would teach a defect as normal.
2. nobody ever called it defective or was unsure; it is no planted defect, and no defect escaped from its place.
3. people called it good when they audited it. With `unreviewed`, images that nobody saw come in too, if no other
   version that scored them (shadow) doubted them and their score lies at least `margin` robust standard deviations
   below the threshold.
4. it is in no frozen set and not on a wafer that is kept for evaluation.

What is left is drawn by a hash of the image, never by its score. Pure functions of rows: no database, no files.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lifecycle.retraining.config import ExtractSection
from router.canary import position

RECENT, REGRESSION = "recent", "regression"


@dataclass(frozen=True)
class Normal:
    """An image that may be trained on as a normal one. row: of its newest inspection; confirmed: by a person."""

    sha256: str
    row: Mapping[str, Any]
    confirmed: bool


def is_recent(wafer: str, settings: ExtractSection) -> bool:
    """Whether a wafer is kept from training, to evaluate it: a hash of its id, the same in every retraining."""
    return position(RECENT, wafer) < settings.recent_share


def is_regression(wafer: str, settings: ExtractSection) -> bool:
    """Whether a wafer's defects join the regression set instead of training; the same in every retraining."""
    return is_recent(wafer, settings) or position(REGRESSION, wafer) < settings.regression_share


def normal_images(
    inspections: Mapping[str, Sequence[Mapping[str, Any]]],
    settings: ExtractSection,
    *,
    since: float,
    until: float,
    not_good: set[str],
    good: set[str],
    doubted: set[str],
    frozen: set[str],
    left_out: Counter[str],
) -> list[Normal]:
    """Normal images of a window, each once.

    Args:
        inspections: Every inspection of each image (by SHA-256), whenever it was, oldest first.
        settings: Of the extraction.
        since: Begin of the window, Unix time.
        until: Its end.
        not_good: Images that are known to be defective (escaped, planted), or whose verdicts are disputed.
        good: Images that people called good, undisputed.
        doubted: Images that another version than the deciding one did not PASS.
        frozen: Images of the frozen sets.
        left_out: Counts the others by reason.
    """
    found = []
    for sha, rows in inspections.items():
        inside = [row for row in rows if since <= row["received_at"] < until]
        if not inside:
            continue
        reason = _why_not(sha, rows, settings, not_good, good, doubted, frozen)
        if reason is None:
            found.append(Normal(sha, inside[-1], sha in good))
        else:
            left_out[reason] += 1
    return found


def _why_not(
    sha: str,
    rows: Sequence[Mapping[str, Any]],
    settings: ExtractSection,
    not_good: set[str],
    good: set[str],
    doubted: set[str],
    frozen: set[str],
) -> str | None:
    if any(row["decision"] != "PASS" or row["model_decision"] != "PASS" for row in rows):
        return "not PASS each time, also where people overturned it"
    if any(row["score"] is None for row in rows):
        return "not scored"
    if sha in not_good or any(row["verdict"] not in (None, "good") for row in rows):
        return "known to be defective, doubted or disputed by people"
    if sha in frozen:
        return "in a frozen set"
    if any(is_recent(row["wafer_id"], settings) for row in rows):
        return "on a wafer that is kept for evaluation"
    if sha in good:
        return None
    if not settings.unreviewed:
        return "nobody looked at it"
    if sha in doubted:
        return "doubted by another version"
    if any(near_threshold(row, settings.margin) for row in rows):
        return "nobody looked at it, and its score is near the threshold"
    return None


def near_threshold(row: Mapping[str, Any], margin: float) -> bool:
    """Whether a PASS was close: of an escalated image, in robust standard deviations of normal log-scores.

    An image that the low-resolution student let pass alone lies below the escalation threshold already.
    """
    if row["route"] != "full":
        return False
    return row["review_above"] is None or row["review_above"] - row["score"] < margin


def capped(images: Iterable[Normal], settings: ExtractSection, left_out: Counter[str]) -> list[Normal]:
    """At most so many an hour of a tool and lot, so large a share of one lot and one tool, so many in all.

    Drawn by the image's hash. Where there are too few tools or lots for a share, each gets an equal one.
    """
    kept = sorted(images, key=lambda image: image.sha256)
    hours = _at_most(
        kept, lambda i: (i.row["tool"], i.row["lot"], int(i.row["received_at"] // 3600)), settings.per_hour
    )
    left_out["more than the hour's share of its tool and lot"] += len(kept) - len(hours)
    while True:  # taking from one group raises the shares of the others
        before = len(hours)
        for name, share in (("lot", settings.lot_share), ("tool", settings.tool_share)):
            groups = Counter(i.row[name] for i in hours)
            fewer = _at_most(hours, lambda i, name=name: i.row[name], cap_of(list(groups.values()), share))
            left_out[f"more than the share of its {name}"] += len(hours) - len(fewer)
            hours = fewer
        if len(hours) == before:
            break
    left_out["more than are needed"] += max(0, len(hours) - settings.most)
    return hours[: settings.most]


def cap_of(sizes: Sequence[int], share: float) -> int:
    """The largest number from each group with which no group is more than `share` of the rest together with it.

    Args:
        sizes: Images of each group.
        share: Largest share, in (0, 1]; raised to 1 / groups where there are fewer groups than it needs.
    """
    if not sizes:
        return 0
    share = max(share, 1 / len(sizes))
    low, high = 1, max(sizes)
    while low < high:  # cap / sum of min(size, cap) never falls as the cap rises
        cap = (low + high + 1) // 2
        if cap <= share * sum(min(size, cap) for size in sizes) + 1e-9:
            low = cap
        else:
            high = cap - 1
    return low


def _at_most(images: Sequence[Normal], group: Any, most: int) -> list[Normal]:
    taken: dict[Any, int] = defaultdict(int)
    kept = []
    for image in images:
        key = group(image)
        taken[key] += 1
        if taken[key] <= most:
            kept.append(image)
    return kept
