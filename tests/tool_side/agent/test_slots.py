"""A tool takes only what was signed for it and runs, and goes on with the old bundle whatever happens."""

import io
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tool_side import load_bundle
from tool_side.agent.agent import Agent
from tool_side.agent.slots import Slots
from tool_side.agent.sources import Folder, Server, UnreachableError
from tool_side.bundle.sign import run_sign
from tool_side.bundle.signature import SIGNATURE, make_keys
from wafer_data.errors import InputError
from waferroute.cli import main

WriteBundle = Callable[..., Path]


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_keys(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def first(write_bundle: WriteBundle, keys: tuple[Path, Path], tmp_path: Path) -> Path:
    folder = write_bundle(tmp_path / "first")
    run_sign(folder, keys[0], out=io.StringIO())
    return folder


@pytest.fixture
def second(
    write_bundle: WriteBundle, student_graph: Callable[..., bytes], keys: tuple[Path, Path], tmp_path: Path
) -> Path:
    folder = write_bundle(tmp_path / "second", full=student_graph(64, offset=2e-3))
    run_sign(folder, keys[0], out=io.StringIO())
    return folder


@pytest.fixture
def slots(keys: tuple[Path, Path], tmp_path: Path) -> Slots:
    return Slots(tmp_path / "tool", keys[1])


def test_two_bundles_take_turns_and_the_link_names_the_one_in_use(slots: Slots, first: Path, second: Path):
    assert slots.current() is None
    assert slots.install(Folder(first), "v1", None) == "slot-a"
    assert slots.install(Folder(second), "v2", None) == "slot-b"
    assert slots.about("slot-a")["version"] == "v1"
    current = load_bundle(slots.path / "current" / "bundle", public_key=slots.public_key)
    assert current.id == slots.about("slot-b")["bundle"]
    assert slots.install(Folder(first), "v1", None) == "slot-a"


def _truncate(bundle: Path) -> None:
    data = (bundle / "full.onnx").read_bytes()
    (bundle / "full.onnx").write_bytes(data[:-7])


FAULTS: dict[str, Callable[[Path], object]] = {
    "unsigned": lambda bundle: (bundle / SIGNATURE).unlink(),
    "truncated": _truncate,
    "a byte more": lambda bundle: (bundle / "full.onnx").open("ab").write(b"x"),
    "missing": lambda bundle: (bundle / "policy.json").unlink(),
    "manifest changed": lambda bundle: (bundle / "manifest.json").open("ab").write(b" "),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_stick_with_anything_wrong_changes_nothing(fault: str, slots: Slots, first: Path, second: Path):
    slots.install(Folder(first), "v1", None)
    FAULTS[fault](second)
    with pytest.raises(InputError):
        Agent(slots, None).install_folder(second)
    assert slots.current() == "slot-a"
    assert slots.problem("slot-a") is None
    assert not [path for path in slots.path.iterdir() if path.name.startswith(".")]


def test_a_signed_bundle_that_does_not_run_here_is_not_switched_to(
    slots: Slots, first: Path, second: Path, monkeypatch: pytest.MonkeyPatch
):
    slots.install(Folder(first), "v1", None)
    monkeypatch.setattr(
        "tool_side.agent.slots.try_bundle", lambda *_: "loading it crashes the process (signal 11)"
    )
    with pytest.raises(InputError, match="signal 11"):
        slots.install(Folder(second), "v2", None)
    assert slots.current() == "slot-a"


def test_a_bundle_of_another_signer_is_refused(slots: Slots, first: Path, tmp_path: Path):
    foreign, _ = make_keys(tmp_path / "foreign")
    run_sign(first, foreign, out=io.StringIO())
    with pytest.raises(InputError, match="signed with the key"):
        slots.install(Folder(first), "v1", None)


def test_without_a_network_the_tool_goes_on(slots: Slots, first: Path):
    slots.install(Folder(first), "v1", None)
    found = Agent(slots, Server("http://127.0.0.1:9", "T1", "key")).round()
    assert (found.version, found.switched, found.reported) == ("v1", False, False)
    assert "does not answer" in found.problem


@pytest.mark.parametrize(
    "url", ["server", "file:///etc", "http://", "http://[", "http://a b/", "http://a:port", "http://a:0"]
)
def test_what_is_no_address_of_a_server_is_refused_at_the_start(url: str):
    with pytest.raises(InputError, match="no address of a server"):
        Server(url, "T1", "key")


class Memory:
    """A server that means one version for the tool, and keeps what is reported."""

    def __init__(self, folder: Path, version: str, bundle: str) -> None:
        self.said, self.asked = [], 0
        self._meant = {"version": version, "bundle": bundle, "rollout": "r1"}
        self._folder = folder

    def meant(self) -> dict[str, str]:
        return self._meant

    def files(self, version: str) -> Folder:
        self.asked += 1
        return Folder(self._folder)

    def report(self, **state: object) -> None:
        self.said.append(state)


def test_a_damaged_slot_in_use_is_left_for_the_other(slots: Slots, first: Path, second: Path):
    slots.install(Folder(first), "v1", None)
    slots.install(Folder(second), "v2", None)
    (slots.bundle("slot-b") / "full.onnx").write_bytes(b"rot")
    server = Memory(first, "v1", slots.about("slot-a")["bundle"])
    found = Agent(slots, server).round()
    assert found.version == "v1"
    assert "went back to slot-a" in found.problem
    assert server.said[0]["healthy"] is False


def test_a_refused_rollout_is_reported_each_time_and_fetched_once(slots: Slots, first: Path, second: Path):
    slots.install(Folder(first), "v1", None)
    _truncate(second)
    server = Memory(second, "v2", "0" * 16)
    for _ in range(2):
        assert Agent(slots, server).round().version == "v1"
    assert server.asked == 1
    assert [said["healthy"] for said in server.said] == [False, False]


def test_a_server_that_breaks_off_is_no_fault_of_the_version(slots: Slots, first: Path, second: Path):
    slots.install(Folder(first), "v1", None)
    server = Memory(second, "v2", "0" * 16)

    def gone(version: str) -> Folder:
        raise UnreachableError("the server does not answer (reset)")

    server.files = gone
    assert Agent(slots, server).round().version == "v1"
    assert server.said == []


def test_the_command_takes_a_stick_and_says_what_is_wrong_with_another(
    slots: Slots, first: Path, second: Path, capsys: pytest.CaptureFixture[str]
):
    words = ["agent", "--data", str(slots.path), "--public-key", str(slots.public_key), "--from-folder"]
    assert main([*words, str(first)]) == 0
    shutil.rmtree(second)
    assert main([*words, str(second)]) == 2
    assert "is no folder" in capsys.readouterr().err
