"""What the commands share: how they are declared, what they say, and bars that show progress."""

import argparse
import contextlib
import re
import sys
from collections.abc import Callable, Iterable, Iterator


class UserError(Exception):
    """A mistake or a circumstance the user can mend; the text is one sentence that says how.

    `code` is the exit code: 2 for wrong use, 1 for trouble with data.
    """

    def __init__(self, text: str, code: int = 2):
        super().__init__(text)
        self.code = code


def printable(text: str) -> str:
    """Return what a board, a file name or a neighbour's name says, harmless for a terminal."""
    return "".join(c if c.isprintable() else "?" for c in text)


def note(text: str):
    """Tell the user about something odd that does not stop the command."""
    print(f"batmon: {printable(text)}", file=sys.stderr)


def many(number: int, what: str) -> str:
    """Return `number` of `what`, a regular noun: 1 day, 2 days."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def subcommand(subparsers, name: str, help: str, examples: str) -> argparse.ArgumentParser:
    """Add the parser of one subcommand; `examples` is shown at the end of its --help."""
    return subparsers.add_parser(
        name,
        help=help,
        description=help[0].upper() + help[1:] + ".",
        epilog="examples:\n" + examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def days(text: str) -> float:
    """Return the days that an option says, the type of `--days`."""
    try:
        days = float(text)
    except ValueError:
        days = 0
    if not 0 < days <= 3660:
        raise argparse.ArgumentTypeError(f"{text} is not a number of days, more than 0, up to 3660")
    return days


def heap(text: str) -> str:
    """Return the size that an option says, the type of `--heap`."""
    if not re.fullmatch(r"chip|\d{2,5}[kK]|\d{1,2}[mM]", text):
        raise argparse.ArgumentTypeError(f"{text} is not a heap size like 256k, 1M or `chip`")
    return text


def seed(text: str) -> int:
    """Return the whole number that an option says, the type of `--seed`."""
    if not re.fullmatch(r"\d{1,9}", text):
        raise argparse.ArgumentTypeError(f"{text} is not a whole number of at most 9 digits")
    return int(text)


def add_board(parser: argparse.ArgumentParser):
    """Add --chip and --interpreter to a command that runs a board."""
    parser.add_argument(
        "--chip",
        choices=("esp32", "c3", "s3", "c6"),
        default="esp32",
        help="what the board has of memory and pins (%(default)s)",
    )
    parser.add_argument(
        "--interpreter",
        choices=("64", "32"),
        default="64",
        help="bits of its pointers: 32, as on a board, is Debian's MicroPython (%(default)s)",
    )


def track[T](items: Iterable[T], what: str, total: float | None = None) -> Iterator[T]:
    """Yield the items; on a terminal a bar on stderr follows, and is gone at the end.

    `total` is how many there are, for items that have no length.
    """
    if not sys.stderr.isatty():
        yield from items
        return
    from rich.console import Console
    from rich.progress import track as bar

    yield from bar(items, what, total=total, console=Console(stderr=True), transient=True)


@contextlib.contextmanager
def meter(what: str, total: float) -> Iterator[Callable[[float], None]]:
    """Give a function to be called with what has been done of `total`; a bar as in `track`."""
    if not sys.stderr.isatty():
        yield lambda done: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bars:
        bar = bars.add_task(what, total=total)
        yield lambda done: bars.advance(bar, done)
