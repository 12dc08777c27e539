"""`batmon sim`: the board's own code on a virtual board, with a BMS to talk to.

Draws the display while it runs, and at the end compares what was logged with the truth.
"""

import argparse
import json
import re
import shutil
import sys
import time
from pathlib import Path

from batmon.console import UserError, add_board, days, heap, seed, subcommand
from batmon.paths import BUILD

_SOME_AH = 1  # of less, a percentage says nothing


def _run(args) -> int:
    # They bring pandas, for which `batmon --help` should not wait.
    from batmon.firmware.build import build
    from batmon.virtual import process, sim, views

    log = sim.poll_log(args.battery)
    makes = sorted({one["bms"] for one in sim.several(args.bms, args.battery)})
    kind = f"{args.bms}-{sim.stem(args.battery)}"
    out = Path(args.out) if args.out else BUILD / "sim-out" / kind
    sim.prepare(out)
    board = BUILD / f"board-{'-'.join(makes)}"  # as a user with a small flash would have it
    build(board, [f"{make}_bms" for make in makes])
    config = sim.configure(args, board, out, log)
    kind = views.Quiet if args.json else views.Screen if sys.stdout.isatty() else views.Lines
    view = kind(json.loads(config.read_text())["start_unix"])
    began = time.monotonic()
    with open(out / "repl.txt", "w") as repl, view:

        def words(line: str):
            print(line, file=repl)
            view.words(line)

        try:
            end = process.run(config, view.record, words)
        except UserError as error:
            raise UserError(f"{error} Its last words are in {out}/repl.txt.", error.code) from None
    result = sim.compare(end, out)
    result["seconds"] = round(time.monotonic() - began, 1)
    if args.json:
        print(json.dumps(result))
    else:
        _print_summary(result)
    return 0


def _print_summary(result: dict):
    out = _short(Path(result["out"]))
    days = result["days"]
    span = f"{days:g} day{'s' * (days != 1)}" if days >= 1 else f"{days * 24:.1f} hours"
    print(f"\n{span} in {result['seconds']} s", end="")
    print(" (stopped early)" if result["reason"] == "interrupted" else "")
    for one in result.get("batteries", [result]):
        _print_battery(one)
    print(f"  heap           {_kb(result['heap_first_hour'])} after an hour,", end="")
    print(f" {_kb(result['heap_end'])} at the end")
    if last := result["memory"].get("end"):
        print(
            f"  system         {_kb(last['system_free'])} free at the end, largest block"
            f" {_kb(last['system_largest'])}, never less than {_kb(last['system_least'])}"
        )
    if result["power"]["looks"]:
        _print_power(result["power"])
    for panic in result["panics"]:
        print(f"  PANIC          {panic}")
    beside = _short(Path(sys.executable).with_name("batmon"))
    batmon = "batmon" if shutil.which("batmon") else beside  # .venv may not be activated
    print(f"A page to look around in:  {batmon} report {out}/data -o {out}.html")


def _print_power(power: dict):
    print(
        f"  at rest        {power['asleep_h']:.1f} h asleep, {power['looks']} looks,"
        f" awake for {power['duty']:.1%} of it; {power['awake_h']:.1f} h awake beside"
    )
    print(
        f"  own use        some {power['chip_mah_a_day']:.0f} mAh a day at 5 V of a bare chip,"
        f" {power['board_mah_a_day']:.0f} of a DevKitC, {power['always_on_mah_a_day']} if it never"
        " rested: estimated, see docs/REST.md"
    )


def _print_battery(result: dict):
    if "battery" in result:
        print(f"{result['battery']}:")
    print(
        f"  stored         {result['frames']} frames in {result['shards']} shards,"
        f" {result['bytes'] / 1024:.1f} kB"
        + (f", {result['bytes_per_frame']} bytes per frame" if result["frames"] else "")
    )
    for way in ("in", "out"):
        logged, truth = result[f"charge_{way}_ah"], result[f"truth_charge_{way}_ah"]
        print(f"  charge {way:3}     {logged:.2f} Ah, truly {truth:.2f} Ah")
    if result["voltage_max_error_mv"] is not None:
        error = result["charge_error_percent"]
        moved = result["truth_charge_in_ah"] + result["truth_charge_out_ah"]
        print(
            f"  largest error  {result['voltage_max_error_mv']} mV of a stored voltage"
            + (f", {error} % of the charge" if moved >= _SOME_AH else "")
        )


def _short(path: Path) -> Path:
    """Return the path as seen from where the user is, if it is below."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def _kb(size: int | None) -> str:
    return "not measured" if size is None else f"{size / 1024:.0f} kB"


def _size(text: str) -> int:
    match = re.fullmatch(r"(\d+)([kKmM]?)", text)
    size = int(match[1]) << {"": 0, "k": 10, "m": 20}[match[2].lower()] if match else 0
    if size % 4096 or not 1 << 17 <= size <= 1 << 26:
        raise argparse.ArgumentTypeError(f"{text} is not a flash size from 128k to 64M, like 2M")
    return size


def add_parser(subparsers):
    """Add `batmon sim`."""
    parser = subcommand(
        subparsers,
        "sim",
        "run the board's code on a virtual board",
        "  batmon sim                                  a day of a van's battery\n"
        "  batmon sim --days 7 --battery house --lcd 20x4\n"
        "  batmon sim --bms jikong,jbd --battery van,house --chip s3 --lcd none  two of them\n"
        "  batmon sim --battery log.csv.gz --realtime  play a poll log, as slow as it was\n"
        "  batmon sim --rest --battery parked --days 2  a board that sleeps where nothing flows\n"
        "  batmon sim --days 2 --json --out d          figures for a script\n\n"
        "Ctrl-C stops the board, which stores what it has; a second Ctrl-C kills it.",
    )
    add = parser.add_argument
    add(
        "--bms",
        default="jikong",
        metavar="MAKE",
        help="jbd or jikong, or several with commas: one for each battery (%(default)s)",
    )
    add("--days", type=days, default=1.0, metavar="N", help="how long, in simulated days (1)")
    add(
        "--battery",
        default="van",
        metavar="KIND",
        help="van, house, ebike, parked, several with commas, or a poll log: LOG.csv or LOG.csv.gz"
        " (%(default)s)",
    )
    add("--lcd", choices=("16x2", "20x4", "none"), default="16x2", help="display (%(default)s)")
    add("--rest", action="store_true", help="the board sleeps where nothing flows, see REST.md")
    add("--realtime", action="store_true", help="a second lasts a second")
    add("--volume", choices=("lfs2", "fat"), default="lfs2", help="file system (%(default)s)")
    add("--size", type=_size, default=2 << 20, metavar="SIZE", help="size of the flash volume (2M)")
    add(
        "--heap",
        type=heap,
        default="chip",
        metavar="SIZE",
        help="memory of the board: what --chip has, or another size, as 1M (%(default)s)",
    )
    add_board(parser)
    add("--seed", type=seed, default=1, metavar="N", help="another battery of its kind (1)")
    add("--out", metavar="DIR", help="folder for the shards (one below build/sim-out)")
    add("--json", action="store_true", help="print the figures as one JSON object, nothing else")
    parser.set_defaults(run=_run)
