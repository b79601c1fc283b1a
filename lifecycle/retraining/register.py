"""Step 6: a candidate that passed its gate becomes a version, signed and verified, with all that is known of it.

The version is written whole or not at all and carries what the gate said from its first moment; the same bundle gives
the same version however often this is done.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lifecycle.registry.provenance import about_run
from lifecycle.retraining.gate import FOLDER as GATE
from lifecycle.retraining.gate import RESULT as GATE_RESULT
from lifecycle.retraining.plan import Plan
from lifecycle.retraining.train import bundle_of, run_of
from tool_side import load_bundle
from tool_side.bundle.load import read_manifest
from tool_side.bundle.signature import write_signature
from wafer_data.errors import InputError
from wafer_data.files import copy_folder, new_directory, read_json, write_json

FOLDER, RESULT = "register", "version.json"
_KEPT_OF_GATE = 200


def register(plan: Plan) -> dict[str, Any]:
    """Do the step; `register/version.json` names the version.

    Raises:
        InputError: The candidate did not pass its gate, is not the bundle that the gate saw, or does not verify.
    """
    gate = read_json(plan.folder / GATE / GATE_RESULT)
    if not gate["passed"]:
        raise InputError(
            f"the candidate of {plan.id} did not pass its gate and is not registered: {'; '.join(gate['reasons'])}"
        )
    if load_bundle(bundle_of(plan)).id != gate["bundle"]:
        raise InputError("the bundle is not the one that the gate saw: `--step evaluate` looks at it again")
    folder = plan.versions()
    bundle = _signed(plan)
    about = {
        **about_run(run_of(plan), bundle),
        "retraining": plan.id,
        "trigger": plan.trigger,
        "why": plan.why,
    }
    kept = {
        **gate,
        "regressions": gate["regressions"][:_KEPT_OF_GATE],
        "gains": gate["gains"][:_KEPT_OF_GATE],
    }
    version = folder.push(bundle, gate=kept, about=about)
    if version.gate is None or not version.gate.get("passed"):
        version = folder.set_gate(version.name, kept)
    found = {"version": version.name, "bundle": version.bundle, "parent": version.parent}
    if plan.config.registry.mlflow:
        found["mlflow"] = _mirrored(plan)
    write_json(plan.folder / FOLDER / RESULT, found)
    return found


def _signed(plan: Plan) -> Path:
    """The bundle, or a signed copy: the training's own result stays as the training left it."""
    key = plan.config.registry.sign_key
    if key is None:
        return bundle_of(plan)
    with new_directory(plan.folder / FOLDER / "signed") as folder:
        copy_folder(bundle_of(plan), folder / "bundle")
        load_bundle(folder / "bundle")
        write_signature(folder / "bundle", read_manifest(folder / "bundle"), key)
    return plan.folder / FOLDER / "signed" / "bundle"


def _mirrored(plan: Plan) -> str:
    """What became of the mirror; the registry is never in the way of a version that is there."""
    from lifecycle.registry.mlflow_registry import mirror

    uri = plan.config.registry.mlflow
    try:
        mirror(plan.versions(), None if uri == "embedded" else uri)
    except InputError as error:
        return f"not shown there: {error}"
    return "shown"
