"""The deployable bundle: one folder with the ONNX graphs, the routing policy, its certificate and a manifest.

`load_bundle` refuses a folder that is not byte for byte what was exported; `write_manifest` is the last
step of an export.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from classify.model import FILE as CLASSES
from classify.model import TypeClassifier
from router.monitor import Reference
from router.policy import RoutingPolicy
from tool_side.bundle.recipes import MONITOR, is_recipe_file, recipe_policies, recipe_sizes, references
from tool_side.bundle.sections import (
    MANIFEST,
    MODEL_NAMES,
    ModelEntry,
    Preprocessing,
    models_of,
    preprocessing_of,
)
from tool_side.bundle.signature import check_signature, foreign_files
from wafer_data.errors import BundleError, InputError, SignatureError
from wafer_data.files import sha256_file, sha256_json, write_json
from wafer_data.imaging.source_size import SourceSize

__all__ = [
    "CERTIFICATE", "CERTIFICATE_SCHEMA", "CROPS", "MANIFEST", "MODEL_NAMES", "POLICY", "SCHEMA",
    "Bundle", "ModelEntry", "Preprocessing",
    "load_bundle", "read_manifest", "schema_problem", "thresholds_of", "verified_file", "write_manifest",
]  # fmt: skip

SCHEMA = 2

POLICY, CERTIFICATE = "policy.json", "certificate.json"
CROPS = "crops.onnx"
"""Optional: the backbone's look at a crop around a defect, from which types are told."""
CERTIFICATE_SCHEMA = 1
LINEAGE = "lineage"
"""Section of the manifest: the id of the bundle that this one follows, and how it was made from it."""

_SECTIONS = ("schema", "version", "files", "preprocessing", "models", "thresholds", "provenance")


@dataclass(frozen=True)
class Bundle:
    """A verified bundle in memory.

    Attributes:
        contents: File name to the bytes whose sha256 the manifest holds.
        sizes: Of the images of each further recipe that says so.
        recipes: The policy of each recipe by its name; `policy` is that of the first.
        references: What the monitor of each recipe compares with, where the bundle holds it.
        classes: The classifier of defect types, where `waferroute classes` put one in.
        signed_by: Identity of the key whose signature was checked; None if none was asked for.
    """

    path: Path
    manifest: Mapping[str, Any]
    preprocessing: Preprocessing
    models: Mapping[str, ModelEntry]
    policy: RoutingPolicy
    certificate: Mapping[str, Any]
    contents: Mapping[str, bytes]
    recipes: Mapping[str, RoutingPolicy] = field(default_factory=dict)
    references: Mapping[str, Reference] = field(default_factory=dict)
    signed_by: str | None = None
    classes: TypeClassifier | None = None
    sizes: Mapping[str, SourceSize] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """What the bundle is known by: 16 hexadecimal digits of its manifest, which seals all its files."""
        return sha256_json(self.manifest)[:16]

    @property
    def parent(self) -> str | None:
        """`id` of the bundle that this one was made from; None where there is none, or it was not recorded."""
        return self.manifest.get(LINEAGE, {}).get("parent")


def load_bundle(path: str | Path, *, public_key: str | Path | None = None) -> Bundle:
    """Read a bundle and verify all of it.

    Every file is read once and used from memory, so nothing can change between check and use.

    Args:
        public_key: File of the ed25519 key that the bundle must be signed with (see
            `tool_side.bundle.signature`); None asks for no signature.

    Raises:
        BundleError: With the reason: not a bundle, older or newer schema, a file that is missing, of another
            size or of another content, a malformed section, thresholds that are not the policy's; with
            `public_key` also, as SignatureError, a signature that is missing or of another key, and files
            that are no part of the bundle.
    """
    path = Path(path)
    if not path.is_dir():
        raise BundleError(f"bundle {path}: {'not a folder' if path.exists() else 'there is no such folder'}")
    if not (path / MANIFEST).is_file():
        raise BundleError(f"bundle {path}: no {MANIFEST} in it; give the bundle/ folder of a finished run")
    try:
        data = read_manifest(path)
        signed_by = check_signature(path, data, public_key) if public_key is not None else None
        manifest = _parsed(data, MANIFEST)
        _check_schema(manifest)
        _check_lineage(manifest)
        if signed_by is not None and (strangers := foreign_files(path, _mapping(manifest, "files"))):
            raise SignatureError(f"it was signed without {', '.join(strangers)}: remove that, or sign again")
        contents = {
            name: verified_file(path, name, entry) for name, entry in _mapping(manifest, "files").items()
        }
        preprocessing = preprocessing_of(_mapping(manifest, "preprocessing"))
        models = models_of(_mapping(manifest, "models"), contents)
        policy = RoutingPolicy.from_dict(_json(contents, POLICY))
        certificate = _json(contents, CERTIFICATE)
        _check_certificate(certificate)
        if manifest["thresholds"] != thresholds_of(policy):
            raise InputError(f"the thresholds in {MANIFEST} are not those of {POLICY}")
        recipes, compared = recipe_policies(manifest, contents, policy), references(manifest, contents)
        sizes = recipe_sizes(manifest)
        classes = TypeClassifier.from_dict(_json(contents, CLASSES)) if CLASSES in contents else None
    except InputError as error:
        kind = SignatureError if isinstance(error, SignatureError) else BundleError
        raise kind(f"bundle {path} refused: {error}") from error
    return Bundle(
        path,
        manifest,
        preprocessing,
        models,
        policy,
        certificate,
        contents,
        recipes,
        compared,
        signed_by,
        classes,
        sizes,
    )


