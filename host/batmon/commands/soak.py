"""`batmon soak`: weeks of random radio faults on the virtual board, and whether it took harm."""

import json

from batmon.console import UserError, add_board, days, heap, seed, subcommand


def _run(args) -> int:
    from batmon.firmware import settingsdoc
    from batmon.virtual.soak import soak

    if problems := settingsdoc.problems({"poll_s": args.poll_s}):
        what = problems[0].removeprefix("settings.json: poll_s").partition(";")[0]
        raise UserError(f"--poll-s{what}.")
    kind = {"interpreter": args.interpreter, "chip": args.chip, "heap": args.heap}
    kind["batteries"] = args.batteries
    result = soak(args.days, args.seed, not args.calm, args.poll_s, **kind)
    if args.json:
        print(json.dumps(result))
    else:
        _print(result)
    return 1 if result["missed"] else 0


def _print(result: dict):
    print(
        f"{result['days']:g} days with a poll every {result['poll_s']:g} s,"
        f" seed {result['seed']}, in {result['seconds']} s; {result['faults']} faults"
    )
    if result["kinds"]:
        print(f"  {'time to the next sample':26} faults  median     worst")
        for kind, one in result["kinds"].items():
            times = f"{one['median_s']:5.1f} s  {one['worst_s']:6.1f} s"
            print(f"  {kind:26} {one['faults']:6}  {times}")
        times = f"{result['median_s']:5.1f} s  {result['worst_s']:6.1f} s"
        print(f"  {'all':26} {result['healed']:6}  {times}")
    print(f"  polls answered     {result['calm_polls_percent']} % in calm,", end="")
    print(f" {result['reachable_polls_percent']} % of all while the BMS was in reach")
    print(f"  longest gap        {result['longest_gap_s']} s, faults included")
    for gap_s in result["others"]:
        print(f"  another battery    longest gap {gap_s} s")
    print(f"  left behind        {result['leaked_connections']} connections,", end="")
    print(f" {result['tasks_left']} tasks, {result['heap_growth_bytes']} bytes of heap")
    print(f"  stored and wrong   {result['wrong_samples']} samples")
    print(f"  memory ran out     {result['memory_errors']} times")
    for sentence in result["missed"]:
        print(f"MISSED: {sentence}")


def add_parser(subparsers):
    """Add `batmon soak`."""
    parser = subcommand(
        subparsers,
        "soak",
        "let the radio misbehave for weeks and see whether the link heals",
        "  batmon soak --days 30 --seed 7\n"
        "  batmon soak --days 30 --calm   no faults: does every poll get its answer?",
    )
    add = parser.add_argument
    add("--days", type=days, default=30.0, metavar="N", help="how long, in simulated days (30)")
    add("--seed", type=seed, default=1, metavar="N", help="another sequence of faults (1)")
    add("--poll-s", type=float, default=8, metavar="S", help="seconds between polls (8)")
    add("--heap", type=heap, default="chip", metavar="SIZE", help="as for `sim` (%(default)s)")
    add(
        "--batteries",
        type=int,
        choices=range(1, 5),
        default=1,
        metavar="N",
        help="so many on the board, of which the first has the faults (1)",
    )
    add("--calm", action="store_true", help="without faults")
    add_board(parser)
    add("--json", action="store_true", help="print the figures as one JSON object, nothing else")
    parser.set_defaults(run=_run)
