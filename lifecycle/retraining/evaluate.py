"""Step 4: the run's own report, and what candidate and production decide on the same images.

Three sets, none of which was trained on: the frozen sets (chosen by no version), what the line sends today, and the
regression set. Decisions only; what they mean is the gate's to say.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lifecycle.gate.scored import LabelledImage, ScoredSet, labelled_images, score_set
from lifecycle.retraining.extract import FOLDER as EXTRACT
from lifecycle.retraining.extract import MANIFEST
from lifecycle.retraining.plan import Plan
from lifecycle.retraining.train import bundle_of, run_of, run_stages
from tool_side import load_bundle
from wafer_data.errors import InputError
from wafer_data.files import read_json, write_json

FOLDER, RESULT = "evaluate", "scores.json"
FROZEN, RECENT, REGRESSION = "frozen", "recent", "regression"


def evaluate(plan: Plan) -> dict[str, Any]:
    """Do the step; `evaluate/scores.json` holds every image's score and decision by both versions.

    Raises:
        InputError: The report cannot be made, or a bundle is refused.
    """
    run_stages(plan)
    score(plan)
    return {"report": str(run_of(plan) / "report" / "report.html")}


def score(plan: Plan) -> None:
    """Ask both versions about all three sets."""
    bundles: dict[str, Path | None] = {
        "candidate": bundle_of(plan),
        "production": plan.versions().bundle(plan.production) if plan.production else None,
    }
    content: dict[str, Any] = {
        "production": plan.production,
        "bundle": load_bundle(bundle_of(plan)).id,
        "sets": {},
    }
    for name, images in evaluation_sets(plan).items():
        entry: dict[str, Any] = {
            "images": [{"file": str(i.path), "type": i.type, "name": i.name} for i in images]
        }
        for who, bundle in bundles.items():
            if bundle is not None:
                recipe = plan.config.extract.recipe if who == "production" else None
                entry[who] = _plain(score_set(bundle, images, recipe))
        content["sets"][name] = entry
    write_json(plan.folder / FOLDER / RESULT, content)


def evaluation_sets(plan: Plan) -> dict[str, list[LabelledImage]]:
    """The images of each set; those of the regression set as step 1 found it."""
    manifest = read_json(plan.folder / EXTRACT / MANIFEST)
    root = plan.folder / EXTRACT / "images"
    recent = [
        LabelledImage(root / one["file"], one["type"], f"{one['type']}/{Path(one['file']).name}")
        for one in manifest["images"]
        if one["file"].startswith("recent/")
    ]
    regression = [
        LabelledImage(plan.regression / one["file"], one["type"], one["file"])
        for one in manifest["regression"]
    ]
    return {FROZEN: labelled_images(*plan.config.frozen), RECENT: recent, REGRESSION: regression}


def read_scores(plan: Plan) -> dict[str, tuple[list[LabelledImage], ScoredSet, ScoredSet | None]]:
    """What `score` kept: images, the candidate's decisions, production's (None without one).

    Raises:
        InputError: The file is missing or damaged.
    """
    path = plan.folder / FOLDER / RESULT
    content = read_json(path)
    try:
        return {
            name: (
                [LabelledImage(Path(i["file"]), i["type"], i["name"]) for i in entry["images"]],
                _scored(entry["candidate"]),
                _scored(entry["production"]) if "production" in entry else None,
            )
            for name, entry in content["sets"].items()
        }
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} is damaged: `--step evaluate --force` makes it again") from error


def _plain(scored: ScoredSet) -> dict[str, Sequence[Any]]:
    """JSON-ready; an image that could not be scored has no number."""
    return {
        "scores": [None if math.isinf(value) else float(value) for value in scored.scores],
        "passed": [bool(value) for value in scored.passed],
        "milliseconds": [float(value) for value in scored.milliseconds],
    }


def _scored(entry: dict[str, Any]) -> ScoredSet:
    return ScoredSet(
        np.array([math.inf if value is None else value for value in entry["scores"]], float),
        np.array(entry["passed"], bool),
        np.array(entry["milliseconds"], float),
    )
