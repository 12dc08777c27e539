"""Tables on an even grid of time: means, extremes, and charge and energy that add up exactly.

Between two rows of a run voltage and cells are straight lines, state of charge and temperature hold
until the next row, and a current holds since the row before (docs/FORMAT.md). Each interval is cut
at the edges of the grid, and its pieces are summed: no charge is lost or invented, whatever the
grid. Gaps stay gaps.
"""

import itertools
import re
from collections.abc import Iterable, Iterator

import numpy as np
import pandas as pd

from batmon.console import UserError, note

_WIDTH = re.compile(r"([1-9][0-9]*)(s|min|h|d)")
_UNITS_S = {"s": 1, "min": 60, "h": 3600, "d": 86400}
_HELD = ("temperature_degC", "soc_percent")
_COLUMNS = ("voltage_V", *_HELD, "cell_min_mV", "cell_max_mV")
_HOUR_S = 3600
_DAY_S = 86400
# So many pieces of intervals are in memory at once.
_PIECES = 200_000


def width_s(text: str) -> int:
    """Return the seconds of a width such as 30s, 1min, 6h or 1d; raises UserError."""
    match = _WIDTH.fullmatch(text)
    seconds = int(match[1]) * _UNITS_S[match[2]] if match else 0
    if not seconds or _DAY_S % seconds:
        raise UserError(
            f"--every {text} does not divide a day; take one such as 10s, 1min, 15min, 1h or 1d."
        )
    return seconds


def resample(tables: Iterable[pd.DataFrame], width: int, tz: str = "UTC") -> Iterator[pd.DataFrame]:
    """Yield tables with a row per `width` seconds, of rows as `batmon.read` describes them.

    The grid begins at midnight in the time zone `tz`. Columns: battery, time_utc (the beginning),
    time_known, voltage_V, current_A, temperature_degC, soc_percent (means), cell_min_mV,
    cell_max_mV (extremes), charge_in_Ah, charge_out_Ah, energy_in_Wh, energy_out_Wh, measured_s
    (for so long there was a current). Where nothing was measured there is no row.
    """
    undated = 0
    last = None  # the last row
    rest = None  # pieces of the last cell of the grid, which is not full yet
    for table in tables:
        battery = table["battery"].iloc[0]
        if last is not None and last["battery"].iloc[0] != battery:
            if rest is not None:
                yield _sums(rest)
            rest = None
        undated += int(table["time_utc"].isna().sum())
        for pieces in _pieces(table, last, width, tz):
            if rest is not None:
                pieces = pd.concat([rest, pieces], ignore_index=True)
            final = np.flatnonzero(np.diff(pieces["cell"].to_numpy()))
            cut = final[-1] + 1 if len(final) else 0
            if cut:
                yield _sums(pieces.iloc[:cut])
            rest = pieces.iloc[cut:]
        last = table.iloc[-1:]
    if rest is not None:
        yield _sums(rest)
    if undated:
        note(f"{undated} rows whose time is not known at all are left out")


