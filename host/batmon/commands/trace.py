"""`batmon trace`: shows tracebacks of a board with the names of the sources."""

import sys
from pathlib import Path

from batmon.console import UserError, note, subcommand
from batmon.paths import BOARD


def _run(args) -> int:
    from batmon.firmware import trace

    path = Path(args.file) if args.file else None
    if path is None:
        if sys.stdin.isatty():
            note("paste what the board printed, then press Ctrl-D; --help shows other ways")
        text = sys.stdin.read()
    else:
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            raise UserError(f"{path} cannot be read: {error.strerror}.") from None
    if args.names:
        names = trace.load(Path(args.names))
        if names is None:
            raise UserError(f"--names {args.names} is no {trace.FILE} of a board or a build.")
    else:
        beside = trace.load(path.with_name(trace.FILE)) if path else None
        names = beside or trace.load(BOARD / trace.FILE)
        if names is None:
            raise UserError(
                f"there is no {trace.FILE}; `batmon pull` brings that of a board, and"
                " `batmon build` makes that of this version."
            )
    sys.stdout.write(trace.as_source(text, names))
    return 0


def add_parser(subparsers):
    """Add `batmon trace`."""
    parser = subcommand(
        subparsers,
        "trace",
        "show tracebacks of a board with the names of the sources",
        "  batmon trace < what-the-board-printed.txt\n"
        "  batmon trace errors.txt --names names.txt\n\n"
        "The names are those in names.txt beside FILE, which `batmon pull` brings, else those of\n"
        "the last `batmon build`. `batmon pull` does this to errors.txt by itself.",
    )
    parser.add_argument("file", metavar="FILE", nargs="?", help="default: what is piped or pasted")
    parser.add_argument("--names", metavar="FILE", help="names.txt of the build that runs there")
    parser.set_defaults(run=_run)
