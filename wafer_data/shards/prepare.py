"""The stage `data` over an archive: shard by shard, so that a killed run loses one shard's work at most."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from wafer_data import files
from wafer_data.checks import CheckedImage, describe_bad, without_mask, without_repeats
from wafer_data.config import DataConfig
from wafer_data.errors import DataError
from wafer_data.imaging.levels import find_levels
from wafer_data.problems import Problem
from wafer_data.progress import track
from wafer_data.shards.archive import Shard, open_archive
from wafer_data.shards.on_ray import cluster, on_ray
from wafer_data.shards.part import is_done, part_key, write_part
from wafer_data.shards.stacks import Stacks
from wafer_data.shards.store import INDEX, PARTS, SCHEMA, SPLITS, ShardStore
from wafer_data.sources import Candidate, data_name
from wafer_data.split import Split
from wafer_data.spread import spread
from wafer_data.store import LEVEL_IMAGES, PROBLEMS, SPLIT, count_images, divided, say, size_of_source
from wafer_data.survey import survey

UNUSABLE = {"unreadable", "wrong size", "constant", "bad mask"}
NO_MASK_FILE = Path("mask")


def prepare_shards(config: DataConfig, out_dir: Path) -> ShardStore:
    """Decode, check and split an archive into `out_dir`.

    The folder then holds parts/<shard>/ with the images as arrays, index.parquet with a row for each image,
    problems.json and, written last, split.json. Parts that an interrupted call finished are kept where shard and
    settings are the same. Pixels are never all in memory; some 1 kB an image is, while duplicates are looked for.

    Raises:
        InputError: as `wafer_data.store.prepare_data`.
    """
    shards = open_archive(config.root or "")
    (out_dir / SPLIT).unlink(missing_ok=True)
    out_dir = out_dir.absolute()  # for workers elsewhere
    folders = part_folders(out_dir, shards)
    for other in (out_dir / PARTS).glob("*"):
        if other not in folders:
            shutil.rmtree(other)
    todo = [
        (shard, folder)
        for shard, folder in zip(shards, folders, strict=True)
        if not is_done(folder, part_key(shard, config))
    ]
    address = cluster()
    if address is None:
        for shard, folder in track(todo, "checking shards"):
            write_part(shard, config, folder)
    else:
        done = on_ray(address, partial(_part_writer, config), todo)
        for _ in track(done, "checking shards", total=len(todo)):
            pass
    return index_parts(config, out_dir, shards)


def _part_writer(config: DataConfig) -> Callable[[tuple[Shard, Path]], dict[str, Any]]:
    def write(task: tuple[Shard, Path]) -> dict[str, Any]:
        write_part(task[0], config, task[1])
        return {}

    return write


def part_folders(out_dir: Path, shards: Sequence[Shard]) -> list[Path]:
    """Where each shard's part is written."""
    return [out_dir / PARTS / shard.name for shard in shards]


def index_parts(config: DataConfig, out_dir: Path, shards: Sequence[Shard]) -> ShardStore:
    """Divide what the parts hold into train, calibration and test, and write the index; see `prepare_shards`."""
    folders = part_folders(out_dir, shards)
    problems: list[Problem] = [p for folder in folders for p in files.read_json(folder / PROBLEMS)]
    tables = [pq.read_table(folder / "rows.parquet") for folder in folders]
    bad = [problem for problem in problems if problem["problem"] in UNUSABLE]
    if bad and not config.skip_bad_images:
        raise DataError(describe_bad(bad, len(bad) + sum(table.num_rows for table in tables)))
    images = _checked(tables)
    problems += without_mask(images)
    images, repeated = without_repeats(images)
    problems += repeated + survey(images, config.image_size, config.expected_size)
    splits = divided(images, problems, config)
    counts = count_images(
        [(split, image.candidate.label) for split, image in zip(splits, images, strict=True)]
    )
    index = _index(tables, images, splits)
    source_size = size_of_source(images, splits, config)
    del images
    with files.new_file(out_dir / INDEX) as temporary:
        pq.write_table(index, temporary, compression="zstd")
    files.write_json(out_dir / PROBLEMS, problems)
    levels = asdict(find_levels(_training_normals(index, folders)))
    parts = [files.read_json(folder / "part.json") for folder in folders]
    content = {
        "sharded": SCHEMA,
        "name": data_name(config),
        "seed": config.seed,
        "size": config.image_size,
        "config": config.model_dump(),
        "counts": counts,
        "levels": levels,
        "source_size": source_size,
        "fingerprint": _fingerprint(index, parts, levels),
        "parts": [{"folder": part["shard"], "rows": part["rows"], "bits": part["bits"]} for part in parts],
    }
    files.write_json(out_dir / SPLIT, content)
    say(problems, out_dir)
    return ShardStore(out_dir)


def _checked(tables: list[pa.Table]) -> list[CheckedImage]:
    """What the checks of a whole data set look at; `row` counts through all parts."""
    images: list[CheckedImage] = []
    for table in tables:
        for row in table.to_pylist():
            mask = NO_MASK_FILE if row["has_mask_file"] else None
            images.append(
                CheckedImage(
                    candidate=Candidate(Path(row["source"]), row["side"], row["label"], row["type"], mask),
                    sha256=row["sha256"],
                    pixels=row["pixels"],
                    bits=row["bits"],
                    row=len(images),
                    mask=row["mask_row"] is not None,
                    shape=(row["height"], row["width"]),
                    median=row["median"],
                    highest=row["highest"],
                )
            )
    return images


def _index(tables: list[pa.Table], images: list[CheckedImage], splits: list[Split]) -> pa.Table:
    """A row for each image that stays, in the order of the archive."""
    kept = np.array([image.row for image in images])
    whole = pa.concat_tables(tables).take(kept)
    sizes = [table.num_rows for table in tables]
    part = np.repeat(np.arange(len(tables), dtype=np.int32), sizes)[kept]
    row = np.concatenate([np.arange(size, dtype=np.int32) for size in sizes])[kept]
    mask_row = whole.column("mask_row").fill_null(-1)
    split = np.array([SPLITS.index(one) for one in splits], dtype=np.int8)
    return pa.table(
        {"part": part, "row": row, "split": split, "label": whole.column("label"), "type": whole.column("type"),
         "path": whole.column("source"), "sha256": whole.column("sha256"), "mask_row": mask_row}
    )  # fmt: skip


def _training_normals(index: pa.Table, folders: list[Path]) -> Iterator[np.ndarray]:
    """At most `LEVEL_IMAGES` of them, evenly spaced, as stored."""
    normal = (index["split"].to_numpy() == 0) & (index["label"].to_numpy() == 0)
    stacks = Stacks([folder / "images.npy" for folder in folders])
    for i in spread(np.flatnonzero(normal), LEVEL_IMAGES):
        yield stacks.row(index["part"][int(i)].as_py(), index["row"][int(i)].as_py())


def _fingerprint(index: pa.Table, parts: list[dict[str, Any]], levels: dict[str, float]) -> str:
    """SHA-256 over what a model can depend on: arrays, grey levels, and each image's split, label and type."""
    digest = hashlib.sha256()
    for batch in index.select(["sha256", "split", "label", "type", "part", "row", "mask_row"]).to_batches(
        8192
    ):
        digest.update(repr([column.to_pylist() for column in batch.columns]).encode())
    arrays = [[part["images"], part["masks"]] for part in parts]
    return files.sha256_json(
        {"sharded": SCHEMA, "arrays": arrays, "rows": digest.hexdigest(), "levels": levels}
    )
