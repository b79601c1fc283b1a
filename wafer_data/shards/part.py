"""One shard, decoded, checked and written as arrays: the unit of work of `data` over an archive."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from wafer_data.arrays import Spool, write_stack
from wafer_data.checks import as_problem, in_threads, look_at
from wafer_data.config import DataConfig
from wafer_data.errors import InputError
from wafer_data.files import new_file, read_json, sha256_json, write_json
from wafer_data.masks import mask_to_square
from wafer_data.problems import Problem
from wafer_data.shards.archive import Shard

SCHEMA = 2
ROWS = pa.schema(
    [("source", pa.string()), ("side", pa.string()), ("label", pa.int8()), ("type", pa.string()),
     ("sha256", pa.string()), ("pixels", pa.string()), ("bits", pa.int8()), ("mask_row", pa.int32()),
     ("has_mask_file", pa.bool_()), ("height", pa.int32()), ("width", pa.int32()), ("median", pa.float32()),
     ("highest", pa.float32())]
)  # fmt: skip


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
        for item, look in in_threads(
            lambda item: (item, look_at(item.data, item.mask, config)), shard.items()
        ):
            found = look.remarks if look.problem is None else (look.problem,)
            problems += [as_problem(item.source, one) for one in found]
            if look.square is None:
                continue
            spool.append(look.square, look.bits)
            mask_row = None
            if look.mask is not None:
                mask_row = len(masks)
                masks.append(mask_to_square(look.mask, config.image_size).astype(np.uint8))
            rows.append(
                {"source": item.source, "side": item.side, "label": item.label, "type": item.type,
                 "sha256": look.sha256, "pixels": look.pixels, "bits": look.bits, "mask_row": mask_row,
                 "has_mask_file": item.mask is not None, "height": look.shape[0], "width": look.shape[1],
                 "median": look.median, "highest": look.highest}
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
