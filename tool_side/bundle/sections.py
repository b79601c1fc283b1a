"""Two sections of a bundle's manifest: how an image becomes the models' input, and the models themselves."""

from __future__ import annotations

import math
from collections.abc import Container, Mapping
from dataclasses import dataclass, replace
from typing import Any

from router.decision import STAGES
from wafer_data.errors import BundleError, InputError
from wafer_data.imaging.levels import Levels
from wafer_data.imaging.planes import COLOURS
from wafer_data.imaging.source_size import SourceSize
from wafer_data.imaging.tiling import Tiling

MANIFEST = "manifest.json"
_OPTIONAL = ("tiling", "colour")
MODEL_NAMES = tuple(stage.value for stage in STAGES)


@dataclass(frozen=True)
class Preprocessing:
    """How a decoded image becomes the models' input.

    image_size: side of the square input, pixels. max_pixels: larger images are refused by their header.
    min_side: shortest side that is judged, pixels. black, white: grey levels of the data the models learned from
    (see `wafer_data.imaging.levels`). source: height, width and aspect ratio of those data's images
    (`wafer_data.imaging.source_size`); None in bundles of older versions. tiling: how large images are cut
    (`wafer_data.imaging.tiling`); None where each is one square. colour: whether the models see images in colour.
    """

    image_size: int = 256
    max_pixels: int = 64_000_000
    min_side: int = 16
    black: float = 0.0
    white: float = 1.0
    source: Mapping[str, Any] | None = None
    tiling: Mapping[str, Any] | None = None
    colour: bool = False

    @property
    def tiles(self) -> Tiling | None:
        """How large images are cut; None where each is one square."""
        return None if self.tiling is None else Tiling.from_dict(self.tiling)

    def of_prepared(self) -> Preprocessing:
        """For images that are squares in the data's grey levels already, whatever size and levels their files have."""
        return replace(self, black=0.0, white=1.0, source=None)

    def require_squares(self, what: str) -> None:
        """For what is only there for images that are one square each.

        Raises:
            BundleError: the bundle looks at large images in tiles.
        """
        if self.tiling is not None:
            raise BundleError(
                f"{what} is not there for a bundle that looks at large images in tiles (docs/tiling.md): export one of "
                "a run with data.tiling=never, or use `waferroute inspect`"
            )

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the models' input: (S, S) of grey, (3, S, S) of colour."""
        square = (self.image_size, self.image_size)
        return (COLOURS, *square) if self.colour else square

    def require_grey(self, what: str) -> None:
        """For what is only there for grey images.

        Raises:
            BundleError: the bundle's models see images in colour.
        """
        if self.colour:
            raise BundleError(
                f"{what} is not there for a bundle whose models see images in colour (docs/colour.md): export one of "
                "a run with data.colour=false"
            )

    def to_dict(self) -> dict[str, Any]:
        """The section `preprocessing` of a manifest; without tiling and colour where there is none, as ever."""
        return {key: value for key, value in vars(self).items() if key not in _OPTIONAL or value}

    @property
    def source_size(self) -> SourceSize | None:
        """The size that images of the first recipe have; None where the bundle does not say."""
        return None if self.source is None else SourceSize.from_dict(self.source)

    @property
    def levels(self) -> Levels:
        """The grey levels as one object."""
        return Levels(self.black, self.white)


@dataclass(frozen=True)
class ModelEntry:
    """One student in the bundle.

    file, decoder: file names of the ONNX graphs (decoder: latent to reconstruction, None if there is none).
    input_size: side at which the student looks, pixels. parameters: weight count. map_reference: 99.9 %
    quantile of its map values on calibration normals, the unit of the heat maps' fixed scale.
    """

    file: str
    input_size: int
    parameters: int
    map_reference: float
    decoder: str | None = None


def preprocessing_of(section: dict[str, Any]) -> Preprocessing:
    """The section `preprocessing`. Raises InputError where it is malformed."""
    counts = ("image_size", "max_pixels", "min_side")
    if set(section) - {"source", *_OPTIONAL} != {*counts, "black", "white"} or not all(
        _is_count(section[name]) for name in counts
    ):
        raise InputError(
            f"{MANIFEST}: preprocessing must hold positive whole numbers {', '.join(counts)}, and the levels black "
            "and white"
        )
    if not isinstance(section.get("colour", False), bool):
        raise InputError(f"{MANIFEST}: preprocessing.colour must be true or false")
    found = Preprocessing(**section)
    found.levels, found.source_size, found.tiles  # noqa: B018 (raise where they are none)
    return found


def models_of(section: Mapping[str, Any], files: Container[str]) -> dict[str, ModelEntry]:
    """The section `models`, whose graphs must be among `files`. Raises InputError where it is malformed."""
    if set(section) != set(MODEL_NAMES):
        raise InputError(f"{MANIFEST}: models must be {' and '.join(MODEL_NAMES)}, got {sorted(section)}")
    names = set(ModelEntry.__dataclass_fields__)
    for model, fields in section.items():
        if not isinstance(fields, dict) or set(fields) != names:
            raise InputError(f"{MANIFEST}: model {model} must hold {', '.join(sorted(names))}")
        if fields["file"] is None:
            raise InputError(f"{MANIFEST}: model {model} names no file")
        for graph in (fields["file"], fields["decoder"]):
            if graph is not None and (not isinstance(graph, str) or graph not in files):
                raise InputError(f"{MANIFEST}: graph {graph!r} of model {model} is not among its files")
        reference = fields["map_reference"]
        if not isinstance(reference, int | float) or not 0 < reference < math.inf:
            raise InputError(
                f"{MANIFEST}: map_reference of model {model} must be positive, got {reference!r}"
            )
        if not _is_count(fields["input_size"]) or not _is_count(fields["parameters"]):
            raise InputError(
                f"{MANIFEST}: input_size and parameters of model {model} must be whole numbers > 0"
            )
    return {model: ModelEntry(**section[model]) for model in MODEL_NAMES}


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0
