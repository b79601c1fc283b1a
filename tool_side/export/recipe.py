"""`waferroute recipe add`: calibrate a further recipe with a bundle's own students, from its normal images.

The students are not trained again, so this is for a surface that they already see well enough: the same kind of
wafer on another tool, another layer, another exposure. Nothing here needs torch; the calibration needs scipy and
pydantic of the training side.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from router.recipe import CalibratedRecipe, calibrate_recipe, config_like
from router.recipe_names import FIRST_RECIPE, check_recipe_name
from tool_side.bundle.load import LINEAGE, MANIFEST, Bundle, lineage, load_bundle, new_bundle
from tool_side.bundle.recipes import (
    CERTIFICATE,
    MONITOR,
    POLICY,
    SECTION,
    SIZES,
    recipe_file,
    recipe_names,
    recipe_sizes,
)
from tool_side.runtime.inspect_files import expand_inputs
from tool_side.runtime.inspector import Inspector
from wafer_data.errors import InputError
from wafer_data.files import new_directory, read_json, sha256_file, write_bytes, write_json
from wafer_data.imaging.read import UnreadableImage
from wafer_data.imaging.source_size import SourceSize


def run_recipe_add(
    bundle: str | Path,
    name: str,
    images: Sequence[str | Path],
    out_dir: str | Path,
    *,
    first_name: str | None = None,
    settings: Mapping[str, Any] | None = None,
    out: TextIO | None = None,
) -> int:
    """Write `out_dir`: the bundle with the recipe `name` added. Returns 0.

    Args:
        images: Files and folders of normal images of that recipe, about 300 or more; a file that is there
            twice counts once.
        first_name: What the recipe that the bundle already has is to be called.
        settings: Keys of the router's configuration that are not at their default.

    Raises:
        InputError: For a bundle that is refused, a name that is taken, an image that cannot be read, too few
            images for the rates asked for, and an `out_dir` that exists.
    """
    loaded, out_dir = load_bundle(bundle), new_bundle(out_dir)
    loaded.preprocessing.require_squares("`waferroute recipe add`")
    first, further = recipe_names(loaded.manifest)
    if first_name is not None and first_name != first:
        if first != FIRST_RECIPE:
            raise InputError(f"bundle {bundle}: its first recipe is already called {first}")
        first = check_recipe_name(first_name)
    if check_recipe_name(name) in (first, *further):
        advice = "; give that one another name with --first-name" if name == first else ""
        raise InputError(f"bundle {bundle} already holds a recipe called {name}{advice}")
    inspector = Inspector(loaded)
    config = config_like(inspector.policy, dict(settings or {}))
    shapes: set[tuple[int, int]] = set()
    found = calibrate_recipe(_images(images, inspector, shapes), inspector.raw_scores, config)
    sizes = {**recipe_sizes(loaded.manifest), name: SourceSize.of(shapes)}
    section = {
        "first": first,
        "further": [*further, name],
        SIZES: {recipe: size.to_dict() for recipe, size in sizes.items()},
    }
    _write(loaded, found, name, section, out_dir)
    sample, rates = found.certificate["sample"], found.certificate
    print(
        f"{out_dir}: recipes {', '.join([first, *further, name])}. {name}: {sample['normals']} normal images "
        f"calibrated it, escalation expected {rates['escalation']['expected']:.1%}, the gate refused "
        f"{rates['gate']['refused']} of {rates['gate']['of']}; misses: {rates['fnr']['status']}",
        file=out or sys.stdout,
    )
    return 0


def _images(
    inputs: Sequence[str | Path], inspector: Inspector, shapes: set[tuple[int, int]]
) -> list[Callable[[], np.ndarray]]:
    """A function for each different file that reads it as the models get it; its (height, width) goes to `shapes`."""
    seen: set[str] = set()
    found: list[Callable[[], np.ndarray]] = []
    for file in expand_inputs(inputs):
        digest = sha256_file(file.path)
        if digest not in seen:
            seen.add(digest)
            found.append(partial(_read, file.path, inspector, shapes))
    return found


def _read(path: Path, inspector: Inspector, shapes: set[tuple[int, int]]) -> np.ndarray:
    try:
        grey = inspector.read(path)
        shapes.add((grey.shape[0], grey.shape[1]))
        return inspector.square(grey)
    except UnreadableImage as error:
        raise InputError(f"{error}; remove it and run again") from error


def _write(
    bundle: Bundle, recipe: CalibratedRecipe, name: str, section: Mapping[str, Any], out_dir: Path
) -> None:
    files = {
        POLICY: recipe.policy.to_dict(),
        CERTIFICATE: recipe.certificate,
        MONITOR: recipe.reference.to_dict(),
    }
    manifest = read_json(bundle.path / MANIFEST)
    if manifest != bundle.manifest:
        raise InputError(f"bundle {bundle.path} changed while it was read: run again")
    out_dir.parent.mkdir(parents=True, exist_ok=True)
    with new_directory(out_dir) as folder:
        for path, data in bundle.contents.items():
            write_bytes(folder / path, data)
        for file, content in files.items():
            path = recipe_file(name, file)
            write_json(folder / path, content)
            entry = {"sha256": sha256_file(folder / path), "bytes": (folder / path).stat().st_size}
            manifest["files"][path] = entry
        manifest[SECTION] = dict(section)
        manifest[LINEAGE] = lineage(bundle.id, f"recipe add {name}")
        identity = hashlib.sha256((bundle.path / MANIFEST).read_bytes()).hexdigest()
        manifest["provenance"] = {**manifest["provenance"], f"recipe_{name}_added_to": identity}
        write_json(folder / MANIFEST, manifest)
        load_bundle(folder)  # what is written here also loads
