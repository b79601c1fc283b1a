"""Explores the prepared data of a run and writes the result as one folder."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from eval.config import EvalConfig
from eval.explore.findings import Exploration
from eval.explore.measure import Maps, measure
from eval.explore.page import render_page
from eval.explore.plots import draw_plots
from eval.pages import folder as result_folder
from eval.pages import images as pictures
from wafer_data.config import DataConfig
from wafer_data.files import new_directory, read_json, write_bytes, write_json, write_text
from wafer_data.progress import Progress
from wafer_data.store import ImageStore

PAGE, FIGURES, PICTURES = "explore.html", "explore.json", "pictures"


def explore_data(
    run_dir: Path, out: Path, config: EvalConfig, data: DataConfig, config_text: str | None = None
) -> dict[str, Any]:
    """Look at the data prepared in `run_dir`/data and write `out`: explore.html, explore.json and pictures/.

    Nothing is fitted, chosen or calibrated. Of each kind of image at most 2000 are read, one at a time, so
    neither time nor memory grow with the data set beyond that. `config` gives the seed and the number of
    bootstrap resamples; config_text is shown on the page. The folder is replaced as a whole or, on failure,
    left as it was. Returns the content of explore.json.

    Raises:
        InputError: When the data are missing or damaged, a file cannot be read, or `out` cannot be written or
            holds something else than an earlier exploration.
    """
    require_replaceable(out)
    with new_directory(out) as folder:  # first of all: a folder that cannot be written is known at once
        with Progress():
            store = ImageStore.open(run_dir / "data")
            found, maps = measure(run_dir, store, config, data)
            found = replace(found, provenance=replace(found.provenance, config_text=config_text))
            _write(folder, found, maps, store)
        content: dict[str, Any] = read_json(folder / FIGURES)
    return content


def require_replaceable(out: Path) -> None:
    """Raise InputError unless `out` is missing, empty, or holds an earlier exploration and nothing else."""
    result_folder.require_replaceable(out, {PAGE, FIGURES, PICTURES}, "an exploration")


def _write(folder: Path, found: Exploration, maps: Maps, store: ImageStore) -> None:
    shots = {
        shown.index: pictures.to_picture(store.pixels(shown.index), (0.0, 1.0), store.mask(shown.index))
        for shown in [*found.normals_shown, *found.defects_shown]
    }
    drawn = {
        "mean": pictures.to_picture(maps.mean, found.mean_image.mean),
        "deviation": pictures.to_picture(maps.deviation, found.mean_image.deviation),
        "spectrum": pictures.spectrum_picture(maps.spectrum),
        "correlation": pictures.to_picture(maps.correlation, (-1.0, 1.0)),
    }
    plots = draw_plots(found)
    for name, indices in (("normals", found.normals_shown), ("defects", found.defects_shown)):
        if indices:
            _write_picture(folder, name, pictures.sheet([shots[shown.index] for shown in indices]))
    for name, picture in drawn.items():
        _write_picture(folder, f"{name}-image", picture)
    for name, plot in plots.items():
        write_bytes(folder / PICTURES / f"{name}-plot.png", plot.png)
    write_json(folder / FIGURES, found.to_json())
    write_text(folder / PAGE, render_page(found, plots, shots, drawn))


def _write_picture(folder: Path, name: str, picture: np.ndarray) -> None:
    write_bytes(folder / PICTURES / f"{name}.png", pictures.to_png(picture))
