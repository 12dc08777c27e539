"""How well stored frames tell what a poll log told: the errors of lines, means and charge.

Frames are read as docs/FORMAT.md says: voltage as straight lines between data frames, current as
the mean since the frame before, state of charge as it was stored last. Times are whole seconds,
as in frames; the charge of polls is each poll's current held since the poll before. What a poll
lacks counts as in the poll before, for a few polls in a row; see sampling/sampler.py.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from batmon.log.formats import codec, frame
from batmon.log.polllog import PollLog

_GAP_S = 10  # as the sampler: a longer silence between polls is none of its intervals
_USUAL_S = 2.5
_BRIDGED_POLLS = 15
_MINUTE_S = 60
_HOUR_S = 3600
_VOLUME_BYTES = 2 << 20


@dataclass(frozen=True)
class Kept:
    """Data frames in physical units, and for each the row of the log that it stores."""

    row: np.ndarray
    voltage: np.ndarray
    current: np.ndarray
    soc: np.ndarray
    cell_min_mv: np.ndarray
    cell_max_mv: np.ndarray


def gaps(log: PollLog) -> np.ndarray:
    """Return for every row of the log whether the polls before it are missing (bool)."""
    usual = _USUAL_S
    out = np.zeros(len(log), bool)
    dt = np.diff(log.time_s)
    if not len(dt) or dt.max() <= _GAP_S:
        return out
    for k, step in enumerate(dt.tolist(), 1):
        out[k] = step > max(_GAP_S, 4 * usual)
        usual = min(step, 2 * usual)
    return out


def kept(log: PollLog, data: np.ndarray, uptime_s: np.ndarray) -> Kept:
    """Match data frames (dtype timeline.FRAME) to the rows of the log they were made of.

    `uptime_s` is their time, 0 at the first row.
    """
    return Kept(
        np.maximum(np.searchsorted(seconds_of(log), uptime_s, "right") - 1, 0),
        data["voltage"].view(np.float16).astype(float),
        data["current"].view(np.float16).astype(float),
        np.where(data["soc"] == frame.UNKNOWN_U8, np.nan, data["soc"] / 2),
        _known(data["cell_min"]),
        _known(data["cell_max"]),
    )


def seconds_of(log: PollLog) -> np.ndarray:
    """Return the whole seconds of every row since the first: the time a frame would have."""
    milliseconds = np.rint((log.time_s - log.time_s[0]) * 1000).astype(np.int64)
    return milliseconds // 1000


def density(log: PollLog, frames: np.ndarray) -> dict[str, float]:
    """Return how much flash `frames` (dtype timeline.FRAME) take per day of the log, sealed."""
    days = days_of(log)
    sealed = _sealed_bytes(frames)
    return {
        "frames_per_day": len(frames) / days,
        "bytes_per_day": sealed / days,
        "years_in_2_mib": _VOLUME_BYTES / (sealed / days) / 365.25,
    }


def score(log: PollLog, stored: Kept) -> dict[str, float]:
    """Return the errors of `stored` against the log; the metric's name says the unit.

    `charge_worst_hour_pct` is the largest error of an hour as a share of the charge moved in the
    mean hour. Where no current flows at all the errors of current are 0.
    """
    polled, kept_as, moved = charges(log, stored)
    hours, moved_h = _at_every(log, _HOUR_S, kept_as - polled), moved[-1]
    mean_hour = moved_h / (days_of(log) * 24)
    minutes = np.diff(_at_every(log, _MINUTE_S, polled)) / _MINUTE_S
    minutes_kept = np.diff(_at_every(log, _MINUTE_S, kept_as)) / _MINUTE_S
    volts = abs(line(log, stored, stored.voltage) - log.voltage) * 1000
    soc = abs(held(stored, stored.soc, len(log)) - log.soc)
    return {
        "charge_pct": _percent(abs(kept_as[-1] - polled[-1]), moved_h),
        "charge_worst_hour_pct": _percent(abs(np.diff(hours)).max(initial=0), mean_hour),
        "v_mean_mv": float(np.nanmean(volts)),
        "v_999_mv": float(np.nanquantile(volts, 0.999)),
        "v_max_mv": float(np.nanmax(volts)),
        "i_1min_pct": _percent(_rms(minutes_kept - minutes), _rms(minutes)),
        "soc_max_pct": float(np.nanmax(soc)) if np.isfinite(soc).any() else 0.0,
    }


def charges(log: PollLog, stored: Kept) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return at every poll the charge since the first: polled, as stored, and moved (A s)."""
    gap = gaps(log)
    seconds = np.cumsum(np.where(gap, 0, np.diff(seconds_of(log), prepend=0)))
    at = seconds[stored.row]
    frames = np.cumsum(np.nan_to_num(stored.current) * np.diff(at, prepend=0))
    kept_as = np.interp(seconds, np.append(0, at), np.append(0, frames))
    return polled_charge(log), kept_as, polled_charge(log, abs)


def polled_charge(log: PollLog, of=lambda current: current) -> np.ndarray:
    """Return the charge at every poll since the first (A s), of `of` the current."""
    gap = gaps(log)
    dt = np.where(gap, 0, np.diff(log.time_s, prepend=log.time_s[0]))
    return np.cumsum(of(np.nan_to_num(bridged(log.current, gap))) * dt)


def bridged(values: np.ndarray, gap: np.ndarray) -> np.ndarray:
    """Return `values` with what up to 15 polls in a row lack (NaN) as in the poll before.

    `gap` is that of `gaps`: nothing is carried over one.
    """
    runs = pd.Series(values).groupby(np.cumsum(gap))
    return runs.ffill(limit=_BRIDGED_POLLS).to_numpy()


def line(log: PollLog, stored: Kept, values: np.ndarray) -> np.ndarray:
    """Return at every poll the straight lines between the frames' `values`."""
    seconds = seconds_of(log)
    return np.interp(seconds, seconds[stored.row], values)


def held(stored: Kept, values: np.ndarray, rows: int) -> np.ndarray:
    """Return at every poll the value of the last frame stored at or before it."""
    last = np.searchsorted(stored.row, np.arange(rows), "right") - 1
    return values[np.maximum(last, 0)]


def days_of(log: PollLog) -> float:
    """Return how many days the log is long; one second at least."""
    return max(log.time_s[-1] - log.time_s[0], 1) / 86400


def _sealed_bytes(frames: np.ndarray) -> int:
    """Return the size of the sealed shard of `frames`."""
    encoder = codec.Encoder()
    data = frames.tobytes()
    chunk = codec.CHUNK_FRAMES * frame.SIZE
    size = len(codec.HEADER) + len(codec.end_block(len(frames)))
    for at in range(0, len(data), chunk):
        part = bytearray(data[at : at + chunk])
        for block in encoder.encode(part, len(part) // frame.SIZE):
            size += len(block or b"")
    return size + len(encoder.end())


def _at_every(log: PollLog, window_s: int, charge: np.ndarray) -> np.ndarray:
    """Return `charge` at the ends of windows of `window_s` seconds from the first poll on."""
    seconds = log.time_s - log.time_s[0]
    return np.interp(np.arange(0, seconds[-1] + 1e-9, window_s), seconds, charge)


def _known(cells: np.ndarray) -> np.ndarray:
    return np.where(cells == frame.UNKNOWN_U16, np.nan, cells.astype(float))


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(values**2))) if len(values) else 0.0


def _percent(part: float, whole: float) -> float:
    return float(100 * part / whole) if whole else 0.0
