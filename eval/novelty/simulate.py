"""After how many images and hours a new type is noticed, for every left-out type and over a range of rates."""

import math
from dataclasses import dataclass

import numpy as np

from eval.novelty.delay import HOURS_PER_MONTH, Delay, geometric_quantile, simulate_first_flag, summarise
from eval.novelty.leave_one_out import FalseAlarms, HeldOut, LeaveOneOut
from eval.novelty.monitor import Monitor, design_monitor, simulate_alarm
from eval.novelty.settings import REPORTED_TODAY_DAYS, NoveltySettings
from wafer_data.progress import track

SIGHTINGS = 10
SHIFT_HOURS = 8.0
"""The monitor looks at the count of flagged images at the end of each shift."""

RATES = tuple(float(rate) for rate in np.logspace(-7, -2, 11))
MONITOR_DRAWS = 1000


@dataclass(frozen=True)
class Noticed:
    """One type at one rate.

    first, tenth: until its first, and its tenth, image goes to a person. first_at_lower_bound: median images until
    the first, if the detection rate lies at the lower end of its 95 % interval; None when that end is 0. alarm: until
    the monitor of the flagged rate raises an alarm; None where half the median time to a false alarm is shorter,
    since such an alarm tells nobody anything. reported_at: smallest rate at which the first flagged image comes
    within the reported time of today in 95 of 100 cases; None if never.
    """

    type: str
    labels: int
    rate: float
    detection_rate: float
    first: Delay
    tenth: Delay
    first_at_lower_bound: float | None
    alarm: Delay
    reported_at: float | None


@dataclass(frozen=True)
class ByRate:
    """Median and 95th percentile in hours over `RATES`; None where it does not happen within the horizon."""

    rate: float
    easiest: tuple[float | None, float | None]
    hardest: tuple[float | None, float | None]
    alarm: tuple[float | None, float | None]


@dataclass(frozen=True)
class TimeToDetection:
    """flag_rate: of normal images, measured at the operating point. flags_per_month: normal images sent to a person.

    without, labelled: a line a type, with no labels and with labels of the other types. easiest, hardest: by
    detection rate, among the `labelled` lines if there are any. by_rate: those two types, and the monitor at the
    hardest. monitor: at the stated rate.
    """

    flag_rate: float
    flag_rate_measured: bool
    flags_per_month: float
    without: list[Noticed]
    labelled: list[Noticed] | None
    easiest: str
    hardest: str
    by_rate: list[ByRate]
    monitor: Monitor
    shift_hours: float


def simulate(found: LeaveOneOut, settings: NoveltySettings) -> TimeToDetection:
    """Needs at least one type. The same settings give the same result."""
    rng = np.random.default_rng(settings.seed)
    base = _base(found.false_alarms)
    without = [_noticed(one, base, settings, rng) for one in track(found.without, "delays without labels")]
    labelled = None
    if found.labelled is not None and found.false_alarms_labelled is not None:
        pairs = list(zip(found.labelled, found.false_alarms_labelled, strict=True))
        labelled = [
            _noticed(one, _base(alarms), settings, rng) for one, alarms in track(pairs, "delays with labels")
        ]
    main, normals = found.without, [found.false_alarms] * len(found.without)
    if found.labelled is not None and found.false_alarms_labelled is not None:
        main, normals = found.labelled, found.false_alarms_labelled
    order = sorted(range(len(main)), key=lambda i: main[i].detection_rate)
    low, high = order[0], order[-1]
    by_rate = [
        _by_rate(rate, main[high], main[low], _base(normals[low]), settings, rng)
        for rate in track(RATES, "delays over rates")
    ]
    return TimeToDetection(
        flag_rate=base,
        flag_rate_measured=found.false_alarms.flagged > 0,
        flags_per_month=base * settings.images_per_month,
        without=without,
        labelled=labelled,
        easiest=main[high].type,
        hardest=main[low].type,
        by_rate=by_rate,
        monitor=_monitor(base, settings.rate, settings),
        shift_hours=SHIFT_HOURS,
    )


def _base(alarms: FalseAlarms) -> float:
    """The flagged rate of normals; where none of n was flagged, 1 / (n + 1), as a rate of 0 has no monitor."""
    return alarms.rate if alarms.flagged else 1 / (alarms.images + 1)


def _monitor(base: float, rate: float, settings: NoveltySettings) -> Monitor:
    """Tuned to the rise that a type of this rate causes if all of its images are flagged: the best case."""
    block = max(1, round(settings.images_per_month * SHIFT_HOURS / HOURS_PER_MONTH))
    rise = rate * (1 - base) / base
    return design_monitor(base, rise, block, settings.images_per_month, settings.false_alarms_per_month)


def _noticed(one: HeldOut, base: float, settings: NoveltySettings, rng: np.random.Generator) -> Noticed:
    first, tenth = (
        summarise(*_flags(settings.rate, one, base, settings, rng, count), settings.images_per_month)
        for count in (1, SIGHTINGS)
    )
    lower = geometric_quantile(settings.rate * one.interval[0], 0.5)
    return Noticed(
        type=one.type,
        labels=one.labels,
        rate=settings.rate,
        detection_rate=one.detection_rate,
        first=first,
        tenth=tenth,
        first_at_lower_bound=lower if math.isfinite(lower) else None,
        alarm=_alarm(settings.rate, one, base, settings, rng),
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


def _alarm(
    rate: float, one: HeldOut, base: float, settings: NoveltySettings, rng: np.random.Generator
) -> Delay:
    monitor = _monitor(base, rate, settings)
    flagged = (1 - rate) * base + rate * one.detection_rate
    horizon = math.ceil(settings.horizon_months * settings.images_per_month / monitor.block)
    draws = simulate_alarm(monitor, flagged, horizon, MONITOR_DRAWS, rng)
    # Run lengths between false alarms are about exponential.
    false_alarm = math.log(2) * settings.images_per_month / settings.false_alarms_per_month
    if np.median(draws) > 0.5 * false_alarm:
        draws = np.full(MONITOR_DRAWS, np.inf)
    return summarise(draws, None, settings.images_per_month)


def _by_rate(
    rate: float,
    easiest: HeldOut,
    hardest: HeldOut,
    base: float,
    settings: NoveltySettings,
    rng: np.random.Generator,
) -> ByRate:
    def both(delay: Delay) -> tuple[float | None, float | None]:
        return delay.median_hours, delay.p95_hours

    first, last = (
        both(summarise(*_flags(rate, one, base, settings, rng), settings.images_per_month))
        for one in (easiest, hardest)
    )
    return ByRate(rate, first, last, both(_alarm(rate, hardest, base, settings, rng)))


def _rate_for(limit_hours: float, detection: float, settings: NoveltySettings) -> float | None:
    """Smallest rate at which P(flagged within the limit) is 95 %: 1 - (1 - r d)^n = 0.95."""
    if detection <= 0:
        return None
    images = limit_hours / HOURS_PER_MONTH * settings.images_per_month
    rate = -math.expm1(math.log(0.05) / images) / detection
    return rate if rate <= 1 else None
