"""`batmon sim`: the board's own code on a virtual board, with a BMS to talk to.

Draws the display while it runs, and at the end compares what was logged with the truth.
"""

import argparse
import json
import re
import shutil
import struct
import sys
import time
from pathlib import Path

from batmon import virtual
from batmon.build import BUILD, build
from batmon.cli import UserError, subcommand

# 2026-01-01 06:00 UTC, the time of day when the simulated batteries begin.
_OLDEST_UNIX = 1_704_067_200
_NAMES = {"jikong": "jk-pak01", "jbd": "JBD-SP25S020"}
_CAPACITY_AH = {"van": 280, "house": 280, "ebike": 24}
_OUR_FILES = (
    "battery.bpl",
    "config.json",
    "data",
    "flash.img",
    "repl.txt",
    "rtc.bin",
    "rtc.bin.world",
    "stop",
    "truth.csv",
)
_LINE_S = 2  # of our time, between two lines where there is no terminal
_SOME_AH = 1  # of less, a percentage says nothing
_NEAR_S = 2  # a frame and the poll behind it are no further apart


def _run(args) -> int:
    log = _log(args.battery)
    out = Path(args.out) if args.out else BUILD / "sim-out" / f"{args.bms}-{_stem(args.battery)}"
    _prepare(out)
    board = BUILD / f"board-{args.bms}"  # as a user with a small flash would have it
    build(board, [f"{args.bms}_bms"])
    config = _configure(args, board, out, log)
    view = _Quiet() if args.json else _Screen() if sys.stdout.isatty() else _Lines()
    began = time.monotonic()
    with open(out / "repl.txt", "w") as repl, view:

        def words(line: str):
            print(line, file=repl)
            view.words(line)

        try:
            end = virtual.run(config, view.record, words)
        except UserError as error:
            raise UserError(f"{error} Its last words are in {out}/repl.txt.", error.code) from None
    result = _compare(end, out)
    result["seconds"] = round(time.monotonic() - began, 1)
    if args.json:
        print(json.dumps(result))
    else:
        _print_summary(result)
    return 0


# ---- before


def _log(battery: str) -> Path | None:
    """Return the poll log that `battery` names, None for a built-in battery."""
    if battery in _CAPACITY_AH:
        return None
    path = Path(battery)
    if not path.is_file():
        kinds = ", ".join(_CAPACITY_AH)
        raise UserError(f"--battery {battery} is neither one of {kinds} nor a file that exists.")
    return path


def _stem(battery: str) -> str:
    return Path(battery).name.partition(".")[0]


def _prepare(out: Path):
    """Make `out` an empty folder; what an earlier simulation left there goes."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        foreign = [path.name for path in out.iterdir() if path.name not in _OUR_FILES]
        if foreign:
            raise UserError(f"--out {out} holds other files ({foreign[0]}); take a new folder.")
        shutil.rmtree(out / "data", ignore_errors=True)
        for path in out.iterdir():
            path.unlink()
    except OSError as error:
        raise UserError(f"--out {out} cannot be used: {error.strerror}.") from None


def _configure(args, board: Path, out: Path, log: Path | None) -> Path:
    """Write the configuration that the virtual board reads; return its path."""
    battery, start_unix = args.battery, virtual.START_UNIX
    if log:
        battery = str(out.resolve() / "battery.bpl")
        capacity, start_unix = _pack(log, Path(battery))
    else:
        capacity = _CAPACITY_AH[battery]
    return virtual.configure(
        out,
        board,
        driver=f"{args.bms}_bms",
        volume=args.volume,
        size=args.size,
        bms=args.bms,
        battery=battery,
        days=args.days,
        lcd=args.lcd,
        seed=args.seed,
        realtime=args.realtime,
        interpreter=args.interpreter,
        start_unix=start_unix,
        settings={
            "dev_name": _NAMES[args.bms],
            "capacity_ah": capacity,
            "lcd": _lcd(args.lcd),
        },
    )


def _lcd(size: str) -> dict:
    """Return the board's settings for a display like 20x4, or none."""
    if size == "none":
        return {"fitted": False}
    cols, rows = size.split("x")
    return {"cols": int(cols), "rows": int(rows)}


def _pack(log: Path, target: Path) -> tuple[int, int]:
    """Pack a poll log for the board; return its capacity in Ah and when it begins."""
    from batmon import polllog

    first_s = int(polllog.pack(log, target).time_s[0])
    (capacity,) = struct.unpack_from("<H", target.read_bytes(), 6)
    # Logs may count from anything; a board does not believe in dates before 2024.
    return min(capacity, 10_000), first_s if first_s >= _OLDEST_UNIX else virtual.START_UNIX


