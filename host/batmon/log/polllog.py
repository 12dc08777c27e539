"""Poll logs: what a BMS told every second or two, as CSV; and the packed form for the simulator.

A poll log is a CSV file, plain or gzipped, with a header and the columns
    time_s, voltage (V), current (A, positive = charging), temperature (degC), soc (%)
and every cell, only the extremes, or neither:
    c1_mv, c2_mv … of all cells in series, or
    cell_min_mv, cell_max_mv, idx_min, idx_max (indices count from 0).
Further columns are ignored. Where ; is between columns, numbers may have decimal commas.
Times are unix seconds, or any seconds that rise; of lines with one time the last counts. An empty
field, or nan, is an unknown value, and so is a cell of 0 mV;
lines without a voltage, or with 0 V, are left out, as the sampler leaves them out.

Packed for sim/logbattery.py, little endian:
    header  4s  "BPL1"
            u8  cells in series
            u8  1 if every cell is given, 0 if the extremes are
            u16 design capacity, Ah
            u32 rows
            u32 time of the first row, seconds
    row     u32 seconds since the first row, rising
            u32 voltage, mV
            i32 current, mA
            i16 temperature, 0.1 degC
            u16 state of charge, 0.01 %
            u16 x cells, mV; or u16 lowest, u16 highest, u8 index of lowest, u8 of highest
"""

import csv
import gzip
import re
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from batmon.console import UserError

_PLAIN = ("time_s", "voltage", "current", "temperature", "soc")
_EXTREMES = ("cell_min_mv", "cell_max_mv", "idx_min", "idx_max")
_MAX_CELLS = 255  # as an anchor can tell
_MAX_SIMULATED_CELLS = 32
_MAX_AH = 65535
_DEFAULT_AH = 100

# What a column may hold: least, most, unit.
_RANGES = {
    "time_s": (0, 2**32 - 1, "seconds"),
    "voltage": (0.5, 999, "V"),
    "current": (-2000, 2000, "A"),
    "temperature": (-60, 150, "degC"),
    "soc": (0, 100, "%"),
    "idx_min": (0, _MAX_CELLS - 1, "a cell, counted from 0"),
    "idx_max": (0, _MAX_CELLS - 1, "a cell, counted from 0"),
}
_CELL_RANGE = (500, 5000, "mV")

_HEADER = struct.Struct("<4sBBHII")
_MAGIC = b"BPL1"


@dataclass(frozen=True)
class PollLog:
    """The rows of a poll log, as arrays of equal length; NaN is an unknown value.

    `time_s`, `voltage`, `current`, `temperature`, `soc`: float64 in the units of the file.
    `cell_min_mv`, `cell_max_mv`: float64, whole numbers. `idx_min`, `idx_max`: int64, 0 where the
    cells are unknown. `cells`: cells in series, 0 where the file does not tell.
    `cells_mv`: float64 of shape (rows, cells), or None where the file has not every cell.
    """

    time_s: np.ndarray
    voltage: np.ndarray
    current: np.ndarray
    temperature: np.ndarray
    soc: np.ndarray
    cell_min_mv: np.ndarray
    cell_max_mv: np.ndarray
    idx_min: np.ndarray
    idx_max: np.ndarray
    cells: int
    cells_mv: np.ndarray | None

    def __len__(self) -> int:
        return len(self.time_s)


def read(path: Path) -> PollLog:
    """Read and check a poll log; raises UserError with one sentence about the first mistake."""
    path = Path(path)
    names, separator = _columns(path)
    table = _numbers(path, names, separator)
    for name in names:
        least, most, unit = _RANGES.get(name, _CELL_RANGE)
        values = table[name].to_numpy()
        good = (values >= least) & (values <= most) | np.isnan(values)
        _check(path, table, name, good, f"is not {unit} within {least} to {most}")
    time_s = table["time_s"].to_numpy()
    rises = np.diff(time_s, prepend=-1) >= 0
    _check(path, table, "time_s", rises, "is earlier than the line before", "sort the lines")
    table = table[(np.diff(time_s, append=np.inf) > 0) & table["voltage"].notna().to_numpy()]
    if not len(table):
        raise UserError(f"{path} has no rows with a voltage; a poll log needs at least one.", 1)
    plain = {name: table[name].to_numpy() for name in _PLAIN}
    if "c1_mv" in names:
        return PollLog(**plain, **_every_cell(table[names[len(_PLAIN) :]].to_numpy()))
    if "idx_min" in names:
        return PollLog(**plain, **_extremes(path, table))
    return PollLog(**plain, **_every_cell(np.full((len(table), 1), np.nan)) | {"cells": 0})


