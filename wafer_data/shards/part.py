"""One shard, decoded, checked and written as arrays: the unit of work of `data` over an archive."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from wafer_data.arrays import Spool, write_stack
from wafer_data.checks import in_threads, pixel_digest
from wafer_data.config import DataConfig
from wafer_data.errors import InputError
from wafer_data.files import new_file, read_json, sha256_json, write_json
from wafer_data.imaging.read import UnreadableImage, read_grey, to_square
from wafer_data.masks import mask_to_square
from wafer_data.problems import Problem
from wafer_data.shards.archive import Shard
from wafer_data.shards.item import Item

SCHEMA = 1
ROWS = pa.schema(
    [("source", pa.string()), ("side", pa.string()), ("label", pa.int8()), ("type", pa.string()),
     ("sha256", pa.string()), ("pixels", pa.string()), ("bits", pa.int8()), ("mask_row", pa.int32()),
     ("has_mask_file", pa.bool_())]
)  # fmt: skip


@dataclass(frozen=True)
class Look:
    """What one stored image showed; `square` is None where it cannot be used."""

    item: Item
    problems: list[Problem] = field(default_factory=list)
    square: np.ndarray | None = None
    mask: np.ndarray | None = None
    bits: int = 8
    sha256: str = ""
    pixels: str = ""


def part_key(shard: Shard, config: DataConfig) -> str:
    """What a part follows from: the shard as it looks from outside, and how images are read."""
    reading = config.model_dump(mode="json", include={"expected_size", "max_megapixels", "min_side"})
    reading["image_size"] = config.image_size
    return sha256_json([SCHEMA, shard.name, shard.identity, reading])


def is_done(folder: Path, key: str) -> bool:
    """Whether `write_part` wrote `folder` to its end from the same shard and settings."""
    try:
        return (folder / "part.json").is_file() and read_json(folder / "part.json")["key"] == key
    except (InputError, KeyError, TypeError):
        return False


def write_part(shard: Shard, config: DataConfig, folder: Path) -> None:
    """Write images.npy, masks.npy, rows.parquet, problems.json and, last, part.json into `folder`.

    Raises:
        InputError: For a shard that cannot be read or whose descriptions are wrong, a full disk.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "part.json").unlink(missing_ok=True)
    rows: list[dict[str, object]] = []
    problems: list[Problem] = []
    masks: list[np.ndarray] = []
    with Spool(folder / "spool", config.image_size) as spool:
        for look in in_threads(lambda item: look_at(item, config), shard.items()):
            problems += look.problems
            if look.square is None:
                continue
            spool.append(look.square, look.bits)
            item, mask_row = look.item, None
            if look.mask is not None:
                mask_row = len(masks)
                masks.append(look.mask)
            rows.append(
                {"source": item.source, "side": item.side, "label": item.label, "type": item.type,
                 "sha256": look.sha256, "pixels": look.pixels, "bits": look.bits, "mask_row": mask_row,
                 "has_mask_file": item.mask is not None}
            )  # fmt: skip
        bits = max((int(str(row["bits"])) for row in rows), default=8)
        stack = (spool.row(row, bits) for row in range(len(rows)))
        images_hash = write_stack(folder / "images.npy", stack, len(rows), config.image_size, bits)
    masks_hash = write_stack(folder / "masks.npy", iter(masks), len(masks), config.image_size, 8)
    with new_file(folder / "rows.parquet") as temporary:
        pq.write_table(pa.Table.from_pylist(rows, ROWS), temporary, compression="zstd")
    write_json(folder / "problems.json", problems)
    content = {"schema": SCHEMA, "key": part_key(shard, config), "shard": shard.name, "images": images_hash}
    write_json(folder / "part.json", content | {"masks": masks_hash, "rows": len(rows), "bits": bits})


def look_at(item: Item, config: DataConfig) -> Look:
    """Decode a stored image and its mask and check it alone."""
    import hashlib

    def refused(kind: str, detail: str) -> Look:
        return Look(item, [Problem(path=item.source, problem=kind, detail=detail)])

    try:
        grey = read_grey(item.data, max_pixels=config.max_pixels, min_side=config.min_side)
    except UnreadableImage as error:
        return refused("unreadable", error.reason)
    if config.expected_size is not None and list(grey.shape) != config.expected_size:
        wanted = " x ".join(map(str, config.expected_size))
        return refused("wrong size", f"{grey.shape[0]} x {grey.shape[1]} (height x width), not {wanted}")
    if grey.min() == grey.max():
        return refused("constant", f"every pixel is {grey.flat[0]}")
    remarks, mask = [], None
    if item.mask is not None:
        try:
            marked = read_grey(item.mask, max_pixels=config.max_pixels, min_side=1) > 0
        except UnreadableImage as error:
            return refused("bad mask", error.reason)
        if marked.shape != grey.shape:
            return refused(
                "bad mask",
                f"{marked.shape[1]} x {marked.shape[0]} for an image of {grey.shape[1]} x {grey.shape[0]}",
            )
        if marked.any():
            mask = mask_to_square(marked, config.image_size).astype(np.uint8)
        else:
            detail = "it marks no pixel; the image counts without mask"
            remarks.append(Problem(path=item.source, problem="empty mask", detail=detail))
    return Look(
        item,
        remarks,
        to_square(grey, config.image_size),
        mask,
        8 if grey.dtype == np.uint8 else 16,
        hashlib.sha256(item.data).hexdigest(),
        pixel_digest(grey),
    )
