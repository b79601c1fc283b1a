"""`waferroute serve`: a bundle behind HTTP."""

import argparse
import sys
from pathlib import Path

from wafer_data.own_code import child_command
from waferroute.cli.arguments import (
    BUNDLE,
    HIGHEST_PORT,
    Commands,
    add_command,
    add_public_key,
    addresses,
    gigabytes,
    parallel,
    pause,
    port,
)


def add(commands: Commands) -> None:
    """Add the command to the command line."""
    parser = add_command(
        commands,
        "serve",
        run,
        summary='answer tools over HTTP and show doubtful images to people (needs "waferroute[serve]")',
        description="Serve a bundle: POST /api/v1/inspect takes an image and answers with the decision, which is on "
        "disk before the answer leaves. The first start makes a key for the first tool and an account for the first "
        "person, in files in DIR that only you can read.",
        example="waferroute serve runs/quickstart/bundle --data service-data",
        extra="serve",
    )
    parser.add_argument("bundle", metavar="BUNDLE", type=Path, help=BUNDLE)
    parser.add_argument("--data", metavar="DIR", type=Path, required=True, help="folder of all that is kept")
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen at (default: this computer only)"
    )
    parser.add_argument("--port", metavar="N", type=port, default=8080, help="(default: 8080)")
    parser.add_argument(
        "--workers", metavar="N", type=parallel, default=1,
        help="processes, at this port and those after it; put a load balancer before them (default: 1)",
    )  # fmt: skip
    parser.add_argument(
        "--node", metavar="NAME", help="name of this worker, unique in the database (default: worker-PORT)"
    )
    parser.add_argument(
        "--database", metavar="URL", help="postgresql://USER@HOST/NAME (default: an SQLite file in DIR)"
    )
    parser.add_argument(
        "--rules", metavar="FILE", type=Path, help="the site's rules (TOML); read again when changed"
    )
    parser.add_argument(
        "--bins", metavar="FILE", type=Path,
        help="bins of flagged images' defects (JSON or TOML) by type, size and place; never make a decision milder",
    )  # fmt: skip
    parser.add_argument(
        "--stage", metavar="[RECIPE=]FILE", action="append", default=[],
        help="stage map (JSON) of a recipe, or of all: where inspection points lie, and the pixel size; repeatable",
    )  # fmt: skip
    parser.add_argument(
        "--lot-plan", metavar="FILE", type=Path,
        help="plan (JSON) by which wafers and lots are held; default: a wafer with a defect is",
    )  # fmt: skip
    parser.add_argument(
        "--version-name", metavar="NAME", help="how answers name the bundle (default: its identity)"
    )
    parser.add_argument(
        "--threads", metavar="N", type=parallel, default=1, help="threads of the graph runner (default: 1)"
    )
    parser.add_argument(
        "--tls-cert", metavar="FILE", type=Path, help="certificate chain (PEM); makes it HTTPS"
    )
    parser.add_argument("--tls-key", metavar="FILE", type=Path, help="its private key (PEM)")
    parser.add_argument(
        "--drain", metavar="SECONDS", type=pause, default=0.0,
        help="before it stops, say for so long that it is not ready, so that a load balancer turns away (default: 0)",
    )  # fmt: skip
    parser.add_argument(
        "--proxy",
        metavar="ADDRESS",
        type=addresses,
        help="load balancer whose X-Forwarded headers are believed",
    )
    parser.add_argument(
        "--traces", metavar="URL",
        help='collector of OpenTelemetry traces, e.g. http://127.0.0.1:4318/v1/traces (needs "waferroute[traces]")',
    )  # fmt: skip
    parser.add_argument(
        "--image-budget",
        metavar="GB",
        type=gigabytes,
        help="disk that images may take; the oldest PASS go first",
    )
    add_public_key(parser)


def run(args: argparse.Namespace) -> int:
    """Serve until Ctrl-C or SIGTERM."""
    if (args.tls_cert is None) != (args.tls_key is None):
        args.help_of.error("--tls-cert and --tls-key go together")
    if args.stage and args.bins is None:
        args.help_of.error("--stage goes with --bins FILE")
    if args.workers > 1:
        if args.node is not None:
            args.help_of.error("--node names one worker; with --workers each is named by its port")
        if args.port + args.workers - 1 > HIGHEST_PORT:
            args.help_of.error(
                f"--workers {args.workers} from --port {args.port} on: no port is above {HIGHEST_PORT}"
            )
        from service.supervise import run_workers

        return run_workers(args.workers, args.port, own_command())
    from lifecycle.modules import SERVICE_MODULES
    from service.serve import Listen, run_worker
    from service.settings import Settings

    settings = Settings(
        data=args.data,
        node=args.node or f"worker-{args.port}",
        database_url=args.database,
        rules=args.rules,
        bins=args.bins,
        stages=tuple(args.stage),
        lot_plan=args.lot_plan,
        image_budget=args.image_budget,
        public_key=Path(args.public_key) if args.public_key else None,
        secure_cookies=args.tls_cert is not None or args.proxy is not None,
        traces=args.traces,
        modules=SERVICE_MODULES,
    )
    listen = Listen(args.host, args.port, args.tls_cert, args.tls_key, args.drain, args.proxy)
    return run_worker(
        args.bundle, settings, listen,
        version_name=args.version_name, threads=args.threads,
        public_key=Path(args.public_key) if args.public_key else None,
    )  # fmt: skip


def own_command() -> list[str]:
    """This command line again, without `--workers` and `--port`."""
    kept, skip = [], False
    for word in sys.argv[1:]:
        if skip:
            skip = False
        elif word in ("--workers", "--port"):
            skip = True
        elif not word.startswith(("--workers=", "--port=")):
            kept.append(word)
    return child_command("waferroute", *kept)
