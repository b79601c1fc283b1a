"""A finished run, read in one place for all who explain it: report, errors, comparison, novelty."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from eval.metrics.sketch import ImageSketch
from eval.metrics.sketch_file import read_sketches
from router.config import RouterConfig
from router.policy import RoutingPolicy
from router.route_scores import STUDENTS, Routed, RouteScores
from tool_side.bundle.load import MANIFEST, Bundle, load_bundle
from wafer_data.errors import InputError
from wafer_data.files import read_json
from wafer_data.store import ImageStore

SCHEMA = 1
_MARK = "synthetic.json"  # lies beside data sets that `waferroute micrographs` made
_PREFIX = "synthetic_"
ImageKey = tuple[str, int]
"""SHA-256 of the image file, and its index among the run's test images with these bytes."""


@dataclass(frozen=True)
class ScoredImages:
    """The test images as every model saw them: what all figures of a report follow from (`predictions.json`).

    Attributes:
        scores: (N,) float64 by model, without the route's.
        routed: where the policy sent each image; None without a route.
        fingerprint: of the prepared data.
        of_tiles: both students' scores of all tiles, where images are looked at in tiles; `scores` holds the highest.
    """

    paths: list[str]
    sha256: list[str]
    labels: np.ndarray
    types: list[str]
    scores: dict[str, np.ndarray]
    routed: Routed | None
    fingerprint: str
    of_tiles: RouteScores | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def keys(self) -> list[ImageKey]:
        """What tells each image from all others, in any run."""
        seen: Counter[str] = Counter()
        keys = []
        for content in self.sha256:
            keys.append((content, seen[content]))
            seen[content] += 1
        return keys

    @property
    def ranks(self) -> dict[str, np.ndarray]:
        """The scores of all models, "routed" among them where there is a route; infinite for an unjudged image."""
        return self.scores if self.routed is None else {**self.scores, "routed": self.routed.ranks}

    @property
    def route_scores(self) -> RouteScores:
        """Both students' scores and what the gate refused, for trying other policies."""
        assert self.routed is not None
        if self.of_tiles is not None:
            return self.of_tiles
        return RouteScores(self.scores["lowres"], self.scores["full"], self.routed.routes == "none")

    def at(self, rows: np.ndarray) -> ScoredImages:
        """Those at `rows`, in that order."""
        return replace(
            self,
            paths=[self.paths[row] for row in rows],
            sha256=[self.sha256[row] for row in rows],
            labels=self.labels[rows],
            types=[self.types[row] for row in rows],
            scores={name: values[rows] for name, values in self.scores.items()},
            routed=None if self.routed is None else self.routed[rows],
            of_tiles=None if self.of_tiles is None else self.of_tiles[rows],
        )

    def to_json(self) -> dict[str, Any]:
        """The content of `predictions.json`."""
        images = []
        for row, path in enumerate(self.paths):
            entry: dict[str, Any] = {
                "path": path,
                "sha256": self.sha256[row],
                "label": int(self.labels[row]),
                "type": self.types[row],
                "scores": {name: float(values[row]) for name, values in self.scores.items()},
            }
            if self.routed is not None:
                score = float(self.routed.score[row])
                entry["routed_score"] = score if np.isfinite(score) else None
                entry["decision"] = str(self.routed.decisions[row])
                entry["route"] = str(self.routed.routes[row])
            if self.of_tiles is not None:
                own = self.of_tiles[np.array([row])]
                entry["tile_scores"] = {name: getattr(own, name).tolist() for name in STUDENTS}
            images.append(entry)
        return {"schema": SCHEMA, "data_fingerprint": self.fingerprint, "images": images}

    @classmethod
    def from_json(cls, content: Any) -> ScoredImages:
        """Reads what :meth:`to_json` wrote. Raises KeyError, TypeError or ValueError where it is malformed."""
        images = content["images"]

        def column(name: str) -> list[Any]:
            return [image[name] for image in images]

        routed = None
        if images and "route" in images[0]:
            score = np.array([np.nan if one is None else one for one in column("routed_score")], np.float64)
            routes = np.array(column("route"))
            routed = Routed(np.array(column("decision")), routes, routes == "full", score)
        of_tiles = None
        if routed is not None and "tile_scores" in images[0]:
            parts = [np.concatenate([one[name] for one in column("tile_scores")]) for name in STUDENTS]
            tiles = np.array([len(one[STUDENTS[0]]) for one in column("tile_scores")], dtype=np.int64)
            of_tiles = RouteScores(parts[0], parts[1], routed.routes == "none", tiles)
        return cls(
            of_tiles=of_tiles,
            paths=column("path"),
            sha256=column("sha256"),
            labels=np.array(column("label"), dtype=np.int64),
            types=column("type"),
            scores={
                name: np.array([image["scores"][name] for image in images], dtype=np.float64)
                for name in (images[0]["scores"] if images else ())
            },
            routed=routed,
            fingerprint=str(content["data_fingerprint"]),
        )


