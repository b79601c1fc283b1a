"""The deployable bundle: one folder with the ONNX graphs, the routing policy, its certificate and a manifest.

`load_bundle` refuses a folder that is not byte for byte what was exported; `write_manifest` is the last
step of an export. Standard library and router.policy only.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Container, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from router.policy import RoutingPolicy
from wafer_data.errors import InputError
from wafer_data.files import read_json, sha256_file, write_json
from wafer_data.levels import Levels

SCHEMA = 2

MANIFEST, POLICY, CERTIFICATE = "manifest.json", "policy.json", "certificate.json"
MODEL_NAMES = ("lowres", "full")

_SECTIONS = ("schema", "version", "files", "preprocessing", "models", "thresholds", "provenance")


@dataclass(frozen=True)
class Preprocessing:
    """How a decoded image becomes the models' input.

    image_size: side of the square input, pixels. max_pixels: larger images are refused by their header.
    min_side: shortest side that is judged, pixels. black, white: grey levels of the data the models learned from
    (see `wafer_data.levels`).
    """

    image_size: int = 256
    max_pixels: int = 64_000_000
    min_side: int = 16
    black: float = 0.0
    white: float = 1.0

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


@dataclass(frozen=True)
class Bundle:
    """A verified bundle in memory. `contents`: file name to the bytes whose sha256 the manifest holds."""

    path: Path
    manifest: Mapping[str, Any]
    preprocessing: Preprocessing
    models: Mapping[str, ModelEntry]
    policy: RoutingPolicy
    certificate: Mapping[str, Any]
    contents: Mapping[str, bytes]


def load_bundle(path: str | Path) -> Bundle:
    """Read a bundle and verify all of it.

    Every file is read once and used from memory, so nothing can change between check and use. Raises
    InputError with the reason: not a bundle, older or newer schema, a file that is missing, of another size
    or of another content, a malformed section, thresholds that are not the policy's.
    """
    path = Path(path)
    if not path.is_dir():
        raise InputError(f"bundle {path}: {'not a folder' if path.exists() else 'there is no such folder'}")
    if not (path / MANIFEST).is_file():
        raise InputError(f"bundle {path}: no {MANIFEST} in it; give the bundle/ folder of a finished run")
    manifest = read_json(path / MANIFEST)
    try:
        _check_schema(manifest)
        contents = {
            name: verified_file(path, name, entry) for name, entry in _mapping(manifest, "files").items()
        }
        preprocessing = _preprocessing(_mapping(manifest, "preprocessing"))
        models = _models(_mapping(manifest, "models"), contents)
        policy = RoutingPolicy.from_dict(_json(contents, POLICY))
        certificate = _json(contents, CERTIFICATE)
        if manifest["thresholds"] != thresholds_of(policy):
            raise InputError(f"the thresholds in {MANIFEST} are not those of {POLICY}")
    except InputError as error:
        raise InputError(f"bundle {path} refused: {error}") from error
    return Bundle(path, manifest, preprocessing, models, policy, certificate, contents)


def write_manifest(
    folder: str | Path,
    *,
    models: Mapping[str, Mapping[str, Any]],
    policy: Mapping[str, Any],
    provenance: Mapping[str, Any],
    preprocessing: Preprocessing | None = None,
    version: str | None = None,
) -> None:
    """Write `manifest.json` for the graphs, policy.json and certificate.json that already lie in `folder`.

    models: fields of :class:`ModelEntry` for "lowres" and "full" (decoder may be left out). policy: the
    content of policy.json. provenance: JSON-ready, e.g. data_fingerprint, config_sha256, package_versions.
    preprocessing: default 256 pixels, 64 megapixels, 16 pixels. version: default that of the installed
    waferroute.

    Raises InputError when a file is missing or an entry is malformed: what is written here also loads.
    """
    folder = Path(folder)
    square = vars(preprocessing or Preprocessing())
    _preprocessing(square)
    entries = {name: {"decoder": None, **fields} for name, fields in models.items()}
    graphs = [fields.get(key) for fields in entries.values() for key in ("file", "decoder")]
    names = sorted({POLICY, CERTIFICATE, *(name for name in graphs if isinstance(name, str))})
    _models(entries, names)
    manifest = {
        "schema": SCHEMA,
        "version": version or metadata.version("waferroute"),
        "files": {
            name: {"sha256": sha256_file(folder / name), "bytes": (folder / name).stat().st_size}
            for name in names
        },
        "preprocessing": square,
        "models": entries,
        "thresholds": thresholds_of(RoutingPolicy.from_dict(policy)),
        "provenance": dict(provenance),
    }
    write_json(folder / MANIFEST, manifest)


def thresholds_of(policy: RoutingPolicy) -> dict[str, float | None]:
    """The policy's thresholds as the manifest repeats them for a person to read."""
    return {name: getattr(policy, name) for name in ("escalate_above", "review_above", "reject_above")}


