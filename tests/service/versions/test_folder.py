"""Versions are sealed, the pointer is append-only, and nothing that is not whole is ever in use."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from service.versions.folder import SILENT, VersionFolder
from wafer_data.errors import InputError

WriteBundle = Callable[..., Path]


@pytest.fixture
def folder(tmp_path: Path) -> VersionFolder:
    return VersionFolder(tmp_path / "models")


def test_the_first_version_is_1_0_0_and_the_next_raises_what_changed(
    folder: VersionFolder, bundles: list[Path]
):
    names = [folder.push(bundle).name for bundle in bundles[:2]]
    assert names == ["vae-wafer-v1.0.0", "vae-wafer-v1.1.0"]
    assert folder.get("v1.1.0").parent == "vae-wafer-v1.0.0"


def test_pushing_the_same_bundle_again_gives_its_version(folder: VersionFolder, bundles: list[Path]):
    assert folder.push(bundles[0]) == folder.push(bundles[0])
    assert len(folder.versions()) == 1


def test_a_damaged_bundle_is_not_pushed(folder: VersionFolder, write_bundle: WriteBundle, tmp_path: Path):
    broken = write_bundle(tmp_path / "broken")
    (broken / "full.onnx").write_bytes(b"x")
    with pytest.raises(InputError, match=r"full\.onnx"):
        folder.push(broken)
    assert folder.versions() == []


def test_a_name_of_another_bundle_is_refused(folder: VersionFolder, bundles: list[Path]):
    folder.push(bundles[0], name="v2.0.0")
    with pytest.raises(InputError, match="another bundle"):
        folder.push(bundles[1], name="v2.0.0")


def test_promote_and_rollback_append_lines_that_say_who_and_why(folder: VersionFolder, bundles: list[Path]):
    first, second = (folder.push(b).name for b in bundles[:2])
    folder.promote(first, by="eva", reason="first")
    folder.promote(second, by="eva", reason="better")
    back = folder.rollback(by="ben", reason="misses blowholes")
    assert (back.seq, back.champion, back.previous) == (3, first, second)
    assert [(p.champion, p.by) for p in folder.history()] == [(first, "eva"), (second, "eva"), (first, "ben")]


def test_a_rollback_during_a_canary_ends_the_canary(folder: VersionFolder, bundles: list[Path]):
    first, second = (folder.push(b).name for b in bundles[:2])
    folder.promote(first, by="eva", reason="first")
    folder.start_canary(second, 0.1, "r1", by="eva", reason="try")
    pointer = folder.rollback(by="guardrail", reason="misses")
    assert (pointer.champion, pointer.canary) == (first, None)


def test_there_is_nothing_before_the_first_version(folder: VersionFolder, bundles: list[Path]):
    with pytest.raises(InputError, match="nothing to go back to"):
        folder.rollback(by="eva", reason="?")
    folder.promote(folder.push(bundles[0]).name, by="eva", reason="first")
    with pytest.raises(InputError, match="nothing to go back to"):
        folder.rollback(by="eva", reason="?")


def test_a_version_that_failed_its_gate_cannot_be_promoted(folder: VersionFolder, bundles: list[Path]):
    gate = {"passed": False, "reasons": ["misses 3 defects that production finds"]}
    version = folder.push(bundles[0], gate=gate)
    with pytest.raises(InputError, match="misses 3 defects"):
        folder.promote(version.name, by="eva", reason="hope")
    assert folder.pointer() is None


def test_a_version_whose_files_changed_cannot_be_promoted(folder: VersionFolder, bundles: list[Path]):
    version = folder.push(bundles[0])
    (folder.bundle(version.name) / "policy.json").write_text("{}")
    with pytest.raises(InputError, match=r"policy\.json"):
        folder.promote(version.name, by="eva", reason="x")


def test_versions_in_use_are_not_archived_and_archived_ones_not_used(
    folder: VersionFolder, bundles: list[Path]
):
    first, second, third = (folder.push(b).name for b in bundles)
    folder.promote(first, by="eva", reason="first")
    folder.promote(second, by="eva", reason="second")
    for name in (first, second):
        with pytest.raises(InputError, match="in use"):
            folder.archive(name)
    assert folder.archive(third).state == "archived"
    assert third not in folder.warm()
    with pytest.raises(InputError, match="archived"):
        folder.promote(third, by="eva", reason="x")


def test_the_warm_ones_begin_with_what_the_pointer_names(folder: VersionFolder, bundles: list[Path]):
    first, second, third = (folder.push(b).name for b in bundles)
    folder.promote(first, by="eva", reason="x")
    assert folder.warm() == [first, third, second]


def test_a_line_that_a_killed_writer_left_unfinished_was_never_in_force(
    folder: VersionFolder, bundles: list[Path]
):
    first, second = (folder.push(b).name for b in bundles[:2])
    folder.promote(first, by="eva", reason="x")
    with (folder.path / "pointer.jsonl").open("ab") as file:
        file.write(b'{"seq": 2, "champion": "vae-wa')
    assert folder.pointer().champion == first  # type: ignore[union-attr]
    assert folder.promote(second, by="eva", reason="y").seq == 2
    assert [p.champion for p in folder.history()] == [first, second]


def test_a_damaged_line_is_named(folder: VersionFolder, bundles: list[Path]):
    folder.promote(folder.push(bundles[0]).name, by="eva", reason="x")
    (folder.path / "pointer.jsonl").write_text('{"seq": 1}\n')
    with pytest.raises(InputError, match="line 1 is damaged"):
        folder.pointer()


class TestWorkers:
    def test_live_workers_are_waited_for(self, folder: VersionFolder):
        folder.take_up("w1", 3)
        folder.take_up("w2", 2)
        assert folder.behind(3) == {"w2": SILENT}

    def test_one_that_says_why_it_cannot_follow_is_not_waited_for(
        self, folder: VersionFolder, monkeypatch: pytest.MonkeyPatch
    ):
        folder.take_up("w1", 2, "vae-wafer-v1.1.0: it does not load")
        monkeypatch.setattr("service.versions.folder.time.sleep", lambda seconds: pytest.fail("it waits"))
        _, waiting = folder.wait(3, seconds=20)
        assert waiting == {"w1": "vae-wafer-v1.1.0: it does not load"}

    def test_the_dead_are_forgotten(self, folder: VersionFolder):
        folder.take_up("w1", 1)
        ended = subprocess.run(
            [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True
        )
        path = folder.path / "seen" / "w1.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "pid": int(ended.stdout)}))
        assert folder.behind(5) == {}
        assert not path.exists()
        assert os.getpid() > 0
