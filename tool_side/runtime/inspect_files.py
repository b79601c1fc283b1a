"""`waferroute inspect`: image files and folders, with a bundle.

Exit status: 0 every image was judged (whatever the decisions), 3 at least one could not be judged and is
REVIEW for that reason, 130 interrupted by Ctrl-C (what was printed stands). Bad arguments raise InputError.
"""

from __future__ import annotations

import logging
import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, TextIO

from tool_side.runtime.defect_bins import DefectBins
from tool_side.runtime.inspector import Inspector
from tool_side.runtime.repeats import RepeatAlarm, SeenFiles, SeenPictures
from tool_side.sinks import HeatmapFolder, PrintedJson, PrintedTable, Sink, Tally
from wafer_data.errors import InputError, NotFoundError
from wafer_data.listing import HEATMAP_SUFFIX, IMAGE_SUFFIXES, is_system_file, other_formats, walk

_LOG = logging.getLogger(__name__)

EXIT_JUDGED, EXIT_UNJUDGED, EXIT_INTERRUPTED = 0, 3, 130


class ImageFile(NamedTuple):
    """An image to inspect, and where its heat map goes below the heat-map folder."""

    path: Path
    heatmap: Path


def run_inspect(
    bundle: str | Path,
    inputs: Sequence[str | Path],
    *,
    json_output: bool = False,
    heatmaps: str | Path | None = None,
    threads: int = 1,
    recipe: str | None = None,
    recipe_from_folder: bool = False,
    reduced_decoding: bool = False,
    public_key: str | Path | None = None,
    bins: DefectBins | None = None,
    out: TextIO | None = None,
) -> int:
    """Judge `inputs` (image files, or folders searched recursively by suffix) and print one line an image.

    Args:
        json_output: One JSON object a line (Inspection.to_dict) instead of the table.
        heatmaps: Folder for an overlay PNG of each image that a model saw, in the folders of the input, named
            <image>.heatmap.png.
        threads: Onnxruntime threads.
        recipe: Of all images.
        recipe_from_folder: Of each the name of its folder.
        reduced_decoding, public_key, bins: See `tool_side.Inspector`.
        out: Where to print, default standard output. Returns the exit status (see the module's docstring).

    Raises:
        InputError: For inputs that do not exist or hold no image, and for a refused bundle. A heat map that
            cannot be written is said and costs nothing else; an image that is byte for byte, or pixel for pixel, one
            before it is REVIEW, with an alarm.
    """
    out = out or sys.stdout
    # first: a bundle that is refused must not cost a search of the disk
    inspector = Inspector(
        bundle, threads=threads, reduced_decoding=reduced_decoding, public_key=public_key, bins=bins
    )
    files = list(expand_inputs(inputs))
    tally, status = Tally(), EXIT_JUDGED
    names = (file.heatmap for file in files)
    seen, pictures, repeats = SeenFiles(), SeenPictures(), RepeatAlarm()
    try:
        sinks: list[Sink] = [PrintedJson(out) if json_output else PrintedTable(out), tally]
        if heatmaps is not None:
            if Path(heatmaps).is_file():  # better said before the first image than after the last one
                raise InputError(f"{heatmaps} is a file; heat maps need a folder")
            sinks.insert(0, HeatmapFolder(Path(heatmaps), inspector.map_reference, lambda _: next(names)))
        for file in files:
            named = recipe_of(file.path, recipe, recipe_from_folder)
            result = inspector.inspect(file.path, recipe=named, keep_image=heatmaps is not None)
            if (original := seen.original(file.path)) is not None:
                result = repeats.apply(result, str(original))
            elif (first := pictures.original(result)) is not None:
                result = repeats.apply(result, first, same="pixels")
            for sink in sinks:
                sink.write([result])
    except KeyboardInterrupt:
        status = EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader (head, less) went away: nothing is wrong, and Python must not complain again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_INTERRUPTED
    if not json_output:
        print(_summary(tally, len(files), status), file=out)
    if status == EXIT_JUDGED and tally.unjudged:
        status = EXIT_UNJUDGED
    return status


def expand_inputs(inputs: Sequence[str | Path]) -> Iterator[ImageFile]:
    """Image files behind `inputs`, folders in sorted order; heat-map names never collide.

    A file is taken whatever its suffix, a folder's files by suffix, without hidden files and earlier heat
    maps; a warning counts pictures of formats that are not read.

    Raises:
        InputError: For a path that does not exist, a folder that cannot be read or that holds no image.
    """
    if not inputs:
        raise InputError("no image given: name image files or folders")
    taken: set[Path] = set()
    for item in map(Path, inputs):
        if item.is_dir():
            found = _images_in(item)
            if not found:
                raise InputError(f"{item}: no image in this folder ({', '.join(IMAGE_SUFFIXES)})")
            relative = [path.relative_to(item) for path in found]
        elif item.exists():
            found, relative = [item], [Path(item.name)]
        else:
            raise NotFoundError(f"{item}: no such file or folder")
        for path, name in zip(found, relative, strict=True):
            yield ImageFile(path, _free_name(name, taken))


def recipe_of(path: str | Path, recipe: str | None, from_folder: bool) -> str | None:
    """The recipe that an image file is inspected under: the one given, or the name of the folder that it lies in."""
    return Path(os.path.abspath(path)).parent.name if from_folder else recipe  # noqa: PTH100 (a link stays a link)


def is_image_name(name: str) -> bool:
    """Whether a file in a folder is inspected: an image by its suffix, not of the system, not an earlier heat map."""
    return name.lower().endswith(IMAGE_SUFFIXES) and not is_system_file(name)


def _images_in(folder: Path) -> list[Path]:
    """Sorted; pictures of formats that are not read are said: an image that nobody looked at did not pass."""

    def refuse(error: OSError) -> None:
        raise InputError(f"{error.filename}: this folder cannot be read ({error.strerror})") from error

    found, others = list[Path](), Counter[str]()
    for path in walk(folder, on_error=refuse):
        if is_image_name(path.name):
            found.append(path)
        else:
            others[path.suffix.lower()] += 1
    if named := other_formats(others):
        _LOG.warning("%s: not looked at: %s (formats that are not read)", folder, named)
    return sorted(found)


def _free_name(relative: Path, taken: set[Path]) -> Path:
    candidate, number = relative.with_name(relative.name + HEATMAP_SUFFIX), 2
    while candidate in taken:
        candidate = relative.with_name(f"{relative.name}-{number}{HEATMAP_SUFFIX}")
        number += 1
    taken.add(candidate)
    return candidate


def _summary(tally: Tally, count: int, status: int) -> str:
    done = tally.images
    noun = "image" if count == 1 else "images"
    parts = [f"{done} {noun}" if done == count else f"{done} of {count} {noun}", *tally.parts()]
    if done:
        parts.append(f"{1000 * tally.seconds / done:.2f} ms an image")
    if status == EXIT_INTERRUPTED:
        parts.append("interrupted")
    return ", ".join(parts)
