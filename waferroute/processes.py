"""The processes of one command: usually one, under `accelerate launch` several; the first decides."""

import atexit
import contextlib
import os
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Protocol

from wafer_data.errors import InputError
from wafer_data.log import speaks

# Some work is the first process's alone (closed-form fits, files); the others must not give up meanwhile.
_PATIENCE = timedelta(days=1)
_ON_CPU = "PYTHONSAFEPATH=1 ACCELERATE_USE_CPU=true accelerate launch --multi_gpu --num_processes N ..."


class Processes(Protocol):
    """How the processes of a command agree."""

    is_main: bool

    def from_main(self, action: Callable[[], Any]) -> Any:
        """Do `action` in the main process only and return its result in every process.

        An InputError of `action` is raised in every process.
        """

    def wait(self) -> None:
        """Return once every process has come here."""


class OneProcess:
    """An ordinary command."""

    is_main = True

    def from_main(self, action: Callable[[], Any]) -> Any:
        return action()

    def wait(self) -> None:
        return None


class LaunchedProcesses:
    """The processes that `accelerate launch` started.

    Raises:
        InputError: If they cannot connect, which would make each of them do and write everything.
    """

    def __init__(self) -> None:
        from accelerate import PartialState
        from accelerate.utils import parse_flag_from_env

        on_cpu = bool(parse_flag_from_env("ACCELERATE_USE_CPU"))
        self._state = PartialState(cpu=on_cpu, timeout=_PATIENCE)
        if self._state.num_processes != process_count():
            raise InputError(
                f"{process_count()} processes were started but found no GPUs to connect by; "
                f"without GPUs use: {_ON_CPU}"
            )
        self.is_main = self._state.is_main_process
        # The group's threads must be joined before the interpreter goes, or a command that succeeded may abort.
        atexit.register(self._state.destroy_process_group)

    def from_main(self, action: Callable[[], Any]) -> Any:
        from accelerate.utils import broadcast_object_list

        answer: list[Any] = [None, None]
        if self.is_main:
            try:
                answer = [action(), None]
            except InputError as error:
                answer = [None, str(error)]
        broadcast_object_list(answer, from_process=0)
        if answer[1] is not None:
            raise InputError(answer[1])
        return answer[0]

    def wait(self) -> None:
        self._state.wait_for_everyone()


def process_count() -> int:
    """How many processes the launcher started; 1 without a launcher."""
    with contextlib.suppress(ValueError):
        return int(os.environ.get("WORLD_SIZE", "1"))
    return 1


def is_main_process() -> bool:
    """Whether this process is the one that prints; needs no import of the launcher."""
    return speaks()


def join_processes() -> Processes:
    """The processes of this command; connects them if there are several.

    Raises:
        InputError: If several were asked for and the launcher started one, which would take twice as long in
            silence.
    """
    if process_count() > 1:
        return LaunchedProcesses()
    # how `accelerate launch --cpu --num_processes N` leaves the environment: an address to meet at, and nobody to meet
    if {"ACCELERATE_USE_CPU", "MASTER_ADDR"} <= set(os.environ) and "WORLD_SIZE" not in os.environ:
        raise InputError(
            "the launcher was asked for several processes and started one, as `accelerate launch --cpu` does; "
            f"without GPUs use: {_ON_CPU}"
        )
    return OneProcess()
