"""Which dies of a wafer were judged, which are bad, where they lie, and that their map is XML whatever their names."""

import math
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest

from tests.wafer_map.klarf_samples import FILE_12
from wafer_data.errors import DataError
from wafer_map.e142 import die_bins
from wafer_map.klarf import Defect, WaferResult, parse_klarf, write_12, write_18
from wafer_map.orientation import mark_angle
from wafer_map.signatures import find_signatures
from wafer_map.svg import draw
from wafer_map.wafer import WaferMap, counted_defects, dies_of, dies_on_wafer

PLAN = ((0, 0), (1, 0), (2, 0), (3, 0))


def wafer(*bins: tuple[int, int | None]) -> WaferResult:
    """A wafer of four dies with defects (column of the die, bin)."""
    defects = [Defect(i + 1, x_index=x, y_index=0, rough_bin=number) for i, (x, number) in enumerate(bins)]
    columns = ("DEFECTID", "XINDEX", "YINDEX", "RoughBinNumber")
    return WaferResult(lot="L", wafer="W", plan=PLAN, columns=columns, defects=defects)


def counted(found: WaferResult, bins: list[int] | None) -> list[bool | None]:
    return list(dies_of(found, counted_defects(found, bins)).values())


def test_without_bins_every_defect_counts():
    assert counted(wafer((0, 0), (1, 3)), None) == [True, True, False, False]


def test_by_bins_a_die_with_a_defect_that_has_no_bin_yet_is_unjudged_unless_another_counts():
    found = wafer((0, 0), (1, None), (2, 0), (2, 3), (3, 0), (3, 1))
    assert counted(found, [3]) == [None, None, True, None]
    assert counted(wafer((0, 1), (1, 2)), [3]) == [False] * 4


def test_by_bins_a_defect_without_a_judged_image_is_unjudged_unless_its_bin_counts():
    found = wafer((0, 2), (1, 2))
    found.defects[0] = replace(found.defects[0], values={"ANOMALYSCORE": "-1"})
    assert counted(found, [3]) == [None, False, False, False]
    assert counted(found, [2]) == [True, True, False, False]


def test_bins_of_a_list_without_such_a_column_are_refused():
    found = replace(wafer((0, None)), columns=("DEFECTID", "XINDEX", "YINDEX"))
    with pytest.raises(DataError, match="wafer W: its defect list has no column ROUGHBINNUMBER"):
        counted_defects(found, [3])


def test_a_defect_that_lies_on_no_die_is_refused_unless_it_does_not_count():
    found = wafer((0, 1))
    found.defects.append(Defect(2, rough_bin=3))
    assert counted(found, [2]) == [False] * 4
    with pytest.raises(DataError, match=r"wafer W, defect 2: its die \(XINDEX, YINDEX\) is unknown"):
        counted(found, [3])


def test_a_map_holds_the_judged_dies():
    found = wafer((0, 0), (1, 3))
    assert WaferMap.from_klarf(found, counted_defects(found, [3])).dies == PLAN[1:]
    with pytest.raises(DataError, match="inspected and judged"):
        WaferMap.from_klarf(parse_klarf(FILE_12.encode()).wafers[0], lambda _: None)


def test_a_name_that_xml_cannot_hold_does_not_break_a_map():
    found = replace(wafer((0, 3)), lot="L\x00", wafer="W\x01\ufffe")
    dies = WaferMap.from_klarf(found)
    assert "W\ufffd\ufffd" in die_bins(dies, found)
    for text in (die_bins(dies, found), draw(dies, f"{found.lot} {found.wafer}")):
        ElementTree.fromstring(text.encode())


def disc(**fields: object) -> WaferResult:
    """A wafer of 300 mm with dies of 10 mm, die (0, 0) in its middle; its plan, if not given, is all whole dies."""
    geometry = {"die_pitch": (1e4, 1e4), "center": (5e3, 5e3), "diameter": 3e5, "lot": "L", "wafer": "W"}
    found = WaferResult(**{**geometry, **fields})  # type: ignore[arg-type]
    return found if found.plan else replace(found, plan=tuple(dies_on_wafer(found)))


