"""The system as one more appraiser: its results file, matched with the parts of a study."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePath

from eval.msa.study import DEFECT, GOOD, Study, Trials
from wafer_data.csv_table import read_table
from wafer_data.errors import InputError

DECISIONS = {"PASS": GOOD, "REVIEW": DEFECT, "REJECT": DEFECT}


def add_system(study: Study, name: str, path: Path) -> None:
    """Add the decisions of a results file that `waferroute inspect` wrote (--json, --json-lines or --csv).

    PASS means good; REVIEW and REJECT mean that the image was stopped, as every image is that could not be scored. An
    image that occurs several times was inspected in several trials. A part is matched with the image of the same path,
    else with the only image of the same file name, with or without its suffix.

    Raises:
        InputError: the file cannot be read, holds no decision, matches no part, or a part's name fits several images.
    """
    found: dict[str, Trials] = {}
    for where, source, decision in _results(path):
        if decision not in DECISIONS:
            raise InputError(f"{where}: the decision {decision!r} is none of {', '.join(DECISIONS)}")
        trials = found.setdefault(source, {})
        trials[len(trials) + 1] = DECISIONS[decision]
    if not found:
        raise InputError(f"{path} holds no result: give a file that `waferroute inspect` wrote")
    matched = {part: found[own] for part in study.reference if (own := _source_of(part, found, path))}
    if not matched:
        first = next(iter(study.reference))
        raise InputError(
            f"{path} holds none of the study's parts (the first is {first}): the column part must hold the paths or "
            "file names of the images that were inspected"
        )
    study.add(name, matched, system=True)
    missing = len(study.reference) - len(matched)
    if missing:
        study.notes.append(
            f"{name} has no result for {missing} of {len(study.reference)} parts, which it skips."
        )


def _source_of(part: str, found: Mapping[str, Trials], path: Path) -> str | None:
    if part in found:
        return part
    name = PurePath(part).name
    same = [source for source in found if name in (PurePath(source).name, PurePath(source).stem)]
    if len(same) > 1:
        raise InputError(
            f"{path}: part {part} could be {same[0]} or {same[1]}; write the images' paths into the column part"
        )
    return same[0] if same else None


def _results(path: Path) -> Iterable[tuple[str, str, str]]:
    """Where it stands, source and decision of each result."""
    if path.suffix.lower() == ".csv":
        for row in read_table(path, ("source", "decision")):
            yield row.where, row.cells["source"], row.cells["decision"]
        return
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not text: give a file that `waferroute inspect --json` wrote") from error
    for number, text in enumerate(lines, start=1):
        where = f"{path}, line {number}"
        try:
            row = json.loads(text)
            source, decision = row["source"], row["decision"]
        except (ValueError, TypeError, KeyError) as error:
            raise InputError(
                f"{where}: not a result of `waferroute inspect --json` (a JSON object with source and decision)"
            ) from error
        yield where, str(source), str(decision)
