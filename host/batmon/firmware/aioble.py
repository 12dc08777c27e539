"""aioble, whose core hands the stack's events out: fetched once, checked, cut to what is used.

`python -m batmon.firmware.aioble` fetches it, as host/venv.sh does when it makes .venv.

It is the source of micropython-lib's package aioble-central, from mip's index; AIOBLE=DIR in the
environment takes DIR/aioble instead, whatever that is. The build compiles it as our own files.
Its other parts are never installed: those that scan and connect take 4 kB and leave 3 of them in
memory after a link has begun, in tasks that asyncio remembers; its peripheral role ends all events
when a phone connects.
"""

import ast
import hashlib
import http.client
import json
import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path
from urllib.request import urlopen

from batmon.console import UserError, note
from batmon.drivers import unused
from batmon.paths import BUILD

VERSION = "0.3.0"  # of aioble-central
INDEX = "https://micropython.org/pi/v2"
# SHA-256 of each file, without the line that tells its version.
FILES = {
    "__init__.py": ["735eb2f71c857b5f13db3b7f7179e49bfe8438bed42b8e6c89ac796121fe193c"],
    "core.py": ["966d147542de50b8d4cbe06671a2a6d0633c0e426083b0ad2d6a888a03569414"],
}
_TIMEOUT_S = 20
_OFFLINE = "set AIOBLE to a folder that has the folder aioble of micropython-lib in it"


def source(index: str | None = None) -> Path:
    """Return the folder that has aioble/ in it, fetched from `index` if need be.

    Raises UserError.
    """
    chosen = os.environ.get("AIOBLE")
    if chosen:
        missing = [name for name in FILES if not (Path(chosen) / "aioble" / name).is_file()]
        if missing:
            raise UserError(f"AIOBLE={chosen} has no aioble/{missing[0]}; {_OFFLINE}.")
        return Path(chosen)
    folder = BUILD / f"aioble-{VERSION}"
    if not folder.exists():
        files = _fetch(index or INDEX)
        new = folder.with_suffix(".new")
        shutil.rmtree(new, ignore_errors=True)
        (new / "aioble").mkdir(parents=True)
        for name, data in files.items():
            (new / "aioble" / name).write_bytes(data)
        new.rename(folder)
    return folder


def _fetch(index: str) -> dict[str, bytes]:
    """Return the files of the package, as they were when it was pinned."""

    def get(path: str) -> bytes:
        with urlopen(f"{index}/{path}", timeout=_TIMEOUT_S) as answer:
            return answer.read()

    files = {}
    try:
        hashes = dict(json.loads(get(f"package/py/aioble-central/{VERSION}.json"))["hashes"])
        for name in FILES:
            digest = hashes[f"aioble/{name}"]
            files[name] = get(f"file/{digest[:2]}/{digest}")
    except OSError as error:
        reason = getattr(error, "reason", error)  # with the number of the error, or text alone
        reason = getattr(reason, "strerror", None) or reason
        raise UserError(
            f"aioble, which the board needs, cannot be fetched from {index} ({reason}); connect"
            f" this computer to the network and run this again, or {_OFFLINE}.",
            1,
        ) from None
    except (ValueError, KeyError, TypeError, http.client.HTTPException):
        raise UserError(
            f"{index} has no package aioble-central {VERSION}, which the board needs; {_OFFLINE}.",
            1,
        ) from None
    for name, data in files.items():
        data = re.sub(rb"\n\n__version__ = [^\n]*\n$", b"", data)
        if hashlib.sha256(data).hexdigest() not in FILES[name]:
            raise UserError(
                f"aioble/{name} from {index} is not that of aioble-central {VERSION} and was not"
                f" taken; {_OFFLINE}.",
                1,
            )
    return files


def cut(folder: Path, target: Path, users: Iterable[Path]) -> list[Path]:
    """Write the files of `folder`/aioble to `target`, and return their paths.

    Without what the sources `users` and they themselves never call, what needs another part of
    aioble, and what only tells of itself.
    """
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for name in FILES:
        text = (folder / "aioble" / name).read_text(encoding="utf-8")
        (target / name).write_text(_bare(text), encoding="utf-8")
    unused.drop(target, users)
    return [target / name for name in FILES]


def _bare(text: str) -> str:
    """Return a source of aioble's without log_info, without what needs a part of it that is not
    taken, and without what it only tries to import; the lines stay where they are."""
    lines = text.split("\n")
    tree = ast.parse(text)
    for node in reversed([*ast.walk(tree)]):  # what is in another one before that
        start = node.lineno - 1 if isinstance(node, ast.stmt) else 0
        if isinstance(node, ast.Expr) and _calls(node.value, ("log_info", "log_warn")):
            instead = "pass"
        elif node in tree.body and _imports(node.body[0] if isinstance(node, ast.Try) else node):
            instead = ""
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and any(
            map(_imports, node.body)
        ):
            start = min([start, *(decorator.lineno - 1 for decorator in node.decorator_list)])
            instead = ""
        else:
            continue
        for line in range(start, node.end_lineno):
            lines[line] = ""
        lines[start] = " " * node.col_offset + instead
    return "\n".join(lines)


def _imports(node: ast.AST) -> bool:
    """Whether it imports from a part of aioble that is not taken."""
    return isinstance(node, ast.ImportFrom) and node.level and f"{node.module}.py" not in FILES


def _calls(node: ast.AST, names: tuple[str, ...]) -> bool:
    return isinstance(node, ast.Call) and getattr(node.func, "id", "") in names


if __name__ == "__main__":
    try:
        source()
    except UserError as error:  # all but install.sh works without, and that tries again
        note(f"for installing on a board something is missing: {error}")
