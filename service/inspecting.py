"""One image's way: answered before? - models - decision - journal - answer. Nothing is answered before it is kept."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import shutil
import time
import uuid
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from router.policy import RoutingPolicy
from service.about import place_of, rule_fields
from service.auth.who import Who
from service.decide import figures
from service.decide.engine import Decided, decide
from service.models import Version
from service.problem import Problem
from service.reading import point_of
from service.state import Service
from service.store import record
from service.store.evidence import pack_latent, pack_map
from service.store.journal import Entry, NotKept
from tool_side import Inspection
from tool_side.runtime.defect_type import DEFECT, DEFECTS
from wafer_data.image_ref import ImageRef

_LOG = logging.getLogger(__name__)
# Inspections of one idempotency key have one id on every node.
_KEY_SPACE = uuid.UUID("5ef0b1f6-6a0d-4c5e-9f0a-5a2b0d7c1e11")
_DISK_LOOK_S = 0.5
_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"\xff\xd8\xff", "jpeg"),
    (b"BM", "bmp"),
    (b"II*\x00", "tiff"),
    (b"MM\x00*", "tiff"),
    (b"II+\x00", "tiff"),
    (b"MM\x00+", "tiff"),
)


@dataclass(frozen=True)
class Inspected:
    """A kept decision.

    Attributes:
        result: None where the answer is a repetition of an earlier one.
    """

    answer: bytes
    repeated: bool
    row: dict[str, Any] | None = None
    result: Inspection | None = None


class Inspecting:
    """Inspects images for one worker. All of it runs in one event loop."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._pool = ThreadPoolExecutor(max_workers=2, thread_name_prefix="inspect")
        self._under_way: dict[str, asyncio.Future[Inspected]] = {}
        self._disk_seen, self._disk_free = 0.0, 0

    async def one(self, image: bytes, ref: ImageRef, who: Who, key: str | None) -> Inspected:
        """Inspect an image, or repeat the answer that it got before.

        Args:
            image: The file's bytes.
            ref: What it shows.
            who: Who sends it.
            key: Its idempotency key, if it has one.

        Raises:
            Problem: 400 no bytes, 403 another tool's image, 422 the key belongs to another image, 503 or 507 the
                decision cannot be kept now.
        """
        if not image:
            raise Problem(400, "the body is empty: send the bytes of an image file")
        if who.tools is not None and ref.tool not in who.tools:
            raise Problem(403, f"this key speaks for {', '.join(sorted(who.tools))}, not for tool {ref.tool}")
        body = hashlib.sha256(image).hexdigest()
        ref = replace(ref, sha256=body, data=image)
        place = place_of(ref)
        scoped = None if key is None else f"{who.name}:{key}"
        handle = scoped or place
        running = self._under_way.get(handle)
        if running is not None:
            inspected = await asyncio.shield(running)
            return Inspected(self._same(body, inspected.row, inspected.answer), True)
        earlier = self._service.journal.answered(scoped, place)
        if earlier is not None:
            if earlier.body != body:
                raise Problem(
                    422, "this Idempotency-Key was used for another image: make a new one for each image"
                )
            return Inspected(earlier.answer, True)
        self._admit()
        promise: asyncio.Future[Inspected] = asyncio.get_running_loop().create_future()
        self._under_way[handle] = promise
        try:
            inspected = await self._fresh(image, ref, who, scoped, key, body, place)
        except BaseException as error:
            # Whoever waits for the same image learns the same; a cancelled request tells them to try again.
            told = (
                error
                if isinstance(error, Problem)
                else Problem(503, "the first request broke off", retry_after=1)
            )
            promise.set_exception(told)
            promise.exception()  # looked at, so that nobody need have waited
            raise
        else:
            promise.set_result(inspected)
        finally:
            del self._under_way[handle]
        for hook in self._service.after:
            try:
                hook(inspected)
            except Exception as error:  # a failing meter must not fail an answer that is kept
                _LOG.warning("%r failed: %s", hook, error)
        return inspected

    def disk_free(self) -> int:
        """Bytes that are free for the data folder, looked at twice a second."""
        now = time.monotonic()
        if now - self._disk_seen > _DISK_LOOK_S or not self._disk_seen:
            self._disk_seen, self._disk_free = now, shutil.disk_usage(self._service.settings.data).free
        return self._disk_free

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _admit(self) -> None:
        settings = self._service.settings
        if self._service.journal.waiting >= settings.most_waiting:
            raise Problem(503, "too many decisions wait for the disk: send the image again", retry_after=1)
        if self.disk_free() < settings.disk_reserve:
            raise Problem(507, "the disk is nearly full: the decision could not be kept", retry_after=30)

    async def _fresh(
        self,
        image: bytes,
        ref: ImageRef,
        who: Who,
        scoped: str | None,
        key: str | None,
        body: str,
        place: str,
    ) -> Inspected:
        service = self._service
        received = time.time()
        chosen = service.models.choose(ref.wafer)
        version = chosen.version
        inspect = partial(version.inspector.inspect, ref, bins=service.bins)
        if len(image) <= service.settings.inline_bytes:
            result = inspect()
        else:
            result = await asyncio.get_running_loop().run_in_executor(self._pool, inspect)
        made = uuid.uuid4() if scoped is None else uuid.uuid5(_KEY_SPACE, f"{scoped}\0{body}")
        decided = decide(
            result, service.rules, rule_fields(ref), salt=service.secret, image_key=f"{place}{key}"
        )
        policy = _policy(version, ref.recipe)
        row = {
            **_image_columns(str(made), image, ref, key, received),
            **_decided_columns(result, decided, policy),
            "rules": service.rules.identity,
            "version": version.name,
            "bundle": version.bundle,
            "rollout_id": chosen.rollout,
            "arm": chosen.arm,
            "node": service.journal.node,
            "api_key_id": who.actor.removeprefix("key:"),
            "map_reference": None if result.map is None else version.inspector.map_reference(result.route),
            "appearance": _appearance(result),
        }
        told = _answer(row, result, policy, service.upheld.get(row["model_decision"]))
        text = json.dumps(told, separators=(",", ":"), allow_nan=False)
        answer = _with_latent(text, result.latent).encode()
        entry = Entry(
            row["id"], scoped, place, body, answer, record.canonical(row), image,
            pack_map(result.map), pack_latent(result.latent),
        )  # fmt: skip
        try:
            await asyncio.shield(service.journal.begin(entry))
        except NotKept as error:
            status = 507 if error.disk_full else 503
            raise Problem(status, f"the decision could not be kept: {error}", retry_after=5) from error
        return Inspected(answer, False, row, result)

    @staticmethod
    def _same(body: str, row: dict[str, Any] | None, answer: bytes) -> bytes:
        if row is not None and row["image_sha256"] != body:
            raise Problem(
                422, "this Idempotency-Key was used for another image: make a new one for each image"
            )
        return answer


