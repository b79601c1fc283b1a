"""What is kept with a version: from which commit, data and run it comes, what its report and certificate say."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from wafer_data.errors import InputError
from wafer_data.files import read_json


def about_run(run: Path | None, bundle: Path) -> dict[str, Any]:
    """The provenance of a bundle.

    Args:
        run: Run folder that made it, or None: what the bundle itself says is all there is.
        bundle: Folder of the bundle.

    Returns:
        JSON-ready: git_commit and data_fingerprint where known, the certificate, the report's models.

    Raises:
        InputError: `run` is no finished run.
    """
    about: dict[str, Any] = {}
    manifest = _optional(bundle / "manifest.json")
    provenance = manifest.get("provenance")
    if isinstance(provenance, dict):
        about |= {key: value for key, value in provenance.items() if isinstance(value, str | int | float)}
    certificate = _optional(bundle / "certificate.json")
    if certificate:
        about["certificate"] = certificate
    signature = _optional(bundle / "manifest.sig.json")
    if signature:
        about["signed_by"] = signature.get("key")
    commit = _commit()
    if commit is not None:
        about.setdefault("git_commit", commit)
    if run is not None:
        report = run / "report" / "report.json"
        if not report.is_file():
            raise InputError(
                f"{run} is no finished run: it has no report/report.json; run `waferroute evaluate` first"
            )
        content = read_json(report)
        about["run"] = str(run)
        about["report"] = {name: content[name] for name in ("data", "models", "routing") if name in content}
    return about


def _optional(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _commit() -> str | None:
    """The commit of the code that runs, where it runs from a git checkout."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    try:
        ended = subprocess.run(
            ["git", "-C", str(root), "rev-parse", "HEAD"], capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return ended.stdout.strip() or None if ended.returncode == 0 else None