def pack(source: Path, target: Path, design_ah: int | None = None) -> PollLog:
    """Write the poll log `source` to `target` in the packed form, and return it as read.

    Of several rows in one second the last is taken; rows with an unknown value are left out, for
    the simulated BMS has none. `design_ah` is estimated from current and
    state of charge when None; 100 where they do not tell. Raises UserError as `read` does, and
    when `target` cannot be written.
    """
    log = _complete(read(source))
    if not len(log):
        raise UserError(f"{source} has no line with every value known; a BMS tells them all.", 1)
    if log.cells > _MAX_SIMULATED_CELLS:
        raise UserError(
            f"{source} has {log.cells} cells; the simulated BMS has at most "
            f"{_MAX_SIMULATED_CELLS}, `batmon replay` takes any log.",
            1,
        )
    seconds = np.floor(log.time_s - np.floor(log.time_s[0])).astype(np.int64)
    rows = np.flatnonzero(np.diff(seconds, append=seconds[-1] + 1))
    fields = [("s", "<u4"), ("mv", "<u4"), ("ma", "<i4"), ("dc", "<i2"), ("soc", "<u2")]
    if log.cells_mv is None:
        fields += [("low", "<u2"), ("high", "<u2"), ("at_low", "u1"), ("at_high", "u1")]
    else:
        fields += [("cells", "<u2", (log.cells,))]
    out = np.zeros(len(rows), fields)
    out["s"] = seconds[rows]
    out["mv"] = np.rint(log.voltage[rows] * 1000)
    out["ma"] = np.rint(log.current[rows] * 1000)
    out["dc"] = np.rint(log.temperature[rows] * 10)
    out["soc"] = np.rint(log.soc[rows] * 100)
    if log.cells_mv is None:
        out["low"], out["high"] = log.cell_min_mv[rows], log.cell_max_mv[rows]
        out["at_low"], out["at_high"] = log.idx_min[rows], log.idx_max[rows]
    else:
        out["cells"] = log.cells_mv[rows]
    every_cell = log.cells_mv is not None
    header = _HEADER.pack(
        _MAGIC, log.cells, every_cell, design_ah or estimate_ah(log), len(rows), int(log.time_s[0])
    )
    try:
        with open(target, "wb") as f:
            f.write(header)
            f.write(out.tobytes())
    except OSError as error:
        raise UserError(f"{target} cannot be written: {error.strerror}.") from None
    return log


def _columns(path: Path) -> tuple[list[str], str]:
    """Return the columns to read, from the header, and what separates them."""
    try:
        opener = gzip.open if path.suffix == ".gz" else open
        with opener(path, "rt", encoding="utf-8-sig", newline="") as f:
            line = f.readline()
            separator = ";" if line.count(";") > line.count(",") else ","
            f.seek(0)
            lines = csv.reader(f, delimiter=separator)
            header, first = next(lines, []), next(lines, [])
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}.") from None
    except (UnicodeDecodeError, EOFError, zlib.error, csv.Error):
        raise UserError(f"{path} is not a CSV file, plain or gzipped; see its format.", 1) from None
    cells = sorted(int(m[1]) for name in header if (m := re.fullmatch(r"c(\d+)_mv", name)))
    extremes = _EXTREMES if set(_EXTREMES) & set(header) else ()
    wanted = [*_PLAIN, *([f"c{k + 1}_mv" for k in range(len(cells))] or extremes)]
    if len(cells) > _MAX_CELLS:
        raise UserError(f"{path}, line 1: {len(cells)} cells; a pack has at most {_MAX_CELLS}.", 1)
    for name in wanted:
        if header.count(name) != 1:
            what = "is missing" if name not in header else "is there twice"
            raise UserError(
                f"{path}, line 1, column {name}: {what}; a poll log has {','.join(_PLAIN)} and "
                f"c1_mv,c2_mv,… or {','.join(_EXTREMES)} or no cells.",
                1,
            )
    if len(first) > len(header):  # the reader of the rows would take the first for an index
        raise _too_many(path, 2, len(first), len(header))
    return wanted, separator


def _numbers(path: Path, names: list[str], separator: str) -> pd.DataFrame:
    """Return the columns as floats, NaN where unknown; raises UserError at any other text."""
    options = {"encoding": "utf-8-sig", "skip_blank_lines": False, "sep": separator}
    if separator == ";":
        options["decimal"] = ","
    try:
        try:
            table = pd.read_csv(path, dtype=dict.fromkeys(names, "float64"), **options)[names]
        except ValueError as error:
            if isinstance(error, (pd.errors.ParserError, UnicodeDecodeError)):
                raise
            table = None  # some text among the numbers; find it below
        if table is None or not np.isfinite(table["time_s"].to_numpy()).all():
            table = _located(path, names, options)
    except pd.errors.ParserError as error:
        match = re.search(r"Expected (\d+) fields in line (\d+), saw (\d+)", str(error))
        if not match:
            raise UserError(f"{path} is not a CSV file, plain or gzipped: {error}.", 1) from None
        raise _too_many(path, match[2], match[3], match[1]) from None
    except (OSError, UnicodeDecodeError, EOFError, zlib.error) as error:
        raise UserError(f"{path} is damaged: {error}; take an undamaged copy.", 1) from None
    unknown = [name for name in names if name == "voltage" or name.endswith("_mv")]
    table[unknown] = table[unknown].mask(table[unknown] == 0)
    return table


