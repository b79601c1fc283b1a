"""The `waferroute` command: what it understands, and how it fails.

Only the standard library is imported here: `waferroute inspect`, `verify` and `bench` run on the inspection tool,
where nothing of the training side is installed. Exit status: 0 done, 2 wrong input or missing package, 3 some
images could not be judged (`inspect`), 130 interrupted, 141 the reader of a pipe went away, 1 a bug (with its
traceback).
"""

import argparse
import errno
import os
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version

from wafer_data.errors import InputError
from wafer_data.log import log_to_stderr
from waferroute.analysis_commands import add_analysis_commands
from waferroute.compare_command import add_compare
from waferroute.export_options import add_export_options
from waferroute.klarf_command import add_klarf
from waferroute.msa_command import add_msa
from waferroute.pack_command import add_pack
from waferroute.report_command import add_report
from waferroute.service_commands import add_service_commands
from waferroute.tool_commands import add_tool_commands
from waferroute.triton_command import add_triton_options

_OWN = {
    "waferroute",
    "wafer_data",
    "router",
    "likelihood",
    "student_vae",
    "training",
    "teacher",
    "distill",
    "tool_side",
    "classify",
    "wafer_map",
    "eval",
    "service",
    "lifecycle",
}
_CONFIG = "a YAML file, for example configs/quickstart.yaml; `waferroute config fields` documents every key"
_OVERRIDES = "settings that replace those of the file, for example run.dir=runs/first distill.full.epochs=4"

