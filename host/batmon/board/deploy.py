"""Files onto a board, so that being cut off at any moment does no harm.

They are copied beside what is there, verified, and put into place at the end by the board's own
app/update.py. The manifest on the board tells what an earlier run installed.
"""

from batmon.board.remote import Remote
from batmon.console import UserError, note
from batmon.firmware.payload import CONN, SETTINGS, digest, head_digest
from batmon.paths import ROOT

_AIOBLE = "/lib/aioble/"  # its other parts would run as well, if they were there
_MANIFEST = "/installed.txt"  # "SHA-256 PATH" lines
_BLOCK = 4096
_FOLDERS = 16 * _BLOCK
_SPARE = 4 * _BLOCK  # for the journal, and folders that grow
_LOG_SHARE = 4  # the log keeps a quarter of the volume free for its next shards
_LOG_LEAST = 3 * _BLOCK  # with less the store writes next to nothing
_LOG_BYTES = """
import os
try:
    _n = sum(e[3] for e in os.ilistdir('/data'))
except OSError:
    _n = 0
"""


def finish(board: Remote):
    """Put what an earlier run has left complete into its place."""
    board.run((ROOT / "app/update.py").read_text(encoding="utf-8") + "\nfinish()\n")


def manifest(board: Remote, found: dict) -> dict[str, str]:
    """Return {path: SHA-256} of what the last run installed; "head" is that of conn.py here."""
    text = board.read(_MANIFEST).decode() if _MANIFEST in found else ""
    return {path: digest for digest, path in (line.split(" ", 1) for line in text.splitlines())}


def make_room(board: Remote, found: dict, was: dict, files: dict[str, bytes], replace: bool):
    """See to it that `files` fit beside those they replace; raises UserError if they do not.

    found: the hashes of the board's files; was: its manifest. With `replace` the installed program
    goes first, if there is no room else: until the new one is complete, there is none.
    """
    want = {path: digest(data) for path, data in files.items()}
    ready = {_staged(path, found): want[path] for path in files}
    left = [p for p in found if ".new" in p and found[p] != ready.get(p)]
    _remove(board, left, found)  # by a run that was cut off, of another version
    missing = [p for p in files if want[p] not in (found.get(p), found.get(_staged(p, found)))]
    if not missing:
        return
    needed = sum(_on_flash(files[path]) for path in missing) + _SPARE
    old = [p for p in was if found.get(p) not in (None, want.get(p))]
    own = [p for p in old if p not in (CONN, SETTINGS)]
    if replace and needed > board.space()[0]:
        _remove(board, sorted(own, key=lambda path: path != "/main.py"), found)
    free, size = board.space()
    program = sum(map(_on_flash, files.values())) + _FOLDERS
    if program > size - size // _LOG_SHARE:
        many = sum("_bms." in path for path in files) > 1
        remedy = "name one BMS with --bms and --name" if many else "take a board with more"
        raise UserError(
            f"the program would take {program >> 10} of the {size >> 10} kB of the board's flash,"
            f" which leaves too little for the log; {remedy}.",
            1,
        )
    if needed > free:
        beside = " beside the old version; run this with --replace, which removes it first, or"
        raise UserError(
            f"the board's flash has {free >> 10} kB free, {needed >> 10} are needed"
            f"{beside if own else ';'} make room with `batmon pull --free` or `mpremote fs rm`.",
            1,
        )


def check_log_room(board: Remote):
    """Raise UserError if next to nothing of the flash is left for the log."""
    free, size = board.space()
    room = free + board.get(_LOG_BYTES, "_n", int)
    if room < _LOG_LEAST:
        raise UserError(
            f"installed, but only {room >> 10} of the {size >> 10} kB of the board's flash are left"
            " for the log; delete files that are not batmon's (`mpremote fs tree` shows all,"
            " `mpremote fs rm` deletes one) and run this again, or take a board with more flash.",
            1,
        )


def _on_flash(data: bytes) -> int:
    return -(-len(data) // _BLOCK) * _BLOCK


def _remove(board: Remote, paths: list[str], found: dict):
    for path in paths:
        board.run(f"import os\nos.remove({path!r})")
        del found[path]


def copy(board: Remote, found: dict, was: dict, files: dict[str, bytes]) -> int:
    """Bring the board's files to `files`; return how many were copied.

    found: the hashes of its files; was: its manifest.
    """
    want = {path: digest(data) for path, data in files.items()}
    lines = {**want, "head": head_digest()}
    text = "".join(f"{digest} {path}\n" for path, digest in sorted(lines.items())).encode()
    changed = [path for path in files if found.get(path) != want[path]]
    gone = _gone(found, was, want)
    if found.get(_MANIFEST) != digest(text):
        files = {**files, _MANIFEST: text}
        want[_MANIFEST] = digest(text)
        changed.append(_MANIFEST)
    elif not changed and not gone:
        return 0
    staged = {path: _staged(path, found) for path in changed}
    missing = [path for path in changed if found.get(staged[path]) != want[path]]
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
    board.write("/update.part", _journal(staged, gone).encode(), lambda _: None)
    board.run("import os\nos.rename('/update.part', '/update.txt')")
    finish(board)
    now = board.hashes()
    bad = [path for path in want if now.get(path) != want[path]]
    if bad:
        raise UserError(f"{bad[0]} is not what was installed; run this again.", 1)
    return len([path for path in changed if path != _MANIFEST])


def _staged(path: str, found: dict) -> str:
    """Return where `path` lies ready: beside its place, .new behind its name.

    A folder that would hide a module of the version that runs lies ready as a whole.
    """
    _, top, *below = path.split("/")
    hides = below and (f"/{top}.mpy" in found or f"/{top}.py" in found)
    if hides and not any(p.startswith(f"/{top}/") for p in found):
        return "/".join(("", f"{top}.new", *below))
    return f"{path}.new"


def _journal(staged: dict[str, str], gone: list[str]) -> str:
    """Return what app/update.py is to do: put what is `staged` into place, remove what is `gone`.

    After a cut anywhere, boot.py finds what goes on: the new one app/update.mpy, and that of
    version 0.1.0 /update.mpy, which therefore goes after it.
    """
    places = dict.fromkeys(
        path if ready == f"{path}.new" else "/" + path.split("/")[1]
        for path, ready in sorted(staged.items(), key=lambda item: item[0] == "/main.py")
    )
    first = [path for path in ("/app", "/app/update.mpy", "/boot.py") if path in places]
    lines = [f"+{path}" for path in first]
    lines += [f"-{path}" for path in gone]
    lines += [f"+{path}" for path in places if path not in first]
    return "\n".join([*lines, ""])


def _gone(found: dict, was: dict, want: dict) -> list[str]:
    """Return the files to remove: installed once but not any more, or hiding a new one."""
    gone = []
    for path in found:
        if path in want:
            continue
        twin = path[:-3] + ".mpy" if path.endswith(".py") else path[:-4] + ".py"
        ours = path in was and path not in (SETTINGS, _MANIFEST)
        hides = twin in want or path.startswith(_AIOBLE)
        if ours or (hides and path.endswith((".py", ".mpy"))):
            gone.append(path)
    return gone


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
            progress.update(task, description=path.replace(".new", ""))
            board.write(path, data, lambda n: progress.advance(task, n))
