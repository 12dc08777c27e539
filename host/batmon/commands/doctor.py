"""`batmon doctor`: all that somebody who helps has to know of a board, in one file."""

import argparse
from pathlib import Path

from batmon import files
from batmon.console import note, subcommand


def _run(args) -> int:
    out = Path(args.out)
    files.check(out)
    from batmon.board import doctor

    text, trouble = doctor.gather(args.port, args.wait)
    with files.whole(out) as part:
        part.write_text(text, encoding="utf-8")
    if trouble:
        note(trouble)
    print(f"{out}: read it, then send it to whoever helps; passwords are left out of it")
    return 1 if trouble else 0


def _seconds(text: str) -> int:
    if not text.isdecimal() or len(text) > 4:
        raise argparse.ArgumentTypeError(f"{text} is no number of seconds up to 9999")
    return int(text)


def add_parser(subparsers):
    """Add `batmon doctor`."""
    parser = subcommand(
        subparsers,
        "doctor",
        "gather what is known of a board in one file, for somebody who helps",
        "  batmon doctor                           the only board on USB\n"
        "  batmon doctor COM7 -o mine.txt\n\n"
        "Versions, memory, settings without passwords, the list of the log, errors.txt, and what\n"
        "the board says as it starts again. Nothing is sent anywhere.",
    )
    add = parser.add_argument
    add("port", nargs="?", metavar="PORT", help="serial port (the only board on USB)")
    add("-o", "--out", metavar="FILE", default="batmon-doctor.txt", help="(%(default)s)")
    add("--wait", type=_seconds, default=30, metavar="S", help="for its first sample, at most (30)")
    parser.set_defaults(run=_run)