# ---- while it runs


def _status_line(record: dict) -> str:
    days, seconds = divmod(record["t_s"], 86400)
    clock = f"day {days + 1} {seconds // 3600:02}:{seconds // 60 % 60:02}"
    stored = f"{record['frames']} frames, {record['bytes'] / 1024:.1f} kB on flash"
    line = f"{clock}  {record['link']}  {stored}"
    return f"{line}  {record['progress']:.0%}" if "progress" in record else line


class _Quiet:
    """Shows nothing; also what the other views have in common."""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def record(self, record: dict):
        pass

    def words(self, line: str):
        pass


class _Lines(_Quiet):
    """A line now and then."""

    def __init__(self):
        self._next = 0.0

    def record(self, record: dict):
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + _LINE_S
            print(_status_line(record), flush=True)

    def words(self, line: str):
        print(line, flush=True)


class _Screen(_Quiet):
    """The display in a frame that changes in place; the board's words scroll above it."""

    def __enter__(self):
        from rich.live import Live

        self._live = Live(auto_refresh=False)
        self._live.start()
        return self

    def __exit__(self, *_):
        self._live.stop()

    def record(self, record: dict):
        from rich.text import Text

        from batmon import glass

        lines = glass.frame(record["lcd"]) if "lcd" in record else []
        self._live.update(Text("\n".join([*lines, _status_line(record)])), refresh=True)

    def words(self, line: str):
        self._live.console.print(line, markup=False, highlight=False)


# ---- after


def _compare(end: dict, out: Path) -> dict:
    """Return the figures of the run: what was logged, and how far it is from the truth."""
    from batmon import stream

    days = end["t_s"] / 86400
    truth = end["truth"]
    heap = end["heap_at"]
    result = {
        "days": round(days, 4),
        "frames": 0,
        "shards": 0,
        "bytes": 0,
        "bytes_per_frame": None,
        "charge_in_ah": 0.0,
        "charge_out_ah": 0.0,
        "truth_charge_in_ah": round(truth["charge_in_ah"], 3),
        "truth_charge_out_ah": round(truth["charge_out_ah"], 3),
        "charge_error_percent": None,
        "voltage_max_error_mv": None,
        "heap_first_hour": heap.get("first_hour"),
        "heap_days": [heap[f"day{day}"] for day in range(1, int(days) + 1) if f"day{day}" in heap],
        "heap_end": heap.get("end"),
        "reason": end["reason"],
        "out": str(out),
    }
    files = [path for path in (out / "data").glob("*-*.*") if path.suffix in (".raw", ".bts")]
    if not files:
        return result
    table = stream.read(out / "data")
    size = sum(path.stat().st_size for path in files)
    charge_in, charge_out = charge_ah(table)
    # In and out within one interval cancel in its mean, so that only the sum has to be exact.
    moved = truth["charge_in_ah"] + truth["charge_out_ah"]
    error = charge_in - charge_out - truth["charge_in_ah"] + truth["charge_out_ah"]
    result.update(
        frames=len(table),
        shards=len(files),
        bytes=size,
        bytes_per_frame=round(size / len(table), 2) if len(table) else None,
        charge_in_ah=round(charge_in, 3),
        charge_out_ah=round(charge_out, 3),
        charge_error_percent=round(100 * abs(error) / moved, 3) if moved else None,
        voltage_max_error_mv=_voltage_error_mv(table, out / "truth.csv"),
    )
    return result


def charge_ah(table) -> tuple[float, float]:
    """Return the charge (in, out) in Ah of a table as `batmon.read` gives it."""
    charge = (table["current_A"] * table["interval_s"] / 3600).fillna(0)
    return float(charge[charge > 0].sum()), float(abs(charge[charge < 0].sum()))


