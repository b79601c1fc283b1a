"""After how many images and hours a new type is noticed, for every left-out type and over a range of rates."""

import math
from dataclasses import dataclass

import numpy as np

from eval.novelty.alarms import Alarms, Stream, images_until, noticed, simulate_epochs
from eval.novelty.delay import HOURS_PER_MONTH, Delay, geometric_quantile, simulate_first_flag, summarise
from eval.novelty.leave_one_out import FalseAlarms, HeldOut, LeaveOneOut, Streams
from eval.novelty.settings import REPORTED_TODAY_DAYS, NoveltySettings
from router.monitor import EPOCH
from wafer_data.progress import track

SIGHTINGS = 10
RATES = tuple(float(rate) for rate in np.logspace(-7, -2, 11))
FEWEST = 0.5
"""Below so many expected images of the type in an epoch the monitor sees what it sees without the type."""


@dataclass(frozen=True)
class Noticed:
    """One type at one rate.

    Attributes:
        first, tenth: Until its first, and its tenth, image goes to a person.
        first_at_lower_bound: Median images until the first, if the detection rate lies at the lower end of
            its 95 % interval; None when that end is 0.
        alarm: Until the tool's monitor raises one; None where its alarms are not clearly more frequent than
            it promises, and than without the type: such an alarm tells nobody anything.
        alarms: What was simulated for that.
        reported_at: Smallest rate at which the first flagged image comes within the reported time of today in
            95 of 100 cases; None if never.
    """

    type: str
    labels: int
    rate: float
    detection_rate: float
    first: Delay
    tenth: Delay
    first_at_lower_bound: float | None
    alarm: Delay
    alarms: Alarms
    reported_at: float | None


@dataclass(frozen=True)
class ByRate:
    """Median and 95th percentile in hours over `RATES`; None where it does not happen."""

    rate: float
    easiest: tuple[float | None, float | None]
    hardest: tuple[float | None, float | None]
    alarm: tuple[float | None, float | None]


@dataclass(frozen=True)
class TimeToDetection:
    """flag_rate: of normal images, measured at the operating point.

    Attributes:
        flags_per_month: Normal images sent to a person.
        without, labelled: A line a type, with no labels and with labels of the other types.
        easiest, hardest: By detection rate, among the `labelled` lines if there are any.
        by_rate: Those two types, and the monitor at the hardest.
        alarms_without: Of the tool's monitor on the normals alone, without labels.
    """

    flag_rate: float
    flag_rate_measured: bool
    flags_per_month: float
    without: list[Noticed]
    labelled: list[Noticed] | None
    easiest: str
    hardest: str
    by_rate: list[ByRate]
    alarms_without: Alarms


@dataclass(frozen=True)
class _Fit:
    """One fit: its normals' flagged rate, what the monitor sees, and its alarms without any new type."""

    base: float
    stream: Stream
    without: Alarms

    @classmethod
    def of(cls, alarms: FalseAlarms, stream: Stream, settings: NoveltySettings) -> "_Fit":
        return cls(_base(alarms), stream, _epochs(stream, None, 0.0, settings))


def simulate(found: LeaveOneOut, streams: Streams, settings: NoveltySettings) -> TimeToDetection:
    """Needs at least one type. The same settings give the same result."""
    rng = np.random.default_rng(settings.seed)
    plain = _Fit.of(found.false_alarms, streams.without, settings)
    without = [_noticed(one, plain, settings, rng) for one in track(found.without, "delays without labels")]
    main, fits, labelled = found.without, [plain] * len(found.without), None
    if found.labelled is not None and found.false_alarms_labelled is not None:
        main = found.labelled
        pairs = zip(found.false_alarms_labelled, streams.labelled, strict=True)
        fits = [_Fit.of(alarms, stream, settings) for alarms, stream in pairs]
        both = list(zip(main, fits, strict=True))
        labelled = [_noticed(one, fit, settings, rng) for one, fit in track(both, "delays with labels")]
    order = sorted(range(len(main)), key=lambda i: main[i].detection_rate)
    low, high = order[0], order[-1]
    by_rate = [
        _by_rate(rate, main[high], main[low], fits[low], settings, rng)
        for rate in track(RATES, "delays over rates")
    ]
    return TimeToDetection(
        flag_rate=plain.base,
        flag_rate_measured=found.false_alarms.flagged > 0,
        flags_per_month=plain.base * settings.images_per_month,
        without=without,
        labelled=labelled,
        easiest=main[high].type,
        hardest=main[low].type,
        by_rate=by_rate,
        alarms_without=plain.without,
    )


