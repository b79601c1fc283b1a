"""Step 7: the new version scores beside production and decides nothing. From here on a person decides."""

from __future__ import annotations

from typing import Any

from lifecycle.conductor.shadow import shadow_of, start_shadow
from lifecycle.retraining.plan import Plan
from lifecycle.retraining.register import FOLDER as REGISTER
from lifecycle.retraining.register import RESULT as VERSION
from wafer_data.files import read_json, write_json

FOLDER, RESULT = "shadow", "shadow.json"


def shadow(plan: Plan) -> dict[str, Any]:
    """Do the step. A version that is the shadow already, or decides by now, is left as it is.

    Raises:
        InputError: The version was archived, or does not load.
    """
    folder = plan.versions()
    name = read_json(plan.folder / REGISTER / VERSION)["version"]
    pointer, running = folder.pointer(), shadow_of(folder.path)
    found: dict[str, Any] = {"version": name, "replaced": None, "state": "shadow"}
    if pointer is None:
        found["state"] = "registered: nothing is in use yet, so there is nothing to score beside"
    elif pointer.champion == name:
        found["state"] = "decides already"
    elif running is None or running[0] != name:
        found["replaced"] = running[0] if running else None
        start_shadow(folder, name)
    write_json(plan.folder / FOLDER / RESULT, found)
    return found
