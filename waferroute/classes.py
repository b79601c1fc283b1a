"""`waferroute classes`: teach a bundle the types of defects. The students stay as they are."""

from __future__ import annotations

import contextlib
import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from classify.crops import Example
from classify.group import group_unknown
from classify.learn import FEWEST, add_type, learn_types
from classify.model import FILE, TypeClassifier
from eval.tool_run import as_taken, plain_inspector
from tool_side.bundle.load import LINEAGE, MANIFEST, Bundle, lineage, load_bundle, new_bundle
from tool_side.runtime.inspect_files import expand_inputs
from tool_side.runtime.inspector import Inspector
from wafer_data.errors import InputError, NotFoundError
from wafer_data.files import new_directory, read_json, sha256_file, write_bytes, write_json
from wafer_data.imaging.read import UnreadableImage
from wafer_data.masks import read_mask
from wafer_data.parts import parts_of
from wafer_data.progress import track
from wafer_data.sources.mask_files import find_masks
from wafer_data.store import ImageStore

NORMAL = "good"
"""A folder of this name holds normal images and is left out."""


def run_learn(
    bundle: str | Path,
    folder: str | Path,
    out_dir: str | Path,
    *,
    at_most: int | None = None,
    same_part: str | None = None,
    gap: int = 0,
    level: float = 0.05,
    quick: bool = False,
    recipe: str | None = None,
    out: TextIO | None = None,
) -> int:
    """Write `out_dir`: the bundle with a classifier learned from `folder`, one sub-folder a type. Returns 0.

    Args:
        at_most: Take at most this many images of each type, the first by name.
        same_part: Pattern that finds in a file's name which part it shows (`wafer_data.parts`).
        gap: Largest step between numbers of one part.
        level: Share of a type's defects that its sets may miss.
        quick: Measure defects by what the students computed alone.
        recipe: Of the images.

    Raises:
        InputError: For a bundle that is refused, a folder without types, too few images of one, and an `out_dir`
            that exists.
    """
    loaded, target = load_bundle(bundle), new_bundle(out_dir)
    examples = _types_in(Path(folder))
    if at_most is not None:
        examples = {name: files[:at_most] for name, files in examples.items()}
    of = {file: name for name, files in examples.items() for file in files}
    inspector = Inspector(replace(loaded, classes=None), measuring=True, quick=quick)
    found, files = _measure_files(inspector, list(of), recipe, _masks_of(Path(folder), list(of)))
    parts = None if same_part is None else parts_of([file.name for file in files], same_part, gap)
    model = learn_examples(
        found, [of[file] for file in files], parts=parts, level=level, measured=inspector.measures
    )
    _write(loaded, model, f"classes learn: {len(model.types)} types", target)
    print(f"{target}: {_said(model)}", file=out or sys.stdout)
    return 0


def run_add(
    bundle: str | Path,
    name: str,
    images: Sequence[str | Path],
    out_dir: str | Path,
    *,
    recipe: str | None = None,
    out: TextIO | None = None,
) -> int:
    """Write `out_dir`: the bundle whose classifier also knows the type `name`, from a few images. Returns 0.

    Raises:
        InputError: As `run_learn`; also for a bundle without a classifier and a name that is taken.
    """
    loaded, target = load_bundle(bundle), new_bundle(out_dir)
    known = _known(loaded)
    found, _ = _measure_files(Inspector(loaded), [file.path for file in expand_inputs(images)], recipe)
    model = add_type(known, name, np.stack([one.views for one in found]))
    _write(loaded, model, f"classes add {name}", target)
    print(f"{target}: {_said(model)}", file=out or sys.stdout)
    return 0


def run_group(
    bundle: str | Path,
    images: Sequence[str | Path],
    *,
    every: bool = False,
    fewest: int = 5,
    recipe: str | None = None,
    json_output: bool = False,
    out: TextIO | None = None,
) -> int:
    """Print groups of like images among those whose type is unknown. Returns 0.

    Args:
        every: Group all images, also those of a known type.
        fewest: Images of the smallest group.

    Raises:
        InputError: For a bundle without a classifier, and fewer unknown images than a group needs.
    """
    loaded, out = load_bundle(bundle), out or sys.stdout
    known, inspector = _known(loaded), Inspector(loaded)
    found, files = _measure_files(inspector, [file.path for file in expand_inputs(images)], recipe)
    values = np.stack([one.views[0] for one in found])
    verdicts = [known.classify(one) for one in values]
    strange = [i for i, verdict in enumerate(verdicts) if every or "unknown" in verdict.set]
    if len(strange) < fewest:
        raise InputError(
            f"{len(strange)} of {len(files)} images may be of an unknown type: a group has at least {fewest} "
            "(--every groups all images)"
        )
    grouped = group_unknown(known.whitened(values[strange]), fewest=fewest)
    for place in grouped.order.tolist():
        group, image = int(grouped.groups[place]), strange[place]
        if json_output:
            row: dict[str, Any] = {"source": str(files[image]), "group": group if group >= 0 else None}
            print(json.dumps(row | {"typicality": verdicts[image].typicality}), file=out)
        else:
            print(f"{'group ' + str(group + 1) if group >= 0 else 'no group':<9}  {files[image]}", file=out)
    if not json_output:
        print(
            f"{grouped.count} groups among {len(strange)} images of {len(files)}; name one with: waferroute classes "
            "add BUNDLE NAME IMAGES --out NEW_BUNDLE",
            file=out,
        )
    return 0