def write_manifest(
    folder: str | Path,
    *,
    models: Mapping[str, Mapping[str, Any]],
    policy: Mapping[str, Any],
    provenance: Mapping[str, Any],
    preprocessing: Preprocessing | None = None,
    version: str | None = None,
    parent: str | None = None,
    more: Mapping[str, Any] | None = None,
) -> None:
    """Write `manifest.json` for the graphs, policy.json and certificate.json that already lie in `folder`.

    Args:
        models: Fields of :class:`ModelEntry` for "lowres" and "full" (decoder may be left out).
        policy: The content of policy.json.
        provenance: JSON-ready, e.g. data_fingerprint, config_sha256, package_versions.
        preprocessing: Default 256 pixels, 64 megapixels, 16 pixels.
        version: Default that of the installed waferroute.
        parent: Id of the bundle that this one succeeds.
        more: Further sections, JSON-ready, for a person to read (`parity`, `variants`).

    Raises:
        InputError: When a file is missing or an entry is malformed: what is written here also loads.
    """
    folder = Path(folder)
    square = (preprocessing or Preprocessing()).to_dict()
    preprocessing_of(square)
    entries = {name: {"decoder": None, **fields} for name, fields in models.items()}
    graphs = [fields.get(key) for fields in entries.values() for key in ("file", "decoder")]
    optional = {name for name in (MONITOR, CROPS) if (folder / name).is_file()}
    names = sorted({POLICY, CERTIFICATE, *optional, *(name for name in graphs if isinstance(name, str))})
    models_of(entries, names)
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
        LINEAGE: lineage(parent, "export"),
        **(more or {}),
    }
    write_json(folder / MANIFEST, manifest)


def new_bundle(out_dir: str | Path) -> Path:
    """The folder for a bundle that is made of another one.

    Raises:
        InputError: something stands there. What is in use or in the records under that name must stay what it is.
    """
    target = Path(out_dir)
    if target.exists():
        raise InputError(
            f"{target} exists, and a bundle never changes: choose another folder for the new one"
        )
    return target


def lineage(parent: str | None, made_by: str) -> dict[str, str | None]:
    """The section `lineage` of a manifest.

    Args:
        made_by: The step that made the bundle, in words.
    """
    return {"parent": parent, "made_by": made_by}


def thresholds_of(policy: RoutingPolicy) -> dict[str, float | None]:
    """The policy's thresholds as the manifest repeats them for a person to read."""
    return {name: getattr(policy, name) for name in ("escalate_above", "review_above", "reject_above")}


def read_manifest(path: Path) -> bytes:
    """The bytes of a bundle's manifest.

    Raises:
        InputError: If they cannot be read.
    """
    try:
        return (path / MANIFEST).read_bytes()
    except OSError as error:
        raise InputError(f"{MANIFEST} cannot be read ({error.strerror})") from error


def _check_schema(manifest: Any) -> None:
    if not isinstance(manifest, dict) or "schema" not in manifest:
        raise InputError(f"{MANIFEST} is not a bundle's manifest")
    problem = schema_problem(manifest["schema"], SCHEMA)
    if problem is not None:
        raise InputError(problem)
    missing = [name for name in _SECTIONS if name not in manifest]
    if missing:
        raise InputError(f"{MANIFEST} lacks {', '.join(missing)}")


def _check_lineage(manifest: Mapping[str, Any]) -> None:
    section = manifest.get(LINEAGE, lineage(None, ""))
    parent = section.get("parent", 0) if isinstance(section, dict) else 0
    if parent is not None and not (isinstance(parent, str) and parent):
        raise InputError(f"{MANIFEST}: lineage must be an object whose parent is the id of a bundle, or null")


def _check_certificate(certificate: Any) -> None:
    found = certificate.get("schema") if isinstance(certificate, dict) else None
    problem = schema_problem(found, CERTIFICATE_SCHEMA)
    if problem is not None:
        raise InputError(f"{CERTIFICATE}: {problem}")


def schema_problem(found: Any, known: int) -> str | None:
    """What is wrong with a file of schema `found` where `known` is read, and what to do; None if nothing."""
    if found == known and not isinstance(found, bool):
        return None
    newer = isinstance(found, int) and found > known
    advice = "update waferroute on this computer" if newer else "export the bundle again"
    return f"schema {found!r}, this version reads {known}: {advice}"


def verified_file(folder: Path, name: str, entry: Any) -> bytes:
    """The bytes of one file of a bundle.

    Raises:
        InputError: Unless they are what the manifest's `entry` says.
    """
    if not isinstance(entry, dict) or set(entry) != {"sha256", "bytes"}:
        raise InputError(f"{MANIFEST}: entry of {name!r} must hold sha256 and bytes")
    plain = name == Path(name).name and name not in ("", ".", "..") and "\\" not in name
    if not plain and not is_recipe_file(name):
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
    return _parsed(contents[name], name)


def _parsed(data: bytes, name: str) -> Any:
    try:
        return json.loads(data)
    except ValueError as error:
        raise InputError(f"{name} is not valid JSON ({error}): truncated or changed") from error