def with_bad(found: WaferResult, where: np.ndarray) -> WaferMap:
    """Its map, dies bad where the mask over its plan says so."""
    defects = [Defect(i, x_index=found.plan[i][0], y_index=found.plan[i][1]) for i in np.flatnonzero(where)]
    return WaferMap.from_klarf(replace(found, defects=defects))


@pytest.mark.parametrize("fields", [{}, {"die_pitch": (1.3e4, 7e3), "center": (6.5e3, 0.0)}])
def test_a_plan_of_all_whole_dies_lies_as_without_the_wafers_centre(fields: dict):
    known = WaferMap.from_klarf(disc(**fields))
    assert known.disc is not None
    unknown = replace(known, disc=None)
    assert known.positions == pytest.approx(unknown.positions, abs=1e-9)


def test_a_plan_of_one_half_keeps_the_positions_that_its_dies_have_on_the_whole_wafer():
    whole = WaferMap.from_klarf(disc())
    places = dict(zip(whole.dies, whole.positions.tolist(), strict=True))
    for mirrored in (False, True):
        half = WaferMap.from_klarf(
            disc(plan=[die for die in whole.dies if 0 <= die[0] < 10], mirrored=mirrored)
        )
        expected = np.array([places[die] for die in half.dies]) * (-1 if mirrored else 1, 1)
        assert half.positions == pytest.approx(expected)


def test_signatures_of_one_half_are_named_by_their_place_on_the_wafer():
    found = disc(plan=[die for die in dies_on_wafer(disc()) if 0 <= die[0] < 10])
    x, y = np.array(found.plan).T
    # In the middle of the plan, in that of the wafer, and along the wafer's rim.
    planted = {
        "cluster": np.hypot(x - 4.5, y) < 2.2, "center": np.hypot(x, y) < 3.2,
        "edge_ring": np.hypot(x, y) > 12.4,
    }  # fmt: skip
    for kind, where in planted.items():
        assert find_signatures(with_bad(found, where)).kind == kind


def test_a_list_whose_dies_lie_beside_its_wafer_is_drawn_round_its_dies():
    for fields in ({"diameter": 1e5}, {"center": (1e6, 0.0)}, {"die_origin": (-4e5, 0.0)}, {"diameter": 1.0}):
        found = WaferMap.from_klarf(disc(plan=disc().plan, **fields))
        assert found.disc is None and found.positions == pytest.approx(WaferMap.from_klarf(disc()).positions)


def test_whole_dies_are_those_of_the_formula_with_the_dies_origin():
    for origin in ((0.0, 0.0), (4e3, -3e3)):
        found = disc(die_origin=origin)
        corners = [(0, 0), (1, 0), (0, 1), (1, 1)]
        expected = {
            (column, row)
            for column in range(-17, 18)
            for row in range(-17, 18)
            if all(
                math.hypot(*found.position(Defect(0, 1e4 * i, 1e4 * j, column, row)))  # type: ignore[misc]
                <= 1.5e5
                for i, j in corners
            )
        }
        assert set(found.plan) == expected and len(found.plan) == len(expected) > 500


def drawn(text: str) -> tuple[dict[str, np.ndarray], list[tuple[float, float, float]]]:
    """Of a picture: the middles of its dies by their titles, and (x, y, radius) of its circles; y counts downwards."""
    root = ElementTree.fromstring(text)
    space = "{http://www.w3.org/2000/svg}"
    dies = {}
    for rect in root.iter(f"{space}rect"):
        x, y, w, h = (float(rect.get(name) or "nan") for name in ("x", "y", "width", "height"))
        dies[rect.findtext(f"{space}title") or ""] = np.array([x + w / 2, y + h / 2])
    circles = [
        (float(c.get("cx")), float(c.get("cy")), float(c.get("r"))) for c in root.iter(f"{space}circle")
    ]  # type: ignore[arg-type]
    return dies, circles


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_picture_shows_dies_and_outline_where_they_are_on_the_wafer(mirrored: bool):
    found = disc(plan=[die for die in dies_on_wafer(disc()) if 0 <= die[0] < 10], mirrored=mirrored)
    dies, ((cx, cy, r), _) = drawn(draw(WaferMap.from_klarf(found)))
    for column, row in found.plan:
        x, y = found.die_center(column, row)  # type: ignore[misc]
        place = dies[f"die {column}, {row}: good"]
        assert place == pytest.approx((cx + x / 1.5e5 * r, cy - y / 1.5e5 * r), abs=0.02)


