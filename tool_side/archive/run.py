"""Scoring a whole archive, part by part, in one process or several."""

from __future__ import annotations

import logging
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from tool_side.archive.results import BUNDLE, KEY, Totals, read_metadata, totals_of
from tool_side.archive.score import ArchiveScorer
from tool_side.runtime.inspector import Inspector
from wafer_data.allocator import keep_freed_memory
from wafer_data.errors import DataError, InputError
from wafer_data.files import write_json
from wafer_data.shards import Shard, open_archive

SUMMARY = "summary.json"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Job:
    """What a worker needs to score shards."""

    bundle: str
    out: Path
    recipe: str | None = None
    latents: bool = True
    public_key: str | None = None

    def scorer(self) -> ArchiveScorer:
        """A scorer of this job.

        Raises:
            InputError: For a bundle that is refused, and a recipe that it does not know: every image would be REVIEW,
                in place of results that are good.
        """
        keep_freed_memory()  # sixteen images at a time are made and dropped again and again
        inspector = Inspector(self.bundle, public_key=self.public_key)
        if self.recipe is not None:
            inspector.policy_of(self.recipe)
        return ArchiveScorer(inspector, self.recipe, self.latents)

    def part(self, shard: Shard) -> Path:
        """Where the results of a shard go."""
        return self.out / f"{shard.name}.parquet"


Passes = Callable[[Job, Sequence[Shard]], Iterator[tuple[str, Totals]]]
"""Scores shards somewhere; yields name and totals of each as it is done."""


def score_archive(location: str, job: Job, passes: Passes | None = None, workers: int = 1) -> dict[str, Any]:
    """Score an archive into `job.out`: a Parquet file a shard, and summary.json, written last.

    Parts that are there already, of the same bundle and the same shard, are kept: a killed run loses the shards it was
    at.

    Args:
        location: see `wafer_data.shards.open_archive`.
        job: bundle, folder and settings.
        passes: who does the work; default: this process, or `workers` of its own.
        workers: processes.

    Returns:
        The content of summary.json.

    Raises:
        InputError: a damaged shard, a refused bundle, a folder with results of another bundle.
    """
    shards = open_archive(location)
    scorer = job.scorer()
    todo = [shard for shard in shards if not _is_done(job.part(shard), scorer.key(shard), scorer.bundle)]
    _refuse_others(job.out, {job.part(shard) for shard in shards})
    started, done = perf_counter(), len(shards) - len(todo)
    if passes is None:
        passes = _here(scorer) if workers == 1 else _in_processes(workers)
    fresh = Totals()
    for name, totals in passes(job, todo):
        fresh.add(totals)
        done += 1
        _log.info("%s: %d images scored (%d of %d shards)", name, totals.images, done, len(shards))
    elapsed = perf_counter() - started
    whole = Totals()
    for shard in shards:
        whole.add(totals_of(job.part(shard)))
    summary = {
        "bundle": scorer.bundle,
        "archive": location,
        "shards": len(shards),
        "shards_scored_now": len(todo),
        **whole.to_dict(),
        "images_per_second": _rate(whole.images, whole.seconds),
        "images_per_second_without_decoding": _rate(whole.images, whole.seconds - whole.decode_seconds),
        "images_per_second_now": _rate(fresh.images, elapsed),
    }
    write_json(job.out / SUMMARY, summary)
    return summary


def _here(scorer: ArchiveScorer) -> Passes:
    def passes(job: Job, shards: Sequence[Shard]) -> Iterator[tuple[str, Totals]]:
        for shard in shards:
            yield shard.name, scorer.score(shard, job.part(shard))

    return passes


_scorer: ArchiveScorer | None = None


def _start(job: Job) -> None:
    global _scorer
    _scorer = job.scorer()


def _score(job: Job, shard: Shard) -> tuple[str, Totals]:
    assert _scorer is not None
    return shard.name, _scorer.score(shard, job.part(shard))


def _in_processes(workers: int) -> Passes:
    def passes(job: Job, shards: Sequence[Shard]) -> Iterator[tuple[str, Totals]]:
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(workers, context, initializer=_start, initargs=(job,)) as pool:
            try:
                for done in as_completed([pool.submit(_score, job, shard) for shard in shards]):
                    yield done.result()
            except BrokenProcessPool as error:
                raise InputError(
                    "a worker ended before its shard was done (killed, or out of memory); finished shards are kept: "
                    "run the same command again, with fewer --workers if memory is short"
                ) from error

    return passes


def _is_done(path: Path, key: str, bundle: str) -> bool:
    metadata = read_metadata(path)
    if metadata and metadata.get(BUNDLE) != bundle.encode():
        raise DataError(f"{path} holds results of another bundle: choose another folder with --out")
    return metadata.get(KEY) == key.encode()


def _refuse_others(out: Path, parts: set[Path]) -> None:
    others = sorted(path for path in out.glob("*.parquet") if path not in parts) if out.is_dir() else []
    if others:
        raise DataError(
            f"{others[0]} is not of this archive, or is called as several of its shards were: choose another folder "
            "with --out, or remove it"
        )


def _rate(images: int, seconds: float) -> float | None:
    return round(images / seconds, 1) if seconds > 0 and images else None
