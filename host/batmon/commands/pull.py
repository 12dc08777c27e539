"""`batmon pull`: the log of a board into a folder, only what is new, and the time to the board."""

import json
import re
import sys
from pathlib import Path

from batmon.console import UserError, subcommand


def _run(args) -> int:
    port, folder = _places(args.places)
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file; name a folder for the log.")
    if args.ble is None:
        pull = _over_the_cable(args, port, folder)
    elif port:
        raise UserError(f"{port} is a port, --ble goes without one; take one of the two.")
    else:
        pull = _over_the_air(args, folder)
    if args.json:
        print(json.dumps(pull.result(), indent=2))
    else:
        pull.say()
    return 1 if pull.problems else 0


def _over_the_cable(args, port: str | None, folder: Path):
    # They bring pandas, for which `batmon --help` should not wait.
    from batmon.board.boardlog import BoardLog
    from batmon.board.pull import Pull
    from batmon.board.remote import Remote

    with Remote(port, fresh=False) as board:
        off_s = board.set_clock()  # the stopped program dates its log, then it is in the way
        board.clear()
        pull = Pull(BoardLog(board), folder)
        pull.port, pull.clock_off_s = board.port, off_s
        pull.run()
        if args.free:
            pull.free()
    return pull


def _over_the_air(args, folder: Path):
    if args.free:
        raise UserError(
            "--free does not go with --ble: six digits are too weak a lock for deleting; use the "
            "cable."
        )
    code = args.code or _asked()
    if not re.fullmatch("[0-9]{6}", code):
        raise UserError(f"{code} is not a code: it has six digits; the board's display shows it.")
    from batmon.board.blelog import BleLog
    from batmon.board.pull import Pull

    with BleLog(args.ble, code) as log:
        pull = Pull(log, folder)
        pull.port = f"Bluetooth {log.board}"
        pull.run()
    return pull


def _asked() -> str:
    if not sys.stdin.isatty():
        raise UserError("--code DIGITS is missing: the board's code, which its display shows.")
    return input("the board's code, six digits: ").strip()


def _places(words: list[str]) -> tuple[str | None, Path]:
    """Sort out [PORT] [DIR]: a port is /dev/..., COM7 or has ://."""
    words = list(words)
    port = None
    if words and (words[0].startswith("/dev/") or re.match(r"(?i)com\d+$|\w+://", words[0])):
        port = words.pop(0)
    elif len(words) == 2:
        raise UserError(f"{words[0]} is no port; they are called like /dev/ttyUSB0 or COM7.")
    return port, Path(words[0] if words else "data")


def add_parser(subparsers):
    """Add `batmon pull`."""
    parser = subcommand(
        subparsers,
        "pull",
        "copy the log from a board, only what is new, and set its clock",
        "  batmon pull                           the only board on USB, into data/\n"
        "  batmon pull /dev/ttyUSB0 van/\n"
        "  batmon pull COM7 van/ --free          then make room on the board\n"
        "  batmon pull van/ --ble=house --code 271828     without a cable\n\n"
        "Logging stops meanwhile and starts again by itself; over Bluetooth it goes on. After an\n"
        "interruption the same command goes on where it stopped. Nothing on the board is deleted\n"
        "without --free. errors.txt and errors.old tell what went wrong there.",
    )
    parser.add_argument(
        "places", metavar="[PORT] [DIR]", nargs="*",
        help="serial port (default: the only board), folder (default: data)",
    )  # fmt: skip
    parser.add_argument(
        "--free", action="store_true",
        help="delete sealed and set-aside shards from the board whose copies here are verified",
    )  # fmt: skip
    parser.add_argument(
        "--ble", metavar="NAME", nargs="?", const="",
        help="over Bluetooth: from the board of that name, or a part of it (default: the nearest)",
    )  # fmt: skip
    parser.add_argument("--code", metavar="DIGITS", help="the board's code for --ble, else asked")
    parser.add_argument("--json", action="store_true", help="print what was done as JSON")
    parser.set_defaults(run=_run)
