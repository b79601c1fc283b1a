"""Killed before, in and after each step: the next try ends like one that was left alone. Promotion likewise.

A child of this process is killed by SIGKILL exactly at the moment that a test names, so nothing depends on a clock.
"""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

from lifecycle.conductor.shadow import shadow_of
from lifecycle.retraining import extract, register, shadow
from lifecycle.retraining.plan import Plan
from service.versions import folder as folder_module
from service.versions import switch as switch_module
from service.versions.folder import VersionFolder
from service.versions.switch import promote
from tests.lifecycle.retraining.conftest import Fab
from wafer_data import files
from waferroute import pipeline
from waferroute.retraining import STEPS, retrain

WriteBundle = Callable[..., Path]


def die(*_: object, **__: object) -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("unreachable")


def killed(work: Callable[[], object]) -> None:
    """Do the work in a child that has to die by SIGKILL in it."""
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(7)  # it was not killed
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL, f"status {status}"


def whole(plan: Plan) -> list[str]:
    outcomes, _ = retrain(plan.config, plan, "retraining.yaml", None)
    return [one.status for one in outcomes]


def on_record(step: str, status: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Die when the record of a step would be written, or has just been (status "written")."""
    plain = pipeline.StageRecord.write

    def write(self: pipeline.StageRecord, path: Path, stage: str) -> None:
        ended = self.outputs is not None
        if stage == step and ended and status == "ended":
            die()
        plain(self, path, stage)
        if stage == step and ((status == "written" and ended) or (status == "begun" and not ended)):
            die()

    monkeypatch.setattr(pipeline.StageRecord, "write", write)


@pytest.mark.parametrize("status", ["begun", "ended", "written"])
def test_killed_at_each_step_s_begin_end_and_record_it_ends_the_same(
    status: str, plan: Plan, fab: Fab, trained: list[Path], monkeypatch: pytest.MonkeyPatch
):
    for step in STEPS:
        with monkeypatch.context() as patch:
            on_record(step, status, patch)
            killed(lambda: whole(plan))
        for version in fab.folder.versions():
            fab.folder.require_usable(version)  # whole, verified, and past its gate
        assert fab.folder.pointer().champion == "vae-wafer-v1.0.0"
    statuses = whole(plan)
    assert set(statuses) == ({"skipped"} if status == "written" else {"skipped", "done"})
    assert [version.name for version in fab.folder.versions()] == ["vae-wafer-v1.0.0", "vae-wafer-v1.1.0"]
    assert shadow_of(fab.folder.path)[0] == "vae-wafer-v1.1.0"
    old = json.loads((plan.folder / "extract" / "manifest.json").read_text())["regression"]
    assert len(list(plan.regression.glob("*/*"))) == len(old)
    assert not list(plan.folder.rglob("*.part")) and not list(fab.folder.path.glob(".*.part"))


@pytest.mark.parametrize(
    ("where", "what"),
    [
        (extract, "_refuse_the_same"),  # the images are there, the manifest is not
        (
            folder_module,
            "write_json",
        ),  # within the version's folder: the bundle is copied, the version is not named
        (files, "_swap_in"),  # everything is written under its temporary name
        (register, "write_json"),  # the version is there, the step does not know yet
        (shadow, "write_json"),  # it is the shadow, the step does not know yet
    ],
)
def test_killed_inside_a_step_nothing_is_half_there(
    where: object, what: str, plan: Plan, fab: Fab, trained: list[Path], monkeypatch: pytest.MonkeyPatch
):
    with monkeypatch.context() as patch:
        patch.setattr(where, what, die)
        killed(lambda: whole(plan))
    names = [version.name for version in fab.folder.versions()]
    assert names in (["vae-wafer-v1.0.0"], ["vae-wafer-v1.0.0", "vae-wafer-v1.1.0"])
    whole(plan)
    assert [version.name for version in fab.folder.versions()] == ["vae-wafer-v1.0.0", "vae-wafer-v1.1.0"]
    assert fab.folder.get("v1.1.0").gate["passed"]
    assert not list(fab.folder.path.glob(".*.part"))


class TestPromotion:
    @pytest.fixture
    def models(self, tmp_path: Path, bundles: list[Path]) -> VersionFolder:
        folder = VersionFolder(tmp_path / "models")
        for bundle in bundles[:2]:
            folder.push(bundle)
        folder.promote("v1.0.0", by="eva", reason="first")
        return folder

    @pytest.mark.parametrize(
        ("where", "what", "decides"),
        [
            (switch_module, "try_bundle", "vae-wafer-v1.0.0"),  # before it is tried
            (VersionFolder, "require_usable", "vae-wafer-v1.0.0"),  # tried, not verified
            (VersionFolder, "_point", "vae-wafer-v1.0.0"),  # verified, nothing written
            (folder_module.json, "dumps", "vae-wafer-v1.0.0"),  # the pointer is open
            (folder_module.os, "fsync", "vae-wafer-v1.1.0"),  # the line is written, the disk was not asked
            (VersionFolder, "wait", "vae-wafer-v1.1.0"),  # written; nobody waits for the workers
        ],
    )
    def test_killed_at_each_of_its_steps_one_whole_version_decides(
        self, where: object, what: str, decides: str, models: VersionFolder, monkeypatch: pytest.MonkeyPatch
    ):
        with monkeypatch.context() as patch:
            patch.setattr(where, what, die)
            killed(lambda: promote(models, "v1.1.0", by="eva", reason="better"))
        pointer = models.pointer()
        assert pointer.champion == decides
        models.require_usable(models.get(pointer.champion))
        # the same command again, and back
        assert promote(models, "v1.1.0", by="eva", reason="better").pointer.champion == "vae-wafer-v1.1.0"
        assert models.rollback(by="eva", reason="back").champion == "vae-wafer-v1.0.0"

    def test_a_line_of_which_half_was_written_was_never_in_force(
        self, models: VersionFolder, monkeypatch: pytest.MonkeyPatch
    ):
        plain = json.dumps

        def half(*args: object, **more: object) -> str:
            text = plain(*args, **more)
            with (models.path / "pointer.jsonl").open("ab") as file:
                file.write(text[: len(text) // 2].encode())
            die()

        with monkeypatch.context() as patch:
            patch.setattr(folder_module.json, "dumps", half)
            killed(lambda: models.promote("v1.1.0", by="eva", reason="better"))
        assert models.pointer().champion == "vae-wafer-v1.0.0"
        assert models.promote("v1.1.0", by="eva", reason="better").seq == 2
