"""`batmon install`: from a board with MicroPython to one that logs; install.sh calls it."""

import argparse
import sys
from pathlib import Path

from batmon.console import UserError, subcommand


def _run(args) -> int:
    if args.bms and not args.bms.endswith("_bms"):
        args.bms += "_bms"
    if args.restore:
        _restore(args)
    if args.pin:
        import getpass

        args.pin = getpass.getpass("PIN of the BMS, six digits: ")
    if sys.stdin.isatty():
        _ask(args)
    from batmon.board import flash
    from batmon.board.install import install
    from batmon.board.remote import find_port

    if args.flash:
        args.port = args.port or find_port()
        args.flash = flash.firmware(Path(args.flash))
        _ask_to_erase(args)
    install(args.port, args, _ask_bthome if sys.stdin.isatty() else None)
    return 0


def _restore(args):
    """Read the folder; its settings become options."""
    from batmon.board import kept, restore

    folder = Path(args.restore)
    args.restore = restore.load(folder)
    kept.tell(folder, args)
    missing = " ".join(f"--set {word}=..." for word in args.set if "=" not in word)
    if missing and not sys.stdin.isatty():
        raise UserError(f"passwords are not kept in {folder}: say them by {missing}.")


def _ask_to_erase(args):
    """Go on if the user, or --yes, says so; raises UserError."""
    print(f"{args.flash} erases all that is on the board at {args.port}, also a log of batmon.")
    if args.yes:
        return
    if not sys.stdin.isatty():
        raise UserError("nobody is there to ask whether to erase it; --yes says so.")
    print("Erase it? Type yes: ", end="", flush=True)
    if sys.stdin.readline().strip().lower() != "yes":
        raise UserError("nothing was erased; `batmon pull` copies a log from the board.", 1)


def _ask_bthome() -> bool:
    print(
        "Home Assistant can see the battery over Bluetooth without WiFi or pairing (BTHome).\n"
        "Everybody near can then read its state of charge, voltage and current."
    )
    return input("Shall the board broadcast them? [y/N] ").strip().lower() in ("y", "yes")


def _ask(args):
    """Ask for the passwords that are left out, so that the shell's history has none."""
    import getpass

    from batmon.firmware import settingsdoc

    kinds = settingsdoc.kinds()
    for i, key in enumerate(args.set):
        if kinds.get(key) in ("secret", "pairing"):
            args.set[i] = f"{key}={getpass.getpass(f'{key}: ')}"
    asked = any(word.startswith("wifi.password=") for word in args.set)
    if args.wifi and args.wifi_password is None and not asked:
        args.wifi_password = getpass.getpass(f"password of the WiFi network {args.wifi}: ")


def _capacity(text: str) -> float:
    try:
        capacity = float(text)
    except ValueError:
        capacity = 0
    if not 1 <= capacity <= 10_000:
        raise argparse.ArgumentTypeError(f"{text} is not a capacity from 1 to 10000 Ah")
    return capacity


def add_parser(subparsers):
    """Add `batmon install`."""
    parser = subcommand(
        subparsers,
        "install",
        "install everything on a board and wait for its first sample",
        "  ./install.sh                              the only board on USB, conn.py as it is\n"
        "  ./install.sh /dev/ttyUSB0 --bms jbd --name JBD-SP25S020 --capacity 100\n"
        "  ./install.sh --lcd 20x4 --set lcd.backlight=on --wifi boat\n"
        "  ./install.sh --flash ESP32_GENERIC-v1.29.0.bin    a new board: MicroPython first\n"
        "  ./install.sh --restore van/               a board that takes another one's place\n\n"
        "Run it again at any time: it copies what changed. The log is never touched.",
    )
    add = parser.add_argument
    add("port", nargs="?", metavar="PORT", help="serial port (the only board on USB)")
    add("--bms", metavar="NAME", help="make of the BMS, as in docs/BMS.md, e.g. jikong")
    add("--name", help='Bluetooth name of the BMS; "" takes the nearest of any make')
    add("--capacity", type=_capacity, metavar="AH", help="design capacity of the battery")
    add(
        "--add",
        action="append",
        default=[],
        metavar="MAKE,NAME,AH",
        help="one more battery, see docs/BATTERIES.md; may be said again",
    )
    add("--pin", action="store_true", help="pair with the BMS by its PIN (asked for)")
    add("--lcd", choices=("16x2", "16x4", "20x2", "20x4", "none"), help="size of the display")
    add("--wifi", metavar="SSID", help='WiFi network; "" switches WiFi off')
    add("--wifi-password", metavar="TEXT", help="its password (asked for)")
    add("--influx", metavar="HOST[:PORT]", help='InfluxDB server, over UDP; "" sends nothing')
    add("--bthome", action=argparse.BooleanOptionalAction, help="broadcast values over"
        " Bluetooth, for Home Assistant and whoever is near (asked once)")
    add("--set", action="append", default=[], metavar="KEY=VALUE", help="any of docs/SETTINGS.md"
        "; a password without its =VALUE is asked for")
    add("--flash", metavar="FILE", help="erase the board and put this MicroPython on it first")
    add("--yes", action="store_true", help="with --flash: do not ask before erasing")
    add("--restore", metavar="DIR", help="go on with the log that `batmon pull` brought into DIR:"
        " its settings, lifetime counters, and numbers")
    add(
        "--all-drivers",
        action="store_true",
        help="take all drivers, and what several batteries need",
    )
    add("--replace", action="store_true", help="no room for two versions: remove the old one first")
    add("--index", metavar="URL", help="where aioble comes from if it is not here yet (mip's own)")
    add("--wait", type=int, default=90, metavar="S", help="for the first sample; 0: do not (90)")
    parser.set_defaults(run=_run)
