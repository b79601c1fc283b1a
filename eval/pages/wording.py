"""Numbers as people read them; a number and its unit are never torn apart at the end of a line."""

from eval.latency import Latency

MISSING = "–"
NBSP = "\N{NO-BREAK SPACE}"


def percent(rate: float | None, digits: int = 1) -> str:
    """A rate in per cent; a dash when unknown."""
    return MISSING if rate is None else f"{100 * rate:.{digits}f}{NBSP}%"


def metric(value: float | None) -> str:
    """An area under a curve with three decimals; a dash when unknown."""
    return MISSING if value is None else f"{value:.3f}"


def bounds(interval: tuple[float, float] | None) -> str:
    """An interval of areas; empty when unknown."""
    return "" if interval is None else f"{interval[0]:.3f} to {interval[1]:.3f}"


def percent_bounds(interval: tuple[float, float] | None) -> str:
    """An interval of rates; empty when unknown."""
    return "" if interval is None else f"{100 * interval[0]:.1f} to {100 * interval[1]:.1f}{NBSP}%"


def milliseconds(value: float | None) -> str:
    """A time in milliseconds to about two significant digits; a dash when unknown."""
    if value is None:
        return MISSING
    digits = 0 if value >= 100 else 1 if value >= 10 else 2
    return f"{value:.{digits}f}{NBSP}ms"


def median(latency: Latency | None) -> str:
    """The median latency; a dash when it was not measured."""
    return milliseconds(latency.p50 if latency else None)


def tail(latency: Latency | None) -> str:
    """The 99th percentile of the latency; a dash when it was not measured."""
    return milliseconds(latency.p99 if latency else None)


def parameters(count: int) -> str:
    """A parameter count, rounded: 950, 12 k, 1.42 M."""
    if count >= 1_000_000:
        return f"{count / 1e6:.{2 if count < 10_000_000 else 1}f}{NBSP}M"
    return f"{count / 1e3:.0f}{NBSP}k" if count >= 1000 else str(count)


def grouped(count: int) -> str:
    """A count with thin spaces between groups of three digits."""
    return f"{count:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def counted(count: int, singular: str, plural: str | None = None) -> str:
    """The count with its noun: 1 defect, 12 defects."""
    return f"{grouped(count)} {singular if count == 1 else plural or singular + 's'}"


def rate(per_second: float) -> str:
    """Images a second: 8.3, 812, 1 560."""
    return f"{per_second:.1f}" if per_second < 100 else grouped(round(per_second))


def round_count(value: float) -> str:
    """An expected count: with one decimal below 100, without above."""
    return f"{value:.1f}" if value < 100 else grouped(round(value))


def dollars(value: float) -> str:
    """US dollars: 5 USD, 12 000 USD, 3.46 million USD."""
    if value >= 1e6:
        return f"{value / 1e6:.2f}{NBSP}million USD"
    return f"{grouped(round(value))}{NBSP}USD"


def amount(value: float) -> str:
    """The same without the unit, for a column: 12 000, 3.46 M."""
    return f"{value / 1e6:.2f}{NBSP}M" if value >= 1e6 else grouped(round(value))


def megabytes(value: int | None) -> str:
    """Bytes in MB of a million; a dash when unknown."""
    if value is None:
        return MISSING
    return f"{value / 1e6:.{1 if value < 1e8 else 0}f}{NBSP}MB"
