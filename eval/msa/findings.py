"""What a measurement system analysis found, and what AIAG's criteria say about it."""

from dataclasses import asdict, dataclass, field
from typing import Any

from eval.metrics.binomial import samples_to_certify
from eval.msa.kappa import Agreement
from eval.msa.rates import Rate

SCHEMA = 1
GOOD_KAPPA, POOR_KAPPA = 0.75, 0.40


@dataclass(frozen=True)
class Limit:
    """AIAG's limits of a figure: `acceptable`, and `marginal`, beyond which it is not.

    Attributes:
        upper: Whether small is good.
    """

    acceptable: float
    marginal: float
    upper: bool

    def verdict(self, value: float | None, low: float | None, high: float | None) -> str:
        """One word: "shown", "marginal", "failed", "open" where the interval reaches over a limit, "unknown"."""
        if value is None or low is None or high is None:
            return "unknown"
        worst, best = (high, low) if self.upper else (-low, -high)
        acceptable, marginal = (
            (self.acceptable, self.marginal) if self.upper else (-self.acceptable, -self.marginal)
        )
        if worst <= acceptable:
            return "shown"
        if best > marginal:
            return "failed"
        return "marginal" if best > acceptable and worst <= marginal else "open"


LIMITS = {
    "right": Limit(0.90, 0.80, upper=False),
    "misses": Limit(0.02, 0.05, upper=True),
    "false_alarms": Limit(0.05, 0.10, upper=True),
    "kappa": Limit(GOOD_KAPPA, POOR_KAPPA, upper=False),
}
"""AIAG, Measurement Systems Analysis, 4th edition 2010, chapter III section C: effectiveness, miss rate, false-alarm
rate, kappa against the reference."""


@dataclass(frozen=True)
class Appraiser:
    """A person or a system against the reference and against itself.

    Attributes:
        right: Share of appraisals that say rightly whether there is a defect (effectiveness).
        always_right: Share of parts that were right in every trial.
        misses: Of appraisals of defective parts, those called good.
        false_alarms: Of appraisals of good parts, those called defective.
        kappa: With the reference, good or defective.
        type_kappa: With the reference, over the defect types too.
        repeats: Share of parts that got one category in all trials.
        repeat_kappa: Fleiss' kappa of the trials.
    """

    name: str
    system: bool
    trials: int
    right: Rate
    always_right: Rate
    misses: Rate
    false_alarms: Rate
    kappa: Agreement
    type_kappa: Agreement | None
    repeats: Rate | None
    repeat_kappa: Agreement | None

    @property
    def verdicts(self) -> dict[str, str]:
        """What `LIMITS` say, by figure."""
        found = {}
        for name, limit in LIMITS.items():
            figure = getattr(self, name)
            value = figure.kappa if isinstance(figure, Agreement) else figure.rate
            found[name] = limit.verdict(value, figure.low, figure.high)
        return found


@dataclass(frozen=True)
class Pair:
    """Two appraisers against each other; None where they rated no part in the same trial, or not by type."""

    first: str
    second: str
    kappa: Agreement | None
    type_kappa: Agreement | None


@dataclass(frozen=True)
class Msa:
    """The whole analysis.

    Attributes:
        people: Fleiss' kappa over all appraisals by people.
        people_all_right: Share of parts that all of them called rightly in every trial; None with fewer than
            two people.
    """

    study: str
    parts_good: int
    parts_defect: int
    categories: list[str]
    appraisers: list[Appraiser]
    pairs: list[Pair]
    people: Agreement | None
    people_all_right: Rate | None
    notes: list[str] = field(default_factory=list)
    draws: int = 2000
    seed: int = 0

    @property
    def advice(self) -> list[str]:
        """What this study cannot show by its size, in sentences."""
        said = []
        sizes = (("defective", self.parts_defect, "misses"), ("good", self.parts_good, "false_alarms"))
        for what, count, name in sizes:
            needed = samples_to_certify(LIMITS[name].acceptable, 0.975)
            if count < needed:
                said.append(
                    f"{count} {what} parts cannot show a rate of {name.replace('_', ' ')} of at most "
                    f"{LIMITS[name].acceptable:.0%}, however good the appraiser is: it takes {needed} without an error."
                )
        return said

    def to_json(self) -> dict[str, Any]:
        """The content of msa.json."""
        limits = {name: asdict(limit) for name, limit in LIMITS.items()}
        content = {"schema": SCHEMA, **asdict(self), "advice": self.advice, "limits": limits}
        for row, appraiser in zip(content["appraisers"], self.appraisers, strict=True):
            row["verdicts"] = appraiser.verdicts
        return content