def _pieces(table, last, width: int, tz: str) -> Iterator[pd.DataFrame]:
    """Yield the intervals of a table, cut at the edges of the grid, in portions."""
    long = table if last is None else pd.concat([last, table], ignore_index=True)
    interval = long["interval_s"].to_numpy()
    rows = np.flatnonzero((interval > 0) & long["time_utc"].notna().to_numpy())
    rows = rows[rows > 0]  # the row before the first is not here
    if not len(rows):
        return
    end = pd.DatetimeIndex(long["time_utc"]).as_unit("s").asi8[rows]
    begin = end - interval[rows]
    grid = _Grid(int(begin.min()), int(end.max()), width, tz)
    first = grid.cell(begin)
    count = grid.cell(end - 1) - first + 1
    columns = {name: long[name].to_numpy(np.float64, na_value=np.nan) for name in _COLUMNS}
    current = long["current_A"].to_numpy()
    known = long["time_known"].to_numpy()
    portions = np.searchsorted(np.cumsum(count) // _PIECES, np.arange(count.sum() // _PIECES + 2))
    for low, high in itertools.pairwise(portions):
        if low == high:
            continue
        at = np.repeat(np.arange(low, high), count[low:high])
        inside = np.arange(len(at)) - np.repeat(
            np.cumsum(count[low:high]) - count[low:high], count[low:high]
        )
        cell = first[at] + inside
        since = np.maximum(grid.edge(cell), begin[at])
        until = np.minimum(grid.edge(cell + 1), end[at])
        length = (end - begin)[at]
        row = rows[at]
        pieces = {
            "battery": pd.Categorical.from_codes(
                long["battery"].cat.codes.to_numpy()[row], dtype=long["battery"].dtype
            ),
            "cell": grid.edge(cell),
            "seconds": until - since,
            "current_A": current[row],
            "known": known[row],
        }
        for name, values in columns.items():
            a, b = values[row - 1], values[row]
            slope = 0 if name in _HELD else (b - a) / length
            pieces[name, 0] = a + slope * (since - begin[at])
            pieces[name, 1] = a + slope * (until - begin[at])
        yield pd.DataFrame(pieces)


class _Grid:
    """The edges of the grid's cells around the times `begin` to `end`, numbered."""

    def __init__(self, begin: int, end: int, width: int, tz: str):
        days = pd.to_datetime([begin - _DAY_S, end + 2 * _DAY_S], unit="s", utc=True)
        first, last = days.tz_convert(tz).tz_localize(None).floor("D")
        # Wide cells keep to the same hours of the clock all year; narrow ones have one length.
        self._width = width if width <= _HOUR_S else 0
        wall = pd.date_range(first, first if self._width else last, freq=f"{width}s")
        utc = wall.tz_localize(tz, ambiguous=np.ones(len(wall), bool), nonexistent="shift_forward")
        self._edges = np.unique(utc.tz_convert("UTC").as_unit("s").asi8)

    def cell(self, times: np.ndarray) -> np.ndarray:
        """Return the cell in which each time lies; an edge belongs to the cell it begins."""
        if self._width:
            return (times - self._edges[0]) // self._width
        return np.searchsorted(self._edges, times, side="right") - 1

    def edge(self, cells: np.ndarray) -> np.ndarray:
        """Return the unix time at which each cell begins."""
        return self._edges[0] + cells * self._width if self._width else self._edges[cells]


def _sums(pieces: pd.DataFrame) -> pd.DataFrame:
    """Return a row per cell of the grid; a cell that comes back after another is a new row."""
    cell = pieces["cell"].to_numpy()
    at = np.concatenate([[0], np.flatnonzero(np.diff(cell)) + 1])
    seconds = pieces["seconds"].to_numpy(np.float64)
    current = pieces["current_A"].to_numpy()
    measured = np.where(np.isnan(current), 0, seconds)
    charge = np.nan_to_num(current) * measured / 3600
    columns = {}
    for name in _COLUMNS:
        low, high = pieces[name, 0].to_numpy(), pieces[name, 1].to_numpy()
        if name == "cell_min_mV":
            columns[name] = np.fmin.reduceat(np.fmin(low, high), at)
        elif name == "cell_max_mV":
            columns[name] = np.fmax.reduceat(np.fmax(low, high), at)
        else:
            columns[name] = _mean((low + high) / 2, seconds, at)
    volts = (pieces["voltage_V", 0].to_numpy() + pieces["voltage_V", 1].to_numpy()) / 2
    energy = charge * volts
    return pd.DataFrame(
        {
            "battery": pieces["battery"].to_numpy()[at],
            "time_utc": pd.to_datetime(cell[at], unit="s", utc=True).as_unit("ms"),
            "time_known": np.logical_and.reduceat(pieces["known"].to_numpy(), at),
            "voltage_V": columns["voltage_V"],
            "current_A": _mean(current, seconds, at),
            "temperature_degC": columns["temperature_degC"],
            "soc_percent": columns["soc_percent"],
            "cell_min_mV": columns["cell_min_mV"],
            "cell_max_mV": columns["cell_max_mV"],
            "charge_in_Ah": np.add.reduceat(np.maximum(charge, 0), at),
            "charge_out_Ah": -np.add.reduceat(np.minimum(charge, 0), at),
            "energy_in_Wh": np.add.reduceat(np.maximum(energy, 0), at),
            "energy_out_Wh": -np.add.reduceat(np.minimum(energy, 0), at),
            "measured_s": np.add.reduceat(measured, at).astype(np.int64),
        }
    )


def _mean(values: np.ndarray, seconds: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Return the mean over time of each group, of what is known; NaN where nothing is."""
    known = ~np.isnan(values)
    total = np.add.reduceat(np.where(known, values, 0) * seconds, at)
    weight = np.add.reduceat(seconds * known, at)
    return np.divide(total, weight, out=np.full(len(at), np.nan), where=weight > 0)
