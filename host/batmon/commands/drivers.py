"""`batmon drivers`: the drivers of aiobmsble as MicroPython source, or the table of them."""

import importlib.metadata
from pathlib import Path

from batmon.console import UserError, subcommand


def _run(arguments) -> int:
    from batmon.drivers import table
    from batmon.drivers.module import Unsupported
    from batmon.drivers.translator import drivers, translate

    if arguments.table:
        arguments.table.write_text(table.text_of(drivers()), encoding="utf-8")
        return 0
    target = arguments.out / "aiobmsble"
    if target.is_dir() and not (target / "matchers.py").exists():  # which upstream has not
        raise UserError(f"{target} is not from here; take another folder for --out.")
    try:
        names = translate(arguments.out, arguments.only)
    except (Unsupported, ValueError) as error:
        print(error)
        return 1
    count = sum(name.startswith("aiobmsble.bms.") for name in names)
    version = importlib.metadata.version("aiobmsble")
    print(f"{count} drivers of aiobmsble {version} translated to {arguments.out}/aiobmsble")
    return 0


def add_parser(subparsers):
    """Add `batmon drivers`."""
    parser = subcommand(
        subparsers,
        "drivers",
        "translate aiobmsble's BMS drivers to MicroPython",
        "  batmon drivers --only jikong_bms jbd   two drivers and what they import\n"
        "  batmon drivers --table docs/BMS.md     the table of supported BMSs",
    )
    add = parser.add_argument
    add(
        "--out",
        type=Path,
        default=Path("build/drivers"),
        metavar="DIR",
        help="folder that gets aiobmsble/ (%(default)s)",
    )
    add("--only", nargs="+", metavar="NAME", help="driver modules (all)")
    add("--table", type=Path, metavar="FILE", help="only write the table, as Markdown")
    parser.set_defaults(run=_run)
