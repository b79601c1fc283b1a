"""What a recipe - a tool and a layer, say - may be called. Standard library only."""

from __future__ import annotations

import re
from typing import Any

from wafer_data.errors import RecipeError

FIRST_RECIPE = "default"
"""Name of a bundle's first recipe where none was given to it."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")


def check_recipe_name(name: Any) -> str:
    """`name`, if a recipe may be called so: it also names a folder.

    Raises:
        RecipeError: Otherwise.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise RecipeError(
            f"recipe name {name!r}: use 1 to 64 letters, digits and . _ + - , the first a letter or a digit"
        )
    return name
