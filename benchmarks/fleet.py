"""Many tools' agents against one real server: how long an update takes, and where a broken bundle stops.

    python benchmarks/fleet.py BUNDLE --agents 200

BUNDLE is any exported bundle; three signed copies of it, which differ in their provenance, are the versions. Stages
last no longer than their tools need (`soak_s=0`), and every agent asks without a pause: what is measured is the work,
not the waiting. Two hundred agents on one computer share one trial of each bundle, where every tool makes its own.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from service_worker import Worker

from lifecycle.fleet.start import fleet_plan, start_rollout
from service.versions.folder import VersionFolder
from tool_side.agent import slots as slots_module
from tool_side.agent.agent import Agent
from tool_side.agent.slots import Slots
from tool_side.agent.sources import Server
from tool_side.agent.trial import try_bundle
from tool_side.bundle.load import load_bundle
from tool_side.bundle.signature import make_keys, write_signature
from wafer_data.files import read_json, write_json

GIVE_UP_S = 300.0
VERSIONS = {"first": "v2.0.0", "second": "v2.1.0", "broken": "v2.2.0"}


def signed_copy(bundle: Path, target: Path, private: Path, word: str) -> Path:
    """A copy of a bundle that is another version, signed."""
    shutil.copytree(bundle, target)
    manifest = read_json(target / "manifest.json")
    manifest["provenance"] = {**manifest["provenance"], "fleet_simulation": word}
    write_json(target / "manifest.json", manifest)
    write_signature(target, (target / "manifest.json").read_bytes(), private)
    return target


def simulate(bundle: Path, root: Path, *, agents: int, threads: int = 8) -> dict[str, Any]:
    """Bring a first version to all tools, update them, and send a broken one.

    Args:
        bundle: To make the versions of.
        root: Empty folder to work in.
        agents: Number of tools.
        threads: That ask at the same time.

    Returns:
        JSON-ready: seconds of both updates; of the broken one the tools that tried it, and what they run afterwards.
    """
    private, public = make_keys(root / "keys")
    worker = Worker(bundle, root / "data")
    worker.start()
    trials: dict[str, str | None] = {}

    def shared_trial(path: Path, key: Path) -> str | None:
        identity = load_bundle(path, public_key=key).id
        if identity not in trials:
            trials[identity] = try_bundle(path, key)
        return trials[identity]

    original, slots_module.try_bundle = slots_module.try_bundle, shared_trial  # type: ignore[assignment]
    try:
        key = worker.key()
        folder = VersionFolder(root / "data" / "models", public)
        names = [f"AOI-{number:03d}" for number in range(agents)]
        tools = {
            name: Agent(Slots(root / "tools" / name, public), Server(worker.url, name, key)) for name in names
        }
        found: dict[str, Any] = {"agents": agents}
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(lambda name: tools[name].round(), names))  # so that the server knows them
            for word in ("first", "second", "broken"):
                source = signed_copy(bundle, root / word, private, word)
                version = folder.push(source, name=VERSIONS[word])
                begun = time.monotonic()
                rollout = start_rollout(folder, version.name, by="simulation", soak_s=0.0)
                if word == "broken":  # between the server's own checks and the tools
                    file = folder.bundle(version.name) / "full.onnx"
                    file.write_bytes(file.read_bytes()[:-1] + b"?")
                state = "running"
                while state == "running" and time.monotonic() - begun < GIVE_UP_S:
                    list(pool.map(lambda name: tools[name].round(), names))
                    state = next(r.state for r in fleet_plan(folder).rollouts() if r.id == rollout.id)
                list(pool.map(lambda name: tools[name].round(), names))
                after = fleet_plan(folder)
                ended = next(r for r in after.rollouts() if r.id == rollout.id)
                found[word] = {
                    "seconds": round(time.monotonic() - begun, 2),
                    "state": ended.state,
                    "stage": ended.stage,
                    "reason": ended.reason,
                    "tried_by": sum((root / "tools" / name / "refused.json").exists() for name in names),
                    "versions": dict(Counter(str(tool.version) for tool in after.tools())),
                }
        return found
    finally:
        slots_module.try_bundle = original
        worker.stop()


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundle", metavar="BUNDLE", type=Path)
    parser.add_argument("--agents", metavar="N", type=int, default=200)
    args = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as root:
        print(json.dumps(simulate(args.bundle, Path(root), agents=args.agents), indent=2))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
