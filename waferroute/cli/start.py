"""The `waferroute` command: how it starts, and how it fails.

Exit status: 0 done, 2 wrong input or missing package, 3 some images could not be scored (`inspect`), 130 interrupted,
141 the reader of a pipe went away, 1 a bug (with its traceback).
"""

import argparse
import contextlib
import errno
import io
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from types import FrameType

from wafer_data.errors import InputError
from wafer_data.listing import printable
from wafer_data.log import PACKAGES, log_to_stderr, speaks
from wafer_data.own_code import refuse_foreign_packages
from waferroute.cli.commands import COMMANDS

_LAUNCHED = {"pretrain", "distill"}
"""Commands that run in several processes. The others refuse a launcher, and every process of theirs says why."""


# What the surroundings can do to any path, wherever it is first touched.
_NOT_A_BUG = (
    errno.ENAMETOOLONG,
    errno.ELOOP,
    errno.EACCES,
    errno.EPERM,
    errno.ENOTDIR,
    errno.EIO,
    errno.ESTALE,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: The command line without the program's name; default: that of the process.

    Returns:
        The exit status.
    """
    _prepare_streams()
    log_to_stderr()
    # Lines of Python source about files that are judged here anyway (wafer_data.imaging.read).
    warnings.filterwarnings("ignore", module=r"PIL\.")
    # Threads that wait for each other sleep: spinning, they keep each other off the cores of a busy computer, where a
    # step of a training then takes tens of times as long (benchmarks/busy_training.py). Read when torch is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    given = list(sys.argv[1:] if arguments is None else arguments)
    launched = bool(given) and given[0] in _LAUNCHED
    fail = partial(_fail, launched=launched)
    try:
        refuse_foreign_packages()
        _refuse_empty(given)
        try:
            with _interruptible():
                return _run([expanded(text) for text in given])
        finally:
            sys.stdout.flush()  # here, where a reader that went away is still noticed
    except InputError as error:
        return fail(str(error))
    except KeyboardInterrupt:
        _say("interrupted; run the same command again to go on", launched=launched)
        return 130
    except BrokenPipeError:
        # The reader (`head`, a pager) has seen enough. Python would complain again while closing stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
            where = error.filename or "the results"
            return fail(f"{error.strerror} while writing {where}: free some space and run again")
        if error.errno in _NOT_A_BUG and error.filename is not None:
            return fail(f"{error.filename!s:.200}: {error.strerror}")
        raise


def _run(arguments: list[str]) -> int:
    parser = build_parser()
    # Options may stand between overrides, which argparse alone does not allow behind sub-commands.
    args, rest = parser.parse_known_args(arguments)
    if args.action is None:
        args.help_of.print_help()
        return 2
    if rest:
        name: str = getattr(args, "takes_more", "")
        unknown = [text for text in rest if text.startswith("-") or not name]
        if unknown:
            args.help_of.error(f"unrecognized arguments: {' '.join(unknown)}")
        getattr(args, name).extend(rest)
    action: Callable[[argparse.Namespace], int] = args.action
    try:
        return action(args)
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if not missing or missing in PACKAGES:
            raise
        raise InputError(
            f"this command needs more than a bare installation: {missing} is not installed: "
            f'pip install "waferroute[{args.extra}]"'
        ) from error


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Ctrl-C is a KeyboardInterrupt, also while a package is loaded that tells of it as a failure of its own."""
    came = False

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal came
        came = True
        raise KeyboardInterrupt

    ours = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if ours and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    except ImportError as error:
        if came:
            raise KeyboardInterrupt from error
        raise
    finally:
        if signal.getsignal(signal.SIGINT) is interrupt:
            signal.signal(signal.SIGINT, signal.default_int_handler)


def build_parser() -> argparse.ArgumentParser:
    """Build the parser of the whole command line. The parsed namespace's `action` does the work."""
    parser = argparse.ArgumentParser(
        prog="waferroute",
        description="Distils a large pretrained model into two small inspection models, and routes images "
        "between them. `waferroute run CONFIG` does everything; each stage is also a command of its own.",
        epilog="example: waferroute run configs/quickstart.yaml",
    )
    parser.add_argument("--version", action="version", version=f"waferroute {version('waferroute')}")
    parser.set_defaults(action=None, help_of=parser)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command")
    for name in COMMANDS:
        import_module(f"waferroute.cli.{name}").add(commands)
    return parser


def _prepare_streams() -> None:
    """Standard output and error that take every text, and are there.

    A Windows service and `pythonw` have none; a pipe has the encoding of the console, which lacks most characters that
    a file name may hold. Neither may end a watch.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 (while the process lives)
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def expanded(text: str) -> str:
    """An argument with `~` for the home folder where a shell leaves it: behind the `=` of an option or a setting."""
    name, equals, value = text.partition("=")
    if equals and value.startswith("~/"):
        return f"{name}={Path(value).expanduser()}"
    return str(Path(text).expanduser()) if text.startswith("~/") else text


_MAY_BE_EMPTY = ("--layer", "--reason")


def _refuse_empty(arguments: list[str]) -> None:
    """Refuse an empty argument: as a path it would be the working directory. Where there is none it may be said so."""
    for before, text in zip(["", *arguments], arguments, strict=False):
        if not text and before not in _MAY_BE_EMPTY:
            raise InputError(f"an argument is empty (behind {before!r}): is a variable of the shell unset?")


def _fail(message: str, *, launched: bool) -> int:
    lines = message.split("\n")  # some are lists; what else cannot be printed comes from names of files
    _say("error: " + "\n".join(map(printable, lines)), launched=launched)
    return 2


def _say(message: str, *, launched: bool) -> None:
    # Under a launcher every process ends up here; one of them speaks. What no launcher starts speaks always: a shell
    # within a job has the job's RANK and WORLD_SIZE.
    if speaks() or not launched:
        with contextlib.suppress(OSError):  # where it cannot be said, the exit status still says it
            print(message, file=sys.stderr, flush=True)