def _too_many(path: Path, line, values, columns) -> UserError:
    what = f"{values} values for {columns} columns; correct or delete the line."
    return UserError(f"{path}, line {line}: {what}", 1)


def _located(path: Path, names: list[str], options: dict) -> pd.DataFrame:
    texts = pd.read_csv(path, dtype="str", keep_default_na=False, **options)[names]
    if len(texts) and (texts.iloc[-1].fillna("") == "").all():
        texts = texts.iloc[:-1]  # an empty last line is nobody's mistake
    plain = texts
    if options["sep"] == ";":
        plain = texts.apply(lambda column: column.str.replace(",", "."))
    table = plain.apply(pd.to_numeric, errors="coerce").astype("float64")
    unknown = texts.fillna("").apply(lambda column: column.str.strip().str.lower())
    unknown = unknown.isin(["", "nan"]).to_numpy() & (np.array(names) != "time_s")
    bad = ~np.isfinite(table.to_numpy()) & ~unknown
    if bad.any():
        row, column = np.unravel_index(bad.argmax(), bad.shape)
        text = texts.iloc[row, column]
        what = f"'{text}' is not a number" if isinstance(text, str) and text else "has no value"
        raise _mistake(path, row, names[column], what)
    return table


def _check(path: Path, table: pd.DataFrame, name: str, good: np.ndarray, what: str, remedy=None):
    if not good.all():
        row = int((~good).argmax())
        value = table[name].iloc[row]
        raise _mistake(path, table.index[row], name, f"{value:.12g} {what}", remedy)


def _mistake(path: Path, row: int, name: str, what: str, remedy: str | None = None) -> UserError:
    remedy = remedy or "correct or delete the line"
    return UserError(f"{path}, line {row + 2}, column {name}: {what}; {remedy}.", 1)


def _complete(log: PollLog) -> PollLog:
    """Return the rows in which every value is known."""
    known = np.isfinite(log.current + log.temperature + log.soc + log.cell_min_mv)
    fields = {name: getattr(log, name) for name in PollLog.__dataclass_fields__}
    arrays = {name: x[known] for name, x in fields.items() if isinstance(x, np.ndarray)}
    return PollLog(**fields | arrays)


def _every_cell(cells: np.ndarray) -> dict:
    cells = np.rint(cells)
    unknown = np.isnan(cells).any(axis=1)  # half a pack has no extremes
    low = np.where(unknown, np.nan, cells.min(axis=1))
    high = np.where(unknown, np.nan, cells.max(axis=1))
    return {
        "cell_min_mv": low,
        "cell_max_mv": high,
        "idx_min": np.where(unknown, 0, cells.argmin(axis=1)),
        "idx_max": np.where(unknown, 0, cells.argmax(axis=1)),
        "cells": cells.shape[1],
        "cells_mv": cells,
    }


def _extremes(path: Path, table: pd.DataFrame) -> dict:
    columns = {name: np.rint(table[name].to_numpy()) for name in _EXTREMES}
    low, high = columns["cell_min_mv"], columns["cell_max_mv"]
    _check(path, table, "cell_min_mv", ~(low > high), "is more than cell_max_mv")
    unknown = np.isnan(sum(columns.values()))
    # the number of cells is not told: pack voltage by cell voltage
    packs = 2000 * table["voltage"].to_numpy()[~unknown] / (low + high)[~unknown]
    cells = round(float(np.median(packs))) if len(packs) else 0
    if len(packs) and not 1 <= cells <= _MAX_CELLS:
        raise UserError(
            f"{path}: voltage and cell_min_mv belong to {cells} cells in series, not 1 to "
            f"{_MAX_CELLS}; voltage is in V, cell_min_mv in mV.",
            1,
        )
    for name in ("cell_min_mv", "cell_max_mv"):
        columns[name] = np.where(unknown, np.nan, columns[name])
    for name in ("idx_min", "idx_max"):
        columns[name] = np.where(unknown, 0, columns[name]).astype(np.int64)
        what = f"is no cell of {cells}, counted from 0"
        _check(path, table, name, unknown | (columns[name] < cells), what)
    return {**columns, "cells": cells, "cells_mv": None}


def estimate_ah(log: PollLog) -> int:
    """Estimate the capacity: the charge moved between the extremes of the state of charge.

    100 where they do not tell.
    """
    if not np.isfinite(log.soc).any():
        return _DEFAULT_AH
    amps = np.nan_to_num(log.current)
    moved_ah = np.cumsum(amps * np.diff(log.time_s, prepend=log.time_s[0])) / 3600
    low, high = np.nanargmin(log.soc), np.nanargmax(log.soc)
    span = (log.soc[high] - log.soc[low]) / 100
    if span < 0.05:
        return _DEFAULT_AH
    capacity = round((moved_ah[high] - moved_ah[low]) / span)
    return capacity if 1 <= capacity <= _MAX_AH else _DEFAULT_AH
