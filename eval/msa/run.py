"""Analyses a study and writes the result as one folder."""

from pathlib import Path
from typing import Any

from eval.msa.findings import Msa
from eval.msa.measure import measure
from eval.msa.page import render_page
from eval.msa.study import GOOD, read_study
from eval.msa.system import add_system
from eval.pages import folder as result_folder
from wafer_data.files import new_directory, write_json, write_text

PAGE, FIGURES = "msa.html", "msa.json"


def analyse_measurement_system(
    study_file: Path,
    out: Path,
    systems: dict[str, Path] | None = None,
    good: str = GOOD,
    draws: int = 2000,
    seed: int = 0,
) -> dict[str, Any]:
    """Read a study, add the systems' results, and write `out`: msa.html and msa.json.

    Args:
        study_file: table of appraisals; see `read_study`.
        out: folder, replaced as a whole or, on failure, left as it was.
        systems: results files of `waferroute inspect`, by the name that the system has in the analysis.
        good: the category of parts without defect.
        draws: resamples behind the intervals of kappa.

    Returns:
        The content of msa.json.

    Raises:
        InputError: the study or a results file is wrong, or `out` holds something else than an earlier analysis.
    """
    require_replaceable(out)
    found = analyse(study_file, systems or {}, good, draws, seed)
    with new_directory(out) as folder:
        content = found.to_json()
        write_json(folder / FIGURES, content)
        write_text(folder / PAGE, render_page(found))
    return content


def analyse(
    study_file: Path, systems: dict[str, Path], good: str = GOOD, draws: int = 2000, seed: int = 0
) -> Msa:
    """The analysis without writing anything; arguments and errors as above."""
    study = read_study(study_file, good)
    for name, results in systems.items():
        add_system(study, name, results)
    return measure(study, study_file.stem, draws, seed)


def require_replaceable(out: Path) -> None:
    """Raise InputError unless `out` is missing, empty, or holds an earlier analysis and nothing else."""
    result_folder.require_replaceable(out, {PAGE, FIGURES}, "a measurement system analysis")
