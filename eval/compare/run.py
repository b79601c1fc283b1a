"""Compares finished runs and writes the result as one folder."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from eval.compare.findings import compare
from eval.compare.match import on_common_images, open_runs
from eval.compare.page import render_page
from eval.pages.folder import require_replaceable
from wafer_data.errors import InputError
from wafer_data.files import new_directory, write_json, write_text

PAGE, FIGURES = "comparison.html", "comparison.json"
RESAMPLES = 2000


def compare_runs(
    folders: Sequence[Path],
    out: Path,
    reference: Path | None = None,
    only_common: bool = False,
    resamples: int = RESAMPLES,
) -> dict[str, Any]:
    """Compare the runs in `folders` on their common test images and write `out`: comparison.html, comparison.json.

    Nothing is scored again: the figures follow from each run's report/. `reference` is one of the folders (default:
    the first); every other run's difference from it is a paired bootstrap over images. The folder is replaced as a
    whole or, on failure, left as it was. Returns the content of comparison.json.

    Raises `InputError` for fewer than two runs, a reference that is none of them, runs without a finished report or
    calibrated or exported anew since, runs whose test images differ (unless `only_common`) or whose common ones lack a
    class, and an `out` that cannot be written or holds something else than an earlier comparison.
    """
    require_replaceable(out, (PAGE, FIGURES), "a comparison")
    runs = open_runs(folders)
    place = _place(folders, reference)
    tested = {run.name: len(run.images) for run in runs}
    found = compare(on_common_images(runs, only_common), runs[place].name, tested, resamples)
    content = found.to_json()
    with new_directory(out) as folder:
        write_json(folder / FIGURES, content)
        write_text(folder / PAGE, render_page(found))
    return content


def _place(folders: Sequence[Path], reference: Path | None) -> int:
    if reference is None:
        return 0
    known = [folder.resolve() for folder in folders]
    if reference.resolve() not in known:
        raise InputError(f"--reference {reference} is none of the runs to compare")
    return known.index(reference.resolve())
