"""`batmon board`: the virtual board as a serial port, for mpremote and others."""

import time
from pathlib import Path

from batmon.console import UserError, add_board, subcommand
from batmon.paths import BUILD


def _run(args) -> int:
    try:
        from batmon.virtual import sim
        from batmon.virtual.serialboard import FILES, SerialBoard
    except ImportError:
        raise UserError("the virtual board needs Linux, macOS or, on Windows, WSL.") from None

    folder = Path(args.dir) if args.dir else BUILD / "board-out"
    if folder.is_dir() and (foreign := [p for p in folder.iterdir() if p.name not in FILES]):
        raise UserError(f"--dir {folder} holds other files ({foreign[0].name}); take a new folder.")
    if args.erase:
        (folder / "flash.img").unlink(missing_ok=True)
    kind = {"lcd": args.lcd, "chip": args.chip, "interpreter": args.interpreter, "bms": ""}
    if args.bms != "none":
        if sim.poll_log(args.battery):
            raise UserError(f"--battery {args.battery}: poll logs are played by `batmon sim`.")
        batteries = sim.several(args.bms, args.battery)
        kind |= {"bms": args.bms, "battery": args.battery}
        kind["settings"] = sim.settings(batteries, args.lcd)
    with SerialBoard(folder, installed=args.installed, **kind) as board:
        print(f"The virtual board is at {board.port}; Ctrl-C here ends it. Try for example:")
        print(f"  mpremote connect {board.port} repl", flush=True)
        while board.running:
            time.sleep(1)
    raise UserError("the virtual board crashed.", 1)


def add_parser(subparsers):
    """Add `batmon board`."""
    parser = subcommand(
        subparsers,
        "board",
        "offer the virtual board as a serial port",
        "  batmon board                    a board with an empty flash; install.sh fills it\n"
        "  batmon board --installed        with everything on it, logging a simulated BMS\n"
        "  batmon board --bms jikong,jbd --battery van,house --lcd none     two in reach\n"
        "  mpremote connect PORT fs ls     in another terminal, with the port it names",
    )
    add = parser.add_argument
    add("--dir", metavar="DIR", help="folder of its flash image (build/board-out)")
    add("--erase", action="store_true", help="begin with an empty flash, not with that of before")
    add("--installed", action="store_true", help="put the files of build/board on an empty flash")
    add(
        "--bms",
        default="jikong",
        metavar="MAKE",
        help="the BMS in reach: jbd or jikong, several with commas, or none (%(default)s)",
    )
    add(
        "--battery",
        default="van",
        metavar="KIND",
        help="of van, house, ebike and parked, or several with commas: one for each BMS"
        " (%(default)s)",
    )
    add("--lcd", choices=("16x2", "20x4", "none"), default="16x2", help="display (%(default)s)")
    add_board(parser)
    parser.set_defaults(run=_run)
