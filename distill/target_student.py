"""The target model has the shape of the intermediate one, whose weights it starts from."""

from typing import Any

from pydantic import BaseModel


def shape_target(section: dict[str, Any]) -> None:
    """Give the stage `target` the student of the stage `intermediate`, in place.

    Args:
        section: The configuration's `distill` section over its defaults, not yet validated. Stages that are no
            sections are left to the validation, which says what is wrong with them.
    """
    intermediate, target = section["intermediate"], section["target"]
    if isinstance(intermediate, BaseModel):
        intermediate = dict(intermediate)
    if isinstance(intermediate, dict) and isinstance(target, dict) and "student" in intermediate:
        target["student"] = intermediate["student"]
