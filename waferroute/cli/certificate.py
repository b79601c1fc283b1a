"""`waferroute certificate`: what a certificate says, and whether it belongs to the files beside it."""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from waferroute.cli.arguments import Commands, add_command, add_json


def add(commands: Commands) -> None:
    """Add the command to the command line."""
    parser = add_command(
        commands,
        "certificate",
        run,
        summary="print what the calibration proves, and check it (needs no training side)",
        description="Print the certificate of a run or a bundle in sentences, and check it: are the thresholds "
        "those of policy.json, was it computed from the scores in router/calibration.json, is the count of misses "
        "right? Exit status 2 if a check fails.",
        example="waferroute certificate runs/quickstart",
    )
    parser.add_argument("folder", metavar="RUN_OR_BUNDLE", type=Path, help="folder of a run, or of a bundle")
    add_json(parser, "print JSON: certificate, sentences and checks")


def run(args: argparse.Namespace) -> int:
    """Print the certificate with the result of the checks; 0 if none of them failed, else 2."""
    from waferroute.certificate_check import check_certificate

    found = check_certificate(args.folder)
    if args.json:
        content = {
            "path": str(found.path.parent),
            "ok": found.ok,
            "checks": found.checks,
            "summary": found.summary,
            "certificate": found.certificate,
        }
        print(json.dumps(content, indent=2, ensure_ascii=False))
    else:
        print(f"Certificate {found.path}")
        for line in found.summary:
            print(f"- {line}")
        for check in found.checks:
            print(f"{_word(check)}: {check['found']}")
    return 0 if found.ok else 2


def _word(check: Mapping[str, Any]) -> str:
    return {True: "checked", False: "WRONG", None: "not checked"}[check["ok"] if check["done"] else None]