def learn_labelled(bundle_dir: Path, store: ImageStore) -> tuple[str, ...]:
    """Put a classifier of the run's labelled defects into its new bundle. Returns its types; none: too few labels.

    The labelled defects are those that left the test (`data.labelled_defects_per_type`). Types with fewer than five
    take no part, and with fewer than two such types there is no classifier.

    Args:
        bundle_dir: As the export wrote it.
        store: Data of the run.
    """
    labelled = [int(i) for split in ("train", "calibration") for i in store.indices(split, label=1)]
    counts = Counter(store.records[i].type for i in labelled)
    if sum(count >= FEWEST for count in counts.values()) < 2:
        return ()
    loaded = load_bundle(bundle_dir)
    inspector = plain_inspector(loaded, store, measuring=True)
    rows, names = [], []
    for i in labelled:
        with contextlib.suppress(UnreadableImage):  # what the gate refuses is never flagged by its score
            mask = store.mask(i) if store.reduced is None else None
            rows.append(inspector.example(as_taken(store, i, loaded), mask=mask))
            names.append(store.records[i].type)
    judged = Counter(names)
    kept = [i for i, name in enumerate(names) if judged[name] >= FEWEST]
    if len({names[i] for i in kept}) < 2:
        return ()
    model = learn_examples([rows[i] for i in kept], [names[i] for i in kept], measured=inspector.measures)
    _write(loaded, model, f"export: {len(model.types)} types of labelled defects", bundle_dir)
    return model.types


def measure_types(
    inspector: Inspector, folder: Path, recipe: str | None = None
) -> tuple[list[Example], list[str], list[Path]]:
    """Examples, types and files of folders that name their type."""
    images = [file for group in _types_in(folder).values() for file in group]
    found, files = _measure_files(inspector, images, recipe, _masks_of(folder, images))
    return found, [file.relative_to(folder).parts[0] for file in files], files


def learn_examples(
    found: Sequence[Example],
    labels: Sequence[str],
    *,
    measured: int,
    parts: Sequence[int] | None = None,
    level: float = 0.05,
    seed: int = 0,
) -> TypeClassifier:
    """`classify.learn.learn_types` of labelled images as they were measured."""
    return learn_types(
        np.stack([one.views for one in found]),
        labels,
        parts=parts,
        level=level,
        measured=measured,
        offered=[one.offered for one in found],
        nothing=[one.nothing for one in found],
        seed=seed,
    )


def _masks_of(folder: Path, images: list[Path]) -> dict[Path, Path]:
    """The masks of images below `DATA/test`, where `DATA/ground_truth` holds any."""
    masks = folder.parent / "ground_truth"
    return find_masks(images, folder, [masks], []) if masks.is_dir() else {}


def _types_in(folder: Path) -> dict[str, list[Path]]:
    if not folder.is_dir():
        raise NotFoundError(f"{folder}: there is no such folder")
    types = sorted(
        p for p in folder.iterdir() if p.is_dir() and p.name != NORMAL and not p.name.startswith(".")
    )
    if not types:
        raise InputError(f"{folder}: no folders that name a type of defects; give the folder that holds them")
    return {path.name: [file.path for file in expand_inputs([path])] for path in types}


def _measure_files(
    inspector: Inspector,
    files: Sequence[Path],
    recipe: str | None,
    masks: Mapping[Path, Path] | None = None,
) -> tuple[list[Example], list[Path]]:
    """Examples of images that can be judged; the others are named on standard error and left out."""
    rows, kept = [], []
    most = inspector.preprocessing.max_pixels
    digests: Counter[str] = Counter()
    for file in track(files, "defects"):
        digests[digest := sha256_file(file)] += 1
        if digests[digest] > 1:
            print(f"left out: {file} is byte for byte an earlier image", file=sys.stderr)
            continue
        try:
            mask = (masks or {}).get(file)
            on_defect = None if mask is None else read_mask(mask, None, max_pixels=most)
            rows.append(inspector.example(file, recipe=recipe, mask=on_defect))
            kept.append(file)
        except UnreadableImage as error:
            print(f"left out: {error}", file=sys.stderr)
    if not rows:
        raise InputError("none of the images can be judged")
    return rows, kept


def _known(bundle: Bundle) -> TypeClassifier:
    if bundle.classes is None:
        raise InputError(f"bundle {bundle.path} has no classifier: `waferroute classes learn` makes one")
    return bundle.classes


def _said(model: TypeClassifier) -> str:
    counts = ", ".join(f"{name} ({count})" for name, count in zip(model.types, model.counts, strict=True))
    need = int(np.ceil(1 / model.level)) - 1
    few = [name for name, count in zip(model.types, model.counts, strict=True) if count < need]
    few_of = (
        f"{', '.join(few)}: with fewer than {need} examples a promise for that type alone is not possible"
    )
    note = f"; {few_of}" if few else ""
    return f"types {counts}; sets at {1 - model.level:.0%}{note}"


def _write(bundle: Bundle, model: TypeClassifier, made_by: str, target: Path) -> None:
    manifest = read_json(bundle.path / MANIFEST)
    if manifest != bundle.manifest:
        raise InputError(f"bundle {bundle.path} changed while it was read: run again")
    with new_directory(target) as folder:
        for path, data in bundle.contents.items():
            write_bytes(folder / path, data)
        write_json(folder / FILE, model.to_dict())
        manifest["files"][FILE] = {
            "sha256": sha256_file(folder / FILE),
            "bytes": (folder / FILE).stat().st_size,
        }
        manifest[LINEAGE] = lineage(bundle.id, made_by)
        write_json(folder / MANIFEST, manifest)
        load_bundle(folder)  # what is written here also loads
