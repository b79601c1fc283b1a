"""Before a version goes to tools: it is usable, signed, tried and through its gate."""

from __future__ import annotations

from service.fleet.plan import SOAK_S, FleetPlan, Rollout
from service.versions.folder import VersionFolder
from tool_side.agent.trial import try_bundle
from tool_side.bundle.signature import signer
from wafer_data.errors import InputError


def fleet_plan(folder: VersionFolder) -> FleetPlan:
    """The rollouts beside a folder of versions."""
    return FleetPlan(folder.path / "fleet")


def start_rollout(
    folder: VersionFolder,
    version: str,
    *,
    by: str,
    tools: str = "*",
    layers: str = "*",
    soak_s: float = SOAK_S,
) -> Rollout:
    """Begin a rollout with a version that may go to tools.

    Args:
        folder: Versions.
        version: Its name.
        by: Who starts it.
        tools: Pattern of the tools' ids, as in `fnmatch`.
        layers: Pattern of the layers.
        soak_s: Shortest time of a stage, seconds.

    Raises:
        InputError: The version is unknown, archived, not signed, does not run or its gate did not pass; or another
            rollout is on its way to the same tools.
    """
    found = folder.get(version)
    bundle = folder.bundle(found.name)
    folder.require_usable(found)
    if signer(bundle) is None:
        problem: str | None = "it is not signed, so that no tool would take it: waferroute sign"
    else:
        problem = try_bundle(bundle, folder.public_key)
    if problem is not None:
        raise InputError(f"{found.name} cannot go to tools: {problem}")
    return fleet_plan(folder).start(found.name, by=by, tools=tools, layers=layers, soak_s=soak_s)
