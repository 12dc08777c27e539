"""What an owner with Windows runs, without a shell and without what only Unix has in Python.

There is no Windows here: our modules are kept from importing what it lacks, and the lock that it
has instead is made of this system's.
"""

import ast
import subprocess
import sys

import pytest
from shardfiles import anchor, data, write

from batmon.paths import BUILD, ROOT
from batmon.virtual.serialboard import SerialBoard

pytestmark = pytest.mark.usefixtures("standin")

_ALIKE = """
import builtins, fcntl, sys, types
lacks = {"fcntl", "termios", "tty", "pty", "pwd", "grp", "resource"}
own, real = "batmon", builtins.__import__
def windows(name, globals=None, *rest, **more):
    if (globals or {}).get("__name__", "").startswith(own):
        if name in lacks:
            raise ModuleNotFoundError("No module named " + repr(name))
        if name == "msvcrt":
            return types.SimpleNamespace(locking=locking, LK_LOCK=1)
    return real(name, globals, *rest, **more)
tries = []
def locking(handle, mode, size):
    tries.append(mode)
    if len(tries) == 1:
        raise OSError(36, "Resource deadlock avoided")  # after ten seconds
    fcntl.flock(handle, fcntl.LOCK_EX)
builtins.__import__ = windows
from batmon.cli import main
sys.exit(main(sys.argv[1:]))
"""


def _batmon(*words, **environment) -> tuple[int, str]:
    command = [sys.executable, "-c", _ALIKE, *map(str, words)]
    done = subprocess.run(
        command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=300
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout + done.stderr


def test_from_a_bare_board_to_its_log(tmp_path):
    with SerialBoard(tmp_path / "board") as board:
        code, said = _batmon("install", board.port)
        assert code == 0 and "The first sample has come" in said, said
        code, said = _batmon("pull", board.port, tmp_path / "log")
        assert code == 0 and "new in 1 of 1 shard" in said, said


def test_what_is_done_with_the_log(tmp_path):
    frames = [anchor(0, 1_767_247_200), *(data(10 * i) for i in range(1, 90))]
    write(tmp_path, "van-00001.raw", frames)
    out = tmp_path / "ü"
    out.mkdir()
    for words in (
        ("info", tmp_path),
        ("verify", tmp_path),
        ("export", tmp_path, "-o", out / "van.csv"),
        ("export", tmp_path, "-o", out / "van.xlsx"),
        ("report", tmp_path, "-o", out / "van.html"),
        ("seal", tmp_path, "-o", out),
    ):
        code, said = _batmon(*words)
        assert code == 0, said
    assert {p.suffix for p in out.iterdir()} == {".csv", ".xlsx", ".html", ".bts"}


def test_what_needs_another_system_says_so():
    code, said = _batmon("board")
    assert code == 2 and said == (
        "batmon: the virtual board needs Linux, macOS or, on Windows, WSL.\n"
    )


def test_a_board_is_installed_without_the_interpreter_that_windows_lacks(tmp_path, monkeypatch):
    monkeypatch.setenv("MICROPYTHON", str(tmp_path / "absent"))
    monkeypatch.setattr("batmon.firmware.build._STATE", tmp_path / "state.json")
    from batmon.firmware.build import build

    built = build(BUILD / "install/test-windows", ["jikong_bms"], radio=ROOT / "sim")
    assert built.made > 60


def test_texts_have_the_same_encoding_everywhere():
    for path in (ROOT / "host/batmon").rglob("*.py"):
        if path.parent.name == "virtual" or path.name in ("sim.py", "board.py"):
            continue  # Windows runs none of it
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and _opens_a_text(node):
                names = [keyword.arg for keyword in node.keywords]
                assert "encoding" in names, f"{path.name}, line {node.lineno}"


def _opens_a_text(call: ast.Call) -> bool:
    function = call.func
    if isinstance(function, ast.Name) and function.id == "open":
        mode = call.args[1].value if len(call.args) > 1 else "r"
        return "b" not in mode
    return isinstance(function, ast.Attribute) and function.attr in ("read_text", "write_text")
