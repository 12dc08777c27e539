"""`python -m batmon.clidoc`: the options and examples of each command, in docs/PC.md.

They come from the command line itself and stand between two marks at the end of its section.
"""

import argparse

from batmon.cli import make_parser
from batmon.paths import ROOT

PATH = ROOT / "docs/PC.md"
_BEGIN = "<!-- made by python -m batmon.clidoc -->\n"
_END = "<!-- end -->\n"


class _Arguments(argparse.HelpFormatter):
    """Instead of laying out the help of a parser, keeps what is in it: the arguments."""

    def __init__(self, prog: str):
        super().__init__(prog)
        self.found: list[argparse.Action] = []

    def add_argument(self, action: argparse.Action):
        self.found.append(action)


def parsers() -> dict[str, argparse.ArgumentParser]:
    """Return the parser of each command by its name."""
    (commands,) = (each for each in arguments(make_parser()) if not each.option_strings)
    return commands.choices


def arguments(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    """Return what a parser takes, in order, but --help."""
    formatter = _Arguments(parser.prog)
    parser.formatter_class = lambda prog: formatter
    parser.format_help()
    return [each for each in formatter.found if "--help" not in each.option_strings]


def document(text: str) -> str:
    """Return the text of docs/PC.md with its made parts anew; raises ValueError if one lacks."""
    for name, parser in parsers().items():
        head, heading, section = text.partition(f"\n## batmon {name}")
        before, begin, rest = section.partition(_BEGIN)
        _, end, after = rest.partition(_END)
        if not (heading and begin and end) or "\n## " in before:
            raise ValueError(f"docs/PC.md has no `## batmon {name}` with the marks of clidoc")
        text = head + heading + before + begin + _section(parser) + end + after
    return text


def _section(parser: argparse.ArgumentParser) -> str:
    lines = ["| option | |\n|---|---|\n"]
    for action in arguments(parser):
        value = "" if action.nargs == 0 else f" {_value(action)}"
        names = ", ".join(action.option_strings)
        lines.append(f"| `{f'{names}{value}'.strip()}` | {action.help % vars(action)} |\n")
    examples, _, words = parser.epilog.removeprefix("examples:\n").partition("\n\n")
    lines.append("\n" + "".join(f"  {line}\n" for line in examples.splitlines()))
    return "".join(lines) + (f"\n{words}\n" if words else "")


def _value(action: argparse.Action) -> str:
    one = action.metavar or r"\|".join(action.choices or [action.dest.upper()])
    return f"{one}..." if action.nargs == "+" else one


if __name__ == "__main__":
    PATH.write_text(document(PATH.read_text(encoding="utf-8")), encoding="utf-8")
