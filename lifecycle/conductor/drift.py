"""Drift in a running service: each stream's latest wafers against its first ones under this version."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from lifecycle.conductor.drift_state import keep_look
from lifecycle.conductor.drift_wafers import summarise_wafers, wafers_of
from lifecycle.drift.fab import LONGEST_S, Alarm, Budget, look_at_fab
from lifecycle.drift.watches import Finding
from service.background import Job
from service.state import Service
from service.store.database import Database
from tool_side import Inspector

_LOG = logging.getLogger(__name__)
_EVERY_S = 3600.0
_SUMMARISE_EVERY_S = 600.0


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
        budget: False alarms that the fab accepts; default a look every hour.

    Returns:
        What to page about.
    """
    now = time.time() if now is None else now
    summarise_wafers(database, version, now)
    streams = wafers_of(database, version, now - LONGEST_S)
    look = look_at_fab(streams, now, lambda recipe: training_sample(inspector, recipe), budget)
    drifting = {stream for alarm in look.alarms for stream in alarm.streams}
    findings = [
        {
            "recipe": stream.recipe, "what": finding.watch, "statistic": finding.effect, "p": finding.p,
            "alarm": stream in drifting and finding in _loudest(found, look.level),
            "figures": {**asdict(finding), "tool": stream.tool, "layer": stream.layer, "recipe": stream.recipe},
        }
        for stream, found in look.findings.items()
        for finding in found
    ]  # fmt: skip
    told = [{**asdict(alarm), "streams": [list(stream) for stream in alarm.streams]} for alarm in look.alarms]
    with database.write() as connection:
        for fresh in keep_look(connection, version, now, told, findings):
            _LOG.error("%s", fresh["text"])
    return list(look.alarms)


def _loudest(found: Sequence[Finding], level: float) -> list[Finding]:
    """What a drifting stream's alarm rests on; where only its group moved visibly, its own clearest finding."""
    return [one for one in found if one.is_drift(level)] or sorted(found, key=lambda one: one.p)[:1]


def training_sample(inspector: Inspector, recipe: str) -> np.ndarray:
    """Standardised low-resolution scores of a recipe's calibration normals that were not escalated, (T,)."""
    reference = inspector.references.get(recipe) or next(iter(inspector.references.values()), None)
    if reference is None:
        return np.empty(0)
    policy = inspector.policy_of(recipe) if recipe in inspector.recipes else inspector.policy
    scores = np.array(reference.scores)
    return policy.standardise_lowres(scores[~policy.escalate(scores)])


def _job(service: Service) -> None:
    current = service.models.current()
    check_drift(service.database, current.name, current.inspector)


def _summarise(service: Service) -> None:
    summarise_wafers(service.database, service.models.current().name, time.time())


JOBS = [Job("wafers for drift", _SUMMARISE_EVERY_S, _summarise), Job("drift", _EVERY_S, _job)]
ROUTES: list[Any] = []
