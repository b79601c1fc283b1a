"""What a typed configuration allows, in plain words: behind `config fields` and every error message."""

import types
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import annotated_types
from pydantic import BaseModel
from pydantic.fields import FieldInfo

Model = type[BaseModel]

_SCALARS = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    type(None): "null",
    Any: "any value",
}


@dataclass(frozen=True)
class ConfigField:
    """One key of the configuration.

    Attributes:
        key: Dotted path.
        allowed: Type, choices and range in words.
        required: Whether it has no default.
        default: JSON-friendly; None when required.
        description: What the key does.
    """

    key: str
    allowed: str
    required: bool
    default: Any
    description: str


@dataclass(frozen=True)
class Place:
    """Where the location of a validation error leads.

    Attributes:
        field: None for an unknown key or the whole file.
        model: The section that the key lies in.
    """

    key: str
    field: FieldInfo | None
    model: Model


def list_fields(model: Model, prefix: str = "", defaults: BaseModel | None = None) -> Iterator[ConfigField]:
    """Every key of `model` in order, sections opened up. `prefix` goes before each key.

    Args:
        defaults: Where the section around has defaults of its own for this one, which then count.
    """
    for name, field in model.model_fields.items():
        key = f"{prefix}{name}"
        section = section_of(field.annotation)
        required = field.is_required() and defaults is None
        value = getattr(defaults, name) if defaults is not None else _default(field)
        if section is not None:
            yield from list_fields(section, f"{key}.", value if isinstance(value, BaseModel) else None)
            continue
        default = _plain(value)
        yield ConfigField(key, describe(field), required, default, field.description or "")


def describe(field: FieldInfo) -> str:
    """What may be written for `field`: "a whole number >= 1", "one of mvtec, folder", "text or null"."""
    return _describe(field.annotation, field.metadata)


def locate(model: Model, location: Sequence[int | str]) -> Place:
    """The key that a pydantic error location names.

    Such locations also hold marks that are no keys (the branch of a union, the index in a list); they end the
    walk, except an index, which becomes part of the key.
    """
    keys: list[str] = []
    field: FieldInfo | None = None
    current: Model | None = model
    inside: Model = model
    for part in location:
        if current is None:
            if isinstance(part, int):
                keys.append(str(part))
            break
        inside = current
        keys.append(str(part))
        field = current.model_fields.get(str(part))
        if field is None:
            break
        current = section_of(field.annotation)
    return Place(".".join(keys), field, inside)


def section_of(annotation: Any) -> Model | None:
    """The model behind an annotation such as `Section` or `Section | None`; None for a plain value."""
    models = [
        kind for kind in _branches(annotation) if isinstance(kind, type) and issubclass(kind, BaseModel)
    ]
    return models[0] if len(models) == 1 else None


def takes_plain_text(field: FieldInfo) -> bool:
    """Whether text, or null, is all that the key takes, so that `2024` or `no` must be meant as text."""
    kinds = set(_branches(field.annotation))
    return str in kinds and kinds <= {str, type(None)}


def takes_null(field: FieldInfo) -> bool:
    """Whether null may be written for the key."""
    return type(None) in _branches(field.annotation)


def _branches(annotation: Any) -> list[Any]:
    if get_origin(annotation) is Annotated:
        return _branches(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        return [kind for branch in get_args(annotation) for kind in _branches(branch)]
    return [annotation]


def _describe(annotation: Any, metadata: Sequence[Any] = ()) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _describe(arguments[0], [*arguments[1:], *metadata])
    if origin in (Union, types.UnionType):
        # A bound on a union holds for its numbers; null and choices carry none.
        return " or ".join(_describe(branch, metadata) for branch in arguments)
    if origin is Literal:
        choices = ", ".join(str(choice) for choice in arguments)
        return f"one of {choices}" if len(arguments) > 1 else choices
    if origin in (list, tuple, set, frozenset):
        inner = [argument for argument in arguments if argument is not Ellipsis]
        return f"a list, each entry {_describe(inner[0])}" if inner else "a list"
    if origin is dict:
        return "a section with keys of your own"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return f"a section with the keys {', '.join(annotation.model_fields)}"
    text = _SCALARS.get(annotation, getattr(annotation, "__name__", str(annotation)))
    return f"{text}{_range(metadata)}" if annotation in (int, float) else text


def _range(metadata: Sequence[Any]) -> str:
    bounds = []
    for entry in metadata:
        for kind, attribute, sign in (
            (annotated_types.Ge, "ge", ">="),
            (annotated_types.Gt, "gt", ">"),
            (annotated_types.Le, "le", "<="),
            (annotated_types.Lt, "lt", "<"),
        ):
            if isinstance(entry, kind):
                bounds.append(f"{sign} {getattr(entry, attribute)}")
    return f" {' and '.join(bounds)}" if bounds else ""


def _plain(value: Any) -> Any:
    """A default as JSON knows it."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def _default(field: FieldInfo) -> Any:
    return None if field.is_required() else field.get_default(call_default_factory=True)