class FinishedRun:
    """A run folder. What a command needs of it is read when it is asked for, once.

    Everything raises InputError, naming the command to run first, where a part is missing, damaged or of another
    stand than the others.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @cached_property
    def store(self) -> ImageStore:
        """The prepared images."""
        return ImageStore.open(self.folder / "data")

    @property
    def has_policy(self) -> bool:
        """Whether the route was calibrated here."""
        return (self.folder / "router/policy.json").is_file()

    @property
    def has_route(self) -> bool:
        """Whether there are both students and a policy."""
        return self.has_policy and all((self.folder / name / "student.json").is_file() for name in STUDENTS)

    @cached_property
    def policy(self) -> RoutingPolicy:
        """The calibrated policy."""
        return RoutingPolicy.from_dict(read_json(self._need("router/policy.json", "calibrate")))

    @cached_property
    def calibration(self) -> dict[str, Any]:
        """The content of `router/calibration.json`."""
        path = self._need("router/calibration.json", "calibrate")
        content = read_json(path)
        if not isinstance(content, dict) or not {*STUDENTS, "map_reference"} <= set(content):
            raise InputError(f"{path} is incomplete: run `waferroute calibrate`")
        return content

    @cached_property
    def certificate(self) -> dict[str, Any] | None:
        """The certificate; None where there is none."""
        found: dict[str, Any] | None = self.optional("router/certificate.json")
        return found

    @cached_property
    def router(self) -> RouterConfig:
        """The router's settings as the certificate states them, for a run without a configuration file."""
        path = self._need("router/certificate.json", "calibrate")
        content = read_json(path)
        try:
            low, high = content["escalation"]["budget"]
            return RouterConfig(
                escalation_target=content["escalation"]["target"],
                escalation_budget=[low, high],
                flag_rate=content["flag"]["target"],
                reject_rate=min(RouterConfig().reject_rate, content["flag"]["target"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{path} is incomplete ({error}): run `waferroute calibrate` again") from error

    @cached_property
    def bundle(self) -> Bundle:
        """What the tool gets; of this policy."""
        policy = self.policy  # first: what is not calibrated cannot have been exported
        self._need(f"bundle/{MANIFEST}", "export")
        bundle = load_bundle(self.folder / "bundle")
        if bundle.policy != policy:
            raise InputError(
                f"{self.folder / 'bundle'} holds another policy than the run: run `waferroute export` again"
            )
        return bundle

    @cached_property
    def report(self) -> dict[str, Any]:
        """The content of `report/report.json`."""
        return self._of_report("report.json", ("data", "models", "routing"))

    @cached_property
    def page(self) -> dict[str, Any]:
        """The content of `report/page.json`: what the page shows beyond `report.json`."""
        return self._of_report("page.json", ("provenance", "models"))

    @cached_property
    def images(self) -> ScoredImages:
        """The test images as the evaluation left them."""
        content = self._of_report("predictions.json", ("images",))
        try:
            return ScoredImages.from_json(content)
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"{self.folder / 'report'} is incomplete ({error!r}): run `waferroute evaluate` again"
            ) from error

    @cached_property
    def sketches(self) -> dict[str, dict[int, ImageSketch]]:
        """The pixels of test image n by model."""
        return read_sketches(self.folder / "report" / "pixels.npz")

    @cached_property
    def settings(self) -> dict[str, str]:
        """The configuration that the report was made with, as text, by key; without the folder's own name.

        Every stage command leaves its settings in `config.yaml`, also one whose result the report does not know yet,
        so what `report/page.json` kept comes first.
        """
        kept = self.optional("report/page.json") and self.page["provenance"]
        path, text = self.folder / "config.yaml", kept.get("config_text") if isinstance(kept, dict) else None
        try:
            if text is None:
                text = path.read_text(encoding="utf-8") if path.is_file() else ""
            content = yaml.safe_load(text) or {}
        except (yaml.YAMLError, OSError, ValueError, AttributeError) as error:
            raise InputError(f"{path} cannot be read ({error})") from error
        found: dict[str, str] = {}
        _flatten("", content, found)
        found.pop("run.dir", None)
        return found

    @cached_property
    def synthetic(self) -> str | None:
        """In words how a program made the data set; None for images that claim no such thing."""
        paths = [Path(record.path) for record in self.store.records]
        for folder in paths[0].parents[:4] if paths else ():
            try:
                manifest = read_json(folder / _MARK) if (folder / _MARK).is_file() else None
            except InputError:
                continue
            if isinstance(manifest, dict):
                config = manifest.get("config")
                layout = config.get("layout", "") if isinstance(config, dict) else ""
                return f"made by the program's own generator ({layout or 'micrographs'}, seed {manifest.get('seed')})"
        if paths and all(path.name.startswith(_PREFIX) for path in paths):
            return "made by the program's own generator, as the files' names say"
        return None

    def require_squares(self, what: str) -> None:
        """For an analysis that looks at each image as one square.

        Raises:
            InputError: this run looks at large images in tiles.
        """
        if self.store.reduced is not None:
            raise InputError(
                f"{what} does not know tiles: {self.folder} looks at large images in tiles (docs/tiling.md). A run "
                "with data.tiling=never can be analysed so"
            )

    def optional(self, name: str) -> Any:
        """The content of a JSON file of the run; None where there is none."""
        path = self.folder / name
        return read_json(path) if path.is_file() else None

    def _need(self, name: str, command: str) -> Path:
        path = self.folder / name
        if not path.is_file():
            raise InputError(f"{path.parent} holds no {path.name}: run `waferroute {command}` first")
        return path

    def _of_report(self, name: str, keys: Sequence[str]) -> dict[str, Any]:
        path = self.folder / "report" / name
        if not path.is_file():
            raise InputError(
                f"{self.folder} holds no finished evaluation (report/{name} is missing): run `waferroute evaluate` "
                "first"
            )
        content = read_json(path)
        if not isinstance(content, dict) or not set(keys) <= set(content):
            raise InputError(f"{path} is incomplete: run `waferroute evaluate` again")
        return content


def _flatten(key: str, value: Any, into: dict[str, str]) -> None:
    if isinstance(value, dict) and value:
        for inner, content in value.items():
            _flatten(f"{key}.{inner}" if key else str(inner), content, into)
    else:
        into[key] = "none" if value is None else str(value)
