"""Fills the page template of a novelty assessment."""

import math

from eval.novelty.delay import Delay
from eval.novelty.findings import Novelty
from eval.novelty.leave_one_out import HeldOut
from eval.novelty.settings import REPORTED_TODAY_DAYS
from eval.novelty.simulate import SIGHTINGS, Noticed
from eval.pages.render import ANALYSIS, render
from eval.pages.wording import MISSING, NBSP, counted, grouped, percent
from router.monitor import EPOCH


def render_page(found: Novelty, plot: str) -> str:
    """The whole HTML page as text; needs nothing but itself to be shown."""
    held, times = found.held_out, found.times
    labelled: list[HeldOut | None] = list(held.labelled) if held.labelled else [None] * len(held.without)
    return render(
        "eval.novelty",
        {
            **{name: getattr(found, name) for name in found.__dataclass_fields__},
            "summary": _summary(found),
            "lines": list(zip(held.without, labelled, strict=True)),
            "noticed": times.labelled or times.without,
            "plot": plot,
            "one_in": one_in,
            "span": span,
            "pieces": pieces,
            "label_range": _label_range(found),
            "today": REPORTED_TODAY_DAYS,
            "sightings": SIGHTINGS,
            "epoch": EPOCH,
        },
        (ANALYSIS, ("eval.novelty", "page.css")),
    )


def _summary(found: Novelty) -> list[str]:
    times, settings = found.times, found.settings
    noticed = {one.type: one for one in times.labelled or times.without}
    hardest: Noticed = noticed[times.hardest]
    said = [
        f"Each defect type was left out of the labels once. The hardest to find, {times.hardest}, is stopped in "
        f"{percent(hardest.detection_rate)} of its images, the easiest, {times.easiest}, in "
        f"{percent(noticed[times.easiest].detection_rate)}, while {percent(times.flag_rate)} of the normal images are."
    ]
    if hardest.first.median_hours is not None:
        said.append(
            f"If {one_in(settings.rate)} images shows a new type as hard as {times.hardest}, its first image goes to a "
            f"person after {span(hardest.first.median_hours)} (median; in 95 of 100 cases within "
            f"{span(hardest.first.p95_hours)}), at {grouped(round(settings.images_per_month))} images a month. "
            f"Until then, {grouped(round(hardest.first.false_flags or 0))} normal images went to a person too."
        )
    said.append(f"Today a new type goes unnoticed for {REPORTED_TODAY_DAYS:g} days, as the fab reports it.")
    if not held_with_labels(found):
        said.append("There is one type only, so labels of other types could not be tried.")
    return said


def _label_range(found: Novelty) -> str:
    counts = [one.labels for one in found.held_out.labelled or []]
    if not counts:
        return ""
    return str(counts[0]) if min(counts) == max(counts) else f"{min(counts)} to {max(counts)}"


def held_with_labels(found: Novelty) -> bool:
    """Whether there were other types to label."""
    return found.held_out.labelled is not None


def one_in(rate: float) -> str:
    """A small rate in words, to two digits: 1 in 10 000."""
    number = 1 / rate
    rounded = round(number, 1 - math.floor(math.log10(number)))
    return f"1 in {grouped(round(rounded))}".replace(" ", NBSP)


def span(hours: float | None) -> str:
    """A time in the unit that suits it; what lies beyond the horizon has none."""
    if hours is None:
        return "not noticed"
    for size, unit in ((720.0 * 12, "years"), (720.0, "months"), (24.0, "days"), (1.0, "hours")):
        if hours >= 2 * size or (unit == "hours" and hours >= 1):
            return f"{hours / size:.1f}{NBSP}{unit}"
    return f"{hours * 60:.1f}{NBSP}minutes"


def pieces(delay: Delay) -> str:
    """The median number of images."""
    images = delay.median_images
    return MISSING if images is None else counted(round(images), "image")
