"""Generated wafers for KLARF round trips, and damage to files."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st

from wafer_map.klarf import Defect, ImageEntry, WaferResult

TIMESTAMP = "03-04-2026 10:20:30"
NAMES = st.text(
    st.characters(exclude_characters='"\r\n', exclude_categories=("Cs", "Cc", "Zl", "Zp")), max_size=12
)
WORDS = st.from_regex(r"[A-Za-z0-9_.\-]{1,8}", fullmatch=True).filter(lambda text: text.upper() != "IMAGES")
INDEX = st.integers(-200, 200)


def lengths(nanometres: bool) -> st.SearchStrategy[float]:
    """Micrometres; whole nanometres as the reader computes them, or any finite float."""
    if nanometres:
        return st.integers(-(2**40), 2**40).map(lambda n: n / 1000)
    return st.floats(-1e9, 1e9, allow_nan=False)


@st.composite
def images(draw: st.DrawFn, nanometres: bool) -> tuple[ImageEntry, ...]:
    """Image lists as the version knows them: one file and numbers, or several files, words and maybe numbers."""
    count = draw(st.sampled_from([0, 0, 1, 2, 5]))
    if nanometres:
        name = NAMES.filter(bool)
        number = st.none() | st.integers(0, 99)
        kind = st.lists(WORDS, min_size=1, max_size=3).map(" ".join)
        return tuple(ImageEntry(draw(name), draw(number), draw(kind)) for _ in range(count))
    file = draw(NAMES.map(lambda t: " ".join(t.split())).filter(bool))
    return tuple(
        ImageEntry(file, draw(st.integers(0, 99)), str(draw(st.integers(0, 9)))) for _ in range(count)
    )


@st.composite
def wafers(draw: st.DrawFn, nanometres: bool) -> WaferResult:
    """One wafer with defects of random columns."""
    length = lengths(nanometres)
    pair = st.tuples(length, length)
    known = draw(
        st.sets(
            st.sampled_from(
                [
                    "x_rel",
                    "y_rel",
                    "x_index",
                    "y_index",
                    "x_size",
                    "y_size",
                    "d_size",
                    "area",
                    "class_number",
                    "rough_bin",
                    "fine_bin",
                    "review",
                    "test",
                ]
            )
        )
    )
    extra = draw(st.lists(st.sampled_from(["PHI", "KILLPROB", "ANOMALYSCORE"]), unique=True))
    number = {"x_rel": length, "y_rel": length, "x_size": length, "y_size": length, "d_size": length}
    area = (
        st.integers(0, 2**60).map(float) if not nanometres else st.integers(0, 2**50).map(lambda n: n / 1e6)
    )
    defects = [
        Defect(
            id=draw(st.integers(-5, 2**40)),
            images=draw(images(nanometres)),
            values={key: draw(WORDS) for key in extra},
            **{  # type: ignore[arg-type]
                name: draw(
                    number[name]
                    if name in number
                    else area
                    if name == "area"
                    else st.integers(-99, 2**31 - 1)
                )
                for name in sorted(known)
            },
        )
        for _ in range(draw(st.integers(0, 6)))
    ]
    return WaferResult(
        lot=draw(NAMES),
        wafer=draw(NAMES),
        slot=str(draw(st.integers(1, 25))),
        device=draw(NAMES),
        setup=draw(NAMES),
        step=draw(NAMES),
        station=tuple(draw(st.lists(NAMES, min_size=3, max_size=3))),
        timestamp=TIMESTAMP,
        diameter=300_000.0,
        die_pitch=draw(pair),
        die_origin=draw(pair),
        center=draw(pair),
        mark="NOTCH",
        mark_location=draw(st.sampled_from(["DOWN", "UP", "LEFT", "RIGHT"])),
        mirrored=draw(st.booleans()),
        plan=tuple(draw(st.lists(st.tuples(INDEX, INDEX), unique=True, max_size=6))),
        tests={} if draw(st.booleans()) else {draw(st.integers(1, 9)): draw(area)},
        classes=draw(st.dictionaries(st.integers(-5, 300), NAMES, max_size=4)),
        defects=defects,
    )


def comparable(wafer: WaferResult) -> WaferResult:
    """Without what depends on the order of columns: cells of known columns, which the fields hold already."""
    own = ("PHI", "KILLPROB", "ANOMALYSCORE")
    defects = [
        replace(defect, values={key: text for key, text in defect.values.items() if key in own})
        for defect in wafer.defects
    ]
    return replace(wafer, columns=(), defects=defects)


@st.composite
def damage(draw: st.DrawFn, data: bytes) -> bytes:
    """The same bytes with something overwritten, cut out, doubled, inserted or cut off."""
    changed = bytearray(data)
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, max(0, len(changed) - 1)))
        end = min(len(changed), start + draw(st.integers(1, 30)))
        kind = draw(st.sampled_from(["overwrite", "cut", "double", "insert", "end"]))
        if kind == "overwrite":
            changed[start : start + 1] = draw(st.binary(min_size=1, max_size=1))
        elif kind == "cut":
            del changed[start:end]
        elif kind == "double":
            changed[start:start] = changed[start:end]
        elif kind == "insert":
            changed[start:start] = draw(
                st.sampled_from(
                    [b";", b'"', b"{", b"}", b",", b" ", b"\n", b"\x00", b"-", b"1e999", b"9" * 5000, b"\xff"]
                )
            )
        else:
            del changed[start:]
    return bytes(changed)
