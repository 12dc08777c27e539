"""`batmon export`: all shards of one or more batteries as one CSV or Parquet table."""

from pathlib import Path

from batmon.cli import UserError, note, subcommand

_TIME_FORMAT = "%Y-%m-%dT%H:%M:%SZ"
_FLOAT_FORMAT = "%.6g"  # ten times finer than what a half float can tell


def _run(args) -> int:
    out = Path(args.out)
    write = _WRITERS.get(out.suffix)
    if write is None:
        raise UserError(f"-o {out} does not end in {' or '.join(_WRITERS)}, the formats there are.")
    if not out.absolute().parent.is_dir():
        raise UserError(f"there is no folder {out.absolute().parent}; make it first.")

    # They bring pandas, for which `batmon --help` should not wait.
    from batmon import shards
    from batmon.progress import track

    found, foreign = shards.find(args.paths)
    loaded = []
    for path in track(found, "reading"):
        loaded.append(shards.load(path))
    for path in foreign:
        note(f"{path} is not a shard, left out")
    for shard in loaded:
        for sentence in shard.damage:
            note(f"{shard.path}: {sentence}")
    logs = shards.logs(loaded)
    table = shards.table(logs)
    try:
        write(table, out)
    except OSError as error:
        raise UserError(f"cannot write {out}: {error.strerror}.") from None
    batteries = ", ".join(log.battery for log in logs)
    print(f"{out}: {len(table)} rows from {len(found)} shards of {batteries}")
    return 1 if any(shard.damage for shard in loaded) else 0


def _write_csv(table, out: Path):
    from batmon.progress import track

    rows = 50_000
    with open(out, "w", newline="") as file:
        for first in track(range(0, max(1, len(table)), rows), "writing"):
            part = table.iloc[first : first + rows]
            part.to_csv(
                file,
                index=False,
                header=first == 0,
                date_format=_TIME_FORMAT,
                float_format=_FLOAT_FORMAT,
            )


def _write_parquet(table, out: Path):
    table.to_parquet(out, index=False)


_WRITERS = {".csv": _write_csv, ".parquet": _write_parquet}


def add_parser(subparsers):
    """Add `batmon export`."""
    parser = subcommand(
        subparsers,
        "export",
        "write shards as one table, CSV or Parquet",
        "  batmon export data/ -o van.csv\n"
        "  batmon export van-00007.bts van-00008.raw -o van.parquet\n\n"
        "Damaged parts are left out and told; then the exit code is 1.",
    )
    parser.add_argument("paths", metavar="PATH", nargs="+", help="shards, or folders of them")
    parser.add_argument(
        "-o", "--out", metavar="FILE", required=True, help="table to write, .csv or .parquet"
    )
    parser.set_defaults(run=_run)
