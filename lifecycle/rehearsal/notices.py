"""What was noticed, when, by what, and what it had cost by then."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from eval.tradeoff.fab import Prices
from lifecycle.rehearsal.timeline import TODAY_DAYS

PRICES = Prices()


@dataclass
class Tally:
    """Images of one event, or of the whole year, against what they show.

    Attributes:
        images: Inspected.
        defects: Of these, with a defect.
        escapes: Defects that PASS.
        false_rejects: Good images that are REJECT.
        reviews: Images that a person looks at.
    """

    images: int = 0
    defects: int = 0
    escapes: int = 0
    false_rejects: int = 0
    reviews: int = 0

    def add(self, truth: str, decision: str) -> None:
        """Count one image. truth: "good" or a defect's type."""
        self.images += 1
        self.defects += truth != "good"
        self.escapes += truth != "good" and decision == "PASS"
        self.false_rejects += truth == "good" and decision == "REJECT"
        self.reviews += decision != "PASS"

    @property
    def usd(self) -> float:
        """What that costs by the case study's prices."""
        return (
            self.escapes * PRICES.escape_usd
            + self.false_rejects * PRICES.false_reject_usd
            + self.reviews * PRICES.review_usd
        )

    def in_words(self) -> str:
        """For a person."""
        return (
            f"{self.escapes} escapes, {self.false_rejects} false rejects, {self.reviews} reviews of {self.images} "
            f"images: {self.usd:,.0f} USD"
        )


@dataclass
class Notice:
    """One thing that went wrong.

    Attributes:
        event: Which.
        began: Day of its beginning, with fractions, from 0.
        noticed: Day on which it was noticed; None: never.
        by: What noticed it.
        text: What that said.
        cost: Of the images that it touched until then.
        figures: More about it, JSON-ready.
    """

    event: str
    began: float
    noticed: float | None
    by: str
    text: str
    cost: Tally
    figures: dict[str, Any]

    @property
    def days(self) -> float | None:
        """From the beginning to being noticed."""
        return None if self.noticed is None else self.noticed - self.began

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        return {**asdict(self), "days": self.days, "usd": self.cost.usd}


def as_text(notices: Sequence[Notice], whole: Tally, about: str) -> str:
    """For a person: one line an event, and the year."""
    lines = [about, "", f"{'event':<24} {'day':>6} {'noticed after':>14}  by"]
    for one in notices:
        after = "never" if one.days is None else _span(one.days)
        lines.append(f"{one.event:<24} {one.began:>6.1f} {after:>14}  {one.by}: {one.text}")
        lines.append(f"{'':<24} until then {one.cost.in_words()}{_as_today(one)}")
    soon = [one for one in notices if one.days is not None and one.days <= 1]
    late = [f"{one.event} ({_span(one.days)})" for one in notices if one.days is not None and one.days > 1]
    never = [one.event for one in notices if one.days is None]
    lines += [
        "",
        f"noticed within a day: {len(soon)} of {len(notices)}; later: {', '.join(late) or 'none'}; "
        f"never: {', '.join(never) or 'none'}. Today a new defect type is noticed after {TODAY_DAYS:g} days.",
        f"whole time: {whole.images} images, {whole.defects} with a defect, {whole.escapes} escapes, "
        f"{whole.false_rejects} false rejects, {whole.reviews} reviews: {whole.usd:,.0f} USD",
    ]
    return "\n".join(lines)


def _as_today(one: Notice) -> str:
    """What the same would have cost by the day on which it is noticed today, at the same rate.

    Nothing of what was noticed within the hour: seconds and a dozen images are no rate.
    """
    if one.days is None or not one.cost.images or one.days < 1 / 24:
        return ""
    return (
        f"; at that rate {one.cost.usd * TODAY_DAYS / one.days:,.0f} USD in the {TODAY_DAYS:g} days of today"
    )


def _span(days: float) -> str:
    return (
        f"{days:.1f} days"
        if days >= 1
        else f"{24 * days:.1f} h"
        if days >= 1 / 24
        else f"{86400 * days:.1f} s"
    )
