"""A simulated battery on the virtual board, and how far its log is from the truth."""

import json
import re
import shutil
import struct
from pathlib import Path

from batmon.console import UserError
from batmon.virtual import power, process

# 2026-01-01 06:00 UTC, the time of day when the simulated batteries begin.
_OLDEST_UNIX = 1_704_067_200
NAMES = {"jikong": "jk-pak01", "jbd": "JBD-SP25S020"}
_CAPACITY_AH = {"van": 280, "house": 280, "ebike": 24, "parked": 280}
_MOST = 8
TRUTHS = tuple(f"truth{n or ''}.csv" for n in range(_MOST))  # what each BMS told
_OUR_FILES = (
    "battery.bpl",
    "config.json",
    "data",
    "flash.img",
    "repl.txt",
    "rtc.bin",
    "rtc.bin.world",
    "stop",
    *TRUTHS,
)
# Of the clock that runs while the board sleeps, parts per million: what it is off in the mean of a
# day, and how far it strays from that with the warmth. Up to 50,000 are reported.
_SLOW_CLOCK = 20_000, 5_000
_NEAR_S = 2  # a frame and the poll behind it are no further apart


def several(bms: str, battery: str, names: dict = NAMES) -> list[dict]:
    """Return {"bms", "battery", "dev_name", "capacity_ah"} of each that the two lists name.

    The last of a shorter list counts for the rest. Raises UserError.
    """
    makes, kinds = bms.split(","), battery.split(",")
    out = []
    for i in range(max(len(makes), len(kinds))):
        make = makes[min(i, len(makes) - 1)]
        kind = kinds[min(i, len(kinds) - 1)]
        if make not in names:
            raise UserError(f"--bms {make} is not one of {', '.join(names)}.")
        if len(kinds) > 1 and kind not in _CAPACITY_AH:
            kinds = ", ".join(_CAPACITY_AH)
            raise UserError(f"--battery {kind}: several batteries are of {kinds}.")
        same = sum(one["bms"] == make for one in out)
        name = f"{names[make][:-1]}{same + 1}" if same else names[make]
        capacity_ah = _CAPACITY_AH.get(kind)
        out.append({"bms": make, "battery": kind, "dev_name": name, "capacity_ah": capacity_ah})
    if len(out) > _MOST:
        raise UserError(f"{len(out)} batteries are too many, a board takes {_MOST} at most.")
    return out


def poll_log(battery: str) -> Path | None:
    """Return the poll log that `battery` names, None for a built-in battery."""
    if "," in battery or battery in _CAPACITY_AH:
        return None
    path = Path(battery)
    if not path.is_file():
        kinds = ", ".join(_CAPACITY_AH)
        raise UserError(f"--battery {battery} is neither one of {kinds} nor a file that exists.")
    return path


def stem(battery: str) -> str:
    return Path(battery).name.partition(".")[0]


def prepare(out: Path):
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


def configure(args, board: Path, out: Path, log: Path | None) -> Path:
    """Write the configuration that the virtual board reads; return its path."""
    batteries = several(args.bms, args.battery)
    start_unix = process.START_UNIX
    if log:
        batteries[0]["battery"] = str(out.resolve() / "battery.bpl")
        capacity, start_unix = _pack(log, Path(batteries[0]["battery"]))
        batteries[0]["capacity_ah"] = capacity
    return process.configure(
        out,
        board,
        driver=f"{batteries[0]['bms']}_bms",
        volume=args.volume,
        size=args.size,
        bms=",".join(one["bms"] for one in batteries),
        battery=",".join(one["battery"] for one in batteries),
        names=[one["dev_name"] for one in batteries],
        days=args.days,
        lcd=args.lcd,
        seed=args.seed,
        chip=args.chip,
        heap=args.heap,
        machine=None if args.heap == process.HEAP else process.machine_name(args.chip, psram=True),
        realtime=args.realtime,
        slow_clock=_SLOW_CLOCK,
        interpreter=args.interpreter,
        start_unix=start_unix,
        settings=settings(batteries, args.lcd) | {"rest": args.rest},
    )


def settings(batteries: list[dict], lcd: str) -> dict:
    """Return the settings of a board with what `several` returns, and a display like 20x4."""
    listed = entries(batteries)
    return (listed[0] if len(listed) == 1 else {"batteries": listed}) | {"lcd": _lcd(lcd)}


def entries(batteries: list[dict]) -> list[dict]:
    """Return what the settings of a board say of several batteries."""
    return [
        {"bms": f"{one['bms']}_bms", "dev_name": one["dev_name"], "capacity_ah": one["capacity_ah"]}
        for one in batteries
    ]


def _lcd(size: str) -> dict:
    """Return the board's settings for a display like 20x4, or none."""
    if size == "none":
        return {"fitted": False}
    cols, rows = size.split("x")
    return {"cols": int(cols), "rows": int(rows)}


def _pack(log: Path, target: Path) -> tuple[int, int]:
    """Pack a poll log for the board; return its capacity in Ah and when it begins."""
    from batmon.log import polllog

    first_s = int(polllog.pack(log, target).time_s[0])
    (capacity,) = struct.unpack_from("<H", target.read_bytes(), 6)
    # Logs may count from anything; a board does not believe in dates before 2024.
    return min(capacity, 10_000), first_s if first_s >= _OLDEST_UNIX else process.START_UNIX


def compare(end: dict, out: Path) -> dict:
    """Return the figures of the run: what was logged, how far it is from the truth, and what the
    board took.

    Of several batteries `batteries` has those of each.
    """
    from batmon.log import stream

    days = end["t_s"] / 86400
    heap = end["heap_at"]
    names = json.loads((out / "config.json").read_text())["names"]
    result = {
        "days": round(days, 4),
        "heap_first_hour": heap.get("first_hour"),
        "heap_days": [heap[f"day{day}"] for day in range(1, int(days) + 1) if f"day{day}" in heap],
        "heap_end": heap.get("end"),
        "panics": end.get("panics", []),
        "memory": end.get("memory_at", {}),
        "reason": end["reason"],
        "power": power.estimate(end["power"], end["t_s"]),
        "out": str(out),
    }
    files = _shards(out)
    table = stream.read(out / "data") if files else None
    if len(names) == 1:
        return result | _figures(table, files, end["truth"], out / "truth.csv")
    result["batteries"] = []
    for i, name in enumerate(names):
        called = re.sub(r"\W", "_", name, flags=re.A)
        rows = None if table is None else table[table["battery"] == called]
        mine = [path for path in files if path.name.rpartition("-")[0] == called]
        truth = out / f"truth{i or ''}.csv"
        figures = _figures(rows, mine, end["truths"][i], truth)
        link = end["links"][i] if i < len(end["links"]) else {}
        result["batteries"].append({"battery": called} | figures | {"link": link})
    return result


def _shards(out: Path) -> list[Path]:
    return [path for path in (out / "data").glob("*-*.*") if path.suffix in (".raw", ".bts")]


def _figures(table, files: list[Path], truth: dict, polls: Path) -> dict:
    """Return how one battery's log, a table or None, differs from its truth."""
    result = {
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
    }
    if not files:
        return result
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
        voltage_max_error_mv=_voltage_error_mv(table, polls),
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
