"""`waferroute lot`: may a lot go on?"""

import argparse
import json
from pathlib import Path

from waferroute.cli.arguments import Commands, add_command, add_group, add_json, counts, share

EXIT = {"GO": 0, "HOLD": 4, "STOP": 5}


def add(commands: Commands) -> None:
    """Add the command and its own commands to the command line."""
    actions = add_group(
        commands,
        "lot",
        summary="GO, HOLD or STOP of wafers and lots, with stated error rates",
        description="Decide on wafers and lots by a sequential test on their defect counts, and say what a plan "
        "promises. Needs no training side.",
        example="waferroute lot decide plan.json counts.csv",
    )
    plan = add_command(
        actions,
        "plan",
        run_plan,
        summary="what does a plan promise, and what would be cheapest?",
        description="Compute what a plan (JSON) promises: how often a good lot is stopped, and how many wafers a bad "
        "one runs for. Exit status 2, with what would do, if its own promise cannot be kept. docs/classes.md "
        "documents every key.",
        example="waferroute lot plan plan.json --cheapest",
    )
    plan.add_argument("plan", metavar="PLAN", type=Path, help="plan file")
    plan.add_argument(
        "--cheapest",
        action="store_true",
        help="choose how rarely good lots are stopped by the plan's costs; print that plan",
    )
    add_json(plan)
    decide = add_command(
        actions,
        "decide",
        run_decide,
        summary="GO, HOLD or STOP, with the reasons",
        description="Decide on each wafer and on the lot, from counts in the order in which the wafers ran: a CSV "
        "table (wafer, sites, defects and, if known, lot, unjudged and killers), or KLARF files (dies of the sample "
        "plan, or all of the wafer where there is none, and those with a defect). One lot, each wafer once. Says so "
        "where the plan cannot keep what it promises of bad lots. Exit status 0 GO, 4 HOLD, 5 STOP of the lot.",
        example="waferroute lot decide plan.json counts.csv --json",
    )
    decide.add_argument("plan", metavar="PLAN", type=Path, help="plan file")
    decide.add_argument(
        "files", metavar="COUNTS", nargs="+", type=Path, help="CSV table, or KLARF files of one lot"
    )
    decide.add_argument(
        "--bins",
        metavar="N,N",
        type=counts,
        help="of KLARF files: count only defects with these ROUGHBINNUMBERs; a die with a defect that has no bin yet "
        "(0) or no judged image is unjudged",
    )
    add_json(decide)
    common = add_command(
        actions,
        "commonality",
        run_commonality,
        summary="which tool or slot do the bad wafers have in common?",
        description="Find the tool, chamber or slot whose wafers are worse than the others, against permutations of "
        "the wafers. TABLE (CSV) has a row for each wafer: sites, defects and further columns such as tool and slot.",
        example="waferroute lot commonality wafers.csv",
    )
    common.add_argument("table", metavar="TABLE", type=Path, help="CSV table")
    common.add_argument(
        "--level", metavar="P", type=share, default=0.05, help="largest p over all (default: 0.05)"
    )
    add_json(common)


def run_plan(args: argparse.Namespace) -> int:
    """Print the design of a plan, or the cheapest plan."""
    from wafer_map.decide import cheapest_plan, load_plan
    from wafer_map.decide.design import require_promise

    plan = load_plan(args.plan)
    if args.cheapest:
        plan = cheapest_plan(plan)
        print(json.dumps(plan.to_dict(), indent=2))
        return 0
    found = require_promise(plan)
    if args.json:
        print(json.dumps(found.to_dict(), indent=2))
        return 0
    once = f"{plan.good_lot_stopped_once_in:g}"
    print(f"a good lot ({plan.good_rate:.2%} of sites, or less) is stopped at most once in {once}")
    for wafers, stopped in enumerate(found.bad_lot_stopped[: plan.bad_lot_runs_at_most], start=1):
        print(
            f"a bad lot ({plan.bad_rate:.2%}) is stopped after {wafers} wafers or fewer in {stopped:.1%} of cases"
        )
    print(f"a lot that is bad from its first wafer runs for {found.expected_wafers:.1f} wafers on average")
    return 0


def run_decide(args: argparse.Namespace) -> int:
    """Decide on wafers and lot."""
    from wafer_map.decide import decide_lot, decide_wafer, design, load_plan
    from wafer_map.lot_counts import count_lot

    plan = load_plan(args.plan)
    notes = []
    if not design(plan).keeps_promise:
        notes.append(
            f"{args.plan} cannot keep what it promises of bad lots, so GO says little: "
            f"`waferroute lot plan {args.plan}` says what would do"
        )
    wafers = count_lot(args.files, args.bins)
    verdicts = [(one, decide_wafer(plan, one.counts)) for one in wafers]
    lot = decide_lot(plan, [one.counts for one in wafers])
    if args.json:
        each = [
            {"wafer": one.name, **verdict.to_dict(), "notes": list(one.notes)} for one, verdict in verdicts
        ]
        print(json.dumps({"lot": lot.to_dict(), "wafers": each, "notes": notes}, indent=2))
    else:
        for one, verdict in verdicts:
            print(f"wafer {one.name}: {verdict.action.value}; {'; '.join([*verdict.reasons, *one.notes])}")
        print(f"lot: {lot.action.value}; {'; '.join([*lot.reasons, *notes])}")
    return EXIT[lot.action.value]


def run_commonality(args: argparse.Namespace) -> int:
    """Find what bad wafers have in common."""
    from wafer_data.csv_table import read_table
    from wafer_data.errors import DataError
    from wafer_map.lot_counts import NEEDED, OPTIONAL, counts_of
    from wafer_map.repeaters import find_commonality

    rows = read_table(args.table, ("sites", "defects"))
    if not rows:
        raise DataError(f"{args.table} holds no wafer, only a header")
    own = (*NEEDED, *OPTIONAL)
    factors = [name for name in rows[0].cells if name not in own]
    if not factors:
        raise DataError(f"{args.table}: no column beside {', '.join(own)} to compare the wafers by")
    shares = []
    for row in rows:
        counts = counts_of(row)
        if counts.sites == 0:
            raise DataError(f"{row.where}: a wafer without sites has no rate")
        shares.append(counts.defects / counts.sites)
    found = find_commonality(
        shares, {name: [row.cells[name] for row in rows] for name in factors}, level=args.level
    )
    if args.json:
        print(json.dumps([one.to_dict() for one in found], indent=2))
        return 0
    for one in found:
        rates = f"{one.rate:.2%} on its {one.wafers} wafers, {one.others:.2%} on the others"
        print(f"{one.factor} {one.value}: {rates}, p {one.p:.3g}")
    if not found:
        print(f"nothing in common: {len(shares)} wafers, by {', '.join(factors)}")
    return 0
