"""Other rules to thin a poll log: the ancestor's, and one frame every so often; and its packing."""

import math

import numpy as np
import tamp

from batmon.log import fidelity
from batmon.log.polllog import PollLog
from batmon.log.timeline import FRAME

# The ancestor's: polls between frames, by current; and what is stored at once.
POLL_S = 2
_POLLS_HIGH, _POLLS_LOW, _POLLS_REST = 16, 128, 1024
_HIGH_SHARE, _LOW_A = 0.05, 1.4
_VOLTAGE_SHARE, _MEAN_SHARE = 0.004, 0.3


def frames(log: PollLog, rows: np.ndarray, means: np.ndarray) -> np.ndarray:
    """Return the frames (dtype timeline.FRAME) that store `rows` of the log, with mean currents."""
    out = np.zeros(len(rows), FRAME)
    seconds = fidelity.seconds_of(log)[rows]
    out["time"] = seconds & 0xFFFF
    out["voltage"] = half(log.voltage[rows]).view(np.uint16)
    out["current"] = half(means).view(np.uint16)
    for field, values, unknown in (
        ("temperature", np.clip((log.temperature[rows] + 40) * 2, 0, 254), 255),
        ("soc", log.soc[rows] * 2, 255),
        ("cell_min", log.cell_min_mv[rows], 65535),
        ("cell_max", log.cell_max_mv[rows], 65535),
    ):
        out[field] = np.where(np.isnan(values), unknown, np.rint(values))
    scale = max(16, log.cells)
    index = 16 * (log.idx_max[rows] * 16 // scale) + log.idx_min[rows] * 16 // scale
    out["cell_index"] = np.where(np.isnan(log.cell_min_mv[rows]), 255, index)
    return out


def means(log: PollLog, rows: np.ndarray) -> np.ndarray:
    """Return the mean current up to each row, such that frames add up to the polled charge."""
    seconds = fidelity.seconds_of(log)[rows]
    charge = fidelity.polled_charge(log)[rows]
    gap = fidelity.gaps(log)[rows]
    amps = np.nan_to_num(log.current[rows])
    out, rest = [], 0.0
    for k in range(len(rows)):
        interval = 0 if k == 0 or gap[k] else int(seconds[k] - seconds[k - 1])
        if not interval:
            rest = 0.0
            out.append(float(amps[k]))
            continue
        wanted = charge[k] - charge[k - 1] + rest
        out.append(float(half(np.array([wanted / interval]))[0]))
        rest = wanted - out[-1] * interval
    return np.array(out)


def ancestor(log: PollLog, capacity_ah: int) -> tuple[np.ndarray, np.ndarray]:
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
        due_s = t + 0.75 * POLL_S
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


def fixed(log: PollLog, frames: int) -> tuple[np.ndarray, np.ndarray]:
    """Return `frames` rows at equal distance in time, and the mean currents up to them."""
    times = np.linspace(log.time_s[0], log.time_s[-1], max(frames, 2))
    rows = np.unique(np.searchsorted(log.time_s, times[1:], "right") - 1)
    rows = np.append(0, rows[rows > 0])
    total = np.append(0, np.cumsum(np.nan_to_num(log.current)))
    first = np.append(0, rows[:-1] + 1)
    return rows, (total[rows + 1] - total[first]) / (rows + 1 - first)


def packed(frames: np.ndarray) -> int:
    """Return the bytes of frames as the ancestor packs them: differences, varints, tamp."""
    columns = [frames[name].astype(np.int64) for name in FRAME.names]
    columns[1:3] = [np.where(c & 0x8000, c ^ 0xFFFF, c | 0x8000) for c in columns[1:3]]
    signed = np.stack([np.diff(column, prepend=0) for column in columns], 1).ravel()
    out = bytearray()
    for value in (signed << 1 ^ signed >> 63).tolist():
        while value > 127:
            out.append(value & 127 | 128)
            value >>= 7
        out.append(value)
    return len(tamp.compress(bytes(out), window=10))


def half(values: np.ndarray) -> np.ndarray:
    """Return the values as half floats."""
    return values.astype(np.float16)
