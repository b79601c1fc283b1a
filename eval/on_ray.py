"""The test images scored on a Ray cluster, with the same models, in the same batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from eval.config import EvalConfig
from eval.run import FinishedRun
from eval.scorers import Scorer, Seen, load_scorers
from eval.scoring import Elsewhere, ScoredPart, score_batch
from eval.tool_run import BundleStudents
from likelihood.arrays import on_arrays
from student_vae import load_student
from wafer_data.shards.on_ray import cluster, on_ray

_GROUP = 8
"""Parts that a worker scores at a time."""


@dataclass(frozen=True)
class TestPass:
    """What a worker scores with.

    Attributes:
        folder: Of the run, which every worker must reach.
        fitted: The baselines, which travel to the workers as they are; the run's models are read from its folder.
        route: Whether the bundle's students score behind the quality gate.
    """

    __test__ = False  # not a test case, whatever its name suggests to pytest

    folder: Path
    config: EvalConfig
    fitted: Mapping[str, Scorer]
    route: bool

    def worker(self) -> Callable[[Sequence[np.ndarray]], dict[str, Any]]:
        """What a worker does with some parts; called once in each."""
        run = FinishedRun(self.folder)
        store = run.store
        graphs = (
            {n: graph.batch for n, graph in BundleStudents(run.bundle).graphs.items()} if self.route else {}
        )
        trained = load_scorers(self.folder, store, self.config.model_copy(update={"baselines": []}), graphs)
        scorers = {**self.fitted, **trained}
        compared = {name: on_arrays(load_student(self.folder / name)) for name in graphs}
        policy = run.policy if self.route else None

        def work(parts: Sequence[np.ndarray]) -> dict[str, Any]:
            row: dict[str, Any] = {}
            for number, indices in enumerate(parts):
                row |= _flat(number, score_batch(store, indices, scorers, policy, compared))
            return row

        return work

    def elsewhere(self) -> Elsewhere | None:
        """Scored on the cluster; None where there is none."""
        address = cluster()
        if address is None:
            return None

        def scored(parts: Sequence[np.ndarray]) -> Iterator[ScoredPart]:
            groups = [list(parts[start : start + _GROUP]) for start in range(0, len(parts), _GROUP)]
            for number, row in on_ray(address, self.worker, groups, in_order=True):
                for place in range(len(groups[number])):
                    yield _unflattened(row, place)

        return scored


def _flat(number: int, part: ScoredPart) -> dict[str, np.ndarray]:
    """As columns of plain arrays, which is what travels."""
    row = {f"{number}/refused": part.refused.astype(np.uint8)}
    for name, seen in part.outputs.items():
        row[f"{number}/score/{name}"] = seen.score
        if seen.map is not None:
            row[f"{number}/map/{name}"] = np.asarray(seen.map)
    row |= {f"{number}/reference/{name}": values for name, values in part.reference.items()}
    for name, settings in part.variants.items():
        row |= {f"{number}/variant/{name}/{key}": values for key, values in settings.items()}
    return row


def _unflattened(row: dict[str, Any], number: int) -> ScoredPart:
    found = {
        tuple(key.split("/")[1:]): np.array(values)  # what came through the cluster's store cannot be written
        for key, values in row.items()
        if key.startswith(f"{number}/")
    }
    outputs = {
        key[1]: Seen(values, found.get(("map", key[1]))) for key, values in found.items() if key[0] == "score"
    }
    variants: dict[str, dict[str, np.ndarray]] = {}
    for key, values in found.items():
        if key[0] == "variant":
            variants.setdefault(key[1], {})[key[2]] = values
    reference = {key[1]: values for key, values in found.items() if key[0] == "reference"}
    return ScoredPart(found[("refused",)].astype(bool), outputs, reference, variants)
