"""An attribute agreement study: who called which part what, and what it truly is."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from wafer_data.csv_table import TableRow, read_table
from wafer_data.errors import InputError

GOOD, DEFECT = "good", "defect"
COLUMNS = ("part", "reference", "appraiser", "rating")
SYNONYMS = {
    "pass": GOOD, "ok": GOOD, "accept": GOOD,
    "review": DEFECT, "reject": DEFECT, "fail": DEFECT, "ng": DEFECT, "defective": DEFECT,
}  # fmt: skip

Trials = dict[int, str]
"""An appraiser's ratings of a part."""


@dataclass
class Study:
    """Parts, their reference category, and each appraiser's ratings.

    Attributes:
        reference: category of each part by its name; `GOOD` or a defect category.
        ratings: by appraiser, by part, the ratings by the number of the trial, ascending.
        systems: which of the appraisers are inspection systems, not people.
        notes: what the reader should know about how the study was read.
    """

    reference: dict[str, str]
    ratings: dict[str, dict[str, Trials]]
    systems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def categories(self) -> list[str]:
        """`GOOD`, then the defect categories of the reference, sorted."""
        return [GOOD, *sorted(set(self.reference.values()) - {GOOD})]

    def typed(self, appraiser: str) -> bool:
        """Whether the appraiser named defect types, of which the reference knows at least two."""
        known = set(self.categories)
        given = (rating for trials in self.ratings[appraiser].values() for rating in trials.values())
        return len(known) > 2 and all(rating in known for rating in given)

    def add(self, appraiser: str, ratings: Mapping[str, Trials], *, system: bool) -> None:
        """Add an appraiser.

        Raises:
            InputError: If the name is taken or nothing was rated.
        """
        if appraiser in self.ratings:
            raise InputError(f"two appraisers are called {appraiser}: give the system another name")
        if not ratings:
            raise InputError(f"{appraiser} rated no part of the study")
        self.ratings[appraiser] = dict(ratings)
        if system:
            self.systems.append(appraiser)


def read_study(path: Path, good: str = GOOD) -> Study:
    """Read a table with a row for each appraisal: part, reference, appraiser, rating and, if wanted, trial.

    Args:
        path: CSV file in UTF-8, separated by commas or semicolons. Without a column `trial`, a part's appraisals by
            the same person are its trials in the order of the rows.
        good: the category of a part without defect, in `reference` and `rating`; capitals do not matter. Every other
            category is a defect. pass, ok and accept also mean good; review, reject, fail and ng mean defective.

    Raises:
        InputError: the file cannot be read, lacks a column, or a row contradicts another; the message names the line.
    """
    rows = read_table(path, COLUMNS)
    word = good.strip().casefold()
    reference: dict[str, str] = {}
    found: dict[str, dict[str, Trials]] = {}
    for one in rows:
        where, row = one.where, one.cells
        for column in COLUMNS:
            if not row[column].strip():
                raise InputError(
                    f"{where}: {column} is empty; every appraisal needs all of {', '.join(COLUMNS)}"
                )
        part, appraiser = row["part"].strip(), row["appraiser"].strip()
        truth = _category(row["reference"], word)
        if reference.setdefault(part, truth) != truth:
            raise InputError(
                f"{where}: part {part} has the reference {truth} here and {reference[part]} above; a part has one"
            )
        trials = found.setdefault(appraiser, {}).setdefault(part, {})
        trial = _trial(row.get("trial"), len(trials) + 1, where)
        if trial in trials:
            raise InputError(
                f"{where}: {appraiser} rated part {part} twice in trial {trial}; number the trials"
            )
        trials[trial] = _category(row["rating"], word)
    if not rows:
        raise InputError(f"{path} holds no appraisal, only a header")
    ratings = {
        appraiser: {part: dict(sorted(trials.items())) for part, trials in parts.items()}
        for appraiser, parts in found.items()
    }
    study = Study(reference, ratings)
    _require_known(study, rows, word)
    return study


def _category(text: str, good: str) -> str:
    word = text.strip().casefold()
    return GOOD if word == good else SYNONYMS.get(word, word)


def _trial(text: str | None, default: int, where: str) -> int:
    if text is None or not text.strip():
        return default
    try:
        return int(text)
    except ValueError as error:
        raise InputError(f"{where}: trial must be a whole number, not {text!r}") from error


def _require_known(study: Study, rows: list[TableRow], good: str) -> None:
    """A misspelt `good` would count as a defect that was found: only categories of the reference are taken."""
    known = {*study.categories, DEFECT}
    for row in rows:
        rating = _category(row.cells["rating"], good)
        if rating not in known:
            raise InputError(
                f"{row.where}: the rating {rating!r} is no category of the reference "
                f"({', '.join(sorted(known))}); correct it, or name the good category with --good"
            )
