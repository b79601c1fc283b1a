"""Tools ask for their version; stages grow only on health, and one failure stops a rollout where it is."""

import importlib.util
import sys
import time
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from service.fleet.plan import STAGES, FleetPlan, ToolState
from wafer_data.errors import InputError

ROOT = Path(__file__).parents[3]
TOOLS = [f"AOI-{number:03d}" for number in range(200)]


@pytest.fixture
def plan(tmp_path: Path) -> FleetPlan:
    return FleetPlan(tmp_path / "fleet")


def say(plan: FleetPlan, tool: str, version: str | None, *, healthy: bool = True, layer: str = "") -> None:
    meant = plan.meant_for(tool, layer)
    tried = None if meant is None else meant.version
    plan.report(ToolState(tool, layer, version, tried, healthy, "" if healthy else "crashes", time.time()))


def obey(plan: FleetPlan, tools: list[str]) -> None:
    for tool in tools:
        meant = plan.meant_for(tool)
        say(plan, tool, None if meant is None else meant.version)


def holders(plan: FleetPlan, version: str) -> set[str]:
    return {tool for tool in TOOLS if (meant := plan.meant_for(tool)) and meant.version == version}


def test_stages_grow_and_keep_the_tools_that_they_had(plan: FleetPlan):
    obey(plan, TOOLS)
    plan.start("v1", by="eva", soak_s=0)
    first = holders(plan, "v1")
    assert 1 <= len(first) <= 8
    obey(plan, sorted(first))
    second = holders(plan, "v1")
    assert first < second
    assert 8 <= len(second) <= 35
    obey(plan, sorted(second))
    assert holders(plan, "v1") == set(TOOLS)
    obey(plan, TOOLS)
    assert plan.rollouts()[0].state == "done"


def test_a_failure_halts_and_everybody_is_meant_to_have_what_was_before(plan: FleetPlan):
    some = TOOLS[:40]
    obey(plan, some)
    plan.start("v1", by="eva", soak_s=0)
    while plan.rollouts()[0].state == "running":
        obey(plan, some)
    plan.start("v2", by="eva", soak_s=0)
    pilot = sorted(holders(plan, "v2"))[0]
    say(plan, pilot, "v1", healthy=False)
    (_, halted) = plan.rollouts()
    assert (halted.state, halted.stage) == ("halted", 0)
    assert pilot in halted.reason and "crashes" in halted.reason
    assert holders(plan, "v1") == set(TOOLS)


def test_a_small_fleet_has_a_pilot(plan: FleetPlan):
    obey(plan, TOOLS[:3])
    plan.start("v1", by="eva")
    assert sum(plan.meant_for(tool) is not None for tool in TOOLS[:3]) == 1


def test_a_stage_lasts_its_time(plan: FleetPlan):
    obey(plan, TOOLS[:3])
    plan.start("v1", by="eva", soak_s=3600)
    obey(plan, TOOLS[:3])
    assert plan.rollouts()[0].stage == 0


def test_a_rollout_is_for_its_tools_and_layers_only(plan: FleetPlan):
    for tool in TOOLS:
        say(plan, tool, None, layer="M1" if tool < "AOI-100" else "M2")
    plan.start("v1", by="eva", tools="AOI-*", layers="M1", soak_s=0)
    reached = [t for t in TOOLS if plan.meant_for(t, "M1" if t < "AOI-100" else "M2")]
    assert reached and all(tool < "AOI-100" for tool in reached)
    with pytest.raises(InputError, match="on its way"):
        plan.start("v2", by="eva", tools="AOI-*", layers="M1")


def test_a_tool_that_runs_something_else_holds_its_stage(plan: FleetPlan):
    obey(plan, TOOLS)
    plan.start("v1", by="eva", soak_s=0)
    for tool in holders(plan, "v1"):
        say(plan, tool, "an older one")
    assert STAGES[plan.rollouts()[0].stage] == 0.01


def test_malformed_reports_are_told_what_to_send(client: TestClient):
    for body in (b"", b"{", b"[]", b'{"version": 3, "tried": null, "healthy": true}', b"{}"):
        assert client.post("/api/v1/fleet/T1", content=body).status_code == 422
    assert client.post("/api/v1/fleet/T1", content=b"x" * 20000).status_code == 413
    assert client.get("/api/v1/fleet/T1").json()["version"] is None
    assert client.get("/api/v1/fleet/T1/files/v1.0.0/..%2f..%2fsecret").status_code == 404
    assert client.get("/api/v1/fleet/T1", headers={"Authorization": "Bearer x"}).status_code == 401
    good = {"version": None, "tried": None, "healthy": True}
    assert client.post("/api/v1/fleet/T1", json=good).status_code == 204


def test_a_fleet_on_a_real_server_updates_and_a_broken_bundle_stops_at_its_first_stage(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    spec = importlib.util.spec_from_file_location("fleet_simulation", ROOT / "benchmarks" / "fleet.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "fleet_simulation", module)
    spec.loader.exec_module(module)
    found = module.simulate(bundle, tmp_path, agents=12)
    assert found["second"]["versions"] == {"vae-wafer-v2.1.0": 12}
    broken = found["broken"]
    assert (broken["state"], broken["stage"]) == ("halted", 0)
    assert "sha256" in broken["reason"]
    assert broken["tried_by"] <= 2
    assert broken["versions"] == {"vae-wafer-v2.1.0": 12}
