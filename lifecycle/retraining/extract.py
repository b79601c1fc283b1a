"""Step 1: three months of validated PASS images, people's new labels, and what evaluates; with their provenance.

What lies in `extract/`::

    images/data/train/good       normal images that came through the guards (`guards.py`)
    images/data/test/good, TYPE  recent good images; defects to learn from, which `waferroute run` divides
    images/recent/good, TYPE     what the line sends today (`recent.py`), never trained on
    manifest.json                every image: SHA-256, label, where from, why; the regression set as it is now
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lifecycle.gate.scored import labelled_images
from lifecycle.retraining.gather import Gathered, gather
from lifecycle.retraining.guards import capped, is_regression, normal_images
from lifecycle.retraining.plan import Plan, all_plans
from lifecycle.retraining.recent import recent_sample
from lifecycle.retraining.regression import bring_up_to_date
from service.store.image_files import ImageFiles
from wafer_data.errors import DataError, InputError
from wafer_data.files import new_directory, read_json, sha256_file, sha256_json, write_json
from wafer_data.progress import track

FOLDER, MANIFEST = "extract", "manifest.json"
_ABOUT = ("id", "wafer_id", "point", "lot", "tool", "layer", "recipe", "received_at", "decision", "version")
_SUFFIX = {b"\x89PNG": ".png", b"II*\0": ".tif", b"MM\0*": ".tif", b"\xff\xd8\xff": ".jpg", b"BM": ".bmp"}


def extract(plan: Plan) -> dict[str, Any]:
    """Do the step. The result is the folder `extract/`, whole or not at all, and what joined the regression set.

    Raises:
        InputError: The service is not there or does not answer, nothing is left to train on, or an earlier
            retraining had the very same images and settings.
    """
    settings, store = plan.config.extract, ImageFiles(Path(plan.config.service.data) / "images")
    frozen = {sha256_file(image.path) for image in labelled_images(*plan.config.frozen)}
    with plan.database().read() as connection:
        found = gather(connection, settings, plan.since, plan.until)
    window = {"since": plan.since, "until": plan.until}
    normals = normal_images(
        found.inspections, settings, **window, not_good=found.not_good, good=found.good, doubted=found.doubted,
        frozen=frozen, left_out=found.left_out,
    )  # fmt: skip
    normals = capped(normals, settings, found.left_out)
    types = {**dict.fromkeys(found.good, "good"), **{one.sha256: one.type for one in found.defects}}
    recent = recent_sample(found.inspections, types, settings, **window)
    regression = _regression(plan, store, found, frozen)
    learned = [one for one in found.defects if one.sha256 not in regression and one.sha256 not in frozen]
    if not normals:
        raise DataError(
            f"no image of the {settings.days:g} days before may be trained on as normal (left out: "
            f"{dict(+found.left_out) or 'nothing was inspected'}): audit PASS images first, or see extract.unreviewed"
        )
    made: list[dict[str, Any]] = []
    with new_directory(plan.folder / FOLDER / "images") as folder:

        def put(place: str, kind: str, sha: str, row: Mapping[str, Any], why: str) -> None:
            data = _bytes(store, sha)
            if data is None:
                found.left_out["missing or changed on the disk"] += 1
                return
            name = f"{place}/{kind}/{sha}{suffix_of(data)}"
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)
            made.append(
                {"file": name, "sha256": sha, "type": kind, "why": why, **{key: row[key] for key in _ABOUT}}
            )

        for one in track(normals, "normal images"):
            why = "called good in an audit" if one.confirmed else "passed, nobody looked"
            put("data/train", "good", one.sha256, one.row, why)
        for label in recent:
            put("recent", label.type, label.sha256, label.row, "sampled on an evaluation wafer")
            if label.type == "good":
                put("data/test", "good", label.sha256, label.row, "sampled on an evaluation wafer")
        for defect in learned:
            put("data/test", defect.type, defect.sha256, defect.row, "called defective")
        (folder / "data" / "test").mkdir(parents=True, exist_ok=True)
    content = {
        "since": plan.since,
        "until": plan.until,
        "left_out": dict(+found.left_out),
        "counts": _counts(made, regression),
        "images": made,
        "regression": [
            {"file": f"{path.parent.name}/{path.name}", "sha256": sha, "type": path.parent.name}
            for sha, path in sorted(regression.items())
        ],
    }
    digest = sha256_json(
        {
            "images": [[one["file"], one["sha256"]] for one in made],
            "train": plan.config.train.model_dump(mode="json"),
        }
    )
    _refuse_the_same(plan, digest)
    write_json(plan.folder / FOLDER / MANIFEST, {**content, "digest": digest})
    return {"counts": content["counts"], "left_out": content["left_out"]}


def suffix_of(data: bytes) -> str:
    """The suffix of an image file by how it begins."""
    return next((suffix for start, suffix in _SUFFIX.items() if data.startswith(start)), ".png")


def _regression(plan: Plan, store: ImageFiles, found: Gathered, frozen: set[str]) -> dict[str, Path]:
    """Bring the regression set up to date. An image of a frozen set is measured there already."""
    settings = plan.config.extract
    new = {}
    for one in found.defects:
        if one.sha256 in frozen or not any(is_regression(row["wafer_id"], settings) for row in one.rows):
            continue
        data = _bytes(store, one.sha256)
        if data is not None:
            new[one.sha256] = (one.type, suffix_of(data), data)
    corrected: dict[str, str | None] = dict.fromkeys(found.good)
    corrected |= {one.sha256: one.type for one in found.defects}
    return bring_up_to_date(plan.regression, new, corrected)


def _bytes(store: ImageFiles, sha: str) -> bytes | None:
    data = store.get(sha)
    return data if data is not None and hashlib.sha256(data).hexdigest() == sha else None


def _counts(made: list[dict[str, Any]], regression: Mapping[str, Path]) -> dict[str, Any]:
    def of(place: str) -> dict[str, int]:
        return dict(Counter(one["type"] for one in made if one["file"].startswith(f"{place}/")))

    return {
        "normal": of("data/train").get("good", 0),
        "learned_defects": {kind: n for kind, n in of("data/test").items() if kind != "good"},
        "recent": of("recent"),
        "regression": dict(Counter(path.parent.name for path in regression.values())),
    }


def _refuse_the_same(plan: Plan, digest: str) -> None:
    for other in all_plans(plan.config):
        manifest = other.folder / FOLDER / MANIFEST
        finished = other.id != plan.id and (other.folder / "shadow" / "shadow.json").is_file()
        if finished and manifest.is_file() and read_json(manifest).get("digest") == digest:
            raise InputError(
                f"the images and training settings are those of the retraining {other.id}: nothing new to learn"
            )
