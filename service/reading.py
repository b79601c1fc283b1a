"""What was inspected, for those who ask later: from the database, or from the journal while it is not there yet."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
import sqlalchemy as sa
from PIL import Image

from service.about import LONGEST_NAME
from service.problem import Problem
from service.state import Service
from service.store import record
from service.store.evidence import unpack_latent, unpack_map
from service.store.tables import inspections
from tool_side.runtime.heatmap import overlay
from wafer_data.imaging.read import UnreadableImage

MEDIA_TYPES = {"png": "image/png", "jpeg": "image/jpeg", "bmp": "image/bmp", "tiff": "image/tiff"}


@dataclass(frozen=True)
class Kept:
    """An inspection as it is kept.

    Attributes:
        row: Columns of `inspections`.
    """

    row: dict[str, Any]
    map: np.ndarray | None
    latent: np.ndarray | None


def checked_name(text: str) -> str:
    """A name from an address. Raises Problem (404) for one that no image can have, which a database may choke on."""
    if not text.isprintable() or len(text) > LONGEST_NAME:
        raise Problem(404, "there is nothing of this name")
    return text


def find_inspection(service: Service, inspection_id: str) -> Kept:
    """The inspection of an id.

    Raises:
        Problem: 404 there is none.
        DatabaseDown: It may be in the database, which does not answer.
    """
    entry = service.journal.get(checked_name(inspection_id))
    if entry is not None:
        row = {**record.parse(entry.record), "entry": entry.seq, "verdict": None, "verdict_defect": None}
        return _kept(row, entry.map, entry.latent)
    with service.database.read() as connection:
        found = connection.execute(sa.select(inspections).where(inspections.c.id == inspection_id))
        row_found = found.mappings().first()
    if row_found is None:
        raise Problem(404, "there is no inspection of this id")
    return _kept(dict(row_found), row_found["map"], row_found["latent"])


def latest_id(service: Service, wafer_id: str, point: str) -> str:
    """The id of a place's last inspection. Raises Problem (404), DatabaseDown."""
    query = (
        sa.select(inspections.c.id)
        .where(inspections.c.wafer_id == checked_name(wafer_id), inspections.c.point == checked_name(point))
        .order_by(inspections.c.seq.desc())
        .limit(1)
    )
    with service.database.read() as connection:
        found = connection.execute(query).scalar()
    if found is None:
        raise Problem(404, "this place was not inspected")
    return str(found)


def image_of(service: Service, kept: Kept) -> bytes:
    """The image as it came. Raises Problem: 410 retention removed it."""
    sha256 = kept.row["image_sha256"]
    entry = service.journal.get(kept.row["id"])
    data = entry.image if entry is not None else service.images.get(sha256)
    if data is None:
        raise Problem(410, "the image was removed by the rules of retention")
    return data


def square_of(service: Service, data: bytes) -> np.ndarray:
    """The image as the models get it, (H, W) or (3, H, W) in [0, 1]. Raises Problem (422) if it cannot be read."""
    try:
        return service.models.current().inspector.picture(data)
    except UnreadableImage as error:
        raise Problem(422, f"the image cannot be shown: {error.reason}") from error


def heatmap_of(service: Service, kept: Kept) -> bytes:
    """The heat map over the image, PNG, on the version's fixed scale. Raises Problem: 404 no model ran, 410, 422."""
    if kept.map is None or not kept.row["map_reference"]:
        raise Problem(404, "no model saw this image, so there is no heat map")
    square = square_of(service, image_of(service, kept))
    return png_of(overlay(square, kept.map, kept.row["map_reference"]))


def png_of(pixels: np.ndarray) -> bytes:
    """uint8 (H, W) or (H, W, 3) as the bytes of a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG", compress_level=1)
    return buffer.getvalue()


def public(kept: Kept) -> dict[str, Any]:
    """An inspection as programs see it."""
    row = kept.row
    names = (
        "id", "wafer_id", "lot", "tool", "layer", "recipe", "captured_at", "received_at", "decision",
        "model_decision", "rule", "reasons", "route", "score", "anomaly_score", "confidence", "defect", "verdict",
        "verdict_defect", "image_sha256",
    )  # fmt: skip
    base = f"/api/v1/inspections/{row['id']}"
    return {
        **{name: row.get(name) for name in names},
        "inspection_point": point_of(row["point"]),
        "model_version": row["version"],
        "bundle": row["bundle"],
        "inference_time_ms": row["inference_ms"],
        "heatmap_url": None if kept.map is None else f"{base}/heatmap.png",
        "image_url": f"{base}/image",
        "latent_vector": None if kept.latent is None else [float(f"{v:.7g}") for v in kept.latent.tolist()],
    }


def point_of(point: str) -> int | str:
    """An inspection point as it is written in JSON: a number where it is one."""
    return int(point) if point.isdecimal() and point.isascii() and len(point) < 16 else point


def _kept(row: dict[str, Any], packed_map: bytes | None, packed_latent: bytes | None) -> Kept:
    return Kept(
        row,
        None if packed_map is None else unpack_map(packed_map),
        None if packed_latent is None else unpack_latent(packed_latent),
    )
