"""`python -m bench [SECTION...]`: measures, prints tables, writes build/bench.json."""

import argparse
import importlib
import json
import sys
from collections.abc import Mapping

from rich.console import Console
from rich.table import Table

from batmon.console import UserError
from batmon.paths import BUILD
from bench import SECTIONS

_FILE = BUILD / "bench.json"


def main():
    """Run the sections named on the command line, or all."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=", ".join(SECTIONS))
    wanted = parser.parse_args().sections or SECTIONS
    unknown = sorted(set(wanted) - set(SECTIONS))
    if unknown:
        parser.error(f"no section {unknown[0]}; there are {', '.join(SECTIONS)}")
    console = Console()
    figures = _known()
    for name in wanted:
        module = importlib.import_module(f"bench.{name}")
        try:
            with console.status(f"measuring {name}"):
                rows = module.measure()
        except UserError as error:
            sys.exit(f"bench: {error}")
        except KeyboardInterrupt:
            sys.exit(f"bench: stopped at {name}; what was measured before is in {_FILE}")
        figures[getattr(module, "KEY", name)] = rows
        _print(console, module.__doc__.splitlines()[0], rows)
        BUILD.mkdir(exist_ok=True)
        _FILE.write_text(json.dumps(figures, indent=1, sort_keys=True) + "\n")


def _known() -> dict:
    """Return the figures of earlier runs, so that a section can be measured alone."""
    try:
        known = json.loads(_FILE.read_text())
    except (OSError, ValueError):
        return {}
    keys = {getattr(importlib.import_module(f"bench.{name}"), "KEY", name) for name in SECTIONS}
    return {name: known[name] for name in known if name in keys}


def _print(console: Console, title: str, rows: Mapping[str, Mapping[str, float]]):
    """Print a table, turned if it is too wide and narrower so, but no figure cut off."""
    tables = [_table(title, rows), _table(title, _transposed(rows))]
    wide = console.options.update(width=1000)
    widths = [console.measure(table, options=wide).maximum for table in tables]
    turned = widths[1] < widths[0] and widths[0] > console.width
    Console(width=max(console.width, widths[turned])).print(tables[turned])


def _table(title: str, rows: Mapping[str, Mapping[str, float]]) -> Table:
    table = Table(title=title, title_justify="left")
    metrics = list(dict.fromkeys(metric for row in rows.values() for metric in row))
    table.add_column("")
    for metric in metrics:
        table.add_column(metric, justify="right")
    for name, row in rows.items():
        table.add_row(name, *(_text(row.get(metric)) for metric in metrics))
    return table


def _transposed(rows: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float]]:
    turned = {}
    for name, row in rows.items():
        for metric, value in row.items():
            turned.setdefault(metric, {})[name] = value
    return turned


def _text(value: float | None) -> str:
    return "" if value is None else f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


if __name__ == "__main__":
    main()