def _voltage_error_mv(table, truth: Path) -> float | None:
    """Return the largest distance of a stored voltage from the polls around its time."""
    import numpy as np
    import pandas as pd

    polls = pd.read_csv(truth, usecols=["time_s", "voltage"])
    rows = table[table["time_known"]]
    if not len(polls) or not len(rows):
        return None
    times = rows["time_utc"].astype("datetime64[s, UTC]").astype("int64").to_numpy()
    first = np.searchsorted(polls["time_s"], times)
    nearest = np.full(len(rows), np.nan)
    for shift in range(-_NEAR_S, _NEAR_S + 1):
        at = np.clip(first + shift, 0, len(polls) - 1)
        error = np.abs(polls["voltage"].to_numpy()[at] - rows["voltage_V"].to_numpy())
        error[np.abs(polls["time_s"].to_numpy()[at] - times) > _NEAR_S] = np.nan
        nearest = np.fmin(nearest, error)
    return None if np.isnan(nearest).all() else round(1000 * float(np.nanmax(nearest)), 1)


def _print_summary(result: dict):
    out = _short(Path(result["out"]))
    days = result["days"]
    span = f"{days:g} days" if days >= 1 else f"{days * 24:.1f} hours"
    print(f"\n{span} in {result['seconds']} s", end="")
    print(" (stopped early)" if result["reason"] == "interrupted" else "")
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
    print(f"  heap           {_kb(result['heap_first_hour'])} after an hour,", end="")
    print(f" {_kb(result['heap_end'])} at the end")
    beside = _short(Path(sys.executable).with_name("batmon"))
    batmon = "batmon" if shutil.which("batmon") else beside  # .venv may not be activated
    print(f"Open it with:  {batmon} export {out}/data -o {out}.csv")


def _short(path: Path) -> Path:
    """Return the path as seen from where the user is, if it is below."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def _kb(size: int | None) -> str:
    return "not measured" if size is None else f"{size / 1024:.0f} kB"


# ---- options


def _size(text: str) -> int:
    match = re.fullmatch(r"(\d+)([kKmM]?)", text)
    size = int(match[1]) << {"": 0, "k": 10, "m": 20}[match[2].lower()] if match else 0
    if size % 4096 or not 1 << 17 <= size <= 1 << 26:
        raise argparse.ArgumentTypeError(f"{text} is not a flash size from 128k to 64M, like 2M")
    return size


def _heap(text: str) -> str:
    if not re.fullmatch(r"\d{2,5}[kK]|\d{1,2}[mM]", text):
        raise argparse.ArgumentTypeError(f"{text} is not a heap size like 256k or 1M")
    return text


def _days(text: str) -> float:
    try:
        days = float(text)
    except ValueError:
        days = 0
    if not 0 < days <= 3660:
        raise argparse.ArgumentTypeError(f"{text} is not a number of days, more than 0, up to 3660")
    return days


def _seed(text: str) -> int:
    if not re.fullmatch(r"\d{1,9}", text):
        raise argparse.ArgumentTypeError(f"{text} is not a whole number of at most 9 digits")
    return int(text)


def add_parser(subparsers):
    """Add `batmon sim`."""
    parser = subcommand(
        subparsers,
        "sim",
        "run the board's code on a virtual board",
        "  batmon sim                                  a day of a van's battery\n"
        "  batmon sim --days 7 --battery house --lcd 20x4\n"
        "  batmon sim --battery log.csv.gz --realtime  play a poll log, as slow as it was\n"
        "  batmon sim --days 2 --json --out d          figures for a script\n\n"
        "Ctrl-C stops the board, which stores what it has; a second Ctrl-C kills it.",
    )
    add = parser.add_argument
    add("--bms", choices=sorted(_NAMES), default="jikong", help="make of the BMS (%(default)s)")
    add("--days", type=_days, default=1.0, metavar="N", help="how long, in simulated days (1)")
    add(
        "--battery",
        default="van",
        metavar="KIND",
        help="van, house, ebike, or a poll log as LOG.csv or LOG.csv.gz (%(default)s)",
    )
    add("--lcd", choices=("16x2", "20x4", "none"), default="16x2", help="display (%(default)s)")
    add("--realtime", action="store_true", help="a second lasts a second")
    add("--volume", choices=("lfs2", "fat"), default="lfs2", help="file system (%(default)s)")
    add("--size", type=_size, default=2 << 20, metavar="SIZE", help="size of the flash volume (2M)")
    add(
        "--heap",
        type=_heap,
        default=virtual.HEAP,
        metavar="SIZE",
        help="memory for the board's code, on the 64-bit port (%(default)s)",
    )
    virtual.add_interpreter(parser)
    add("--seed", type=_seed, default=1, metavar="N", help="another battery of its kind (1)")
    add("--out", metavar="DIR", help="folder for the shards (one below build/sim-out)")
    add("--json", action="store_true", help="print the figures as one JSON object, nothing else")
    parser.set_defaults(run=_run)
