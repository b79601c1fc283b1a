"""`waferroute verify`: is a bundle whole, of a version that is understood, and does it run here as it did there?

Exit status 0; anything wrong raises InputError with the reason, after the table of what was checked.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any, TextIO

import numpy
import onnxruntime
import PIL

from router.policy import SCHEMA as POLICY_SCHEMA
from tool_side.bundle.check_pattern import SECTION, difference, measure
from tool_side.bundle.load import (
    CERTIFICATE,
    CERTIFICATE_SCHEMA,
    MANIFEST,
    POLICY,
    SCHEMA,
    Bundle,
    load_bundle,
    read_manifest,
    schema_problem,
    verified_file,
)
from tool_side.bundle.signature import check_signature, foreign_files, signer
from tool_side.runtime.inspector import Inspector
from wafer_data.errors import InputError
from wafer_data.files import read_json

OK, NOTE, FAILED = "ok", "note", "FAILED"
_SCHEMAS = {POLICY: POLICY_SCHEMA, CERTIFICATE: CERTIFICATE_SCHEMA}


@dataclass
class Check:
    """One line of the table.

    Attributes:
        status: "ok", "note" (not as expected, but no fault) or "FAILED".
    """

    name: str
    status: str
    detail: str


@dataclass
class Verification:
    """All that was found. reason: why the bundle is refused, None if it is not."""

    bundle: str
    checks: list[Check] = field(default_factory=list)

    @property
    def reason(self) -> str | None:
        """What failed, in words."""
        failed = [f"{check.name}: {check.detail}" for check in self.checks if check.status == FAILED]
        return "; ".join(failed) or None

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        return {"schema": 1, **asdict(self), "ok": self.reason is None, "reason": self.reason}


def run_verify(
    bundle: str | Path,
    *,
    public_key: str | Path | None = None,
    json_output: bool = False,
    out: TextIO | None = None,
) -> int:
    """Check `bundle` and print what was found, as a table or as JSON. Returns 0.

    Args:
        public_key: File of the key that the bundle must be signed with.
        out: Default standard output.

    Raises:
        InputError: After printing, with the reason if anything is wrong.
    """
    out = out or sys.stdout
    found = verify(Path(bundle), public_key)
    if json_output:
        print(json.dumps(found.to_dict(), indent=2, ensure_ascii=False), file=out)
    else:
        width = max(len(check.name) for check in found.checks)
        for check in found.checks:
            print(f"{check.status:<6}  {check.name:<{width}}  {check.detail}", file=out)
    out.flush()
    if found.reason is not None:
        raise InputError(f"bundle {bundle} refused: {found.reason}")
    return 0


def verify(folder: Path, public_key: str | Path | None = None) -> Verification:
    """Check everything that can be checked; later checks are left out where earlier ones failed."""
    found = Verification(str(folder))
    for stage in (_read_parts, _load_and_run):
        try:
            for check in stage(folder, public_key):
                found.checks.append(check)
        except InputError as error:
            found.checks.append(Check("bundle", FAILED, _without_prefix(str(error), folder)))
        if found.reason is not None:
            break
    return found


def _read_parts(folder: Path, public_key: str | Path | None) -> Iterator[Check]:
    """Manifest and files one by one, so that all that is wrong with them is said."""
    if not folder.is_dir() or not (folder / MANIFEST).is_file():
        load_bundle(folder)  # says why
    manifest = read_json(folder / MANIFEST)
    if not isinstance(manifest, dict) or not isinstance(manifest.get("files"), dict):
        load_bundle(folder)
    problem = schema_problem(manifest.get("schema"), SCHEMA)
    if problem is not None:
        yield Check(MANIFEST, FAILED, problem)
        return
    yield Check(MANIFEST, OK, f"schema {SCHEMA}, exported by waferroute {manifest.get('version')}")
    yield _check_signature(folder, public_key)
    for name, entry in sorted(manifest["files"].items()):
        yield _check_file(folder, name, entry)
    extra = foreign_files(folder, manifest["files"])
    if extra:
        status, why = (NOTE, "not used") if public_key is None else (FAILED, "not signed")
        yield Check("other files", status, f"not part of the bundle and {why}: {', '.join(extra)}")


def _check_signature(folder: Path, public_key: str | Path | None) -> Check:
    if public_key is not None:
        try:
            key = check_signature(folder, read_manifest(folder), public_key)
        except InputError as error:
            return Check("signature", FAILED, str(error))
        return Check("signature", OK, f"by the key {key}")
    key_said = signer(folder)
    if key_said is None:
        return Check("signature", NOTE, "none, and none was asked for (--public-key)")
    return Check("signature", NOTE, f"says it is by the key {key_said}; not checked without --public-key")


def _check_file(folder: Path, name: str, entry: Any) -> Check:
    try:
        data = verified_file(folder, name, entry)
    except InputError as error:
        return Check(name, FAILED, str(error).removeprefix(f"{name} "))
    if name in _SCHEMAS:
        try:
            content = json.loads(data)
        except ValueError as error:
            return Check(name, FAILED, f"is not JSON ({error})")
        problem = schema_problem(content.get("schema") if isinstance(content, dict) else None, _SCHEMAS[name])
        if problem is not None:
            return Check(name, FAILED, problem)
    return Check(name, OK, f"{len(data)} bytes, sha256 {entry['sha256'][:12]}...")


def _load_and_run(folder: Path, public_key: str | Path | None) -> Iterator[Check]:
    bundle = load_bundle(folder, public_key=public_key)
    yield Check("contents", OK, "manifest, models, policy and thresholds belong together")
    inspector = Inspector(bundle)
    for name, model in bundle.models.items():
        decoder = f" and {model.decoder}" if model.decoder else ""
        yield Check(f"model {name}", OK, f"{model.file}{decoder} run here, {model.parameters} parameters")
    yield _check_pattern(bundle, inspector)
    yield from _parity(bundle.manifest)
    yield from _versions(bundle.manifest)


def _check_pattern(bundle: Bundle, inspector: Inspector) -> Check:
    expected = bundle.manifest.get(SECTION)
    found = measure(bundle, inspector)
    scores = f"scores {found['lowres_score']} and {found['full_score']}"
    if not isinstance(expected, dict):
        return Check("test pattern", NOTE, f"{scores}; the export recorded none to compare with")
    differs = difference(expected, found)
    if differs is not None:
        return Check("test pattern", FAILED, f"this computer computes something else: {differs}")
    return Check("test pattern", OK, f"{found['decision']}, {scores}, as at the export")


def _parity(manifest: Mapping[str, Any]) -> Iterator[Check]:
    """What the export found when it compared the graphs with PyTorch; older bundles do not say."""
    found = manifest.get("parity")
    if isinstance(found, Mapping):
        images = f"{found.get('normals')} calibration images and {found.get('synthetic_defects')} synthetic defects"
        differ = f"{found.get('decisions_differ')} decisions and {found.get('routes_differ')} routes"
        yield Check("parity", OK, f"recorded at the export on {images}: {differ} differ from PyTorch")


def _versions(manifest: Mapping[str, Any]) -> Iterator[Check]:
    provenance = manifest["provenance"]
    recorded = provenance.get("package_versions", {}) if isinstance(provenance, Mapping) else {}
    versions = {
        "waferroute": metadata.version("waferroute"),
        "onnxruntime": onnxruntime.__version__,  # its package has several names
        "numpy": numpy.__version__,
        "pillow": PIL.__version__,
    }
    for name, here in versions.items():
        there = recorded.get(name, "an unknown version")
        yield Check(
            name, OK if here == there else NOTE, here if here == there else f"{here}; exported with {there}"
        )


def _without_prefix(text: str, folder: Path) -> str:
    for prefix in (f"bundle {folder} refused: ", f"bundle {folder}: "):
        text = text.removeprefix(prefix)
    return text
