"""Scoring the images of an archive with a bundle, one result a row; see `tool_side.archive.run` for whole archives."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from time import perf_counter
from typing import Any

from router.decision import Route
from tool_side.archive.results import IDENTITY, Totals, write_part
from tool_side.runtime.inspection import LOWRES_LATENT, Inspection
from tool_side.runtime.inspector import GROUP, Inspector
from wafer_data.files import sha256_json
from wafer_data.image_ref import ImageRef
from wafer_data.shards import Item, Shard

SCHEMA = 1


class ArchiveScorer:
    """Scores shards with one bundle. A result is the one that `Inspector.inspect` gives, to the last bit.

    Args:
        inspector: of the bundle.
        recipe: of all images; default: each image's own, where the archive names it.
        latents: also keep each image's latent vector of the low-resolution student, which `nearest` searches.
    """

    def __init__(self, inspector: Inspector, recipe: str | None = None, latents: bool = True) -> None:
        self.inspector, self.recipe = inspector, recipe
        self.bundle = str(inspector.bundle_id)
        if latents:
            inspector.preprocessing.require_squares(
                "a latent vector for each image of an archive (--no-latents)"
            )
        self.latent = len(inspector.students[Route.LOWRES](_blank(inspector)).latent) if latents else None

    def key(self, shard: Shard) -> str:
        """What the results of a shard follow from."""
        return sha256_json([SCHEMA, self.bundle, shard.name, shard.identity, self.recipe, self.latent])

    def score(self, shard: Shard, path: Path) -> Totals:
        """Score a shard and write its part.

        Raises:
            DataError: For a damaged shard, WriteError.
        """
        totals = Totals()
        write_part(path, self._rows(shard, totals), totals, self.latent, self.key(shard), self.bundle)
        return totals

    def _rows(self, shard: Shard, totals: Totals) -> Iterator[dict[str, Any]]:
        items, done = shard.items(), 0
        while group := list(islice(items, GROUP)):
            started = perf_counter()
            rows = self.rows(group, done)
            done += len(rows)
            for found in rows:
                totals.images += 1
                totals.decisions[found["decision"]] += 1
                totals.escalated += found["full_score"] is not None
                totals.unjudged += found["score"] is None
                totals.decode_seconds += found.pop("decode_seconds")
            totals.seconds += perf_counter() - started
            yield from rows

    def rows(self, items: Sequence[Item], first: int) -> list[dict[str, Any]]:
        """The columns of some images' results, and `decode_seconds`. first: the row of the first."""
        recipes = [self.recipe or item.about.get("recipe") for item in items]
        refs = [ImageRef(path=item.source, data=item.data) for item in items]
        results = self.inspector.inspect_group(refs, recipes)
        return [
            self._row(item, row, result)
            for row, (item, result) in enumerate(zip(items, results, strict=True), start=first)
        ]

    def _row(self, item: Item, row: int, result: Inspection) -> dict[str, Any]:
        about = item.about
        return {
            "source": item.source,
            "row": row,
            "sha256": hashlib.sha256(item.data).hexdigest(),
            "decision": result.decision.value,
            "route": result.route.value,
            "score": _number(result.score),
            "lowres_score": _number(result.lowres_score),
            "full_score": _number(result.full_score),
            "reasons": list(result.reasons),
            "unreadable": result.unreadable,
            "recipe": result.recipe,
            **{name: None if about.get(name) is None else str(about[name]) for name in IDENTITY},
            **({} if self.latent is None else {"latent": _latent(result)}),
            "decode_seconds": result.seconds["decode"],
        }


def _latent(result: Inspection) -> Any:
    """The low-resolution student's: vectors of two students cannot be compared. None without a score."""
    return result.evidence.get(LOWRES_LATENT) if result.judged else None


def _number(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def low_latent(inspector: Inspector, square: Any, recipe: str | None) -> Any:
    """Latent vector, float32 (k,), that the low-resolution student gives a prepared image."""
    policy = inspector.policy if recipe is None else inspector.policy_of(recipe)
    return inspector.students[Route.LOWRES](policy.gate.cleaned(square)).latent


def _blank(inspector: Inspector) -> Any:
    import numpy as np

    return np.full(inspector.preprocessing.shape, 0.5, np.float32)
