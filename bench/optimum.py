"""The least number of frames that any rule could store within the bounds of sampling/sampler.py.

Stated anew, from its docstring: a path of fewest segments through the polls, found by dynamic
programming, for whoever may know the whole log beforehand. Widening is left out.
"""

import numba
import numpy as np

from batmon.log import fidelity
from batmon.log.polllog import PollLog

_SILENCE_S = 1800
_CHARGE_AS = (1 << 26) / 1000
_STEP_SHARE = 0.05
_USUAL_SHARE, _MOST_SHARE = 0.003, 0.01  # of the capacity, as A
_USUAL_OF_MEAN, _MOST_OF_MEAN = 0.05, 0.15
_MOMENT_S = 30
_CELL_MV = 10.0
_VOLTAGE_SHARE, _COARSE_V, _COARSE_POLLS = 0.004, 0.1, 60
_SOC, _SOC_STEP = 0.4, 1.0
_TEMPERATURE = 1.5
_NEVER = 1 << 30


@numba.njit(cache=True)
def _steps(current, begins, capacity_ah):
    """Return whether a step lies before each poll, and the jitter of the current there (A)."""
    step = np.zeros(len(current), np.bool_)
    jitter = np.zeros(len(current))
    now = 0.0
    for k in range(1, len(current)):
        jitter[k] = now
        if begins[k]:
            continue
        if np.isnan(current[k]) or np.isnan(current[k - 1]):
            step[k] = np.isnan(current[k]) != np.isnan(current[k - 1])
            continue
        change = abs(current[k] - current[k - 1])
        larger = max(abs(current[k]), abs(current[k - 1]))
        usual = _MOST_SHARE * capacity_ah + _MOST_OF_MEAN * larger + now
        step[k] = change > max(min(usual, _STEP_SHARE * capacity_ah), 1.5 * now)
        if change > now:
            now = min(now * 1.25 + 0.008, capacity_ah)
        else:
            now -= now / 32
        jitter[k] = now
    return step, jitter


@numba.njit(cache=True)
def _band(column, mean, now, value, coarse, jitter, capacity_ah):
    """Return how far the line of a column may be from a poll: V, A s, mV, mV."""
    if column == 0:
        return max(_VOLTAGE_SHARE * value, _COARSE_V if coarse else 0.0)
    if column > 1:
        return _CELL_MV
    usual = (_USUAL_SHARE * capacity_ah + _USUAL_OF_MEAN * mean) / (1 + _USUAL_OF_MEAN)
    most = (_MOST_SHARE * capacity_ah + _MOST_OF_MEAN * min(mean, now)) / (1 + _MOST_OF_MEAN)
    return _MOMENT_S * min(usual + jitter / 2, most)


@numba.njit(cache=True)
def _holds(temperature, soc, a, k):
    """Do temperature and state of charge of frame `a` still tell poll `k`?"""
    if np.isnan(temperature[a]) != np.isnan(temperature[k]) or np.isnan(soc[a]) != np.isnan(soc[k]):
        return False
    if abs(temperature[k] - temperature[a]) > _TEMPERATURE:
        return False
    change = abs(soc[k] - np.rint(soc[a] * 2) / 2)
    return not change > _SOC + 1e-6 or abs(change - _SOC_STEP) < 1e-6


@numba.njit(cache=True)
def _path(seconds, columns, now, temperature, soc, coarse, begins, step, jitter, capacity_ah):
    """Return for every poll how many frames lead to it at least, and the frame before it."""
    n = len(seconds)
    frames = np.full(n, _NEVER)
    before = np.full(n, -1)
    frames[0] = 1
    low = np.empty(4)
    high = np.empty(4)
    for a in range(n):
        if begins[a] and a > 0:
            frames[a] = frames[a - 1] + 1
            before[a] = a - 1
        if frames[a] >= _NEVER:
            continue
        low[:] = -np.inf
        high[:] = np.inf
        for b in range(a + 1, n):
            if begins[b] or (step[b] and b - 1 > a):
                break
            interval = seconds[b] - seconds[a]
            fits = True
            for i in range(4):
                if np.isnan(columns[i, b]) != np.isnan(columns[i, a]):
                    fits = b == a + 1  # what becomes known or unknown
                elif interval > 0 and not np.isnan(columns[i, b]):
                    slope = (columns[i, b] - columns[i, a]) / interval
                    fits = fits and low[i] <= slope <= high[i]
            if fits and frames[a] + 1 < frames[b]:
                frames[b] = frames[a] + 1
                before[b] = a
            if (
                interval >= _SILENCE_S
                or abs(columns[1, b] - columns[1, a]) >= _CHARGE_AS
                or not _holds(temperature, soc, a, b)
            ):
                break
            dead = False
            for i in range(4):
                if np.isnan(columns[i, b]) != np.isnan(columns[i, a]):
                    dead = True
                elif interval > 0 and not np.isnan(columns[i, b]):
                    rise = columns[i, b] - columns[i, a]
                    mean = abs(columns[1, b] - columns[1, a]) / interval
                    band = _band(i, mean, now[b], columns[i, b], coarse[b], jitter[b], capacity_ah)
                    low[i] = max(low[i], (rise - band) / interval)
                    high[i] = min(high[i], (rise + band) / interval)
                    dead = dead or low[i] > high[i]
            if dead:
                break
    return frames, before


def arrays(log: PollLog, capacity_ah: float) -> tuple:
    """Return what the bounds are about, as `_path` takes it."""
    gap = fidelity.gaps(log)
    known = {
        name: fidelity.bridged(getattr(log, name), gap)
        for name in ("current", "temperature", "soc", "cell_min_mv", "cell_max_mv")
    }
    charge = fidelity.polled_charge(log)
    columns = np.stack([log.voltage, charge, known["cell_min_mv"], known["cell_max_mv"]])
    tenths = np.rint(log.voltage * 1000) % 100 == 0
    run = np.arange(len(log)) - np.maximum.accumulate(np.where(tenths, -1, np.arange(len(log))))
    step, jitter = _steps(known["current"], gap, capacity_ah)
    amps = np.nan_to_num(abs(known["current"]))
    half_degrees = np.rint(known["temperature"] * 2) / 2
    return (
        fidelity.seconds_of(log), columns, np.maximum(amps, np.append(amps[:1], amps[:-1])),
        half_degrees, known["soc"], run > _COARSE_POLLS,
        gap, step, jitter, capacity_ah,
    )  # fmt: skip


def rows(log: PollLog, capacity_ah: float) -> np.ndarray:
    """Return the rows of the log that suffice: the first and the last, and the fewest between."""
    frames, before = _path(*arrays(log, float(capacity_ah)))
    out = np.empty(frames[-1], np.int64)
    k = len(log) - 1
    for i in range(len(out) - 1, -1, -1):
        out[i] = k
        k = before[k]
    return out
