"""The stage map of a recipe: from pixels of an image to the die and the wafer, in micrometres."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from wafer_data.defect import DefectFinding
from wafer_data.errors import ConfigurationError, NotFoundError
from wafer_data.files import read_json
from wafer_map.plain_numbers import is_number

SCHEMA = 1


@dataclass(frozen=True)
class Site:
    """An inspection point.

    Attributes:
        die: (column, row) of the die, may be negative.
        offset_um: (x, y) of the image's centre from the die's lower left corner, micrometres, y up.
        angle: of the image's x axis, degrees counter-clockwise from the wafer's.
    """

    die: tuple[int, int]
    offset_um: tuple[float, float]
    angle: float = 0.0


@dataclass(frozen=True)
class StageMap:
    """Where a recipe's images lie. `load_stage` reads and checks one.

    Attributes:
        die_um: width and height of a die (its pitch), micrometres.
        center_um: the wafer's centre, seen from the lower left corner of die (0, 0) (KLARF's SampleCenterLocation).
        diameter_um: of the wafer.
        pixel_um: width and height of a pixel; None: sizes and places are not known in micrometres.
        mirrored: whether the images show the wafer mirrored left to right.
        reticle: (columns, rows) of dies in one exposure field; None: not known.
        reticle_origin: (column, row) of a die that is the lower left one of its field.
        sites: inspection points by name.
    """

    die_um: tuple[float, float]
    center_um: tuple[float, float]
    diameter_um: float = 300_000.0
    pixel_um: tuple[float, float] | None = None
    mirrored: bool = False
    reticle: tuple[int, int] | None = None
    reticle_origin: tuple[int, int] = (0, 0)
    sites: Mapping[str, Site] = field(default_factory=dict)

    def site(self, name: str) -> Site:
        """An inspection point by name.

        Raises:
            NotFoundError: For one that the map does not hold.
        """
        if name not in self.sites:
            raise NotFoundError(f"the stage map has no site {name!r}; it has {len(self.sites)}")
        return self.sites[name]

    def on_die(
        self, site: Site, pixel: tuple[float, float], image_size: tuple[int, int]
    ) -> tuple[tuple[int, int], tuple[float, float]]:
        """The die of a pixel, and its place on it in micrometres from the lower left corner, y up.

        Args:
            site: where the image was taken. pixel: (x, y), y down. image_size: (width, height) in pixels.

        Returns:
            The die, which is a neighbour of the site's where the image reaches over its edge, and (x, y) on it.

        Raises:
            ConfigurationError: the pixel size is not known.
        """
        if self.pixel_um is None:
            raise ConfigurationError("the stage map has no pixel_um: places on the wafer are not known")
        x = (pixel[0] - image_size[0] / 2) * self.pixel_um[0] * (-1 if self.mirrored else 1)
        y = (image_size[1] / 2 - pixel[1]) * self.pixel_um[1]
        turn = math.radians(site.angle)
        along = (
            site.offset_um[0] + x * math.cos(turn) - y * math.sin(turn),
            site.offset_um[1] + x * math.sin(turn) + y * math.cos(turn),
        )
        steps = [math.floor(place / side) for place, side in zip(along, self.die_um, strict=True)]
        die = (site.die[0] + steps[0], site.die[1] + steps[1])
        return die, (along[0] - steps[0] * self.die_um[0], along[1] - steps[1] * self.die_um[1])

    def on_wafer(self, die: tuple[int, int], place: tuple[float, float]) -> tuple[float, float]:
        """A place on a die, micrometres, as seen from the wafer's centre."""
        return (
            die[0] * self.die_um[0] + place[0] - self.center_um[0],
            die[1] * self.die_um[1] + place[1] - self.center_um[1],
        )

    def in_reticle(self, die: tuple[int, int]) -> tuple[int, int] | None:
        """Which die of its exposure field a die is, (column, row) from the lower left; None if not known."""
        if self.reticle is None:
            return None
        return (
            (die[0] - self.reticle_origin[0]) % self.reticle[0],
            (die[1] - self.reticle_origin[1]) % self.reticle[1],
        )

    def located(self, finding: DefectFinding, site: str, image_size: tuple[int, int]) -> DefectFinding:
        """A defect with its die and its places on die and wafer."""
        die, place = self.on_die(self.site(site), finding.center, image_size)
        return finding.with_(die=die, on_die=place, on_wafer=self.on_wafer(die, place))

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form, read back by :meth:`from_dict`."""
        content = {name: value for name, value in vars(self).items() if value is not None}
        content = {
            name: list(value) if isinstance(value, tuple) else value for name, value in content.items()
        }
        content["sites"] = {
            name: {"die": list(site.die), "offset_um": list(site.offset_um), "angle": site.angle}
            for name, site in self.sites.items()
        }
        return {"schema": SCHEMA, **content}

    @classmethod
    def from_dict(cls, content: Any, source: str = "stage map") -> StageMap:
        """Reads and checks a stage map.

        Raises:
            ConfigurationError: Naming what is wrong and what is allowed.
        """
        values = _object(content, source, {entry.name for entry in fields(cls)} | {"schema"})
        if values.pop("schema", None) != SCHEMA:
            raise ConfigurationError(f'{source}: "schema" must be {SCHEMA}')
        for name in ("die_um", "center_um"):
            if name not in values:
                raise ConfigurationError(f"{source}: {name} is missing")
        values["die_um"] = _pair(values["die_um"], f"{source}: die_um", positive=True)
        values["center_um"] = _pair(values["center_um"], f"{source}: center_um")
        values["diameter_um"] = _pair(
            [values.get("diameter_um", 300_000.0)] * 2, f"{source}: diameter_um", True
        )[0]
        if values.get("pixel_um") is not None:
            given = values["pixel_um"]
            values["pixel_um"] = _pair(
                given if isinstance(given, list) else [given, given], f"{source}: pixel_um", positive=True
            )
        if not isinstance(values.get("mirrored", False), bool):
            raise ConfigurationError(f"{source}: mirrored must be true or false")
        if values.get("reticle") is not None:
            values["reticle"] = _die(values["reticle"], f"{source}: reticle")
            if min(values["reticle"]) < 1:
                raise ConfigurationError(f"{source}: reticle must hold at least 1 die each way")
        values["reticle_origin"] = _die(values.get("reticle_origin", [0, 0]), f"{source}: reticle_origin")
        sites = values.get("sites", {})
        if not isinstance(sites, Mapping):
            raise ConfigurationError(f"{source}: sites must be an object of inspection points by name")
        values["sites"] = {name: _site(site, f"{source}: site {name}") for name, site in sites.items()}
        return cls(**values)


def load_stage(path: str | Path) -> StageMap:
    """The stage map of a JSON file.

    Raises:
        InputError: Where it cannot be read, ConfigurationError where it is wrong.
    """
    return StageMap.from_dict(read_json(path, keys_once=True), str(path))


def _site(content: Any, source: str) -> Site:
    values = _object(content, source, {"die", "offset_um", "angle"})
    for name in ("die", "offset_um"):
        if name not in values:
            raise ConfigurationError(f"{source}: {name} is missing")
    angle = _pair([values.get("angle", 0.0)] * 2, f"{source}: angle")[0]
    return Site(
        _die(values["die"], f"{source}: die"), _pair(values["offset_um"], f"{source}: offset_um"), angle
    )


def _object(content: Any, source: str, known: set[str]) -> dict[str, Any]:
    if not isinstance(content, Mapping):
        raise ConfigurationError(f"{source}: expected a JSON object")
    if unknown := sorted(set(content) - known):
        raise ConfigurationError(
            f"{source}: unknown key {unknown[0]!r}; known are {', '.join(sorted(known))}"
        )
    return dict(content)


def _pair(value: Any, source: str, positive: bool = False) -> tuple[float, float]:
    good = isinstance(value, list | tuple) and len(value) == 2
    good = good and all(is_number(v) and (v > 0 or not positive) for v in value)
    if not good:
        raise ConfigurationError(
            f"{source} must be {'positive ' if positive else ''}numbers [x, y], got {value!r}"
        )
    return float(value[0]), float(value[1])


def _die(value: Any, source: str) -> tuple[int, int]:
    good = isinstance(value, list | tuple) and len(value) == 2
    if not good or not all(isinstance(v, int) and not isinstance(v, bool) for v in value):
        raise ConfigurationError(f"{source} must be two whole numbers [column, row], got {value!r}")
    return value[0], value[1]
