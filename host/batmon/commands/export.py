"""`batmon export`: the shards of one or more batteries as CSV or Parquet tables."""

import json
from pathlib import Path

from batmon import files
from batmon.console import UserError, many, subcommand
from batmon.log import tables


def _run(args) -> int:
    out = Path(args.out)
    if args.partition:
        _check_folder(out)
    elif out.suffix == ".xlsx":
        args.form = args.form or "spreadsheet"
    elif out.suffix not in tables.WRITERS or (out.suffix == ".bdf" and args.form != "bdf"):
        formats = ".csv, .xlsx or .parquet"
        raise UserError(f"-o {out} does not end in {formats}, the formats there are.")
    if not out.absolute().parent.is_dir():
        raise UserError(f"there is no folder {out.absolute().parent}; make it first.")
    if not args.partition:
        files.check(out)

    if args.events and (args.partition or out.suffix not in (".csv", ".parquet")):
        raise UserError(f"--events goes with -o FILE.csv or FILE.parquet, not with {out}.")
    if args.events and args.form == "bdf":
        raise UserError("--events does not go with --for bdf, which has no such table.")

    # They bring pandas, for which `batmon --help` should not wait.
    from batmon.log import forms, resample, stream, xlsx

    forms.check(args, [], out)
    if args.every:
        resample.width_s(args.every)
    if args.form == "spreadsheet":
        args.tz = args.tz or forms.local_zone()
    if args.tz:
        stream.zone(args.tz)
    logs = stream.Logs(args.paths)
    forms.check(args, logs.batteries, out)
    if not args.json:
        logs.tell()
    rows = stream.even(logs, args.every, args.tz)
    batches = tables.batches(rows, logs)
    if args.form == "bdf":
        batches = map(forms.bdf(), batches)
    elif args.form and out.suffix == ".csv":
        batches = map(forms.spreadsheet, batches)
    if args.partition:
        count = tables.write_partitions(batches, out)
    else:
        with files.whole(out) as part:
            if out.suffix == ".xlsx":
                count = xlsx.write(batches, part)
            elif args.decimal_comma:
                count = tables.write_csv(batches, part, comma=True)
            else:
                count = tables.WRITERS[out.suffix](batches, part)
    if args.events:
        _write_events(args, logs, out)
    _say(args, logs, out, count)
    return 1 if logs.damage else 0


def _events_path(out: Path) -> Path:
    return out.with_name(f"{out.stem}.events{out.suffix}")


def _write_events(args, logs, out: Path):
    """Write what happened beside the samples, in the same kind of file."""
    from batmon.log import forms, happened

    table = happened.table(logs)
    if args.tz:
        table["time_utc"] = table["time_utc"].dt.tz_convert(args.tz)
        table = table.rename(columns={"time_utc": "time"})
    if args.form:
        table = forms.spreadsheet(table)
    with files.whole(_events_path(out)) as part:
        if out.suffix == ".csv":
            tables.write_csv([table], part, args.decimal_comma, quoted=True)
        else:
            tables.WRITERS[out.suffix]([table], part)


def _check_folder(out: Path):
    """Raise UserError unless `out` is missing, empty, or what an earlier export made."""
    if not out.exists():
        return
    if not out.is_dir() or any("battery=" not in path.name for path in out.iterdir()):
        raise UserError(f"-o {out} holds something else; --partition needs a folder of its own.")


def _say(args, logs, out: Path, rows: int):
    if args.json:
        result = {
            "out": str(out),
            "events": str(_events_path(out)) if args.events else None,
            "rows": rows,
            "shards": logs.shards,
            "batteries": logs.batteries,
            "damage": [{"file": str(path), "what": what} for path, what in logs.damage],
            "doubles": [str(path) for path in logs.doubles],
            "foreign": [str(path) for path in logs.foreign],
        }
        print(json.dumps(result, indent=2))
    else:
        names = ", ".join(logs.batteries)
        local = f", times of {args.tz}" if args.form == "spreadsheet" else ""
        print(f"{out}: {many(rows, 'row')} from {many(logs.shards, 'shard')} of {names}{local}")
        if args.events:
            print(f"{_events_path(out)}: what happened")


def add_parser(subparsers):
    """Add `batmon export`."""
    parser = subcommand(
        subparsers,
        "export",
        "write shards as tables, CSV or Parquet",
        "  batmon export data/ -o van.csv\n"
        "  batmon export data/ -o van.csv --every 1min --tz Europe/Berlin\n"
        "  batmon export van-00007.bts van-00008.raw -o van.parquet\n"
        "  batmon export data/ -o van.csv --events\n"
        "  batmon export data/ -o van.xlsx\n"
        "  batmon export data/ -o van.csv --for spreadsheet --decimal-comma\n"
        "  batmon export data/ -o van.bdf.csv --for bdf\n"
        "  batmon export fleet/ -o table/ --partition\n"
        "  duckdb -c \"SELECT battery, month, sum(energy_Wh) FROM 'table/*/*/*.parquet' GROUP BY"
        ' ALL"\n\n'
        "The names of the columns end in their units; what they mean: docs/PC.md.\n"
        "Damaged parts are left out and told; then the exit code is 1.",
    )
    parser.add_argument("paths", metavar="PATH", nargs="+", help="shards, or folders of them")
    parser.add_argument(
        "-o", "--out", metavar="FILE", required=True,
        help="table to write, .csv, .xlsx or .parquet; a folder with --partition",
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
        "--events", action="store_true",
        help="a second table beside it, van.events.csv: alarms, switches, faults, in words",
    )  # fmt: skip
    parser.add_argument(
        "--tz", metavar="ZONE", help="time zone such as Europe/Berlin (default: UTC)"
    )
    parser.add_argument(
        "--for", dest="form", choices=("spreadsheet", "bdf"),
        help="local times as LibreOffice and Excel read them; columns of the Battery Data Format",
    )  # fmt: skip
    parser.add_argument(
        "--decimal-comma", action="store_true",
        help="with --for spreadsheet: 13,2 and ; between columns",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print what was done as JSON")
    parser.set_defaults(run=_run)
