"""Run stages of a configuration: what `waferroute run` and the commands of single stages do."""

import contextlib
import json
import shlex
from collections.abc import Sequence

from distill.config import STAGES as STUDENT_STAGES
from wafer_data.allocator import keep_freed_memory
from wafer_data.errors import ConfigurationError, InputError
from wafer_data.files import write_text
from waferroute.config import RunConfig, load_config, to_yaml
from waferroute.pipeline import Pipeline
from waferroute.processes import is_main_process, join_processes, process_count
from waferroute.run_lock import locked
from waferroute.stages import all_stages
from waferroute.summary import as_json, print_summary


def run_stages(
    path: str,
    overrides: Sequence[str],
    names: Sequence[str] | None,
    *,
    until: str | None = None,
    force: bool = False,
    json_output: bool = False,
) -> int:
    """Do stages and print a summary.

    Args:
        path: Configuration file.
        overrides: `key=value` settings that replace those of the file.
        names: Stages to do; None for all.
        until: With `names` None: the last stage to do.
        force: Do them even if nothing changed.
        json_output: Print JSON instead of the table.

    Returns:
        Exit status 0.

    Raises:
        InputError: For everything that can be wrong with configuration, images or folders.
    """
    config = load_config(path, overrides)
    if until is not None and names is None:
        names = _up_to(until, [stage.name for stage in all_stages(pretrain=config.teacher.pretrain.enabled)])
    keep_freed_memory()
    tail = shlex.join([path, *overrides])
    if process_count() > 1 and not (names and set(names) <= {*STUDENT_STAGES, "pretrain"}):
        raise InputError(
            "only `waferroute distill` and `pretrain` run in several processes; start this command without a launcher"
        )
    if names is not None and "pretrain" in names and not config.teacher.pretrain.enabled:
        raise ConfigurationError("the stage pretrain is off: add teacher.pretrain.enabled=true")
    if not is_main_process():
        _pipeline(config, tail).run(names, force=force)
        return 0
    with locked(config.run_dir):
        before = _keep_config(config)
        pipeline = _pipeline(config, tail)
        try:
            outcomes = pipeline.run(names, force=force)
        except InputError:
            if (
                before is not None and not pipeline.worked
            ):  # the results are still those of the settings before
                with contextlib.suppress(InputError):
                    write_text(config.run_dir / "config.yaml", before)
            raise
        if json_output:
            print(json.dumps(as_json(config.run_dir, outcomes), indent=2, ensure_ascii=False))
        else:
            print_summary(config.run_dir, outcomes)
    return 0


def _up_to(stage: str, known: Sequence[str]) -> list[str]:
    if stage not in known:
        raise ConfigurationError(f"--until {stage}: there is no such stage; there are {', '.join(known)}")
    return [*known[: known.index(stage) + 1]]


def _pipeline(config: RunConfig, tail: str) -> Pipeline[RunConfig]:
    stages = all_stages(tail, pretrain=True) if config.teacher.pretrain.enabled else all_stages(tail)
    return Pipeline(stages, config, config.run_dir, processes=join_processes())


def _keep_config(config: RunConfig) -> str | None:
    """Write `config.yaml`; returns what stood there, None if nothing did."""
    path, text = config.run_dir / "config.yaml", to_yaml(config)
    before = path.read_text(encoding="utf-8") if path.exists() else None
    if before != text:
        write_text(path, text)
    return before
