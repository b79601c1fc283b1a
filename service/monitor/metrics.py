"""`/metrics`: what this worker decided, how long it took, and how it stands.

One worker is one process, one port and one target of Prometheus, so counters are plain and right after a kill. Edges
of the time histogram include the 40 ms of the alert and the 50 ms of the requirement: with default edges a P99 of
26 ms reads as 49.8.
"""

from __future__ import annotations

import subprocess
import time
from collections import deque
from typing import Any

import numpy as np
import sqlalchemy as sa
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from router.tails import kolmogorov, ks_distance
from service.auth.guard import allow
from service.background import Job
from service.inspecting import Inspected
from service.state import Service, service_of
from service.store.tables import escapes, inspections, review_tasks, reviews

TIME_EDGES = (
    0.001,
    0.002,
    0.003,
    0.005,
    0.0075,
    0.01,
    0.015,
    0.02,
    0.03,
    0.04,
    0.05,
    0.075,
    0.1,
    0.25,
    1.0,
    5.0,
)
SCORE_EDGES = (-3, -2, -1.5, -1, -0.5, 0, 0.5, 1, 1.5, 2, 2.5, 3, 4, 6, 10, 20)
KS_SCORES = 2000
"""Scores of PASS images that are compared with the training sample: the last ones of this worker."""
_PEOPLE_EVERY_S = 15.0
_MOST_TOOLS = 300
_LEAST_PASSED, _LEAST_TRAINING = 200, 20


