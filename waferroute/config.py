"""The configuration of a run: one typed model that composes each package's own section."""

import json
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from distill.config import DistillConfig
from distill.target_student import shape_target
from eval.config import EvalConfig
from router.config import RouterConfig
from teacher.config import TeacherConfig
from tool_side.export.config import ExportConfig
from wafer_data.config import DataConfig
from wafer_data.home import PathText
from waferroute.config_errors import explain, no_settings
from waferroute.config_fields import section_of
from waferroute.config_source import parse_override, read_source
from waferroute.fixed_values import defaults_of, split
from waferroute.shipped_configs import config_file


class RunSection(BaseModel):
    """Where the run is kept and what makes it repeatable."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    dir: PathText = Field(
        min_length=1, description="run folder, relative to the working directory; new, or of an earlier run"
    )
    seed: int = Field(0, ge=0, description="seed of every section that does not set its own")


class RunConfig(BaseModel):
    """Everything that a run depends on. `configs/` holds ready-made ones."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    run: RunSection = Field(description="the run folder and the seed")
    data: DataConfig = Field(description="which images, and how they are split")
    teacher: TeacherConfig = Field(
        default_factory=TeacherConfig, description="the pretrained backbone and its adaptation"
    )
    distill: DistillConfig = Field(
        default_factory=DistillConfig, description="the stages that train the students"
    )
    router: RouterConfig = Field(default_factory=RouterConfig, description="how thresholds are chosen")
    eval: EvalConfig = Field(default_factory=EvalConfig, description="what is measured and compared")
    export: ExportConfig = Field(default_factory=ExportConfig, description="what the bundle holds")

    @property
    def run_dir(self) -> Path:
        """The run folder."""
        return Path(self.run.dir)


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> RunConfig:
    """Read and check a configuration. A section with a `seed` of its own takes `run.seed` unless it sets one.

    Args:
        path: A YAML file, or the name of a ready-made configuration (`quickstart`, `mvtec`, ...).
        overrides: `key=value` settings that replace those of the file.

    Returns:
        The validated configuration.

    Raises:
        ConfigurationError: Names the file or the override, the key, what was given and what is allowed.
    """
    path = config_file(path)
    parsed = [parse_override(text, RunConfig) for text in overrides]
    content, wrong = split(read_source(path, parsed), defaults_of(RunConfig))
    if wrong:
        raise no_settings(wrong, path, parsed)
    _spread_seed(content)
    content = _over_defaults(RunConfig, content)
    if isinstance(content.get("distill"), dict):
        shape_target(content["distill"])
    try:
        # JSON mode stays strict about types but takes a list where a model holds a tuple.
        return RunConfig.model_validate_json(json.dumps(content, default=str))
    except ValidationError as error:
        raise explain(error, RunConfig, path, parsed) from error


def resolved(config: RunConfig) -> dict[str, Any]:
    """The configuration with all defaults of settings written out, JSON-friendly.

    Constants (`fixed_values`) are left out, unless a study has changed them in Python. Seeds that follow `run.seed` are
    left out too, so that a run of this configuration with another `run.seed` changes them all.
    """
    content = config.model_dump(mode="json")
    for name in _seeded_sections():
        if content[name]["seed"] == config.run.seed:
            del content[name]["seed"]
    return split(content, defaults_of(RunConfig))[0]


def to_yaml(config: RunConfig) -> str:
    """`resolved(config)` as YAML text that `load_config` reads back to an equal configuration."""
    header = (
        f"# Resolved configuration, waferroute {version('waferroute')}; `waferroute run` takes this file.\n"
    )
    return header + yaml.safe_dump(resolved(config), sort_keys=False, allow_unicode=True, width=110)


def _over_defaults(model: type[BaseModel], content: dict[str, Any]) -> dict[str, Any]:
    """`content` laid over the defaults of the sections it names.

    Without this, one key of a section whose default is not that of its class (`distill.full.epochs=2`) would
    turn the section's other keys into those of the class.
    """
    result = dict(content)
    for name, field in model.model_fields.items():
        given, section = content.get(name), section_of(field.annotation)
        if section is None or not isinstance(given, dict):
            continue
        default = None if field.is_required() else field.get_default(call_default_factory=True)
        if isinstance(default, BaseModel):
            result[name] = _merge(default.model_dump(mode="json"), given)
        else:
            result[name] = _over_defaults(section, given)
    return result


def _merge(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    result = dict(below)
    for key, value in above.items():
        old = result.get(key)
        result[key] = _merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return result


def _spread_seed(content: dict[str, Any]) -> None:
    run = content.get("run")
    seed = run.get("seed", 0) if isinstance(run, dict) else 0
    if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
        return  # reported once, for run.seed
    for name in _seeded_sections():
        section = content.setdefault(name, {}) if name != "data" else content.get(name)
        if isinstance(section, dict):
            section.setdefault("seed", seed)


def _seeded_sections() -> list[str]:
    names = []
    for name, field in RunConfig.model_fields.items():
        section = section_of(field.annotation)
        if name != "run" and section is not None and "seed" in section.model_fields:
            names.append(name)
    return names
