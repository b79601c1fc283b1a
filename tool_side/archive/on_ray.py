"""Scoring an archive on a Ray cluster."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from tool_side.archive.results import Totals
from tool_side.archive.run import Job, Passes
from wafer_data.shards import Shard
from wafer_data.shards.on_ray import on_ray


def ray_passes(address: str, workers: int | None = None) -> Passes:
    """What `score_archive` gives its shards to. Every worker must reach the bundle and the results' folder."""

    def passes(job: Job, shards: Sequence[Shard]) -> Iterator[tuple[str, Totals]]:
        for number, row in on_ray(address, partial(_scorer, job), shards, workers):
            yield shards[number].name, Totals.from_dict(json.loads(row["totals"]))

    return passes


def _scorer(job: Job) -> Callable[[Shard], dict[str, Any]]:
    scorer = job.scorer()

    def score(shard: Shard) -> dict[str, Any]:
        return {"totals": json.dumps(scorer.score(shard, job.part(shard)).to_dict())}

    return score
