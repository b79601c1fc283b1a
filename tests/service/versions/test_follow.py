"""Workers follow the pointer: between two requests, without a dropped one, and never to what does not load."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from service.models import Models, Serving
from service.versions.folder import VersionFolder
from service.versions.follow import Follower, first_version
from tool_side.agent.trial import try_bundle
from wafer_data.errors import InputError


@pytest.fixture
def folder(tmp_path: Path, bundles: list[Path]) -> VersionFolder:
    folder = VersionFolder(tmp_path / "models")
    for bundle in bundles[:2]:
        folder.push(bundle)
    folder.promote("v1.0.0", by="eva", reason="first")
    return folder


@pytest.fixture
def follower(folder: VersionFolder) -> Follower:
    version, _ = first_version(folder)
    follower = Follower(folder, Models(version), "w1")
    follower.look()
    return follower


def served(follower: Follower) -> str:
    return follower._models.current().name


def test_a_promotion_is_taken_up_and_said(folder: VersionFolder, follower: Follower):
    pointer = folder.promote("v1.1.0", by="eva", reason="better")
    assert folder.behind(pointer.seq)
    follower.look()
    assert served(follower) == "vae-wafer-v1.1.0"
    assert folder.behind(pointer.seq) == {}


def test_a_canary_decides_whole_wafers_and_a_rollback_ends_it(folder: VersionFolder, follower: Follower):
    folder.start_canary("v1.1.0", 0.5, "r1", by="eva", reason="try")
    follower.look()
    chosen = {f"w{i}": follower._models.choose(f"w{i}") for i in range(200)}
    by_arm = {(c.arm, c.version.name) for c in chosen.values()}
    assert by_arm == {("production", "vae-wafer-v1.0.0"), ("canary", "vae-wafer-v1.1.0")}
    assert {w: c.arm for w, c in chosen.items()} == {
        f"w{i}": follower._models.choose(f"w{i}").arm for i in range(200)
    }
    folder.rollback(by="guardrail", reason="misses")
    follower.look()
    assert {follower._models.choose(w).version.name for w in chosen} == {"vae-wafer-v1.0.0"}


def test_a_request_stays_with_the_version_it_began_with(follower: Follower, folder: VersionFolder):
    chosen = follower._models.choose("w1")
    folder.promote("v1.1.0", by="eva", reason="better")
    follower.look()
    assert chosen.version.name == "vae-wafer-v1.0.0"


def test_a_version_that_does_not_load_changes_nothing_and_is_named(
    folder: VersionFolder, follower: Follower, monkeypatch: pytest.MonkeyPatch
):
    (folder.bundle("vae-wafer-v1.1.0") / "full.onnx").write_bytes(b"x")
    # past the check of `promote`: the disk broke afterwards
    pointer = folder.point("vae-wafer-v1.1.0", None, by="eva", reason="better")
    follower.look()
    assert served(follower) == "vae-wafer-v1.0.0"
    monkeypatch.setattr("service.versions.folder.time.sleep", lambda seconds: pytest.fail("it waits"))
    _, waiting = folder.wait(pointer.seq, seconds=20)
    assert "full.onnx" in waiting["w1"]


def test_a_start_with_a_champion_that_does_not_load_serves_the_one_before(folder: VersionFolder):
    folder.promote("v1.1.0", by="eva", reason="better")
    (folder.bundle("vae-wafer-v1.1.0") / "full.onnx").write_bytes(b"x")
    version, _ = first_version(folder)
    assert version.name == "vae-wafer-v1.0.0"


def test_a_bundle_whose_loading_crashes_the_process_is_only_a_failed_trial(
    bundles: list[Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    # a sitecustomize that kills the child stands in for a graph runner that does
    (tmp_path / "sitecustomize.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert "crashes the process (signal 11)" in (try_bundle(bundles[0]) or "")


def test_a_bundle_that_works_has_no_problem(bundles: list[Path]):
    assert try_bundle(bundles[0]) is None


def test_nothing_in_use_is_said(tmp_path: Path):
    with pytest.raises(InputError, match="push and promote"):
        first_version(VersionFolder(tmp_path / "models"))


def test_switching_while_many_ask_gives_each_a_whole_version(folder: VersionFolder, follower: Follower):
    models, stop, seen = follower._models, threading.Event(), set[tuple[str, str]]()

    def ask() -> None:
        while not stop.is_set():
            chosen = models.choose("w7")
            seen.add((chosen.version.name, chosen.version.bundle))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for name in ("v1.1.0", "v1.0.0") * 5:
        folder.promote(name, by="eva", reason="back and forth")
        follower.look()
    stop.set()
    for thread in threads:
        thread.join()
    assert seen <= {(v.name, v.bundle) for v in folder.versions()}


def test_the_warm_ones_are_loaded_and_the_rest_let_go(
    folder: VersionFolder, follower: Follower, write_bundle: Callable[..., Path], student_graph: Callable[..., bytes],
    tmp_path: Path,
):  # fmt: skip
    for i in range(5):
        folder.push(write_bundle(tmp_path / f"more{i}", full=student_graph(64, offset=2e-3 + i * 1e-5)))
    follower.keep_warm()
    assert len(follower._models.warm()) == 5
    assert served(follower) in follower._models.warm()


def test_serving_without_a_rollout_counts_for_no_arm(follower: Follower):
    chosen = Serving(follower._models.current()).choose("w1")
    assert (chosen.rollout, chosen.arm) == (None, None)
