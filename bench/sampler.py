"""Poll logs as the sampler keeps them, as the ancestor's rule did, and at a fixed interval.

`floor` is what no sampler gets below: the step of half floats and the BMS's own noise and
resolution. The rows `geomean` compare ours with the other two: the geometric mean over the logs
of ours divided by theirs, where an error within 1.5 times its floor counts as half at most.
"""

import math

import numpy as np

from batmon.log import fidelity, polllog
from batmon.virtual import replay
from bench import rules
from bench.logs import logs, replayed

_NEAR_FLOOR = 1.5
_SIGMAS = 4  # a change beyond is no noise
_GOLDEN = (math.sqrt(5) - 1) / 2
_SOC_STEP = 0.5  # of a frame, in percent


def measure() -> dict[str, dict[str, float]]:
    """Return the figures of every log in tests/data/logs, or in the folder $LOGS."""
    rows = {}
    names = []
    for name, log in logs():
        rows |= {f"{name}/{kind}": row for kind, row in _measured(log, name).items()}
        names.append(name)
    for other in ("ancestor", "fixed"):
        rows[f"geomean/{other}"] = ratios(rows, names, other)
    return rows


def _measured(log: polllog.PollLog, name: str) -> dict[str, dict[str, float]]:
    ours = replayed(name, log)
    figures = replay.score(log, ours)
    frames = round(figures["frames_per_day"] * fidelity.days_of(log))
    return {
        "ours": figures,
        "ancestor": _scored(log, *rules.ancestor(log, ours.capacity_ah)),
        "fixed": _scored(log, *rules.fixed(log, frames)),
        "floor": floor(log),
    }


def _scored(log: polllog.PollLog, rows: np.ndarray, means: np.ndarray) -> dict[str, float]:
    frames = rules.frames(log, rows, means)
    stored = fidelity.kept(log, frames, fidelity.seconds_of(log)[rows])
    return fidelity.density(log, frames) | fidelity.score(log, stored)


def floor(log: polllog.PollLog) -> dict[str, float]:
    """Return the errors that half floats and the BMS leave whatever is stored."""
    volts = abs(rules.half(log.voltage).astype(float) - log.voltage + _noise(log.voltage)) * 1000
    amps = np.nan_to_num(log.current)
    period_s = float(np.median(np.diff(log.time_s))) if len(log) > 1 else rules.POLL_S
    in_a_minute = max(1, 60 / period_s)
    noise = np.mean(_noise(amps) ** 2) / in_a_minute
    rounding = np.mean((rules.half(amps).astype(float) - amps) ** 2)
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


def ratios(rows: dict, names: list[str], other: str) -> dict[str, float]:
    """Return the geometric means over the logs of ours / `other`; see the module's docstring."""
    logs = {}
    for name in names:
        ours, theirs, floor = (rows[f"{name}/{kind}"] for kind in ("ours", other, "floor"))
        for metric, value in ours.items():
            if metric not in theirs:
                continue
            ratio = value / theirs[metric] if theirs[metric] else 1.0 if value else 0.5
            if value <= _NEAR_FLOOR * floor.get(metric, 0 if value else 1):
                ratio = min(ratio, 0.5)
            logs.setdefault(metric, []).append(max(ratio, 1e-3))
    return {metric: float(np.exp(np.log(ratios).mean())) for metric, ratios in logs.items()}
