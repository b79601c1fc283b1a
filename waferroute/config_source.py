"""From a YAML file and `key=value` overrides to one plain dictionary, not validated yet."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from wafer_data.errors import ConfigurationError
from waferroute.config_fields import Model, locate, takes_null, takes_plain_text
from waferroute.shipped_configs import shipped_configs


@dataclass(frozen=True)
class Override:
    """One `key=value` of the command line.

    Attributes:
        keys: The dotted key, split.
        value: Parsed as YAML.
    """

    text: str
    keys: tuple[str, ...]
    value: Any

    def concerns(self, key: str) -> bool:
        """Whether this override set `key`, a section around it or something inside it."""
        mine, other = self.keys, tuple(key.split("."))
        shared = min(len(mine), len(other))
        return mine[:shared] == other[:shared]


def read_source(path: Path, overrides: Sequence[Override]) -> dict[str, Any]:
    """The file's content with the overrides merged in and `${...}` references filled in.

    Raises:
        ConfigurationError: When the file cannot be read or is not YAML (with the line), when a value is left
            to be filled in (`???`), or when a reference leads nowhere.
    """
    merged = _parse_file(path)
    for override in overrides:
        nested: Any = override.value
        for key in reversed(override.keys):
            nested = {key: nested}
        try:
            together = OmegaConf.merge(merged, OmegaConf.create(nested))
        except OmegaConfBaseException as error:
            raise ConfigurationError(f"override {override.text!r}: {_first_line(error)}") from error
        assert isinstance(together, DictConfig)
        merged = together
    try:
        missing = sorted(OmegaConf.missing_keys(merged))
        if missing:
            raise ConfigurationError(
                f"{path}: {_listed(missing)} must be filled in, in the file or behind the command: "
                + " ".join(f"{key}=..." for key in missing)
            )
        content = OmegaConf.to_container(merged, resolve=True)
    except OmegaConfBaseException as error:
        raise ConfigurationError(f"{path}: {_first_line(error)}") from error
    assert isinstance(content, dict)
    return {str(key): value for key, value in content.items()}


def parse_override(text: str, model: Model) -> Override:
    """Read one `key=value`. The value is YAML, except where `model` takes text only: there it stays as typed.

    Raises:
        ConfigurationError: When there is no `=`, no key, or the value is not YAML.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ConfigurationError(
            f"override {text!r}: the language settings of this shell have no such characters; set LC_ALL=C.UTF-8 (or "
            "PYTHONUTF8=1)"
        ) from error
    key, equals, raw = text.partition("=")
    key = key.strip()
    if not equals or not key or not all(key.split(".")):
        raise ConfigurationError(f"override {text!r} is not of the form key=value, for example run.seed=1")
    keys = tuple(key.split("."))
    place = locate(model, keys)
    raw = raw.strip()
    if place.key == key and place.field is not None and takes_plain_text(place.field):
        is_null = raw in ("", "null", "~") and takes_null(place.field)
        if not is_null and raw != "???" and raw[:1] not in ("'", '"'):
            return Override(text, keys, raw)
    try:
        value = OmegaConf.to_container(OmegaConf.create(f"value: {raw}"), resolve=False)
    except (yaml.YAMLError, OmegaConfBaseException, RecursionError) as error:
        raise ConfigurationError(
            f"override {text!r}: its value is not valid YAML ({_first_line(error)})"
        ) from error
    assert isinstance(value, dict)
    return Override(text, keys, value["value"])


def _parse_file(path: Path) -> DictConfig:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ConfigurationError(
            f"configuration {path} does not exist; ready-made ones: {', '.join(shipped_configs())}"
        ) from error
    except IsADirectoryError as error:
        raise ConfigurationError(f"configuration {path} is a folder; name a YAML file") from error
    except OSError as error:
        raise ConfigurationError(f"configuration {path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"configuration {path} is not a text file in UTF-8") from error
    try:
        # OmegaConf would read a lone word as a key, and cannot read a lone number.
        if not isinstance(yaml.compose(text, Loader=yaml.SafeLoader), yaml.MappingNode | None):
            raise ConfigurationError(
                f"{path} must hold sections such as `run:` and `data:`, with their keys indented"
            )
        parsed = OmegaConf.create(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f", line {mark.line + 1}" if mark else ""
        raise ConfigurationError(f"{path}{line}: not valid YAML: {error.problem or error.context}") from error
    except (yaml.YAMLError, OmegaConfBaseException, RecursionError) as error:
        raise ConfigurationError(f"{path}: not valid YAML: {_first_line(error)}") from error
    assert isinstance(parsed, DictConfig)
    return parsed


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


def _listed(keys: Sequence[str]) -> str:
    return " and ".join(keys)
