"""Whether a report speaks of the route that lies beside it: its policy, and the bundle that holds it."""

from eval.run import FinishedRun
from wafer_data.errors import InputError


def require_current_route(run: FinishedRun) -> None:
    """Refuse a report whose routed figures are those of an earlier policy or bundle.

    Args:
        run: With an evaluated route.

    Raises:
        InputError: The run was calibrated or exported anew since; names the stage to do again.
    """
    if run.bundle.id != run.page.get("bundle"):
        raise InputError(
            f"{run.folder / 'bundle'} is not the bundle that the report speaks of: run `waferroute evaluate` again"
        )
    assert run.images.routed is not None
    found = run.images.route_scores.under(run.policy)
    if found.decisions.tolist() != run.images.routed.decisions.tolist():
        raise InputError(
            f"{run.folder / 'router' / 'policy.json'} decides otherwise than the report says: run "
            "`waferroute evaluate` again"
        )
