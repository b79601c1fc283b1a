"""What a finished run says about its test images."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from eval.metrics.sketch import ImageSketch
from eval.metrics.sketch_file import read_sketches
from eval.report.extras import synthetic_source
from wafer_data.errors import InputError
from wafer_data.files import read_json
from wafer_data.store import ImageStore

ImageKey = tuple[str, int]
"""SHA-256 of the image file, and the how manieth test image of the run with these bytes it is."""


@dataclass(frozen=True)
class FinishedRun:
    """One run after `waferroute evaluate`; the arrays follow its test images."""

    name: str
    images: list[ImageKey]
    labels: np.ndarray
    """(N,) 0 normal, 1 defective."""
    scores: dict[str, np.ndarray]
    """(N,) float64 by model, "routed" among them if the run has a route; infinite for an unjudged image."""
    passed: np.ndarray | None
    """(N,) bool: the routed system's decision is PASS. None without a route."""
    report: dict[str, Any]
    """The content of report.json."""
    sketches: dict[str, dict[int, ImageSketch]] = field(default_factory=dict)
    """The pixels of test image n by model; empty for reports from before they were kept."""
    settings: dict[str, str] = field(default_factory=dict)
    """The configuration as text, by key; without the folder's own name."""
    whole: bool = True
    """Whether these are all of its test images, those that report.json speaks of."""
    fingerprint: str = ""
    synthetic: str | None = None
    """In words how a program made the images, if it did and the data say so."""


def load_runs(folders: Sequence[Path]) -> list[FinishedRun]:
    """The runs in these folders, under names that tell them apart.

    Raises `InputError` for fewer than two folders, one folder given twice, one without a finished report, or damaged
    files.
    """
    if len(folders) < 2:
        raise InputError("a comparison needs at least two runs: waferroute compare RUN RUN")
    resolved = [folder.resolve() for folder in folders]
    for folder, count in Counter(resolved).items():
        if count > 1:
            raise InputError(f"{folder} is given {count} times: a run is compared with others")
    return [load_run(folder, name) for folder, name in zip(resolved, _names(resolved), strict=True)]


def load_run(folder: Path, name: str) -> FinishedRun:
    """One run; see `load_runs`."""
    for file in ("report.json", "predictions.json"):
        if not (folder / "report" / file).is_file():
            raise InputError(
                f"{folder} holds no finished evaluation (report/{file} is missing): run `waferroute evaluate` first"
            )
    report, predictions = (
        read_json(folder / "report" / f"{part}.json") for part in ("report", "predictions")
    )
    try:
        images = predictions["images"]
        return FinishedRun(
            name=name,
            images=_keys(folder, images),
            labels=np.array([image["label"] for image in images], dtype=np.int64),
            scores=_scores(images),
            passed=_passed(images),
            report={"models": report["models"], "routing": report["routing"], "data": report["data"]},
            sketches=read_sketches(folder / "report" / "pixels.npz"),
            settings=_settings(folder / "config.yaml"),
            fingerprint=str(predictions["data_fingerprint"]),
            synthetic=_synthetic(folder / "data"),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{folder / 'report'} is incomplete ({error}): evaluate the run again") from error


def _keys(folder: Path, images: Sequence[dict[str, Any]]) -> list[ImageKey]:
    known: dict[str, str] = {}
    if any("sha256" not in image for image in images):
        # Reports of an earlier version; the prepared data know the files.
        records = read_json(folder / "data" / "split.json")["records"]
        known = {record["path"]: record["sha256"] for record in records}
    seen: Counter[str] = Counter()
    keys = []
    for image in images:
        content = str(image.get("sha256") or known[image["path"]])
        keys.append((content, seen[content]))
        seen[content] += 1
    return keys


def _scores(images: Sequence[dict[str, Any]]) -> dict[str, np.ndarray]:
    names = list(images[0]["scores"]) if images else []
    scores = {name: np.array([image["scores"][name] for image in images], dtype=np.float64) for name in names}
    if _passed(images) is not None:
        # An unjudged image is sent to a person: a flag, which ranks above all scores.
        scores["routed"] = np.array(
            [
                np.inf if image["route"] == "none" or image["routed_score"] is None else image["routed_score"]
                for image in images
            ],
            dtype=np.float64,
        )
    return scores


def _passed(images: Sequence[dict[str, Any]]) -> np.ndarray | None:
    if not images or "decision" not in images[0]:
        return None
    return np.array([image["decision"] == "PASS" for image in images])


def _settings(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    try:
        content = OmegaConf.to_container(OmegaConf.load(path))
    except (OmegaConfBaseException, YAMLError, OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({error})") from error
    found: dict[str, str] = {}
    _flatten("", content, found)
    found.pop("run.dir", None)
    return found


def _flatten(key: str, value: Any, into: dict[str, str]) -> None:
    if isinstance(value, dict) and value:
        for inner, content in value.items():
            _flatten(f"{key}.{inner}" if key else str(inner), content, into)
    else:
        into[key] = "none" if value is None else str(value)


def _synthetic(data: Path) -> str | None:
    try:
        return synthetic_source(ImageStore.open(data))
    except InputError:  # the comparison does not need the images themselves
        return None


def _names(folders: Sequence[Path]) -> list[str]:
    """The last part of each path, or as many as it takes to tell them apart."""
    for length in range(1, max(len(folder.parts) for folder in folders) + 1):
        names = ["/".join(folder.parts[-length:]) for folder in folders]
        if len(set(names)) == len(names):
            break
    return names
