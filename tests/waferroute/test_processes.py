"""Several processes, as `accelerate launch` starts them: the first decides and writes, all do the work."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from wafer_data.errors import InputError
from waferroute.processes import OneProcess, join_processes, process_count

# What each process of a launch runs: two stages, of which the first ends in every process before its record.
WORKER = """
import os, sys
from pathlib import Path
from wafer_data.errors import InputError
from wafer_data.files import write_text
from waferroute.pipeline import Pipeline, Stage
from waferroute.processes import join_processes

processes, run_dir = join_processes(), Path(sys.argv[1])

def work(config, folder):
    write_text(folder / "work" / f"process-{os.environ['RANK']}.txt", "done")

def stop(config, folder):
    raise AssertionError("must not run")

stage = Stage("work", "work", settings=lambda c: {}, function=work)
late = Stage("late", "late", settings=lambda c: {}, function=stop, inputs=("other",))
other = Stage("other", "other", settings=lambda c: {}, function=stop, command="shop other")
said = []
def pipeline(*stages):
    return Pipeline(stages, None, run_dir, processes, announce=said.append)

first, second = pipeline(stage).run(), pipeline(stage).run()
try:
    pipeline(other, late).run(["late"])
except InputError as error:
    refused = str(error)
import json
print(json.dumps([first[0].status, second[0].status, refused, len(said) > 0]))
"""


def test_a_command_without_a_launcher_is_one_process(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert process_count() == 1
    assert isinstance(join_processes(), OneProcess)


def test_a_launcher_that_starts_fewer_processes_than_asked_is_refused(monkeypatch: pytest.MonkeyPatch):
    """The environment of `accelerate launch --cpu --num_processes 2`."""
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    monkeypatch.setenv("ACCELERATE_USE_CPU", "True")
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    with pytest.raises(InputError, match=r"started one.*--multi_gpu"):
        join_processes()


def test_two_processes_agree_and_only_the_first_decides(tmp_path: Path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    launched = []
    for rank in ("0", "1"):
        environment = os.environ | {
            "RANK": rank,
            "LOCAL_RANK": rank,
            "WORLD_SIZE": "2",
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": port,
            "ACCELERATE_USE_CPU": "true",
            "OMP_NUM_THREADS": "1",
        }
        command = [sys.executable, "-c", WORKER, str(tmp_path)]
        launched.append(
            subprocess.Popen(
                command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
        )
    try:
        ended = [process.communicate(timeout=120) for process in launched]
    finally:
        for process in launched:
            process.kill()
    assert [process.returncode for process in launched] == [0, 0], ended
    answers = [json.loads(out.splitlines()[-1]) for out, _ in ended]
    for first, second, refused, _ in answers:
        assert (first, second) == ("done", "skipped")
        assert refused.endswith("run first: shop other")
    assert [spoke for *_, spoke in answers] == [True, False]
    record = json.loads((tmp_path / "work" / "stage.json").read_text())
    assert set(record["outputs"]) == {"process-0.txt", "process-1.txt"}
