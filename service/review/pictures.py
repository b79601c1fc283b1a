"""The pictures of a task: the image at its own pixels, heat map, reconstruction, the most alike normal image."""

from __future__ import annotations

import numpy as np
import sqlalchemy as sa

from service.problem import Problem
from service.reading import Kept, find_inspection, heatmap_of, image_of, png_of, square_of
from service.review.tasks import Leased
from service.state import Service
from service.store.evidence import unpack_latent
from service.store.tables import images, inspections
from wafer_data.imaging.planes import as_picture
from wafer_data.imaging.refused import UnreadableImage

_ALIKE_AMONG = 400
HIDDEN_WHEN_BLIND = {"heatmap", "reconstruction"}


def picture(service: Service, task: Leased, name: str) -> bytes:
    """One picture of a task, PNG.

    Args:
        service: The worker.
        task: A task that the asking person holds.
        name: "image", "heatmap", "reconstruction" or "normal".

    Raises:
        Problem: 404 there is no such picture, or it would tell what the model thinks; 410 retention removed the
            image; 422 it cannot be read.
    """
    if task.blind and name in HIDDEN_WHEN_BLIND:
        raise Problem(404, "this picture is not shown before the verdict")
    kept = find_inspection(service, task.row["id"])
    if name == "image":
        return original(service, kept)
    if name == "heatmap":
        return heatmap_of(service, kept)
    if name == "reconstruction":
        return _reconstruction(service, kept)
    if name == "normal":
        return _normal(service, kept)
    raise Problem(404, "there is no such picture")


def original(service: Service, kept: Kept) -> bytes:
    """The image's own pixels in 8 bits, grey or colour as the models see it, at its own size."""
    inspector = service.models.current().inspector
    try:
        taken = inspector.read(image_of(service, kept))
    except UnreadableImage as error:
        raise Problem(422, f"the image cannot be shown: {error.reason}") from error
    white = np.float32(np.iinfo(taken.dtype).max if taken.dtype.kind == "u" else 1)
    return png_of(_eight_bits(inspector.preprocessing.levels.apply(taken.astype(np.float32) / white)))


def _reconstruction(service: Service, kept: Kept) -> bytes:
    inspector = service.models.current().inspector
    recipe = kept.row["recipe"] or inspector.recipes[0]
    result = inspector.inspect(image_of(service, kept), recipe=recipe, reconstruction=True)
    if result.reconstruction is None:
        raise Problem(404, "the model cannot draw what it expected of this image")
    return png_of(_eight_bits(as_picture(result.reconstruction)))


def _normal(service: Service, kept: Kept) -> bytes:
    """Of the last images of the same layer and recipe that PASSed or that people called good, the most alike."""
    row = kept.row
    unseen_pass = sa.and_(inspections.c.verdict.is_(None), inspections.c.decision == "PASS")
    query = (
        sa.select(inspections.c.id, inspections.c.latent)
        .join(images, images.c.sha256 == inspections.c.image_sha256)
        .where(
            inspections.c.id != row["id"], images.c.removed_at.is_(None), inspections.c.latent.is_not(None),
            sa.or_(inspections.c.verdict == "good", unseen_pass),
            _same(inspections.c.layer, row["layer"]), _same(inspections.c.recipe, row["recipe"]),
            inspections.c.version == row["version"],
        )
        .order_by(sa.case((inspections.c.point == row["point"], 0), else_=1), inspections.c.seq.desc())
        .limit(_ALIKE_AMONG)
    )  # fmt: skip
    with service.database.read() as connection:
        found = connection.execute(query).all()
    if not found:
        raise Problem(404, "no normal image of this layer and recipe is kept")
    if kept.latent is None:
        best = found[0].id
    else:
        latents = np.stack([unpack_latent(one.latent) for one in found])
        best = found[int(((latents - kept.latent) ** 2).sum(1).argmin())].id
    other = find_inspection(service, best)
    return png_of(_eight_bits(as_picture(square_of(service, image_of(service, other)))))


def _same(column: sa.Column, value: object) -> sa.ColumnElement[bool]:
    return column.is_(None) if value is None else column == value


def _eight_bits(values: np.ndarray) -> np.ndarray:
    pixels: np.ndarray = np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)
    return pixels
