"""What people said, given back to the training side: a data set in MVTec layout with its provenance, and evidence.

Only what is beyond dispute becomes a label: all who looked said the same, or a senior inspector settled it. Good
images are held to more: a place from which a defect escaped, bytes that somebody called defective, and images planted
as defects are never among them. Of the good ones a tenth of the wafers, whole wafers drawn by a hash, becomes
`test/good` (with one wafer: none).
"""

from __future__ import annotations

import hashlib
import io
import re
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import sqlalchemy as sa
from PIL import Image

from service.feedback_evidence import gather_evidence
from service.review.tasks import THIRD, verdicts_of
from service.store.database import Database
from service.store.image_files import Images
from service.store.tables import escapes, images, inspections, planted_images
from wafer_data.errors import InputError
from wafer_data.files import new_directory, write_json
from wafer_data.listing import MASK_FOLDERS, NORMAL_NAMES

TEST_SHARE = 0.1
_SUFFIX = {"png": ".png", "tiff": ".tif", "jpeg": ".jpg", "bmp": ".bmp"}
_NO_WORD = re.compile(r"[^a-z0-9]+")
# readers of the layout take folders of these names for normal images or for masks
_TAKEN = {_NO_WORD.sub("_", name).strip("_") for name in NORMAL_NAMES | MASK_FOLDERS} | {
    "label", "labels", "annotation", "annotations", "seg"
}  # fmt: skip
_ABOUT = ("id", "wafer_id", "point", "lot", "tool", "layer", "recipe", "received_at", "decision", "rule", "version",
          "bundle")  # fmt: skip


def export_feedback(
    database: Database,
    store: Images,
    out: Path,
    *,
    per_hour: int | None = None,
    track: Callable[[Iterable[Any]], Iterable[Any]] = iter,
) -> dict[str, Any]:
    """Write verdicts as a data set that `waferroute run configs/mvtec.yaml data.root=OUT` takes as it is.

    Args:
        database: Of the service.
        store: Its images.
        out: Folder to write, whole or not at all; must not exist.
        per_hour: At most so many good images an hour of one tool and lot, chosen by a hash of the image and never by
            its score; None: all. A tool that saw one lot for a day would fill the data set otherwise.
        track: Wraps the images, to show progress.

    Returns:
        Counts: `train_good`, `test_good`, `defects` by type, `masks`, `left_out` by reason; `evidence`.

    Raises:
        InputError: `out` exists, or no image may be used as a good one.
        DatabaseDown: The database does not answer.
    """
    if out.exists():
        raise InputError(f"{out} exists: choose a folder that does not, nothing is overwritten")
    left_out: Counter[str] = Counter()
    with database.read() as connection:
        labelled = labelled_entries(connection, left_out)
        evidence = gather_evidence(connection)
    chosen = _thin(labelled, per_hour, left_out)
    if not any(one["label"] == "good" for one in chosen):
        raise InputError(
            "no image that people called good may be used: nothing could be trained on. Review some first "
            f"(left out: {dict(left_out) or 'nothing'})"
        )
    held_out = _held_out(chosen)
    made: list[dict[str, Any]] = []
    with new_directory(out) as folder:
        for one in track(chosen):
            written = _write_image(folder, store, one, held_out, left_out)
            if written is not None:
                made.append(written)
        (folder / "test").mkdir(exist_ok=True)
        if not any(one["file"].startswith("train/") for one in made):
            raise InputError(f"no good image is left to train on; left out: {dict(left_out)}")
        found = {
            "train_good": sum(one["file"].startswith("train/good/") for one in made),
            "test_good": sum(one["file"].startswith("test/good/") for one in made),
            "defects": dict(Counter(one["file"].split("/")[1] for one in made if one["label"] == "defect")),
            "masks": sum(one["mask"] is not None for one in made),
            "left_out": dict(left_out),
        }
        about = {"made_at": time.time(), "per_hour": per_hour, "test_share": TEST_SHARE, **found}
        write_json(folder / "provenance.json", {**about, "images": made})
        write_json(folder / "evidence.json", evidence)
    return {**found, "evidence": evidence}


def labelled_entries(connection: sa.Connection, left_out: Counter[str]) -> list[dict[str, Any]]:
    """One entry an image (by its bytes) whose label is beyond dispute."""
    query = (
        sa.select(*(inspections.c[name] for name in _ABOUT), inspections.c.verdict, inspections.c.image_sha256,
                  images.c.format, images.c.removed_at)
        .join(images, images.c.sha256 == inspections.c.image_sha256)
        .where(inspections.c.verdict.is_not(None))
        .order_by(inspections.c.seq)
    )  # fmt: skip
    by_image: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for found_row in connection.execute(query).mappings():
        by_image[found_row["image_sha256"]].append(dict(found_row))
    not_good = known_defective(connection)
    found = []
    for sha, rows in by_image.items():
        for row in rows:
            row["said"] = verdicts_of(connection, row["id"])
        entry, reason = _judge(sha, rows, not_good)
        if entry is None:
            left_out[reason] += 1
        else:
            found.append(entry)
    return found


def _judge(sha: str, rows: list[dict[str, Any]], not_good: set[str]) -> tuple[dict[str, Any] | None, str]:
    said = [one for row in rows for one in row["said"]]
    verdicts = {row["verdict"] for row in rows}
    if verdicts - {"good", "defect"}:
        return None, "unsure or disputed"
    if len(verdicts) > 1:
        return None, "disputed"
    label = verdicts.pop()
    if label == "good":
        if any(one["verdict"] != "good" for one in said):
            return None, "disputed"
        if sha in not_good:
            return None, "called good, but known to be defective (escaped or planted)"
    if rows[0]["removed_at"] is not None:
        return None, "removed by retention"
    if rows[0]["format"] not in _SUFFIX:
        return None, "not an image"
    # where a senior inspector settled a dispute, that counts
    settled = [one for one in said if one["kind"] == THIRD]
    counts = [one for one in settled[-1:] or said if one["verdict"] == label]
    return {"sha256": sha, "label": label, "rows": rows, "counts": counts}, ""


