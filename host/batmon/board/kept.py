"""What a board was told: `pull` keeps it beside the log, `install --restore` tells it a new board.

Passwords, PINs and codes are left out; what asks for them stands in their places.
"""

import argparse
import ast
import json
import re
from pathlib import Path

from batmon.console import UserError, note
from batmon.firmware import settingsdoc

FILE = "board.json"
_CONN, _SETTINGS = "conn.py", "settings.json"  # its keys
_ASKED = "***"
_OPTIONS = {"bms": "bms", "dev_name": "name", "capacity_ah": "capacity"}  # of the installer
_BATTERY = tuple(_OPTIONS)  # of which a battery in BATTERIES of conn.py is made
# By what settings.py allows: what is no secret where one could stand.
_OPEN = {
    "secret": ("",),
    "pairing": ("off", "just works"),
    "phone": ("on", "off", "auto"),
    "batteries": ("all",),
}


def text(settings: str, conn: str) -> str:
    """Return what is kept of the texts of settings.json and conn.py; what is wrong there is not."""
    try:
        given = json.loads(settings or "{}")
        given = given if isinstance(given, dict) else {}
    except (ValueError, RecursionError):
        given = {}
    lines = _lines(conn)
    if batteries := lines.pop("batteries", None):
        given.setdefault("batteries", batteries)
    kinds, known = settingsdoc.kinds(), {}
    for key, value in settingsdoc.flat(given):
        if key in kinds and not settingsdoc.problems({key: value}):
            known[key] = _without_secret(kinds[key], value)
    for key in _BATTERY:  # they go before what conn.py says
        if key in known:
            lines[key] = known.pop(key)
    return json.dumps({_CONN: lines, _SETTINGS: known}, indent=1, ensure_ascii=False) + "\n"


def _lines(conn: str) -> dict:
    """Return what conn.py says of the battery, or of several, by the keys of settings."""
    said = {}
    if made := re.search(r"^from aiobmsble\.bms\.(\w+) import BMS", conn, re.M):
        said["bms"] = made[1]
    try:
        statements = ast.parse(conn).body
    except (SyntaxError, ValueError, RecursionError):
        return said
    names = {"dev_name": "dev_name", "DESIGN_CAP": "capacity_ah", "BATTERIES": "batteries"}
    for statement in statements:
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            key = names.get(statement.targets[0].id)
            try:
                value = ast.literal_eval(statement.value) if key else None
            except (ValueError, TypeError):
                continue
            if key == "batteries" and isinstance(value, list | tuple):
                each = [one for one in value if isinstance(one, list | tuple)]
                value = [dict(zip(_BATTERY, one, strict=False)) for one in each]
            if key:
                said[key] = value
    return {key: value for key, value in said.items() if not settingsdoc.problems({key: value})}


def _without_secret(kind: str, value: object) -> object:
    if kind == "batteries" and isinstance(value, list):
        return [_open_battery(one) for one in value if isinstance(one, dict)]
    if settingsdoc.is_harmless(kind) or value in _OPEN[kind]:
        return value
    return "on" if kind == "phone" else _ASKED  # a phone's code: the new board makes its own


def _open_battery(one: dict) -> dict:
    known = {key: one[key] for key in (*_BATTERY, "called") if key in one}
    return known | ({"secret": _ASKED} if one.get("secret") else {})


def tell(folder: Path, options: argparse.Namespace):
    """Let the installer's options say what was kept in `folder`, unless they say it themselves.

    A password stands in `options.set` without its value then, for it has to be asked for. Nothing
    happens if a batmon of before this version pulled the log.
    """
    path = folder / FILE
    if not path.is_file():
        note(f"{path} is not there: the settings come from the options alone.")
        return
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        lines, settings = dict(kept[_CONN]), dict(kept[_SETTINGS])
        if settingsdoc.problems(lines):
            raise ValueError
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        raise UserError(
            f"{path} is not as `batmon pull` writes it; delete it, then the settings come from the"
            " options alone."
        ) from None
    for key, option in _OPTIONS.items():
        if getattr(options, option) is None:
            setattr(options, option, lines.get(key))
    said = {word.partition("=")[0] for word in options.set}
    before = []
    for key, value in settings.items():
        if key == "batteries" and isinstance(value, list):
            value = [_battery(one, path) for one in value]
        if value != _ASKED:
            before.append(f"{key}={json.dumps(value)}")
        elif key not in said:
            before.append(key)
    options.set = before + options.set


def _battery(one: dict, path: Path) -> dict:
    if isinstance(one, dict) and one.get("secret") == _ASKED:
        one = {key: value for key, value in one.items() if key != "secret"}
        name = one.get("dev_name", "a battery")
        note(f"{path} has no passwords: write that of {name} into settings.json on the board.")
    return one
