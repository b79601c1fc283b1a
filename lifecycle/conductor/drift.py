"""Drift in a running service: each stream's wafers of the last week against its first ones under this version."""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from dataclasses import asdict
from typing import Any

import numpy as np
import sqlalchemy as sa

from lifecycle.drift.fab import Alarm, Budget, alarms
from lifecycle.drift.wafer_summary import Stream, WaferSummary
from lifecycle.drift.watches import Finding, watch_stream
from service.background import Job
from service.state import Service
from service.store.database import Database
from service.store.evidence import unpack_latent
from service.store.tables import drift_checks, inspections
from tool_side import Inspector

_LOG = logging.getLogger(__name__)
REFERENCE_WAFERS, RECENT_S = 60, 7 * 86400.0
_EVERY_S = 6 * 3600.0
_MOST_IMAGES = 200_000


def check_drift(
    database: Database,
    version: str,
    inspector: Inspector,
    now: float | None = None,
    budget: Budget | None = None,
) -> list[Alarm]:
    """Look at every stream of a version once, and keep what was found.

    Args:
        database: Of the service.
        version: Its name, as inspections carry it.
        inspector: It, for the training sample of each recipe.
        now: Unix time.
        budget: False alarms that the fab accepts; default weekly looks.

    Returns:
        What to page about.
    """
    now = time.time() if now is None else now
    streams = _summaries(database, version)
    budget = budget or Budget()
    findings: dict[Stream, list[Finding]] = {}
    for stream, wafers in streams.items():
        first = [w for _, w in wafers[:REFERENCE_WAFERS]]
        recent = [w for at, w in wafers[REFERENCE_WAFERS:] if at > now - RECENT_S]
        if len(first) == REFERENCE_WAFERS and recent:
            findings[stream] = watch_stream(first, recent, training_sample(inspector, stream.recipe))
    level = budget.level(len(findings))
    raised = alarms(findings, level)
    drifting = {stream for alarm in raised for stream in alarm.streams}
    rows = [
        {
            "at": now, "recipe": stream.recipe, "version": version, "what": finding.watch, "statistic": finding.effect,
            "p": finding.p, "alarm": stream in drifting and finding.is_drift(level),
            "figures": {**asdict(finding), "tool": stream.tool, "layer": stream.layer},
        }
        for stream, found in findings.items()
        for finding in found
    ]  # fmt: skip
    if rows:
        with database.write() as connection:
            connection.execute(sa.insert(drift_checks), rows)
    for alarm in raised:
        _LOG.error("%s", alarm.text)
    return raised


def training_sample(inspector: Inspector, recipe: str) -> np.ndarray:
    """Standardised low-resolution scores of a recipe's calibration normals that were not escalated, (T,)."""
    reference = inspector.references.get(recipe) or next(iter(inspector.references.values()), None)
    if reference is None:
        return np.empty(0)
    policy = inspector.policy_of(recipe) if recipe in inspector.recipes else inspector.policy
    scores = np.array(reference.scores)
    return policy.standardise_lowres(scores[~policy.escalate(scores)])


def _summaries(database: Database, version: str) -> dict[Stream, list[tuple[float, WaferSummary]]]:
    """Each stream's wafers with the time of their last image, in its order; images that PASS without escalation."""
    c = inspections.c
    query = (
        sa.select(c.tool, c.layer, c.recipe, c.wafer_id, c.lot, c.score, c.latent, c.received_at)
        .where(c.version == version, c.decision == "PASS", c.route == "lowres")
        .order_by(c.seq)
        .limit(_MOST_IMAGES)
    )
    rows: dict[tuple[Stream, str], list[Any]] = defaultdict(list)
    with database.read() as connection:
        for row in connection.execute(query):
            stream = Stream(row.tool or "unknown", row.layer or "unknown", row.recipe or "default")
            rows[stream, row.wafer_id].append(row)
    found: dict[Stream, list[tuple[float, WaferSummary]]] = defaultdict(list)
    for (stream, wafer), images in rows.items():
        latents = [unpack_latent(one.latent) for one in images if one.latent is not None]
        summary = WaferSummary(
            wafer, images[0].lot, np.array([one.score for one in images], float),
            np.stack(latents) if latents else np.empty((0, 0)), np.empty(0),
        )  # fmt: skip
        found[stream].append((images[-1].received_at, summary))
    return {stream: sorted(wafers, key=lambda pair: pair[0]) for stream, wafers in found.items()}


def _job(service: Service) -> None:
    current = service.models.current()
    check_drift(service.database, current.name, current.inspector)


JOBS = [Job("drift", _EVERY_S, _job)]
ROUTES: list[Any] = []
