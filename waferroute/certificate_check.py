"""What a certificate says, and whether it belongs to the files beside it.

Needs numpy only, so that it also runs where nothing of the training side is installed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from router.certificate_text import THRESHOLDS, certificate_summary, matches_sample
from router.policy import PASS, RoutingPolicy
from wafer_data.errors import InputError
from wafer_data.files import read_json

CERTIFICATE, POLICY, CALIBRATION = "certificate.json", "policy.json", "calibration.json"


@dataclass(frozen=True)
class CheckedCertificate:
    """A certificate, said in sentences and checked.

    Attributes:
        path: The file.
        certificate: Its content.
        summary: What it says, one sentence an entry.
        checks: One entry a check: its name (`check`), was it `done`, is it `ok`, and what was `found` in words.
    """

    path: Path
    certificate: Mapping[str, Any]
    summary: list[str]
    checks: list[dict[str, Any]]

    @property
    def ok(self) -> bool:
        """Whether no check failed."""
        return all(check["ok"] for check in self.checks)


def check_certificate(path: Path) -> CheckedCertificate:
    """Read and check the certificate of a run or a bundle.

    Args:
        path: Folder of a run, its router folder, or a bundle.

    Returns:
        The certificate with the result of the checks.

    Raises:
        InputError: There is no certificate, or it cannot be read.
    """
    folder = _folder(path)
    certificate = read_json(folder / CERTIFICATE)
    if not isinstance(certificate, Mapping):
        raise InputError(f"{folder / CERTIFICATE} is not a certificate")
    summary = certificate_summary(certificate)
    return CheckedCertificate(folder / CERTIFICATE, certificate, summary, _checks(folder, certificate))


def _folder(path: Path) -> Path:
    """Where the certificate of a run, its router folder or a bundle lies."""
    for folder in (path / "router", path):
        if (folder / CERTIFICATE).is_file():
            return folder
    raise InputError(
        f"{path}: no {CERTIFICATE} here; give the folder of a run after `waferroute calibrate`, or a bundle"
    )


def _checks(folder: Path, certificate: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One entry a check: was it `done`, is it `ok`, and what was `found` in words."""
    found = []
    policy = None
    if (folder / POLICY).is_file():
        policy = RoutingPolicy.from_dict(read_json(folder / POLICY))
        found.append(_thresholds(certificate, policy))
    # A bundle lies in its run; carried elsewhere, the scores are not with it.
    beside = next((p for p in (folder, folder.parent / "router") if (p / CALIBRATION).is_file()), None)
    if beside is None:
        text = f"there is no {CALIBRATION} here; the scores stay with the run that calibrated"
        return [*found, {"check": "sample", "done": False, "ok": True, "found": text}]
    try:
        calibration = read_json(beside / CALIBRATION)
        same = matches_sample(certificate, calibration)
        found.append(
            _check("sample", same, f"the certificate {_names(same)} {beside / CALIBRATION} (sha256)")
        )
        if same and policy is not None and "missed" in certificate["fnr"]:
            found.append(_misses(certificate, policy, calibration))
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{beside / CALIBRATION} is not from this version ({error}); calibrate again"
        ) from error
    return found


def _check(name: str, ok: bool, found: str) -> dict[str, Any]:
    return {"check": name, "done": True, "ok": ok, "found": found}


def _names(same: bool) -> str:
    return "was computed from the scores in" if same else "was NOT computed from the scores in"


def _thresholds(certificate: Mapping[str, Any], policy: RoutingPolicy) -> dict[str, Any]:
    different = [
        name
        for section, name in THRESHOLDS.items()
        if certificate[section].get("threshold") != getattr(policy, name)
    ]
    if different:
        return _check(
            "thresholds", False, f"{', '.join(different)} of {POLICY} is not what the certificate states"
        )
    return _check("thresholds", True, f"the certificate speaks of the thresholds in {POLICY}")


def _misses(
    certificate: Mapping[str, Any], policy: RoutingPolicy, calibration: Mapping[str, Any]
) -> dict[str, Any]:
    lowres, full = (np.array(calibration[name], dtype=float) for name in ("defect_lowres", "defect_full"))
    decisions = policy.decide(policy.routed_score(lowres, full), policy.escalate(lowres))
    missed, stated = int((decisions == PASS).sum()), certificate["fnr"]["missed"]
    text = f"{missed} of {lowres.size} labelled defects end as PASS under {POLICY}, {stated} are stated"
    return _check("misses", missed == stated, text)
