"""From an inspection of a listed defect to its bin: geometry of the heat map, place and size of the list, rules."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

from PIL import Image

from router.decision import PASS, Decision
from tool_side.runtime.defect_type import DEFECT, whole_image
from tool_side.runtime.inspection import Inspection
from wafer_data.defect import DefectFinding
from wafer_map.bins import Binned, BinRules
from wafer_map.geometry import find_regions
from wafer_map.klarf import Defect, DefectResult

PASS_BIN = 1
"""ROUGHBINNUMBER of a listed defect whose images all PASS: there is nothing to bin."""


def finding_of(
    result: Inspection,
    reference: float | None,
    image_size: tuple[int, int],
    listed: Defect,
    pixel_um: tuple[float, float] | None,
) -> DefectFinding:
    """What the heat map and the list say about one defect.

    Args:
        result: of its image. reference: the deciding model's `map_reference`; None where no model saw the image.
        image_size: (width, height) in pixels.
        listed: the row of the list; its place on the die counts, and its size where the pixel size is not known.
        pixel_um: width and height of a pixel, where known.

    Returns:
        The strongest defect of the heat map; without one, a defect of the whole image.
    """
    finding = whole_image(image_size)
    if result.map is not None and reference is not None:
        finding = find_regions(result.map, reference, image_size, pixel_um=pixel_um, at_least_one=True)[0][0]
    named = result.evidence.get(DEFECT)
    if named is not None:
        finding = finding.with_(
            type=named["type"],
            probability=named["probability"],
            probabilities=named.get("probabilities", {}),
            set=tuple(named["set"]),
            typicality=named.get("typicality"),
        )
    if finding.length_um is None or pixel_um is None:
        # 0 and what is below stand for a size that the tool does not know
        sizes = [size for size in (listed.d_size, listed.x_size, listed.y_size) if size and size > 0]
        area = listed.area if listed.area and listed.area > 0 else None
        finding = finding.with_(length_um=max(sizes, default=None), area_um2=area)
    if listed.x_index is not None and listed.y_index is not None:
        finding = finding.with_(die=(listed.x_index, listed.y_index))
    if listed.x_rel is not None and listed.y_rel is not None:
        finding = finding.with_(on_die=(listed.x_rel, listed.y_rel))
    return finding


def binned_result(
    rules: BinRules, finding: DefectFinding, decision: Decision, score: float | None, images: int
) -> tuple[DefectResult, Binned | None]:
    """What goes into the list's cells: of a PASS its own bin, else the rules' bin."""
    if decision is PASS:
        return DefectResult(rough_bin=PASS_BIN, fine_bin=0, review=0, score=score, images=images), None
    binned = rules.assign(finding, decision)
    cells = DefectResult(
        class_number=binned.bin.class_number,
        rough_bin=binned.bin.rough,
        fine_bin=binned.bin.fine,
        review=1,
        score=score,
        images=images,
    )
    return cells, binned


def class_of(result: Inspection | None, names: Mapping[int, str]) -> int | None:
    """The number that a list's own class table has for an image's type of defect; None leaves the class as it is.

    Args:
        result: Of the image; without a classifier, or of an unknown type, it says nothing.
        names: `WaferRecord.classes`. Names are compared without regard to case.
    """
    named = None if result is None else result.evidence.get(DEFECT)
    if named is None:
        return None
    said = named["type"].casefold()
    return next((number for number, name in sorted(names.items()) if name.strip().casefold() == said), None)


def image_size_of(image: Path | bytes, otherwise: int) -> tuple[int, int]:
    """(width, height) of an image that was read already, from its header; a square of `otherwise` if that fails."""
    try:
        with Image.open(io.BytesIO(image) if isinstance(image, bytes) else image) as opened:
            return opened.size
    except (
        Exception
    ):  # it was decoded a moment ago: a file that is gone now has no size, and that is no failure
        return otherwise, otherwise
