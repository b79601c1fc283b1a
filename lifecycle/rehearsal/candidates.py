"""Bad candidates, made of the bundle in use: its graphs with thresholds that somebody got wrong."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

from router.policy import RoutingPolicy
from tool_side.bundle.load import MANIFEST, POLICY, thresholds_of
from wafer_data.files import read_json, sha256_file, write_json

NEVER = 1e3
"""A standardised score that no image reaches."""


def with_policy(bundle: Path, out: Path, policy: RoutingPolicy) -> Path:
    """The bundle with other thresholds, unsigned, in a new folder; all else stays as it is."""
    manifest = read_json(bundle / MANIFEST)
    out.mkdir(parents=True)
    for name in manifest["files"]:
        shutil.copyfile(bundle / name, out / name)
    write_json(out / POLICY, policy.to_dict())
    size = (out / POLICY).stat().st_size
    manifest["files"][POLICY] = {"sha256": sha256_file(out / POLICY), "bytes": size}
    manifest["thresholds"] = thresholds_of(policy)
    write_json(out / MANIFEST, manifest)
    return out


def blind(bundle: Path, out: Path) -> Path:
    """One that passes everything its quality gate lets through."""
    policy = _policy(bundle)
    return with_policy(
        bundle, out, replace(policy, escalate_above=NEVER, review_above=2 * NEVER, reject_above=None)
    )


def nervous(bundle: Path, out: Path) -> Path:
    """One that sends every image to a person whose low-resolution score is above that of a middling normal one."""
    policy = _policy(bundle)
    return with_policy(bundle, out, replace(policy, escalate_above=0.5, review_above=-NEVER))


def _policy(bundle: Path) -> RoutingPolicy:
    return RoutingPolicy.from_dict(json.loads((bundle / POLICY).read_text("utf-8")))
