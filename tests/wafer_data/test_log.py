"""The library logs; the command line shows it on standard error."""

import logging
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SAY = "import logging; log = logging.getLogger('tool_side.watch.watch'); "


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, env=environment, check=True
    )


def test_imported_as_a_library_it_is_silent_but_for_warnings() -> None:
    assert run(SAY + "log.info('working'); log.warning('look')").stderr == "look\n"


def test_the_command_line_shows_the_message_alone_once() -> None:
    code = (
        SAY
        + "from wafer_data.log import log_to_stderr; log_to_stderr(); log_to_stderr(); log.info('working')"
    )
    found = run(code)
    assert (found.stdout, found.stderr) == ("", "working\n")


def test_of_several_launched_processes_one_speaks() -> None:
    code = "from wafer_data.log import log_to_stderr; log_to_stderr(); " + SAY + "log.info('working')"
    assert run(code, RANK="0", WORLD_SIZE="2").stderr == "working\n"
    assert run(code, RANK="1", WORLD_SIZE="2").stderr == ""


def test_a_rank_that_was_left_behind_silences_nobody() -> None:
    code = "from wafer_data.log import log_to_stderr; log_to_stderr(); " + SAY + "log.info('working')"
    assert run(code, RANK="1").stderr == run(code, RANK="1", WORLD_SIZE="1").stderr == "working\n"


def test_other_libraries_keep_their_level() -> None:
    code = (
        "from wafer_data.log import log_to_stderr; log_to_stderr(); import logging; logging.getLogger('timm')"
    )
    assert run(code + ".info('chatter')").stderr == ""
    assert logging.getLogger("timm").level == logging.NOTSET
