"""The `batmon` command: one parser, a subcommand from each module of commands/."""

import argparse
import importlib
import os
import sys

from batmon.console import UserError, note
from batmon.version import VERSION

# Each module has add_parser(subparsers), which sets `run=function(args) -> exit code or None`.
_COMMANDS = (
    "install",
    "pull",
    "doctor",
    "export",
    "report",
    "web",
    "send",
    "info",
    "verify",
    "seal",
    "unseal",
    "trace",
    "replay",
    "sim",
    "soak",
    "board",
    "build",
    "drivers",
)

_EPILOG = """examples:
  batmon sim --days 7 --battery house      a week on the virtual board
  batmon info data/                        what is in each shard
  batmon export data/ -o battery.csv       all shards in one table

exit codes: 0 fine, 1 something is wrong with the data, 2 wrong use of the command"""


class _Parser(argparse.ArgumentParser):
    """An argument parser that answers a mistake with one sentence."""

    def error(self, message: str):
        self.exit(2, f"{self.prog}: {message}; `{self.prog} --help` shows how to use it.\n")


def make_parser() -> argparse.ArgumentParser:
    """Return the parser with all subcommands."""
    parser = _Parser(
        prog="batmon",
        description="Builds, simulates and reads the battery logger batmon.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"batmon {VERSION}")
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    for name in _COMMANDS:
        importlib.import_module(f"batmon.commands.{name}").add_parser(subparsers)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    try:
        args = make_parser().parse_args(argv)
        code = args.run(args) or 0
        sys.stdout.flush()
        return code
    except UserError as error:
        note(str(error))
        return error.code
    except BrokenPipeError:
        # The reader of our output (head, less) has left. Python would complain once more
        # when it flushes at exit, unless stdout leads somewhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if error.filename is None:
            raise
        note(f"{error.filename} cannot be used: {error.strerror}.")
        return 2
    except KeyboardInterrupt:
        note("stopped")
        return 130