_STUDENTS = ("intermediate", "target", "full", "lowres")
_STAGE_COMMANDS = (
    ("data", "read, check and split the images", "Read the images, check them and write the split."),
    (
        "adapt",
        "fit the teacher to normal images",
        "Fit the teacher: the pretrained backbone and the latent-conditional Gaussian over its features.",
    ),
    (
        "distill",
        "train the students",
        "Train the intermediate and target models and both students. `accelerate launch -m waferroute.cli "
        "distill CONFIG` trains on several GPUs.",
    ),
    (
        "calibrate",
        "choose the thresholds",
        "Choose the routing and decision thresholds from calibration images, and certify them.",
    ),
    (
        "evaluate",
        "measure on test images, write the report",
        "Measure every model and the routed system on test images; write report.json and report.html.",
    ),
    (
        "export",
        "write the bundle for the tool",
        "Write the bundle: the students as ONNX graphs, the policy, the certificate and a manifest.",
    ),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status. `arguments`: default sys.argv[1:]."""
    log_to_stderr()
    try:
        try:
            return _run(list(sys.argv[1:] if arguments is None else arguments))
        finally:
            sys.stdout.flush()  # here, where a reader that went away is still noticed
    except InputError as error:
        return _fail(str(error))
    except KeyboardInterrupt:
        _say("interrupted; run the same command again to go on")
        return 130
    except BrokenPipeError:
        # The reader (`head`, a pager) has seen enough. Python would complain again while closing stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if not missing or missing in _OWN:
            raise
        return _fail(
            f"this command needs the training side, and the package {missing} is not installed: "
            'pip install "waferroute[train]"'
        )
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
            raise
        where = error.filename or "the run folder"
        return _fail(f"{error.strerror} while writing {where}: free some space and run again")


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
    return action(args)


def build_parser() -> argparse.ArgumentParser:
    """The parser of the whole command line. The parsed namespace's `action` does the work."""
    parser = argparse.ArgumentParser(
        prog="waferroute",
        description="Distils a large pretrained model into two small inspection models, and routes images "
        "between them. `waferroute run CONFIG` does everything; each stage is also a command of its own.",
        epilog="example: waferroute run configs/quickstart.yaml",
    )
    parser.add_argument("--version", action="version", version=f"waferroute {version('waferroute')}")
    parser.set_defaults(action=None, help_of=parser)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command")

    _add_stage_command(
        commands,
        "run",
        "run every stage that is not done yet",
        "Run every stage whose result does not follow from the configuration and the images any more, and "
        "print the main figures. Killed at any moment, the same command goes on where it stopped.",
        "waferroute run configs/mvtec.yaml data.root=DIR run.dir=runs/mine",
        "run_all",
    )
    for name, short, long in _STAGE_COMMANDS:
        function = "run_distill" if name == "distill" else "run_one"
        example = f"waferroute {name} configs/quickstart.yaml"
        stage = _add_stage_command(commands, name, short, long, example, function)
        if name == "distill":
            stage.add_argument("--only", choices=_STUDENTS, help="train one of these models only")
        if name == "export":
            add_triton_options(stage, add_export_options(stage, _training_side(function)))
    _add_explore(commands)
    add_analysis_commands(commands)
    add_report(commands)
    add_compare(commands)
    add_msa(commands)
    add_pack(commands)
    add_tool_commands(commands)
    add_klarf(commands)
    add_service_commands(commands)
    _add_certificate(commands)
    _add_config(commands)
    _add_micrographs(commands)
    return parser


def _add_stage_command(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    short: str,
    long: str,
    example: str,
    function: str,
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=short, description=long, epilog=f"example: {example}"
    )
    _add_config_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print the summary as JSON on standard output")
    parser.add_argument("--force", action="store_true", help="do the work again even if nothing changed")
    parser.set_defaults(action=_training_side(function), help_of=parser)
    return parser


def _add_config_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", metavar="CONFIG", help=_CONFIG)
    parser.add_argument("overrides", metavar="key=value", nargs="*", default=[], help=_OVERRIDES)
    parser.set_defaults(takes_more="overrides")


def _add_explore(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser(
        "explore",
        help="look at the data before anything is trained",
        description="Look at the images: texture, alignment, intensity range, how defects differ from normals, how "
        "large they are, whether a threshold would do. Prepares the data if that is not done yet, then writes a "
        "self-contained page (explore.html), its figures (explore.json) and pictures.",
        epilog="example: waferroute explore configs/mvtec.yaml data.root=DIR run.dir=runs/mine",
    )
    _add_config_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON on standard output")
    parser.add_argument("--out", metavar="DIR", help="folder to write (default: explore in the run folder)")
    parser.set_defaults(action=_explore, help_of=parser)


def _add_config(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser(
        "config",
        help="show a configuration, or document its keys",
        description="Show a resolved configuration, or document every key.",
        epilog="example: waferroute config show configs/quickstart.yaml run.seed=1",
    )
    parser.set_defaults(help_of=parser)
    actions = parser.add_subparsers(title="commands", metavar="COMMAND")
    show = actions.add_parser(
        "show",
        help="print the resolved configuration",
        description="Check a configuration and print it with all defaults and overrides filled in.",
        epilog="example: waferroute config show configs/quickstart.yaml distill.full.epochs=4",
    )
    _add_config_arguments(show)
    show.add_argument("--json", action="store_true", help="print JSON instead of YAML")
    show.set_defaults(action=_training_side("show_config"), help_of=show)
    fields = actions.add_parser(
        "fields",
        help="document every key",
        description="List every key with what it takes, its default and what it does.",
        epilog="example: waferroute config fields distill.full",
    )
    fields.add_argument("prefix", metavar="SECTION", nargs="?", help="only the keys of this section")
    fields.add_argument("--json", action="store_true", help="print JSON")
    fields.set_defaults(action=_training_side("list_config_fields"), help_of=fields)


def _add_micrographs(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser(
        "micrographs",
        help="make synthetic wafer images with known defects, to try the program out",
        description="Write a folder of SYNTHETIC electron-microscope-like images in MVTec layout, with five known "
        "and two novel defect types and exact masks. They show no real wafer: figures measured on them say "
        "nothing about real defects.",
        epilog="example: waferroute micrographs synthetic_contacts --layout contacts --normal 500, then "
        "waferroute run configs/mvtec.yaml data.root=synthetic_contacts run.dir=runs/synthetic",
    )
    parser.add_argument("directory", metavar="DIR", help="folder to write; must not exist, or be empty")
    counts = (
        ("--normal", 1000, "images without defect to train on"),
        ("--test-normal", 300, "images without defect to test on"),
        ("--defects-per-type", 40, "test images of each of the five known defect types"),
        ("--novel-per-type", 30, "test images of each of the two novel defect types"),
    )
    for option, default, about in counts:
        parser.add_argument(
            option, metavar="N", type=int, default=default, help=f"{about} (default: {default})"
        )
    parser.add_argument("--size", metavar="PIXELS", type=int, default=256, help="side (default: 256)")
    parser.add_argument(
        "--layout", choices=("line_space", "contacts", "logic"), default="line_space", help="the pattern"
    )
    parser.add_argument("--bits", type=int, choices=(8, 16), default=8, help="bits a pixel (default: 8)")
    parser.add_argument(
        "--seed", metavar="N", type=int, default=0, help="another seed, other images (default: 0)"
    )
    parser.add_argument("--json", action="store_true", help="print the summary as JSON on standard output")
    parser.set_defaults(action=_micrographs, help_of=parser)


def _add_certificate(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser(
        "certificate",
        help="print what the calibration proves, and check it (needs no training side)",
        description="Print the certificate of a run or a bundle in sentences, and check it: are the thresholds "
        "those of policy.json, was it computed from the scores in router/calibration.json, is the count of misses "
        "right? Exit status 2 if a check fails.",
        epilog="example: waferroute certificate runs/quickstart",
    )
    parser.add_argument("folder", metavar="RUN_OR_BUNDLE", help="folder of a run, or of a bundle")
    parser.add_argument("--json", action="store_true", help="print JSON: certificate, sentences and checks")
    parser.set_defaults(action=_certificate, help_of=parser)


def _training_side(name: str) -> Callable[[argparse.Namespace], int]:
    def action(args: argparse.Namespace) -> int:
        from waferroute import commands

        function: Callable[[argparse.Namespace], int] = getattr(commands, name)
        return function(args)

    return action


def _certificate(args: argparse.Namespace) -> int:
    from waferroute.certificate_command import run_certificate

    return run_certificate(args.folder, json_output=args.json)


def _explore(args: argparse.Namespace) -> int:
    from waferroute.explore_command import run_explore

    return run_explore(args)


def _micrographs(args: argparse.Namespace) -> int:
    from waferroute.micrograph_command import run_micrographs

    return run_micrographs(args)


def _fail(message: str) -> int:
    _say(f"error: {message}")
    return 2


def _say(message: str) -> None:
    # Under a launcher every process ends up here; one of them speaks.
    if os.environ.get("RANK", "0") == "0":
        print(message, file=sys.stderr, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
