"""`batmon build`: makes the files that are copied onto a board."""

from pathlib import Path

from batmon.console import UserError, note, subcommand
from batmon.paths import BOARD, ROOT, SIMS


def _run(args) -> int:
    from batmon.firmware import aioble, freeze
    from batmon.firmware.build import TRANSLATED, build, sources

    out = Path(args.out).resolve() if args.out else BOARD
    if any(tree.is_relative_to(out) for tree in (ROOT, *SIMS.values(), TRANSLATED)):
        raise UserError(f"--out {args.out} would mix the build with its sources; take another.")
    image = args.freeze and Path(args.freeze).resolve()
    if image and any(tree.is_relative_to(image) for tree in (ROOT, out)):
        raise UserError(f"--freeze {args.freeze} holds the build itself; take another folder.")
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
    if args.freeze:
        if missing:
            raise UserError("an image without aioble would not start; nothing was written.", 1)
        manifest = freeze.write(sources(args.bms), image)
        print(f"{manifest}: for make FROZEN_MANIFEST=…, see docs/HARDWARE.md")
    return 0


def add_parser(subparsers):
    """Add `batmon build`."""
    parser = subcommand(
        subparsers,
        "build",
        "make the files that are copied onto a board",
        "  batmon build                       everything, into build/board\n"
        "  batmon build --bms jikong_bms      with one driver instead of all\n"
        "  mpremote fs cp -r build/board/. :  copy it onto the board\n"
        "  batmon build --bms jikong_bms --freeze build/frozen  for an image of one's own",
    )
    parser.add_argument("--out", metavar="DIR", help="default: build/board of the checkout")
    parser.add_argument(
        "--bms", metavar="NAME", nargs="+", help="driver modules to take, e.g. jikong_bms"
    )
    parser.add_argument(
        "--freeze",
        metavar="DIR",
        help="also write sources and a manifest.py that freeze the program into an image",
    )
    parser.set_defaults(run=_run)
