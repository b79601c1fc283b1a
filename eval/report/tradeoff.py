"""The study of times as rows and sentences."""

from collections.abc import Sequence
from dataclasses import dataclass

from eval.pages.theme import SERIES
from eval.pages.wording import (
    NBSP,
    counted,
    dollars,
    grouped,
    metric,
    milliseconds,
    percent,
    rate,
    round_count,
)
from eval.tradeoff.budget import Answer, Budget
from eval.tradeoff.month import MonthlyFigures
from eval.tradeoff.points import Point, Study


@dataclass(frozen=True)
class Reply:
    """A budget and what the measurements say about it."""

    budget: str
    verdict: str
    sentences: list[str]


def label(point: Point) -> str:
    """The model of a point in words: its name, and what sets it apart from the run's own fp32 model."""
    name = SERIES[point.model].label
    more = [point.precision.upper()] if point.precision != "fp32" else []
    more += [point.device.upper()] if point.device != "cpu" else []
    more += [f"run {point.run}"] if point.run else []
    return f"{name} ({', '.join(more)})" if more else name


def setting(point: Point) -> str:
    """Model, batch size and threads of a point in words."""
    batch = "one image at a time" if point.batch == 1 else f"batches of {point.batch}"
    return f"{label(point)}, {batch}, {counted(point.threads, 'thread')}"


def replies(answers: Sequence[Answer]) -> list[Reply]:
    """One answer a budget, in words."""
    return [_reply(answer) for answer in answers if answer.considered]


def batch_rows(study: Study, threads: int = 1) -> list[list[Point]]:
    """Points with `threads` threads, grouped by model in the report's order, smallest batch first."""
    groups: dict[tuple[int, str], list[Point]] = {}
    order = list(SERIES)
    for point in study.points:
        if point.threads == threads:
            groups.setdefault((order.index(point.model), label(point)), []).append(point)
    return [sorted(groups[key], key=lambda point: point.batch) for key in sorted(groups)]


def thread_rows(study: Study) -> list[tuple[str, list[Point]]]:
    """Models timed with several thread counts, one row a model and count: points by batch size."""
    rows = []
    several = {label(point) for point in study.points if point.threads > 1}
    for count in sorted({point.threads for point in study.points}):
        for group in batch_rows(study, count):
            if label(group[0]) in several:
                rows.append((f"{label(group[0])}, {counted(count, 'thread')}", group))
    return sorted(rows, key=lambda row: list(SERIES).index(row[1][0].model))


def tools_sentence(fab: MonthlyFigures) -> str:
    """How many computers the month takes."""
    tools = fab.tools
    if tools is None:
        return ""
    return (
        f"One computer with one thread judges {rate(tools.images_per_second)} images a second. For "
        f"{grouped(tools.images_per_month)} images in {tools.hours_per_month:g} hours a month it takes "
        f"{counted(tools.needed, 'computer')}, busy {percent(tools.busy)} of the time (evenly spread, files already "
        "read and decoded)."
    )


def month_sentence(fab: MonthlyFigures) -> str:
    """The main line of the table: what changes against today."""
    shares = sorted({one.defect_rate for one in fab.months})
    share = shares[len(shares) // 2]
    rows = {one.system: one for one in fab.months if one.defect_rate == share}
    before, after = rows["today"], rows["routed, every alarm reviewed"]
    fewer, saved = before.escapes - after.escapes, before.total_usd - after.total_usd
    assumed = "assuming that" if fab.assumed else "with the stated share:"
    return (
        f"Computed, {assumed} {percent(share, 2)} of the images show a defect: {round_count(after.escapes)} escapes a "
        f"month instead of {round_count(before.escapes)} ({round_count(abs(fewer))} "
        f"{'fewer' if fewer >= 0 else 'more'}), and "
        f"{dollars(abs(saved))} {'less' if saved >= 0 else 'more'} for escapes and looks, if a person sees every "
        "alarm in both."
    )


def _reply(answer: Answer) -> Reply:
    budget = answer.budget
    if budget.kind == "image":
        meaning = (
            "Kept if 99 of 100 images are decided in time, waiting for the rest of their batch included."
        )
    elif budget.kind == "lot":
        meaning = f"Counted for {counted(budget.images, 'image')}, by the mean time."
    else:
        meaning = f"That is {rate(budget.per_second or 0)} images a second, by the mean time."
    sentences = [meaning]
    if answer.meeting:
        sentences.append(f"{answer.meeting} of {answer.considered} measured settings keep it.")
        if answer.best is not None:
            sentences.append(
                f"The most accurate of them is {setting(answer.best)}: AUROC {metric(answer.best.image_auroc)}, "
                f"{_figure(answer, answer.best)}."
            )
        if answer.fastest is not None and answer.fastest != answer.best:
            sentences.append(f"The fastest is {setting(answer.fastest)}: {_figure(answer, answer.fastest)}.")
    elif answer.nearest is not None:
        sentences.append(
            f"No measured setting keeps it; the nearest is {setting(answer.nearest)}: "
            f"{_figure(answer, answer.nearest)}."
        )
    verdict = "unknown"
    if answer.product is not None:
        kept = budget.met_by(answer.product)
        verdict = "met" if kept else "not met"
        sentences.append(
            f"The routed system as delivered {'keeps' if kept else 'does not keep'} it: "
            f"{_figure(answer, answer.product)}."
        )
    return Reply(_asked(budget), verdict, sentences)


def _asked(budget: Budget) -> str:
    if budget.per_second is not None:
        return f"{round_count(3600 * budget.per_second)} images an hour"
    lot = f" for {counted(budget.images, 'image')}" if budget.kind == "lot" else " for an image"
    return f"{budget.milliseconds:g}{NBSP}ms{lot}"


def _figure(answer: Answer, point: Point) -> str:
    budget = answer.budget
    if budget.kind == "image":
        return f"99th percentile {milliseconds(point.p99_ms)}"
    if budget.kind == "lot":
        return f"{milliseconds(budget.figure(point))} for the {counted(budget.images, 'image')}"
    return f"{rate(point.images_per_second)} images a second, {round_count(3600 * point.images_per_second)} an hour"
