"""`batmon export`: the shards of one or more batteries as CSV or Parquet tables."""

import json
import shutil
from pathlib import Path

from batmon.cli import UserError, subcommand

# The rows of a batch of output, in memory until they are written.
_BATCH = 200_000
# Ten times finer than what a half float can tell.
_DIGITS = 6
_UNDATED = "unknown"


def _run(args) -> int:
    out = Path(args.out)
    if args.partition:
        _check_folder(out)
    elif out.suffix not in _WRITERS:
        formats = " or ".join(_WRITERS)
        raise UserError(f"-o {out} does not end in {formats}, the formats there are.")
    if not out.absolute().parent.is_dir():
        raise UserError(f"there is no folder {out.absolute().parent}; make it first.")

    # They bring pandas, for which `batmon --help` should not wait.
    from batmon import resample, stream

    if args.every:
        resample.width_s(args.every)
    if args.tz:
        stream.zone(args.tz)
    logs = stream.Logs(args.paths)
    if not args.json:
        logs.tell()
    tables = stream.even(logs, args.every, args.tz)
    write = _write_partitions if args.partition else _WRITERS[out.suffix]
    try:
        rows = write(_batches(tables, logs), out)
    except OSError as error:
        raise UserError(f"cannot write {out}: {error.strerror or error}.") from None
    _say(args, logs, out, rows)
    return 1 if logs.damage else 0


def _say(args, logs, out: Path, rows: int):
    if args.json:
        result = {
            "out": str(out),
            "rows": rows,
            "files": logs.files,
            "batteries": logs.batteries,
            "damage": [{"file": str(path), "what": what} for path, what in logs.damage],
            "doubles": [str(path) for path in logs.doubles],
            "foreign": [str(path) for path in logs.foreign],
        }
        print(json.dumps(result, indent=2))
    else:
        names = ", ".join(logs.batteries)
        print(f"{out}: {rows} rows from {logs.files} shards of {names}")


def _batches(tables, logs):
    """Yield the tables joined to batches of at least _BATCH rows; one at least, if an empty one."""
    import pandas as pd

    from batmon.progress import track

    waiting, rows, any_rows = [], 0, False
    for table in track(tables, "writing", logs.files):
        waiting.append(table)
        rows += len(table)
        any_rows = True
        if rows >= _BATCH:
            yield pd.concat(waiting, ignore_index=True)
            waiting, rows = [], 0
    if waiting:
        yield pd.concat(waiting, ignore_index=True)
    elif not any_rows:
        yield logs.empty()


def _write_csv(batches, out: Path) -> int:
    import pyarrow as pa
    from pyarrow import csv

    rows, options = 0, csv.WriteOptions(quoting_style="none", quoting_header="none")
    with open(out, "wb") as file:
        for batch in batches:
            table = pa.Table.from_pandas(_plain(batch), preserve_index=False)
            options.include_header = rows == 0
            csv.write_csv(table, file, options)
            rows += len(batch)
    return rows


def _plain(table):
    """Return a table as CSV tells it: times as ISO 8601 text, six digits of every number."""
    import numpy as np
    import pandas as pd

    columns = {}
    for name, column in table.items():
        if isinstance(column.dtype, pd.DatetimeTZDtype):
            column = _iso(column)
        elif column.dtype == np.float64:
            column = _rounded(column.to_numpy())
        columns[name] = column
    return pd.DataFrame(columns)


def _iso(times):
    """Return times as 2026-01-01T06:00:00Z, or with their offset from UTC."""
    import pyarrow as pa
    import pyarrow.compute as pc

    seconds = pa.array(times).cast(pa.timestamp("s", str(times.dt.tz)))
    utc = str(times.dt.tz) == "UTC"
    return pc.strftime(seconds, "%Y-%m-%dT%H:%M:%S" + ("Z" if utc else "%z")).to_pandas()


def _rounded(values):
    """Return numbers rounded to _DIGITS significant digits, which makes their text short."""
    import numpy as np

    with np.errstate(divide="ignore", invalid="ignore"):
        places = _DIGITS - 1 - np.floor(np.log10(np.abs(values)))
        scale = 10.0 ** np.clip(np.where(np.isfinite(places), places, 0), 0, 15)
        return np.round(values * scale) / scale


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


_WRITERS = {".csv": _write_csv, ".parquet": _write_parquet}


def _check_folder(out: Path):
    """Raise UserError unless `out` is missing, empty, or what an earlier export made."""
    if not out.exists():
        return
    if not out.is_dir() or any("battery=" not in path.name for path in out.iterdir()):
        raise UserError(f"-o {out} holds something else; --partition needs a folder of its own.")


def _write_partitions(batches, out: Path) -> int:
    """Write out/battery=NAME/month=YYYY-MM/part-N.parquet; replaces those of the same batteries.

    Each battery is written beside its old files and takes their place when it is whole.
    """
    rows, writer = 0, None
    out.mkdir(exist_ok=True)
    try:
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
    finally:
        if writer:
            writer.discard()
    return rows


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
        shutil.rmtree(self._final, ignore_errors=True)
        self._new.rename(self._final)

    def discard(self):
        self._close()
        shutil.rmtree(self._new, ignore_errors=True)


def add_parser(subparsers):
    """Add `batmon export`."""
    parser = subcommand(
        subparsers,
        "export",
        "write shards as tables, CSV or Parquet",
        "  batmon export data/ -o van.csv\n"
        "  batmon export data/ -o van.csv --every 1min --tz Europe/Berlin\n"
        "  batmon export van-00007.bts van-00008.raw -o van.parquet\n"
        "  batmon export fleet/ -o table/ --partition\n"
        "  duckdb -c \"SELECT battery, month, sum(energy_Wh) FROM 'table/*/*/*.parquet' GROUP BY"
        ' ALL"\n\n'
        "The names of the columns end in their units; what they mean: docs/PC.md.\n"
        "Damaged parts are left out and told; then the exit code is 1.",
    )
    parser.add_argument("paths", metavar="PATH", nargs="+", help="shards, or folders of them")
    parser.add_argument(
        "-o", "--out", metavar="FILE", required=True,
        help="table to write, .csv or .parquet; a folder with --partition",
    )  # fmt: skip
    parser.add_argument(
        "--partition", action="store_true",
        help="a folder of Parquet files by battery and month, for DuckDB, Spark or Athena",
    )  # fmt: skip
    parser.add_argument(
        "--every", metavar="WIDTH",
        help="one row per 10s, 1min, 1h, 1d ...; charge and energy are kept exactly",
    )  # fmt: skip
    parser.add_argument(
        "--tz", metavar="ZONE", help="time zone such as Europe/Berlin (default: UTC)"
    )
    parser.add_argument("--json", action="store_true", help="print what was done as JSON")
    parser.set_defaults(run=_run)
