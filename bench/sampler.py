"""Poll logs as the sampler keeps them, as the ancestor's rule did, and at a fixed interval.

`floor` is what no sampler gets below: the step of half floats and the BMS's own noise and
resolution. The rows `geomean` compare ours with the other two: the geometric mean over the logs
of ours divided by theirs, where an error within 1.5 times its floor counts as half at most.
"""

import math
import os
import tempfile
from pathlib import Path

import numpy as np

from batmon.console import UserError, note
from batmon.log import fidelity, polllog
from batmon.log.timeline import FRAME
from batmon.paths import ROOT
from batmon.virtual import replay

_LOGS = ROOT / "tests/data/logs"
# Where state of charge and current do not tell; else, and for unknown logs, it is estimated.
_CAPACITY_AH = {"van4s": 280, "house16s": 280, "ebike16s": 24}

# The ancestor's: polls between frames, by current; and what is stored at once.
_POLL_S = 2
_POLLS_HIGH, _POLLS_LOW, _POLLS_REST = 16, 128, 1024
_HIGH_SHARE, _LOW_A = 0.05, 1.4
_VOLTAGE_SHARE, _MEAN_SHARE = 0.004, 0.3

_NEAR_FLOOR = 1.5
_SIGMAS = 4  # a change beyond is no noise
_GOLDEN = (math.sqrt(5) - 1) / 2
_SOC_STEP = 0.5  # of a frame, in percent


def measure() -> dict[str, dict[str, float]]:
    """Return the figures of every log in tests/data/logs, or in the folder $LOGS."""
    folder = Path(os.environ.get("LOGS") or _LOGS)
    paths = sorted([*folder.glob("*.csv"), *folder.glob("*.csv.gz")])
    if not paths:
        raise UserError(f"LOGS={folder} has no .csv or .csv.gz; name a folder with poll logs.")
    rows = {}
    names = []
    for path in paths:
        name = path.name.partition(".")[0]
        try:
            log = polllog.read(path)
        except UserError as error:
            note(str(error))  # the others are worth measuring
            continue
        rows |= {f"{name}/{kind}": row for kind, row in _measured(log, name).items()}
        names.append(name)
    for other in ("ancestor", "fixed"):
        rows[f"geomean/{other}"] = _ratios(rows, names, other)
    return rows


def _measured(log: polllog.PollLog, name: str) -> dict[str, dict[str, float]]:
    with tempfile.TemporaryDirectory() as folder:
        ours = replay.replay(log, Path(folder), name, _CAPACITY_AH.get(name))
    figures = replay.score(log, ours)
    frames = round(figures["frames_per_day"] * fidelity.days_of(log))
    return {
        "ours": figures,
        "ancestor": _scored(log, *_ancestor(log, ours.capacity_ah)),
        "fixed": _scored(log, *_fixed(log, frames)),
        "floor": _floor(log),
    }