def _check_schema(manifest: Any) -> None:
    if not isinstance(manifest, dict) or "schema" not in manifest:
        raise InputError(f"{MANIFEST} is not a bundle's manifest")
    schema = manifest["schema"]
    if schema != SCHEMA or isinstance(schema, bool):
        newer = isinstance(schema, int) and schema > SCHEMA
        advice = "update waferroute on this computer" if newer else "export the bundle again"
        raise InputError(f"schema {schema!r}, this version reads {SCHEMA}: {advice}")
    missing = [name for name in _SECTIONS if name not in manifest]
    if missing:
        raise InputError(f"{MANIFEST} lacks {', '.join(missing)}")


def verified_file(folder: Path, name: str, entry: Any) -> bytes:
    """The bytes of one file of a bundle. Raises InputError unless they are what the manifest's `entry` says."""
    if not isinstance(entry, dict) or set(entry) != {"sha256", "bytes"}:
        raise InputError(f"{MANIFEST}: entry of {name!r} must hold sha256 and bytes")
    if name != Path(name).name or name in ("", ".", "..") or "\\" in name:
        raise InputError(f"{MANIFEST}: {name!r} is not a plain file name")
    try:
        # Size first: a file that was swapped for a huge one is not read at all.
        size = (folder / name).stat().st_size
        data = (folder / name).read_bytes() if size == entry["bytes"] else None
    except FileNotFoundError:
        raise InputError(f"{name} is missing") from None
    except OSError as error:
        raise InputError(f"{name} cannot be read ({error.strerror})") from error
    if data is None or len(data) != entry["bytes"]:
        raise InputError(f"{name} has {size} bytes instead of {entry['bytes']}: truncated or changed")
    if hashlib.sha256(data).hexdigest() != entry["sha256"]:
        raise InputError(f"{name} was changed after the export (its sha256 differs)")
    return data


def _mapping(manifest: dict[str, Any], section: str) -> dict[str, Any]:
    if not isinstance(manifest[section], dict):
        raise InputError(f"{MANIFEST}: {section} must be an object")
    return manifest[section]


def _json(contents: Mapping[str, bytes], name: str) -> Any:
    if name not in contents:
        raise InputError(f"{MANIFEST} lists no {name}")
    try:
        return json.loads(contents[name])
    except ValueError as error:
        raise InputError(f"{name} is not JSON ({error})") from error


def _preprocessing(section: dict[str, Any]) -> Preprocessing:
    counts = ("image_size", "max_pixels", "min_side")
    if set(section) != {*counts, "black", "white"} or not all(_is_count(section[name]) for name in counts):
        raise InputError(
            f"{MANIFEST}: preprocessing must hold positive whole numbers {', '.join(counts)}, and the levels black "
            "and white"
        )
    found = Preprocessing(**section)
    found.levels  # noqa: B018 (raises where they are no levels)
    return found


def _models(section: Mapping[str, Any], files: Container[str]) -> dict[str, ModelEntry]:
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