def _base(alarms: FalseAlarms) -> float:
    """The flagged rate of normals; where none of n was flagged, 1 / (n + 1), as a rate of 0 has no monitor."""
    return alarms.rate if alarms.flagged else 1 / (alarms.images + 1)


def _noticed(one: HeldOut, fit: _Fit, settings: NoveltySettings, rng: np.random.Generator) -> Noticed:
    first, tenth = (
        summarise(*_flags(settings.rate, one, fit.base, settings, rng, count), settings.images_per_month)
        for count in (1, SIGHTINGS)
    )
    lower = geometric_quantile(settings.rate * one.interval[0], 0.5)
    alarms = _epochs(fit.stream, one.type, settings.rate, settings)
    return Noticed(
        type=one.type,
        labels=one.labels,
        rate=settings.rate,
        detection_rate=one.detection_rate,
        first=first,
        tenth=tenth,
        first_at_lower_bound=lower if math.isfinite(lower) else None,
        alarm=_alarm(alarms, fit, settings, rng),
        alarms=alarms,
        reported_at=_rate_for(REPORTED_TODAY_DAYS * 24, one.detection_rate, settings),
    )


def _flags(
    rate: float,
    one: HeldOut,
    base: float,
    settings: NoveltySettings,
    rng: np.random.Generator,
    sightings: int = 1,
) -> tuple[np.ndarray, np.ndarray]:
    return simulate_first_flag(rate, one.detection_rate, base, settings.draws, rng, sightings)


def _epochs(stream: Stream, kind: str | None, rate: float, settings: NoveltySettings) -> Alarms:
    return simulate_epochs(stream, kind, rate, settings.epochs, settings.false_alarms, settings.seed)


def _alarm(alarms: Alarms, fit: _Fit, settings: NoveltySettings, rng: np.random.Generator) -> Delay:
    telling = noticed(alarms, fit.without, settings.false_alarms)
    draws = images_until(alarms, settings.draws, rng) if telling else np.full(settings.draws, np.inf)
    return summarise(draws, None, settings.images_per_month)


def _by_rate(
    rate: float,
    easiest: HeldOut,
    hardest: HeldOut,
    fit: _Fit,
    settings: NoveltySettings,
    rng: np.random.Generator,
) -> ByRate:
    def both(delay: Delay) -> tuple[float | None, float | None]:
        return delay.median_hours, delay.p95_hours

    first, last = (
        both(summarise(*_flags(rate, one, fit.base, settings, rng), settings.images_per_month))
        for one in (easiest, hardest)
    )
    seen = rate * EPOCH >= FEWEST
    alarms = _epochs(fit.stream, hardest.type, rate, settings) if seen else fit.without
    return ByRate(rate, first, last, both(_alarm(alarms, fit, settings, rng)))


def _rate_for(limit_hours: float, detection: float, settings: NoveltySettings) -> float | None:
    """Smallest rate at which P(flagged within the limit) is 95 %: 1 - (1 - r d)^n = 0.95."""
    if detection <= 0:
        return None
    images = limit_hours / HOURS_PER_MONTH * settings.images_per_month
    rate = -math.expm1(math.log(0.05) / images) / detection
    return rate if rate <= 1 else None