def known_defective(connection: sa.Connection) -> set[str]:
    """Images from whose place a defect escaped, or that are planted as defects."""
    place = sa.or_(
        escapes.c.inspection_id == inspections.c.id,
        sa.and_(
            escapes.c.wafer_id == inspections.c.wafer_id,
            sa.or_(escapes.c.point.is_(None), escapes.c.point == inspections.c.point),
        ),
    )
    escaped = connection.execute(sa.select(inspections.c.image_sha256).join(escapes, place)).scalars()
    planted = connection.execute(
        sa.select(planted_images.c.image_sha256).where(planted_images.c.truth == "defect")
    ).scalars()
    return {*escaped, *planted}


def _thin(
    labelled: list[dict[str, Any]], per_hour: int | None, left_out: Counter[str]
) -> list[dict[str, Any]]:
    """At most `per_hour` good images an hour of one tool and lot; all defects."""
    if per_hour is None:
        return labelled
    taken: Counter[tuple[Any, ...]] = Counter()
    kept = []
    for one in sorted(labelled, key=lambda one: one["sha256"]):
        row = one["rows"][0]
        group = (row["tool"], row["lot"], int(row["received_at"] // 3600))
        if one["label"] == "good" and taken[group] >= per_hour:
            left_out["more than the hour's share of its tool and lot"] += 1
            continue
        taken[group] += one["label"] == "good"
        kept.append(one)
    return kept


def _write_image(
    folder: Path, store: Images, one: dict[str, Any], held_out: set[str], left_out: Counter[str]
) -> dict[str, Any] | None:
    row, sha = one["rows"][0], one["sha256"]
    data = store.get(sha)
    if data is None or hashlib.sha256(data).hexdigest() != sha:
        left_out["missing or changed on the disk"] += 1
        return None
    kind = "good" if one["label"] == "good" else folder_of(type_of(one["counts"]))
    part = "train" if kind == "good" and sha not in held_out else "test"
    name = f"{part}/{kind}/{sha[:24]}{_SUFFIX[row['format']]}"
    mask = _mask_of(one["counts"], data) if one["label"] == "defect" else None
    _write(folder / name, data)
    mask_name = None
    if mask is not None:
        mask_name = f"ground_truth/{kind}/{sha[:24]}_mask.png"
        _write(folder / mask_name, mask)
    return {
        "file": name, "mask": mask_name, "sha256": sha, "label": one["label"],
        "inspections": [
            {**{column: each[column] for column in _ABOUT}, "said": [_told(said) for said in each["said"]]}
            for each in one["rows"]
        ],
    }  # fmt: skip


def _told(said: dict[str, Any]) -> dict[str, Any]:
    """Who (a number; names can be erased) said what and when."""
    return {
        "user": said["user_id"], "verdict": said["verdict"], "defect": said["defect"], "look": said["kind"],
        "drew": said["mask"] is not None, "at": said["at"],
    }  # fmt: skip


def folder_of(defect: str | None) -> str:
    """The folder of a type that people wrote as they liked: a-z, 0-9 and _; never one that says good."""
    if not defect:
        return "defect"
    name = _NO_WORD.sub("_", defect.lower()).strip("_")[:60]
    if not name:
        return f"type_{hashlib.sha256(defect.encode()).hexdigest()[:8]}"
    return f"defect_{name}" if name in _TAKEN else name


def type_of(counts: list[dict[str, Any]]) -> str | None:
    """The type that most people named; the first of several."""
    named = Counter(one["defect"] for one in counts if one["defect"])
    return named.most_common(1)[0][0] if named else None


def _held_out(chosen: list[dict[str, Any]]) -> set[str]:
    """Good images (their SHA-256) for the test side: whole wafers, the same in each export, and one at least."""
    by_wafer: dict[str, list[str]] = defaultdict(list)
    for one in chosen:
        if one["label"] == "good":
            by_wafer[one["rows"][0]["wafer_id"]].append(one["sha256"])
    drawn = {wafer: _drawn(wafer) for wafer in by_wafer}
    taken = [wafer for wafer in by_wafer if drawn[wafer] < TEST_SHARE]
    if len(by_wafer) > 1:
        first = min(drawn, key=drawn.__getitem__)
        last = max(drawn, key=drawn.__getitem__)  # something must be left to train on
        taken = [wafer for wafer in taken or [first] if wafer != last]
    else:
        taken = []
    return {sha for wafer in taken for sha in by_wafer[wafer]}


def _drawn(name: str) -> float:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") / 2**64


def _mask_of(counts: list[dict[str, Any]], data: bytes) -> bytes | None:
    """All that was drawn, in the image's own pixels; None if nobody drew, so that nothing is taken for exact."""
    drawn = [one["mask"] for one in counts if one["mask"]]
    if not drawn:
        return None
    with Image.open(io.BytesIO(data)) as image:
        size = image.size
    union = np.zeros((size[1], size[0]), np.uint8)
    for one in drawn:
        with Image.open(io.BytesIO(one)) as mask:
            union |= np.asarray(mask.convert("L").resize(size, Image.Resampling.NEAREST))
    buffer = io.BytesIO()
    Image.fromarray(union).save(buffer, "PNG")
    return buffer.getvalue()


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
