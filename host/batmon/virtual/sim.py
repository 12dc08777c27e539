"""A simulated battery on the virtual board, and how far its log is from the truth."""

import shutil
import struct
from pathlib import Path

from batmon.console import UserError
from batmon.virtual import process

# 2026-01-01 06:00 UTC, the time of day when the simulated batteries begin.
_OLDEST_UNIX = 1_704_067_200
NAMES = {"jikong": "jk-pak01", "jbd": "JBD-SP25S020"}
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
_NEAR_S = 2  # a frame and the poll behind it are no further apart


def poll_log(battery: str) -> Path | None:
    """Return the poll log that `battery` names, None for a built-in battery."""
    if battery in _CAPACITY_AH:
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
    battery, start_unix = args.battery, process.START_UNIX
    if log:
        battery = str(out.resolve() / "battery.bpl")
        capacity, start_unix = _pack(log, Path(battery))
    else:
        capacity = _CAPACITY_AH[battery]
    return process.configure(
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
        chip=args.chip,
        heap=args.heap,
        realtime=args.realtime,
        interpreter=args.interpreter,
        start_unix=start_unix,
        settings={
            "dev_name": NAMES[args.bms],
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
    from batmon.log import polllog

    first_s = int(polllog.pack(log, target).time_s[0])
    (capacity,) = struct.unpack_from("<H", target.read_bytes(), 6)
    # Logs may count from anything; a board does not believe in dates before 2024.
    return min(capacity, 10_000), first_s if first_s >= _OLDEST_UNIX else process.START_UNIX


def compare(end: dict, out: Path) -> dict:
    """Return the figures of the run: what was logged, and how far it is from the truth."""
    from batmon.log import stream

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
        "panics": end.get("panics", []),
        "memory": end.get("memory_at", {}),
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
