"""Round trips of generated KLARF files, and files with damaged bytes.

    .venv/bin/python benchmarks/klarf_roundtrips.py [--files 10000] [--seed 0]

Half of the files are version 1.2, half 1.8; one to three wafers each, random columns, names and images (synthetic).
Counted: fields that a written file does not give back; bytes that filling in nothing changes; defects that differ after
every defect was filled in; and what happens to damaged files: read, refused with a reason, or a crash. Each of the
counts of lost fields and crashes must be 0; exit status 1 otherwise.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.wafer_map.klarf_strategies import TIMESTAMP, comparable, damage, wafers
from wafer_data.errors import InputError
from wafer_data.progress import track
from wafer_map.klarf import DefectResult, WaferResult, fill, parse_klarf, write_12, write_18

_STEP = 100


def main() -> int:
    """Run and print; 1 if anything was lost or crashed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    counts: Counter[str] = Counter()
    for step in track(range(-(-args.files // (2 * _STEP))), "files"):
        for version in ("1.2", "1.8"):
            _run(version, args.seed * 1_000_003 + step, counts)
    for name in (
        "files", "defects", "fields compared", "fields lost", "bytes changed by filling in nothing",
        "filled-in defects that differ", "damaged files", "damaged: read", "damaged: refused", "damaged: crashed",
    ):  # fmt: skip
        print(f"{name:<40} {counts[name]:>9}")
    bad = (
        "fields lost",
        "bytes changed by filling in nothing",
        "filled-in defects that differ",
        "damaged: crashed",
    )
    return int(any(counts[name] for name in bad))


def _run(version: str, number: int, counts: Counter[str]) -> None:
    nanometres = version == "1.8"

    @seed(number)
    @settings(
        max_examples=_STEP,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.lists(wafers(nanometres), min_size=1, max_size=3), st.data())
    def check(generated: list[WaferResult], data: st.DataObject) -> None:
        written = (write_18 if nanometres else write_12)(generated, TIMESTAMP)
        _round_trip(written, generated, counts)
        _damaged(data.draw(damage(written)), counts)

    check()


def _round_trip(written: bytes, generated: list[WaferResult], counts: Counter[str]) -> None:
    counts["files"] += 1
    file = parse_klarf(written)
    counts["fields lost"] += abs(len(file.wafers) - len(generated))
    for one, two in zip(file.wafers, generated, strict=False):
        old, new = vars(comparable(two)), vars(comparable(one))
        counts["fields lost"] += abs(len(old["defects"]) - len(new["defects"]))
        counts["defects"] += len(old["defects"])
        for a, b in [
            (old, new),
            *((vars(x), vars(y)) for x, y in zip(old["defects"], new["defects"], strict=False)),
        ]:
            keys = set(a) - {"defects"}
            counts["fields compared"] += len(keys)
            counts["fields lost"] += sum(a[key] != b[key] for key in keys)
    counts["bytes changed by filling in nothing"] += fill(file, {}) != written
    results = {
        (w, d): DefectResult(class_number=d, rough_bin=w, review=1, score=d / 3)
        for w, wafer in enumerate(file.wafers)
        for d in range(len(wafer.defects))
    }
    again = parse_klarf(fill(file, results, class_names={0: "a", 1: "b"}))
    for w, wafer in enumerate(file.wafers):
        for d, defect in enumerate(wafer.defects):
            other = again.wafers[w].defects[d]
            kept = ("id", "x_rel", "y_rel", "x_size", "area", "fine_bin", "test", "images")
            same = all(getattr(defect, name) == getattr(other, name) for name in kept)
            filled = {"class_number": d, "rough_bin": w, "review": 1}
            same &= all(getattr(other, name) in (value, None) for name, value in filled.items())
            counts["filled-in defects that differ"] += not same


def _damaged(data: bytes, counts: Counter[str]) -> None:
    counts["damaged files"] += 1
    try:
        parse_klarf(data)
        counts["damaged: read"] += 1
    except InputError:
        counts["damaged: refused"] += 1
    except Exception as error:
        counts["damaged: crashed"] += 1
        print(f"crash: {type(error).__name__}: {error}", file=sys.stderr)


if __name__ == "__main__":
    raise SystemExit(main())