def image_format(image: bytes) -> str:
    """png, jpeg, bmp or tiff by the first bytes, else none."""
    return next((name for magic, name in _MAGIC if image.startswith(magic)), "none")


def _policy(version: Version, recipe: str | None) -> RoutingPolicy:
    inspector = version.inspector
    return inspector.policy_of(recipe) if recipe in inspector.recipes else inspector.policy


def _image_columns(
    made: str, image: bytes, ref: ImageRef, key: str | None, received: float
) -> dict[str, Any]:
    return {
        "id": made,
        "idempotency_key": key,
        "wafer_id": ref.wafer,
        "point": ref.site,
        "lot": ref.lot,
        "tool": ref.tool,
        "layer": ref.layer,
        "recipe": ref.recipe,
        "captured_at": None if ref.time is None else ref.time.timestamp(),
        "received_at": received,
        "image_sha256": ref.sha256,
        "image_bytes": len(image),
        "image_format": image_format(image),
    }


def _decided_columns(result: Inspection, decided: Decided, policy: RoutingPolicy) -> dict[str, Any]:
    steps = {step: round(1000 * seconds, 4) for step, seconds in result.seconds.items() if seconds}
    return {
        "decision": decided.decision,
        "model_decision": decided.model_decision,
        "rule": decided.rule,
        "reasons": list(decided.reasons),
        "audit_share": decided.audit_share,
        "route": str(result.route),
        "score": _finite(result.score),
        "lowres_score": _finite(result.lowres_score),
        "full_score": _finite(result.full_score),
        "anomaly_score": figures.anomaly_score(result.score, policy),
        "review_above": policy.review_above,
        "reject_above": policy.reject_above,
        "confidence": figures.confidence(result.score, policy),
        "defect": _defect_of(result),
        "inference_ms": steps.get("total", 0.0),
        "steps_ms": steps,
    }


def _answer(
    row: dict[str, Any], result: Inspection, policy: RoutingPolicy, upheld: dict[str, Any] | None
) -> dict[str, Any]:
    return {
        "id": row["id"],
        "wafer_id": row["wafer_id"],
        "inspection_point": point_of(row["point"]),
        "anomaly_score": row["anomaly_score"],
        "decision": row["decision"],
        "confidence": row["confidence"],
        "upheld": upheld,
        "heatmap_url": None if result.map is None else f"/api/v1/inspections/{row['id']}/heatmap.png",
        "model_version": row["version"],
        "inference_time_ms": row["inference_ms"],
        "route": row["route"],
        "reasons": row["reasons"],
        "rule": row["rule"],
        "recipe": row["recipe"],
        "defect": row["defect"],
        "thresholds": figures.thresholds(policy),
    }


def _with_latent(answer: str, latent: np.ndarray | None) -> str:
    """The answer's JSON with its latent: float32 has seven digits, and so many numbers take the encoder long."""
    if latent is None:
        text = "null"
    elif np.isfinite(latent).all():
        values = tuple(latent.tolist())
        text = "[" + ("%.7g," * len(values) % values)[:-1] + "]"
    else:
        text = json.dumps([float(f"{v:.7g}") if np.isfinite(v) else None for v in latent.tolist()])
    return f'{answer[:-1]},"latent_vector":{text}}}'


def _defect_of(result: Inspection) -> dict[str, Any] | None:
    """The strongest defect, where there is a classifier or the site has bins; `others`: further ones of the image."""
    found = result.evidence.get(DEFECT)
    if not isinstance(found, Mapping):
        return None
    others = result.evidence.get(DEFECTS, ())[1:]
    return dict(found) | ({"others": list(others)} if others else {})


def _appearance(result: Inspection) -> dict[str, float | None] | None:
    found = result.appearance
    return None if found is None else {name: _rounded(value) for name, value in found.items()}


def _rounded(value: float) -> float | None:
    return float(f"{value:.5g}") if np.isfinite(value) else None


def _finite(value: float | None) -> float | None:
    return value if value is not None and np.isfinite(value) else None
