"""`batmon replay`: a poll log through the board's sampler and store, without a radio."""

import json
import tempfile
from pathlib import Path

from batmon.console import UserError, subcommand


def _run(args) -> int:
    from batmon.log import polllog
    from batmon.virtual import replay

    if args.capacity is not None and not 1 <= args.capacity <= replay.MOST_AH:
        raise UserError(f"--capacity {args.capacity} is not 1 to {replay.MOST_AH} Ah.")
    log = polllog.read(Path(args.log))
    stem = Path(args.log).name.partition(".")[0]
    with tempfile.TemporaryDirectory() as scratch:
        folder = _prepare(Path(args.out)) if args.out else Path(scratch)
        replayed = replay.replay(log, folder, stem, args.capacity)
    result = {"capacity_ah": replayed.capacity_ah, "polls": len(log), **replay.score(log, replayed)}
    if args.json:
        print(json.dumps(result, indent=2))
        return 0
    for name, value in result.items():
        print(f"{name:22} {value:,}" if isinstance(value, int) else f"{name:22} {value:.4g}")
    if args.out:
        print(f"shards in {folder}")
    return 0


def _prepare(out: Path) -> Path:
    """Make `out` a folder without shards, as an absolute path."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        if any(out.iterdir()):
            raise UserError(f"-o {out} is not empty; take a new folder.")
    except OSError as error:
        raise UserError(f"-o {out} cannot be used: {error.strerror}.") from None
    return out.resolve()


def add_parser(subparsers):
    """Add `batmon replay`."""
    parser = subcommand(
        subparsers,
        "replay",
        "store a poll log as a board would, and say how well it is kept",
        "  batmon replay log.csv.gz --capacity 280\n"
        "  batmon replay log.csv -o shards/ && batmon export shards/ -o log.parquet",
    )
    parser.add_argument("log", metavar="LOG", help="poll log, .csv or .csv.gz")
    parser.add_argument("-o", dest="out", metavar="DIR", help="new folder that gets the shards")
    parser.add_argument(
        "--capacity", type=int, metavar="AH", help="design capacity (default: estimated)"
    )
    parser.add_argument("--json", action="store_true", help="figures as JSON")
    parser.set_defaults(run=_run)
