"""`waferroute keys` and `waferroute sign`: a key pair of the user's, and a bundle signed with it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TextIO

from tool_side.bundle.load import MANIFEST, load_bundle, read_manifest
from tool_side.bundle.signature import SIGNATURE, foreign_files, make_keys, write_signature
from wafer_data.errors import InputError


def run_keys(folder: str | Path, *, json_output: bool = False, out: TextIO | None = None) -> int:
    """Write a new key pair into `folder` and say what it is for. Returns 0."""
    out = out or sys.stdout
    private, public = make_keys(folder)
    if json_output:
        print(json.dumps({"private_key": str(private), "public_key": str(public)}), file=out)
    else:
        print(
            f"{private}: signs bundles (`waferroute sign BUNDLE --key {private}`); keep it secret", file=out
        )
        print(
            f"{public}: copy it to the tools (`waferroute inspect BUNDLE --public-key {public.name}`)",
            file=out,
        )
    return 0


def run_sign(
    bundle: str | Path, private_key: str | Path, *, json_output: bool = False, out: TextIO | None = None
) -> int:
    """Sign a bundle in its own folder, after checking that it is whole. Returns 0.

    Raises:
        InputError: For a bundle that would be refused, or that holds files that are not part of it.
    """
    out = out or sys.stdout
    loaded = load_bundle(bundle)
    strangers = foreign_files(loaded.path, loaded.manifest["files"])
    if strangers:
        raise InputError(
            f"bundle {bundle}: {', '.join(strangers)} is no part of it; remove it before signing"
        )
    manifest = read_manifest(loaded.path)
    if json.loads(manifest) != loaded.manifest:
        raise InputError(f"bundle {bundle}: {MANIFEST} changed while it was read: sign again")
    content = write_signature(loaded.path, manifest, private_key)
    if json_output:
        print(json.dumps({"bundle": str(loaded.path), "file": SIGNATURE, "key": content["key"]}), file=out)
    else:
        print(f"{loaded.path / SIGNATURE}: signed with the key {content['key']}", file=out)
    return 0