def _scored(log: polllog.PollLog, rows: np.ndarray, means: np.ndarray) -> dict[str, float]:
    """Return the figures of frames that store `rows` of the log with these mean currents."""
    frames = np.zeros(len(rows), FRAME)
    seconds = fidelity.seconds_of(log)[rows]
    frames["time"] = seconds & 0xFFFF
    frames["voltage"] = _half(log.voltage[rows]).view(np.uint16)
    frames["current"] = _half(means).view(np.uint16)
    for field, values, unknown in (
        ("temperature", np.clip((log.temperature[rows] + 40) * 2, 0, 254), 255),
        ("soc", log.soc[rows] * 2, 255),
        ("cell_min", log.cell_min_mv[rows], 65535),
        ("cell_max", log.cell_max_mv[rows], 65535),
    ):
        frames[field] = np.where(np.isnan(values), unknown, np.rint(values))
    scale = max(16, log.cells)
    index = 16 * (log.idx_max[rows] * 16 // scale) + log.idx_min[rows] * 16 // scale
    frames["cell_index"] = np.where(np.isnan(log.cell_min_mv[rows]), 255, index)
    stored = fidelity.kept(log, frames, seconds)
    return fidelity.density(log, frames) | fidelity.score(log, stored)


def _ancestor(log: polllog.PollLog, capacity_ah: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows that the ancestor's rule stores, and the mean currents it stores there."""
    rows, means = [], []
    total, polls = 0.0, 0
    mean_before, volts_before, soc_before = 0.0, 0.0, None
    due_s = -math.inf
    columns = (log.time_s, log.voltage, np.nan_to_num(log.current), np.nan_to_num(log.soc))
    for k, (t, volts, amps, percent) in enumerate(
        zip(*map(np.ndarray.tolist, columns), strict=True)
    ):
        if t < due_s:
            continue  # it polls every two seconds, however often the log was
        due_s = t + 0.75 * _POLL_S
        total += amps
        polls += 1
        mean = total / polls
        wanted = _POLLS_REST
        if abs(amps) > _HIGH_SHARE * capacity_ah:
            wanted = _POLLS_HIGH
        elif abs(amps) > _LOW_A:
            wanted = _POLLS_LOW
        if (
            polls >= wanted
            or round(percent) != soc_before
            or abs(volts - volts_before) > _VOLTAGE_SHARE * volts_before
            or (
                polls >= _POLLS_HIGH
                and abs(mean - mean_before) > _MEAN_SHARE * (abs(mean_before) + 0.001)
            )
        ):
            rows.append(k)
            means.append(mean)
            mean_before, volts_before, soc_before = mean, volts, round(percent)
            total, polls = 0.0, 0
    return np.array(rows), np.array(means)


def _fixed(log: polllog.PollLog, frames: int) -> tuple[np.ndarray, np.ndarray]:
    """Return `frames` rows at equal distance in time, and the mean currents up to them."""
    times = np.linspace(log.time_s[0], log.time_s[-1], max(frames, 2))
    rows = np.unique(np.searchsorted(log.time_s, times[1:], "right") - 1)
    rows = np.append(0, rows[rows > 0])
    total = np.append(0, np.cumsum(np.nan_to_num(log.current)))
    first = np.append(0, rows[:-1] + 1)
    return rows, (total[rows + 1] - total[first]) / (rows + 1 - first)


def _floor(log: polllog.PollLog) -> dict[str, float]:
    """Return the errors that half floats and the BMS leave whatever is stored."""
    volts = abs(_half(log.voltage).astype(float) - log.voltage + _noise(log.voltage)) * 1000
    amps = np.nan_to_num(log.current)
    period_s = float(np.median(np.diff(log.time_s))) if len(log) > 1 else _POLL_S
    in_a_minute = max(1, 60 / period_s)
    noise = np.mean(_noise(amps) ** 2) / in_a_minute
    rounding = np.mean((_half(amps).astype(float) - amps) ** 2)
    moved = np.sqrt(np.mean(amps**2))
    return {
        "v_mean_mv": float(volts.mean()),
        "v_999_mv": float(np.quantile(volts, 0.999)),
        "v_max_mv": float(volts.max()),
        "i_1min_pct": 100 * float(np.sqrt(noise + rounding) / moved) if moved else 0.0,
        "soc_max_pct": max(_SOC_STEP / 2, _resolution(log.soc)),
    }


def _noise(values: np.ndarray) -> np.ndarray:
    """Return how far each value lies from its neighbours' mean, without real changes.

    Where that is less than the resolution leaves of any value, what the resolution leaves.
    """
    if len(values) < 3:
        return np.zeros(len(values))
    bend = np.zeros(len(values))
    bend[1:-1] = (values[1:-1] - (values[:-2] + values[2:]) / 2) * math.sqrt(2 / 3)
    limit = _SIGMAS * 1.25 * abs(bend).mean()
    noise = np.clip(bend, -limit, limit)
    step = _resolution(values)
    if noise.std() * math.sqrt(12) > step:
        return noise
    return step * (np.arange(len(values)) * _GOLDEN % 1 - 0.5)  # as good as random


def _resolution(values: np.ndarray) -> float:
    """Return the smallest change between two polls, 0 where nothing changes."""
    changes = np.round(abs(np.diff(values)), 4)
    return float(changes[changes > 0].min(initial=math.inf)) if (changes > 0).any() else 0.0


def _ratios(rows: dict, names: list[str], other: str) -> dict[str, float]:
    """Return the geometric means over the logs of ours / `other`; see the module's docstring."""
    logs = {}
    for name in names:
        ours, theirs, floor = (rows[f"{name}/{kind}"] for kind in ("ours", other, "floor"))
        for metric, value in ours.items():
            ratio = value / theirs[metric] if theirs[metric] else 1.0 if value else 0.5
            if value <= _NEAR_FLOOR * floor.get(metric, 0 if value else 1):
                ratio = min(ratio, 0.5)
            logs.setdefault(metric, []).append(max(ratio, 1e-3))
    return {metric: float(np.exp(np.log(ratios).mean())) for metric, ratios in logs.items()}


def _half(values: np.ndarray) -> np.ndarray:
    return values.astype(np.float16)
