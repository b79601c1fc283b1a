"""Further recipes in a bundle: each a policy, its certificate and what its monitor needs, beside the first one's.

The first recipe's files stay where a bundle of one recipe has them; those of the others lie in `recipes/NAME/`. The
manifest's section `recipes` names the first, lists the others and says how large their images are (the first one's size
stands in `preprocessing`). Standard library, router and the sizes of `wafer_data.imaging` only.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from router.monitor import Reference
from router.policy import RoutingPolicy
from router.recipe_names import FIRST_RECIPE, check_recipe_name
from wafer_data.errors import InputError
from wafer_data.imaging.source_size import SourceSize

SECTION, FOLDER, SIZES = "recipes", "recipes", "sizes"
POLICY, CERTIFICATE, MONITOR = "policy.json", "certificate.json", "monitor.json"
_PATH = re.compile(rf"{FOLDER}/([^/\\]+)/({POLICY}|{CERTIFICATE}|{MONITOR})")


def recipe_file(name: str, file: str) -> str:
    """Where `file` of the further recipe `name` lies in the bundle."""
    return f"{FOLDER}/{name}/{file}"


def is_recipe_file(path: str) -> bool:
    """Whether a path of the manifest is one that :func:`recipe_file` gives, of an allowed name."""
    match = _PATH.fullmatch(path)
    if match is None:
        return False
    try:
        check_recipe_name(match[1])
    except InputError:
        return False
    return True


def recipe_policies(
    manifest: Mapping[str, Any], contents: Mapping[str, bytes], first: RoutingPolicy
) -> dict[str, RoutingPolicy]:
    """The policy of every recipe by its name, the first one's first.

    Raises:
        InputError: For a malformed section, and for a recipe whose files are not among `contents`.
    """
    first_name, further = recipe_names(manifest)
    policies = {first_name: first}
    for name in further:
        policies[name] = RoutingPolicy.from_dict(_json(contents, recipe_file(name, POLICY)))
        _json(contents, recipe_file(name, CERTIFICATE))
    return policies


def recipe_names(manifest: Mapping[str, Any]) -> tuple[str, list[str]]:
    """Name of the first recipe, and those of the others.

    Raises:
        InputError: For a malformed section.
    """
    section = manifest.get(SECTION, {"first": FIRST_RECIPE, "further": []})
    if not isinstance(section, Mapping) or set(section) - {SIZES} != {"first", "further"}:
        raise InputError("manifest.json: recipes must hold first and further")
    further = section["further"]
    if not isinstance(further, list):
        raise InputError("manifest.json: the further recipes must be a list of names")
    names = [check_recipe_name(name) for name in [section["first"], *further]]
    if len(set(names)) != len(names):
        raise InputError("manifest.json: a recipe is listed twice")
    return names[0], names[1:]


def recipe_sizes(manifest: Mapping[str, Any]) -> dict[str, SourceSize]:
    """The size of each further recipe's images; bundles of older versions do not say.

    Raises:
        InputError: For a malformed section.
    """
    _, further = recipe_names(manifest)
    sizes = manifest.get(SECTION, {}).get(SIZES, {})
    if not isinstance(sizes, Mapping) or not set(sizes) <= set(further):
        raise InputError("manifest.json: the sizes of images must be those of further recipes")
    return {name: SourceSize.from_dict(size) for name, size in sizes.items()}


def references(manifest: Mapping[str, Any], contents: Mapping[str, bytes]) -> dict[str, Reference]:
    """What the monitor compares with, of each recipe that has it."""
    first, further = recipe_names(manifest)
    paths = {first: MONITOR} | {name: recipe_file(name, MONITOR) for name in further}
    return {
        name: Reference.from_dict(_json(contents, path)) for name, path in paths.items() if path in contents
    }


def _json(contents: Mapping[str, bytes], path: str) -> Any:
    if path not in contents:
        raise InputError(f"manifest.json lists no {path}")
    try:
        return json.loads(contents[path])
    except ValueError as error:
        raise InputError(f"{path} is not JSON ({error})") from error
