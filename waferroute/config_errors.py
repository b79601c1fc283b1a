"""Turns what pydantic found wrong into one message: the place, the key, what was given, what is allowed."""

import difflib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from wafer_data.errors import ConfigurationError
from waferroute.config_fields import Model, Place, describe, list_fields, locate
from waferroute.config_source import Override
from waferroute.fixed_values import TARGET, reason_for

SHOWN = 10


def explain(
    error: ValidationError, model: Model, path: Path, overrides: Sequence[Override]
) -> ConfigurationError:
    """The ConfigurationError for everything wrong in the file at `path` with `overrides` merged in."""
    messages: dict[str, str] = {}
    for detail in error.errors(include_url=False):
        place = locate(model, detail["loc"])
        if place.key.startswith(TARGET.removesuffix(".")):
            continue  # a copy of the intermediate model's, which is reported
        # A value that fits no branch of a union is reported once a branch; one message a key is enough.
        messages.setdefault(place.key, f"{_where(place.key, path, overrides)}: {_what(place, detail, model)}")
    lines = list(messages.values())[:SHOWN]
    if len(messages) > SHOWN:
        lines.append(f"... and {len(messages) - SHOWN} more")
    return ConfigurationError("\n".join(lines))


def no_settings(wrong: dict[str, Any], path: Path, overrides: Sequence[Override]) -> ConfigurationError:
    """The ConfigurationError for constants that were given values: `wrong` holds those that they have."""
    return ConfigurationError(
        "\n".join(
            f"{_where(key, path, overrides)}: {key} is no setting, leave it out: it is always {_shown(value)} "
            f"({reason_for(key) or reason_for(key + '.')})"
            for key, value in wrong.items()
        )
    )


def _where(key: str, path: Path, overrides: Sequence[Override]) -> str:
    for override in reversed(overrides):
        if key and override.concerns(key):
            return f"override {override.text!r}"
    return str(path)


def _what(place: Place, detail: ErrorDetails, root: Model) -> str:
    kind, given = detail["type"], detail["input"]
    if kind == "value_error":  # a validator of ours: its sentence says it all
        sentence = str(detail.get("ctx", {}).get("error", detail["msg"]))
        return f"{place.key}: {sentence}" if place.key else sentence
    if kind == "extra_forbidden" or place.field is None:
        return _unknown(place, root)
    about = f" ({place.field.description})" if place.field.description else ""
    if kind == "missing":
        return f"{place.key} is missing; it takes {describe(place.field)}{about}"
    # Types and bounds are in `describe`; pydantic's own sentence is needed for everything else.
    covered = kind.endswith(("_type", "_parsing", "_error")) or kind.startswith(("greater_", "less_", "int_"))
    more = "" if covered else f"; {detail['msg']}"
    return f"{place.key} takes {describe(place.field)}, not {_shown(given)}{more}{about}"


def _unknown(place: Place, root: Model) -> str:
    section, _, name = place.key.rpartition(".")
    known = [key for key in place.model.model_fields if reason_for(f"{section}.{key}") is None]
    close = difflib.get_close_matches(name, known, n=3)
    start = f"{section}." if section else ""
    # A key that exists, only in another section, is the likeliest meaning of all.
    named = [field.key for field in list_fields(root) if field.key.rpartition(".")[2] == name]
    likely = [key for key in named if reason_for(key) is None][:3]
    likely = [start + key for key in close] or likely
    hint = f"; did you mean {' or '.join(likely)}?" if likely else "."
    return f"unknown key {place.key}{hint} Known here: {', '.join(known)}"


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return f"a section with the keys {', '.join(map(str, value))}" if value else "an empty section"
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 80 else text[:77] + "..."