def test_a_mirrored_map_of_an_unknown_wafer_is_drawn_mirrored():
    found = WaferMap(PLAN, (True, False, False, False), mirrored=True)
    dies, _ = drawn(draw(found))
    assert dies["die 0, 0: bad"][0] > dies["die 3, 0: good"][0]
    assert found.positions[:, 0].tolist() == [1.0, 1 / 3, -1 / 3, -1.0]


@pytest.mark.parametrize(
    ("location", "angle", "way"),
    [
        ("DOWN", 0, (0, 1)), ("0", 0, (0, 1)), ("left", 90, (-1, 0)), ("90.0", 90, (-1, 0)), ("UP", 180, (0, -1)),
        ("180", 180, (0, -1)), ("RIGHT", 270, (1, 0)), ("270", 270, (1, 0)), ("-90", 270, (1, 0)),
        ("45", 45, (-math.sqrt(0.5), math.sqrt(0.5))), ("NONE", None, None), ("nan", None, None), ("", None, None),
        ("-1e-20", 0, (0, 1)),
    ],
)  # fmt: skip
def test_the_notch_is_drawn_and_exported_where_the_list_says(
    location: str, angle: float | None, way: tuple[float, float] | None
):
    assert mark_angle(location) == angle
    found = disc(mark_location=location or "?")
    dies = WaferMap.from_klarf(found)
    _, circles = drawn(draw(dies, notch=location))
    (cx, cy, r), *notch = circles
    assert notch == ([] if way is None else [pytest.approx((cx + way[0] * r, cy + way[1] * r, 5), abs=1e-2)])
    assert Exported(die_bins(dies, found)).orientation == angle
    for read in (write_12, write_18):
        (again,) = parse_klarf(read([found], "03-04-2026 10:20:30")).wafers
        assert Exported(die_bins(WaferMap.from_klarf(again), again)).orientation == angle


class Exported:
    """An E142 map read back: which way the notch points, and the bin code and place of each die of the list."""

    def __init__(self, text: str) -> None:
        space = "{urn:semi-org:xsd.E142-1.V1005.SubstrateMap}"
        root = ElementTree.fromstring(text.encode())
        (one,) = root.iter(f"{space}SubstrateMap")
        said = one.get("Orientation")
        self.orientation = None if said is None else float(said)
        origin, axes = one.get("OriginLocation") or "", one.get("AxisDirection") or ""
        rows = [code.text or "" for code in root.iter(f"{space}BinCode")]
        (at,) = root.iter(f"{space}Coordinates")
        first = int(at.get("X") or 0), int(at.get("Y") or 0)
        assert origin.startswith("Lower") == axes.startswith("Up")
        assert origin.endswith("Left") == axes.endswith("Right")
        across = 1 if axes.endswith("Right") else -1
        up = 1 if axes.startswith("Up") else -1
        self.codes = {}
        self.places = {}
        for y, row in enumerate(rows):
            for x, code in enumerate(row[i : i + 2] for i in range(0, len(row), 2)):
                die = (x - first[0], y - first[1])
                self.codes[die] = code
                self.places[die] = (across * x, up * y)


@pytest.mark.parametrize("mirrored", [False, True])
def test_an_exported_map_puts_every_die_where_its_position_is(mirrored: bool):
    found = disc(plan=[die for die in dies_on_wafer(disc()) if -3 <= die[0] < 10], mirrored=mirrored)
    where = np.arange(len(found.plan)) % 7 == 0
    again = Exported(die_bins(with_bad(found, where), found))
    for die, bad in zip(found.plan, where, strict=True):
        assert again.codes[die] == ("FA" if bad else "01")
    assert sum(code != "FF" for code in again.codes.values()) == len(found.plan)
    for one, other in zip(found.plan, found.plan[1:], strict=False):
        step = np.subtract(found.die_center(*other), found.die_center(*one)) / 1e4  # type: ignore[arg-type]
        assert np.subtract(again.places[other], again.places[one]) == pytest.approx(step)
