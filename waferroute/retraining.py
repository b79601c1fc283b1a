"""The seven steps of a retraining in order, on the machinery of `waferroute run`: records, skipping, resuming."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from lifecycle.gate.scored import labelled_images
from lifecycle.retraining import due as schedule
from lifecycle.retraining import evaluate, extract, gate, register, shadow, train, validate
from lifecycle.retraining.config import RetrainingConfig
from lifecycle.retraining.plan import (
    Plan,
    Trigger,
    all_plans,
    begin,
    database_of,
    locked,
    settings_of,
    versions_of,
)
from wafer_data.files import read_json, sha256_file, sha256_json
from waferroute.config import load_config, resolved
from waferroute.config_errors import explain
from waferroute.config_source import parse_override, read_source
from waferroute.pipeline import Outcome, Pipeline, Stage

STEPS = ("extract", "validate", "train", "evaluate", "gate", "register", "shadow")
AFTER_GATE = ("register", "shadow")
_WHY: dict[Trigger, str] = {
    "manual": "a person asked for it",
    "monthly": "the 1st of the month",
    "drift": "drift, and a person confirmed it",
}
# `waferroute run` looks after its own folders; the retraining's record is about the bundle
_OF_THE_RUN = tuple(
    f"run/{name}"
    for name in (
        "data", "pretrain", "teacher", "intermediate", "target", "full", "lowres", "router", "report", "cache",
        "run.lock", "config.yaml", "logs", "wandb",
    )
)  # fmt: skip


def load_retraining(path: str | Path, overrides: Sequence[str] = ()) -> RetrainingConfig:
    """Read and check a retraining's settings.

    Args:
        path: A YAML file; see `deploy/retraining/retraining.yaml`.
        overrides: `key=value` settings that replace those of the file.

    Raises:
        ConfigurationError: Names the file or the override, the key, what was given and what is allowed.
    """
    parsed = [parse_override(text, RetrainingConfig) for text in overrides]
    content = read_source(Path(path), parsed)
    try:
        return RetrainingConfig.model_validate_json(json.dumps(content, default=str))
    except ValidationError as error:
        raise explain(error, RetrainingConfig, Path(path), parsed) from error


def steps_of(command_tail: str) -> list[Stage[Plan]]:
    """All steps, each with what its result depends on.

    Args:
        command_tail: What follows `waferroute retrain` in messages.
    """

    def step(
        name: str, work: Callable[[Plan], Any], settings: Callable[[Plan], dict[str, Any]], inputs: tuple[str, ...],
        **more: Any,
    ) -> Stage[Plan]:  # fmt: skip
        return Stage(
            name, name, settings=settings, function=lambda plan, _: work(plan), inputs=inputs,
            command=f"waferroute retrain {command_tail} --step {name}", **more,
        )  # fmt: skip

    return [
        step("extract", extract.extract, lambda plan: settings_of(plan, "service", "extract"), ()),
        step("validate", validate.validate, lambda plan: settings_of(plan, "checks"), ("extract",)),
        step("train", train.train, _training, ("extract", "validate"), logs=_OF_THE_RUN, effort=lambda plan, _: 1.0),
        step("evaluate", evaluate.evaluate, lambda plan: {"production": plan.production}, ("extract", "train"),
             sources=_frozen),
        step("gate", gate.gate, lambda plan: settings_of(plan, "gate"), ("evaluate",)),
        step("register", register.register, lambda plan: settings_of(plan, "service", "registry"), ("train", "gate")),
        step("shadow", shadow.shadow, lambda plan: {}, ("register",)),
    ]  # fmt: skip


def retrain(
    config: RetrainingConfig,
    plan: Plan,
    command_tail: str,
    names: Sequence[str] | None,
    *,
    force: bool = False,
) -> tuple[list[Outcome], dict[str, Any] | None]:
    """Bring steps up to date; stops after the gate where the candidate does not pass it.

    Args:
        config: The settings.
        plan: The retraining.
        command_tail: What follows `waferroute retrain` in messages.
        names: Steps to do; None for all.
        force: Do them even if nothing changed.

    Returns:
        What became of the steps, and what the gate said (None if it was not asked).

    Raises:
        InputError: Whatever can be wrong; the steps before stay done.
    """
    wanted = [name for name in STEPS if names is None or name in names]
    before = [name for name in wanted if name not in AFTER_GATE]
    _training(
        plan
    )  # a mistake in the training's configuration shows now, and not after an hour of extraction
    with locked(config.work):
        pipeline = Pipeline(steps_of(command_tail), plan, plan.folder)
        outcomes = pipeline.run(before, force=force) if before else []
        said = read_json(plan.folder / gate.FOLDER / gate.RESULT) if "gate" in wanted else None
        if said is None or said["passed"]:
            after = [name for name in wanted if name in AFTER_GATE]
            outcomes += pipeline.run(after, force=force) if after else []
    return outcomes, said


def is_complete(plan: Plan) -> bool:
    """Whether nothing is left to do: the last step is done, or the gate said no."""
    if (plan.folder / shadow.FOLDER / shadow.RESULT).is_file():
        return True
    path = plan.folder / gate.FOLDER / gate.RESULT
    return path.is_file() and not read_json(path)["passed"]


def choose_plan(config: RetrainingConfig, name: str | None, *, new: bool, now: float | None = None) -> Plan:
    """The retraining that is meant: the named one, else the newest that is not complete, else a new one.

    Raises:
        InputError: The name cannot be used, or the service is not there.
    """
    plans = all_plans(config)
    if name is not None:
        trigger: Trigger = next((t for t in _WHY if name.startswith(f"{t}-")), "manual")
        return begin(config, name, trigger, _WHY[trigger], now)
    if plans and not new and not is_complete(plans[-1]):
        return plans[-1]
    moment = datetime.fromtimestamp(time.time() if now is None else now, UTC)
    return begin(config, f"manual-{moment:%Y-%m-%dT%H-%M-%S}", "manual", _WHY["manual"], now)


def ask_if_due(config: RetrainingConfig, now: float | None = None) -> schedule.Due | None:
    """Whether a retraining is due, by the calendar or by drift; one that was begun so and stopped is due until it ends.

    Raises:
        InputError: The service is not there or does not answer.
    """
    now = time.time() if now is None else now
    versions_of(config)
    plans = all_plans(config)
    if plans and plans[-1].trigger != "manual" and not is_complete(plans[-1]):
        last = plans[-1]
        return schedule.Due(last.trigger, last.id, f"{last.id} was begun and is not complete", True)
    alarms = schedule.recent_alarms(database_of(config), now) if config.due.on_drift != "off" else []
    return schedule.due(config.due, plans, alarms, now)


def summary(plan: Plan, outcomes: Sequence[Outcome], said: dict[str, Any] | None) -> dict[str, Any]:
    """JSON-ready: the retraining, its steps, and what the gate and the register say."""
    found: dict[str, Any] = {
        "id": plan.id,
        "trigger": plan.trigger,
        "why": plan.why,
        "folder": str(plan.folder),
        "production": plan.production,
        "steps": [{"step": o.stage, "status": o.status, "seconds": round(o.seconds, 3)} for o in outcomes],
    }
    manifest = plan.folder / extract.FOLDER / extract.MANIFEST
    if manifest.is_file():
        content = read_json(manifest)
        found["images"] = {"counts": content["counts"], "left_out": content["left_out"]}
    if said is not None:
        keys = (
            "passed",
            "reasons",
            "candidate",
            "production",
            "differences",
            "regressions",
            "gains",
            "recent",
        )
        found["gate"] = {key: said[key] for key in keys} | {
            "page": str(plan.folder / gate.FOLDER / gate.PAGE)
        }
    version = plan.folder / register.FOLDER / register.RESULT
    if version.is_file() and (said is None or said["passed"]):
        found["version"] = read_json(version)["version"]
    return found


def tail_of(path: str, overrides: Sequence[str], plan: Plan) -> str:
    """What follows `waferroute retrain` to mean this retraining again."""
    return shlex.join([path, *overrides, "--id", plan.id])


def _training(plan: Plan) -> dict[str, Any]:
    """What the training depends on: the configuration's content, so that an edited file is noticed."""
    settings = plan.config.train
    overrides = [*settings.overrides, "data.format=mvtec", "data.root=extracted", "run.dir=train"]
    content = resolved(load_config(settings.config, overrides))
    return {"labels_per_type": settings.labels_per_type, "config": content}


def _frozen(plan: Plan) -> str:
    return sha256_json(
        [[image.name, sha256_file(image.path)] for image in labelled_images(*plan.config.frozen)]
    )


def state_of(plan: Plan) -> str:
    """How far a retraining has come, in words."""
    done = shadow.RESULT
    if (plan.folder / shadow.FOLDER / done).is_file():
        return f"{read_json(plan.folder / shadow.FOLDER / done)['version']} registered"
    if is_complete(plan):
        return "did not pass its gate"
    reached = [name for name in STEPS if (plan.folder / name).is_dir()]
    return f"in step {reached[-1]}" if reached else "begun"