class Metrics:
    """The figures of one worker.

    Args:
        service: The worker.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self.registry = CollectorRegistry()
        self.decisions = Counter(
            "waferroute_inspections_total", "Inspected images by decision, layer and tool.",
            ("decision", "route", "tool", "version"), registry=self.registry,
        )  # fmt: skip
        self.unjudged = Counter(
            "waferroute_unjudged_total",
            "Images that no model could score.",
            ("tool",),
            registry=self.registry,
        )
        self.defects = Counter(
            "waferroute_defects_total", "Defects of flagged images by type and bin.", ("type", "bin"),
            registry=self.registry,
        )  # fmt: skip
        self.seconds = Histogram(
            "waferroute_inference_seconds",
            "From the decoded request to the decision.",
            buckets=TIME_EDGES,
            registry=self.registry,
        )
        self.answers = Histogram(
            "waferroute_answer_seconds",
            "From an image that is wholly here to its answer: inspected, decided, on the disk.",
            buckets=TIME_EDGES,
            registry=self.registry,
        )
        self.scores = Histogram(
            "waferroute_score",
            "Routed score of images that were scored.",
            buckets=SCORE_EDGES,
            registry=self.registry,
        )
        self.frozen = Gauge(
            "waferroute_frozen_camera",
            "Images of the same bytes in a row, by tool.",
            ("tool",),
            registry=self.registry,
        )
        self.ks_d = Gauge(
            "waferroute_drift_ks_distance",
            "Kolmogorov-Smirnov distance of PASS scores, this worker.",
            registry=self.registry,
        )
        self.ks_p = Gauge(
            "waferroute_drift_ks_p", "Its p-value with images taken for independent.", registry=self.registry
        )
        self.escalation_low = Gauge(
            "waferroute_escalation_low", "Lowest certified share of escalated images.", registry=self.registry
        )
        self.escalation_high = Gauge(
            "waferroute_escalation_high",
            "Highest certified share of escalated images.",
            registry=self.registry,
        )
        self.journal = Gauge(
            "waferroute_journal_waiting",
            "Decisions kept here and not yet in the database.",
            registry=self.registry,
        )
        self.disk = Gauge("waferroute_disk_free_bytes", "Free for the data folder.", registry=self.registry)
        self.queue = Gauge("waferroute_review_queue", "Open review tasks.", registry=self.registry)
        self.queue_age = Gauge(
            "waferroute_review_oldest_seconds", "Age of the oldest open task.", registry=self.registry
        )
        self.verdicts = Gauge(
            "waferroute_reviews", "Verdicts of people, by verdict.", ("verdict",), registry=self.registry
        )
        self.overrides = Gauge(
            "waferroute_overrides",
            "Decisions that people called wrong.",
            ("decision",),
            registry=self.registry,
        )
        self.escapes = Gauge(
            "waferroute_escapes",
            "Defects reported from later in the line on images that had passed, by version.",
            ("version",),
            registry=self.registry,
        )
        self.agreement = Gauge(
            "waferroute_inspector_agreement",
            "Share of images with two looks on which both agree.",
            registry=self.registry,
        )
        self.ready = Gauge(
            "waferroute_up_since_seconds", "Seconds since this worker started.", registry=self.registry
        )
        self.gpu = Gauge(
            "waferroute_gpu_memory_share",
            "Used share of the GPU's memory; absent without one.",
            ("gpu",),
            registry=self.registry,
        )
        self._last: dict[str, tuple[str, int]] = {}
        self._tools: set[str] = set()
        self._passed: deque[float] = deque(maxlen=KS_SCORES)
        self._gpu_seen = -1e9
        self._has_gpu = True

    def take(self, inspected: Inspected) -> None:
        """Count one kept decision. Quick: it runs in the event loop."""
        row, result = inspected.row, inspected.result
        if inspected.repeated or row is None:
            return
        tool = self._tool(row["tool"])
        self.decisions.labels(row["decision"], row["route"], tool, row["version"]).inc()
        self.seconds.observe(row["inference_ms"] / 1000)
        if row["score"] is None:
            self.unjudged.labels(tool).inc()
        else:
            self.scores.observe(row["score"])
        if row["decision"] == "PASS" and result is not None and result.lowres_score is not None:
            self._passed.append(float(result.lowres_score))
        defect = row["defect"]
        for one in () if defect is None else (defect, *defect.get("others", ())):
            self.defects.labels(one["type"], one["bin"] or "none").inc()
        last, count = self._last.get(tool, ("", 0))
        count = count + 1 if last == row["image_sha256"] else 1
        self._last[tool] = (row["image_sha256"], count)
        self.frozen.labels(tool).set(count)

    def render(self) -> bytes:
        """The figures as Prometheus reads them."""
        service = self._service
        self.journal.set(service.behind())
        self.disk.set(service.inspecting.disk_free())
        self.ready.set(time.monotonic() - service.started)
        self._look_at_scores()
        self._gpus()
        return generate_latest(self.registry)

    def look_at_people(self) -> None:
        """Figures that lie in the database; a job asks for them now and then."""
        with self._service.database.read() as connection:
            count, oldest = connection.execute(
                sa.select(sa.func.count(), sa.func.min(review_tasks.c.created_at)).where(
                    review_tasks.c.state == "open"
                )
            ).one()
            said = connection.execute(
                sa.select(reviews.c.verdict, sa.func.count()).group_by(reviews.c.verdict)
            ).all()
            wrong = {
                "PASS": sa.and_(inspections.c.decision == "PASS", inspections.c.verdict == "defect"),
                "REVIEW": sa.and_(inspections.c.decision == "REVIEW", inspections.c.verdict == "good"),
                "REJECT": sa.and_(inspections.c.decision == "REJECT", inspections.c.verdict == "good"),
            }
            overrides = {
                name: connection.execute(
                    sa.select(sa.func.count()).select_from(inspections).where(where)
                ).scalar_one()
                for name, where in wrong.items()
            }
            escaped = connection.execute(
                sa.select(inspections.c.version, sa.func.count(sa.distinct(inspections.c.id)))
                .join(escapes, escapes.c.inspection_id == inspections.c.id)
                .where(inspections.c.decision == "PASS")
                .group_by(inspections.c.version)
            ).all()
            looks, kinds = sa.func.count(reviews.c.seq), sa.func.count(sa.distinct(reviews.c.verdict))
            taken_back = sa.select(reviews.c.supersedes).where(reviews.c.supersedes.is_not(None))
            twice = (
                sa.select(looks.label("looks"), kinds.label("kinds"))
                .join(review_tasks, review_tasks.c.seq == reviews.c.task_seq)
                .where(
                    reviews.c.verdict.in_(("good", "defect")),
                    reviews.c.seq.not_in(taken_back),
                    review_tasks.c.kind != "planted",
                )
                .group_by(reviews.c.inspection_id)
                .subquery()
            )
            looked, agreed = connection.execute(
                sa.select(sa.func.count(), sa.func.sum(sa.case((twice.c.kinds == 1, 1), else_=0))).where(
                    twice.c.looks > 1
                )
            ).one()
        self.queue.set(count)
        self.queue_age.set(0 if oldest is None else max(0.0, time.time() - oldest))
        for verdict, number in said:
            self.verdicts.labels(verdict).set(number)
        for decision, number in overrides.items():
            self.overrides.labels(decision).set(number)
        # a version without an escape has 0 of them: an alert needs to see it grow
        for version, number in {
            **dict.fromkeys(self._service.models.warm(), 0),
            **dict(map(tuple, escaped)),
        }.items():
            self.escapes.labels(version).set(number)
        self.agreement.set(agreed / looked if looked else float("nan"))

    def _tool(self, tool: str | None) -> str:
        """A label that nobody can make grow without end."""
        name = tool or "unknown"
        if name not in self._tools:
            if len(self._tools) >= _MOST_TOOLS:
                return "other"
            self._tools.add(name)
        return name

    def drift(self) -> tuple[float, float] | None:
        """Kolmogorov-Smirnov distance of the last PASS scores to the training sample, and its p-value.

        None where the bundle holds no training sample, or fewer than 200 images have PASSed here.
        """
        inspector = self._service.models.current().inspector
        reference = next(iter(inspector.references.values()), None)
        if reference is None or len(self._passed) < _LEAST_PASSED:
            return None
        scores = np.array(reference.scores)
        kept = scores[~inspector.policy.escalate(scores)] if scores.size else scores
        if len(kept) < _LEAST_TRAINING:
            return None
        d, _ = ks_distance(kept, np.array(self._passed))
        return d, kolmogorov(d, len(kept) * len(self._passed) / (len(kept) + len(self._passed)))

    def _look_at_scores(self) -> None:
        reference = next(iter(self._service.models.current().inspector.references.values()), None)
        if reference is not None:
            self.escalation_low.set(reference.escalation[0])
            self.escalation_high.set(reference.escalation[1])
        drift = self.drift()
        if drift is not None:
            self.ks_d.set(drift[0])
            self.ks_p.set(drift[1])

    def _gpus(self) -> None:
        """Memory of NVIDIA GPUs, at most every ten seconds; a machine without one is asked once."""
        if not self._has_gpu or time.monotonic() - self._gpu_seen < 10:
            return
        self._gpu_seen = time.monotonic()
        query = ["nvidia-smi", "--query-gpu=index,memory.used,memory.total", "--format=csv,noheader,nounits"]
        try:
            said = subprocess.run(query, capture_output=True, text=True, timeout=3, check=True).stdout
        except (OSError, subprocess.SubprocessError):
            self._has_gpu = False
            return
        for line in said.splitlines():
            index, used, total = (part.strip() for part in line.split(","))
            self.gpu.labels(index).set(float(used) / float(total))


def attach(service: Service) -> None:
    """Count every decision of this worker."""
    service.metrics = Metrics(service)
    service.after.append(service.metrics.take)


async def metrics(request: Request) -> Response:
    """The figures for Prometheus."""
    service = service_of(request)
    if not service.settings.metrics_public:
        return await _guarded(request)
    return await _answer(service)


@allow("see")
async def _guarded(request: Request) -> Response:
    return await _answer(service_of(request))


async def _answer(service: Service) -> Response:
    figures: Metrics = service.metrics
    return Response(await run_in_threadpool(figures.render), media_type=CONTENT_TYPE_LATEST)


def _job(service: Service) -> None:
    figures: Any = service.metrics
    figures.look_at_people()


JOBS = [Job("people's figures", _PEOPLE_EVERY_S, _job)]
ROUTES: list[BaseRoute] = [Route("/metrics", metrics)]
