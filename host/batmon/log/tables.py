"""Tables as files: CSV, Parquet, or a folder of Parquet by battery and month."""

import shutil
from pathlib import Path

from batmon.console import UserError, track

# The rows of a batch of output, in memory until they are written.
BATCH_ROWS = 200_000
# Ten times finer than what a half float can tell.
_DIGITS = 6
_UNDATED = "unknown"


def batches(tables, logs):
    """Yield the tables joined to batches of at least BATCH_ROWS; one at least, if an empty one."""
    import pandas as pd

    waiting, rows, any_rows = [], 0, False
    for table in track(tables, "writing", logs.files):
        waiting.append(table)
        rows += len(table)
        any_rows = True
        if rows >= BATCH_ROWS:
            yield pd.concat(waiting, ignore_index=True)
            waiting, rows = [], 0
    if waiting:
        yield pd.concat(waiting, ignore_index=True)
    elif not any_rows:
        yield logs.empty()


def write_csv(batches, out: Path, comma: bool = False, quoted: bool = False) -> int:
    """Write a CSV file; `comma` takes that in numbers, and ; between columns.

    `quoted`: texts may hold what ends a column, and are quoted.
    """
    import pyarrow as pa
    from pyarrow import csv

    options = csv.WriteOptions(
        quoting_style="needed" if quoted else "none",
        quoting_header="none",
        delimiter=";" if comma else ",",
    )
    rows = 0
    with open(out, "wb") as file:
        for batch in batches:
            table = pa.Table.from_pandas(_plain(batch, comma), preserve_index=False)
            options.include_header = rows == 0
            csv.write_csv(table, file, options)
            rows += len(batch)
    return rows


def _plain(table, comma: bool):
    """Return a table as CSV tells it: times as ISO 8601 text, six digits of every number."""
    import numpy as np
    import pandas as pd
    import pyarrow as pa
    import pyarrow.compute as pc

    columns = {}
    for name in ("cell_min_index", "cell_max_index"):
        if f"{name}_to" in table:
            table = table.assign(**{name: _which(table[name], table.pop(f"{name}_to"))})
    for name, column in table.items():
        if isinstance(column.dtype, pd.DatetimeTZDtype):
            column = _iso(column)
        elif column.dtype == np.float64:
            column = rounded(column.to_numpy())
            if comma:
                texts = pa.array(column, from_pandas=True).cast(pa.string())
                column = pc.replace_substring(texts, ".", ",").to_pandas()
        columns[name] = column
    return pd.DataFrame(columns)


def _which(first, last):
    """Return the numbers of cells as text: 13, "13 or 14", or "13 to 15"."""
    import numpy as np

    first, last = first.astype("string"), last.astype("string")
    far = (last.astype("Int64") - first.astype("Int64") > 1).fillna(False)
    words = first + np.where(far, " to ", " or ") + last
    return first.where((first == last).fillna(True), words)


def _iso(times):
    """Return times as 2026-01-01T06:00:00Z, or with their offset from UTC."""
    import pyarrow as pa
    import pyarrow.compute as pc

    seconds = pa.array(times).cast(pa.timestamp("s", str(times.dt.tz)))
    utc = str(times.dt.tz) == "UTC"
    texts = pc.strftime(seconds, "%Y-%m-%dT%H:%M:%S" + ("Z" if utc else "%z"))
    return pc.replace_substring_regex(texts, r"([+-]\d\d)(\d\d)$", r"\1:\2").to_pandas()


def rounded(values):
    """Return numbers rounded to _DIGITS significant digits, which makes their text short."""
    import numpy as np

    with np.errstate(divide="ignore", invalid="ignore"):
        places = _DIGITS - 1 - np.floor(np.log10(np.abs(values)))
        scale = 10.0 ** np.clip(np.where(np.isfinite(places), places, 0), 0, 15)
        return np.round(values * scale) / scale + 0.0  # no -0


def _write_parquet(batches, out: Path) -> int:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows, writer = 0, None
    try:
        for batch in batches:
            table = pa.Table.from_pandas(batch, preserve_index=False)
            writer = writer or pq.ParquetWriter(out, table.schema)
            writer.write_table(table)
            rows += len(batch)
    finally:
        if writer:
            writer.close()
    return rows


WRITERS = {".csv": write_csv, ".bdf": write_csv, ".parquet": _write_parquet}


def write_partitions(batches, out: Path) -> int:
    """Write out/battery=NAME/month=YYYY-MM/part-N.parquet; replaces those of the same batteries.

    Each battery is written beside its old files and takes their place when it is whole. Raises
    UserError when they cannot be written.
    """
    rows, writer = 0, None
    try:
        out.mkdir(exist_ok=True)
        for old in out.glob(".battery=*.old"):  # of an export that was killed while it exchanged
            _restore(old)
        for batch in batches:
            rows += len(batch)
            for battery, of_battery in batch.groupby("battery", observed=True, sort=False):
                if writer is None or writer.battery != battery:
                    if writer:
                        writer.finish()
                    writer = _Partitions(out, battery)
                writer.write(of_battery.drop(columns="battery"))
        if writer:
            writer.finish()
            writer = None
    except OSError as error:
        raise UserError(f"cannot write {out}: {error.strerror or error}.") from None
    finally:
        if writer:
            writer.discard()
    return rows


def _restore(old: Path):
    """Put `.battery=NAME.old` back into its place, or remove it if there is a new one."""
    final = old.with_name(old.name[1 : -len(".old")])
    if old.exists() and not final.exists():
        old.rename(final)
    shutil.rmtree(old, ignore_errors=True)


class _Partitions:
    """Writes the months of one battery."""

    def __init__(self, out: Path, battery: str):
        self.battery = battery
        self._final = out / f"battery={battery}"
        self._new = out / f".battery={battery}.new"
        shutil.rmtree(self._new, ignore_errors=True)
        self._month = None
        self._writer = None

    def write(self, table):
        import pyarrow as pa
        import pyarrow.parquet as pq

        times = table[table.columns[0]]
        months = times.dt.strftime("%Y-%m").fillna(_UNDATED)
        for month, part in table.groupby(months, sort=False):
            rows = pa.Table.from_pandas(part, preserve_index=False)
            if month != self._month:
                self._close()
                folder = self._new / f"month={month}"
                folder.mkdir(parents=True, exist_ok=True)
                # A clock that was set back may bring a month back.
                path = folder / f"part-{len(list(folder.iterdir()))}.parquet"
                self._writer = pq.ParquetWriter(path, rows.schema)
                self._month = month
            self._writer.write_table(rows)

    def _close(self):
        if self._writer:
            self._writer.close()
            self._writer = None

    def finish(self):
        """Put what was written into its place."""
        self._close()
        old = self._final.with_name(f".{self._final.name}.old")
        if self._final.exists():
            self._final.rename(old)
        try:
            self._new.rename(self._final)
        finally:
            _restore(old)

    def discard(self):
        self._close()
        shutil.rmtree(self._new, ignore_errors=True)
