"""`batmon build`: makes the files that are copied onto a board."""

from pathlib import Path

from batmon.console import UserError, note, subcommand
from batmon.paths import BOARD, ROOT, SIMS


def _run(args) -> int:
    from batmon.firmware import aioble
    from batmon.firmware.build import TRANSLATED, build

    out = Path(args.out).resolve() if args.out else BOARD
    if any(tree.is_relative_to(out) for tree in (ROOT, *SIMS.values(), TRANSLATED)):
        raise UserError(f"--out {args.out} would mix the build with its sources; take another.")
    radio = missing = None
    try:
        radio = aioble.source()
    except UserError as error:
        missing = error
    built = build(out, args.bms, radio=radio)
    size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    print(f"{out}: {size / 1024:.0f} kB for the board, {built.made} of {built.files} files new")
    if missing:
        note(f"without aioble this does not start on a board: {missing}")
    return 0


def add_parser(subparsers):
    """Add `batmon build`."""
    parser = subcommand(
        subparsers,
        "build",
        "make the files that are copied onto a board",
        "  batmon build                       everything, into build/board\n"
        "  batmon build --bms jikong_bms      with one driver instead of all\n"
        "  mpremote fs cp -r build/board/. :  copy it onto the board",
    )
    parser.add_argument("--out", metavar="DIR", help="default: build/board of the checkout")
    parser.add_argument(
        "--bms", metavar="NAME", nargs="+", help="driver modules to take, e.g. jikong_bms"
    )
    parser.set_defaults(run=_run)
