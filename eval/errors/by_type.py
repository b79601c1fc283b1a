"""Which defect types are found and which are not, and what sets the easiest and the hardest apart."""

from dataclasses import dataclass

import numpy as np

from eval.errors.findings import Extreme, TypeRow
from eval.errors.properties import DefectFigures
from eval.metrics import clopper_pearson
from eval.pages.wording import counted, percent

CLEAR = 1.5
"""A type stands out in a property if its median is this many times that of the other types, or this many times less."""

FEW = 5
"""A type with fewer defects is neither the easiest nor the hardest, if another one has more."""


@dataclass(frozen=True)
class TypedDefects:
    """All defects of the test set, found or not.

    Type, whether it passed, margin (NaN if not judged), figures of the mask.
    """

    types: np.ndarray
    passed: np.ndarray
    margin: np.ndarray
    figures: list[DefectFigures | None]

    def chosen(self, rows: np.ndarray) -> list[DefectFigures]:
        """Figures of the masked ones among `rows` (N,) bool."""
        return [one for one, take in zip(self.figures, rows, strict=True) if take and one is not None]


def type_rows(defects: TypedDefects) -> list[TypeRow]:
    """A row for each type, the lowest detection rate first; if equal, the lowest median margin."""
    rows = []
    for name in np.unique(defects.types):
        chosen = np.flatnonzero(defects.types == name)
        count, missed = len(chosen), int(defects.passed[chosen].sum())
        figures = defects.chosen(defects.types == name)
        margins = defects.margin[chosen][np.isfinite(defects.margin[chosen])]
        rows.append(
            TypeRow(
                type=str(name),
                defects=count,
                missed=missed,
                detection_rate=1 - missed / count,
                interval=clopper_pearson(count - missed, count),
                margin=_median(list(margins)),
                area=median_area(figures),
                contrast=median_contrast(figures),
                edge_share=_edge_share(figures),
            )
        )
    return sorted(rows, key=lambda row: (row.detection_rate, row.margin if row.margin is not None else 0.0))


def extremes(defects: TypedDefects, rows: list[TypeRow]) -> tuple[Extreme | None, Extreme | None]:
    """The easiest and the hardest of the types (`rows` from `type_rows`); None when there is one type or none."""
    enough = [row for row in rows if row.defects >= FEW]
    ranked = enough if len(enough) > 1 else rows
    if len(ranked) < 2:
        return None, None
    return _extreme(ranked[-1], defects, easiest=True), _extreme(ranked[0], defects, easiest=False)


def _extreme(row: TypeRow, defects: TypedDefects, easiest: bool) -> Extreme:
    own = defects.types == row.type
    others, missed, found = (
        defects.chosen(rows) for rows in (~own, own & defects.passed, own & ~defects.passed)
    )
    figures: dict[str, float | None] = {
        "area": row.area,
        "area_of_others": median_area(others),
        "contrast": row.contrast,
        "contrast_of_others": median_contrast(others),
        "edge_share": row.edge_share,
        "median_margin": row.margin,
        "area_missed": median_area(missed),
        "area_found": median_area(found),
        "contrast_missed": median_contrast(missed),
        "contrast_found": median_contrast(found),
        "edge_share_missed": _edge_share(missed),
        "edge_share_found": _edge_share(found),
    }
    return Extreme(row.type, row.detection_rate, row.defects, _reason(row, figures, easiest), figures)


def _reason(row: TypeRow, figures: dict[str, float | None], easiest: bool) -> str:
    found = row.defects - row.missed
    start = f"{found} of {counted(row.defects, 'defect')} found ({percent(row.detection_rate)})"
    area, other_area = figures["area"], figures["area_of_others"]
    contrast, other_contrast = figures["contrast"], figures["contrast_of_others"]
    if area is None or other_area is None:
        return f"{start}. Without masks neither size nor contrast can be compared."
    said = [f"median area {percent(area, 2)} of the image, other types {percent(other_area, 2)}"]
    explaining = []
    if _stands_out(area, other_area, easiest):
        explaining.append("larger" if easiest else "smaller")
    if contrast is not None and other_contrast is not None:
        said.append(
            f"median contrast {contrast:.2f} standard deviations of the surround, others {other_contrast:.2f}"
        )
        if _stands_out(contrast, other_contrast, easiest):
            explaining.append("stronger in contrast" if easiest else "fainter")
    if not easiest and row.edge_share is not None and row.edge_share >= 0.5:
        explaining.append("at the edge of the image")
        said.append(f"{percent(row.edge_share, 0)} of them centred in the image's outer sixteenth")
    verdict = (
        f"They are {' and '.join(explaining)}" if explaining else "Neither area nor contrast sets them apart"
    )
    return f"{start}. {verdict}: {'; '.join(said)}.{_within(row, figures)}"


def _within(row: TypeRow, figures: dict[str, float | None]) -> str:
    """What sets the missed ones of a type apart from the found ones; empty if nothing does or too few were missed."""
    if row.missed < 3:
        return ""
    said = []
    for name, unit, digits in (("area", " of the image", 2), ("contrast", "", 2)):
        missed, found = figures[f"{name}_missed"], figures[f"{name}_found"]
        if missed is not None and found is not None and max(missed, found) >= CLEAR * min(missed, found):
            words = [percent(v, digits) if name == "area" else f"{v:.{digits}f}" for v in (missed, found)]
            said.append(f"median {name} {words[0]}{unit} against {words[1]}")
    at_edge = figures["edge_share_missed"], figures["edge_share_found"]
    if at_edge[0] is not None and at_edge[1] is not None and at_edge[0] >= 0.5 > at_edge[1]:
        said.append(f"{percent(at_edge[0], 0)} centred at the edge against {percent(at_edge[1], 0)}")
    return f" Its missed ones against its found ones: {'; '.join(said)}." if said else ""


def _stands_out(value: float, other: float, above: bool) -> bool:
    return value >= CLEAR * other if above else CLEAR * value <= other


def median_area(figures: list[DefectFigures]) -> float | None:
    """Share of the image; None of nothing."""
    return _median([one.area for one in figures])


def median_contrast(figures: list[DefectFigures]) -> float | None:
    """Size of the contrast, in standard deviations of the surround; None of nothing."""
    return _median([abs(one.contrast) for one in figures if one.contrast is not None])


def _edge_share(figures: list[DefectFigures]) -> float | None:
    return float(np.mean([one.at_edge for one in figures])) if figures else None


def _median(values: list[float]) -> float | None:
    return float(np.median(values)) if values else None
