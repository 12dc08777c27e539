"""The `batmon` command: one parser, subcommands from the modules that have `add_parser`."""

import argparse
import importlib
import os
import sys

# Each module has add_parser(subparsers), which sets `run=function(args) -> exit code or None`.
_COMMANDS = (
    "install",
    "pull",
    "export",
    "report",
    "send",
    "info",
    "verify",
    "seal",
    "unseal",
    "replay",
    "sim",
    "soak",
    "serialboard",
    "build",
    "drivers",
)

_EPILOG = """examples:
  batmon sim --days 7 --battery house      a week on the virtual board
  batmon info data/                        what is in each shard
  batmon export data/ -o battery.csv       all shards in one table

exit codes: 0 fine, 1 something is wrong with the data, 2 wrong use of the command"""


class UserError(Exception):
    """A mistake or a circumstance the user can mend; the text is one sentence that says how.

    `code` is the exit code: 2 for wrong use, 1 for trouble with data.
    """

    def __init__(self, text: str, code: int = 2):
        super().__init__(text)
        self.code = code


class _Parser(argparse.ArgumentParser):
    """An argument parser that answers a mistake with one sentence."""

    def error(self, message: str):
        self.exit(2, f"{self.prog}: {message}; `{self.prog} --help` shows how to use it.\n")


def subcommand(subparsers, name: str, help: str, examples: str) -> argparse.ArgumentParser:
    """Add the parser of one subcommand; `examples` is shown at the end of its --help."""
    return subparsers.add_parser(
        name,
        help=help,
        description=help[0].upper() + help[1:] + ".",
        epilog="examples:\n" + examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def note(text: str):
    """Tell the user about something odd that does not stop the command."""
    print(f"batmon: {text}", file=sys.stderr)


def make_parser() -> argparse.ArgumentParser:
    """Return the parser with all subcommands."""
    parser = _Parser(
        prog="batmon",
        description="Builds, simulates and reads the battery logger batmon.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    for name in _COMMANDS:
        importlib.import_module(f"batmon.{name}").add_parser(subparsers)
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
