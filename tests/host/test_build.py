"""`batmon build`: only what changed is made, nothing stale stays, nothing foreign is touched."""

import re
import shutil

import pytest

from batmon.cli import main
from batmon.commands import build as command
from batmon.console import UserError
from batmon.drivers import translator
from batmon.firmware import build

pytestmark = pytest.mark.usefixtures("standin")


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """A small checkout; the translator is a stand-in that writes one module per driver."""
    root = tmp_path / "checkout"
    sources = "main.py", "boot.py", "store.py", "lib/half.py", "sim/board.py", "sim/air.py"
    for name in (*sources, "NOTICE"):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"name = {name!r}\n")
    monkeypatch.setattr(build, "ROOT", root)
    monkeypatch.setattr(build, "BUILD", root / "build")
    monkeypatch.setattr(build, "BOARD", root / "build/board")
    monkeypatch.setattr(build, "SIMS", {"64": root / "build/sim"})
    monkeypatch.setattr(build, "present", lambda: ["64"])
    monkeypatch.setattr(build, "TRANSLATED", root / "build/drivers")
    monkeypatch.setattr(build, "SHORT", root / "build/short")
    monkeypatch.setattr(build, "_STATE", root / "build/state.json")
    monkeypatch.setattr(command, "ROOT", root)

    def translate(out, only):
        folder = out / "aiobmsble/bms"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for name in only or ["jbd_bms", "jikong_bms"]:
            (folder / f"{name}.py").write_text(f"driver = {name!r}\n")

    monkeypatch.setattr(translator, "translate", translate)
    return root


def _files(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_trees(tree):
    built = build.build(tree / "build/board")
    assert _files(tree / "build/board") == {
        "boot.py", "main.py", "store.mpy", "lib/half.mpy", "aiobmsble/bms/jbd_bms.mpy",
        "aiobmsble/bms/jikong_bms.mpy", "names.txt", "NOTICE",
    }  # fmt: skip
    assert _files(tree / "build/sim") == {"board.py", "air.mpy"}
    assert (built.files, built.made) == (10, 10)


def test_only_what_changed_is_made(tree):
    board = tree / "build/board"
    build.build(board)
    assert build.build(board).made == 0
    (tree / "store.py").write_text("name = 1\n")
    assert build.build(board).made == 1
    (board / "lib/half.mpy").write_bytes(b"")
    (board / "boot.py").unlink()
    assert build.build(board).made == 2
    assert build.build(board).made == 0


def test_who_reads_a_file_that_is_made_anew_has_a_whole_one(tree):
    board = tree / "build/board"
    build.build(board)
    for name in ("store.mpy", "boot.py"):
        before = (board / name).read_bytes()
        with open(board / name, "rb") as there:
            (tree / name.replace("mpy", "py")).write_text("other = 5\n")
            assert build.build(board).made == 1
            assert there.read() == before != (board / name).read_bytes()


def test_what_lost_its_source_goes(tree):
    board = tree / "build/board"
    build.build(board)
    (tree / "lib/half.py").unlink()
    (tree / "store.py").rename(tree / "shop.py")
    build.build(board)
    assert "shop.mpy" in _files(board)
    assert not _files(board) & {"store.mpy", "lib/half.mpy"} and not (board / "lib").exists()
    build.build(board, ["jbd_bms"])
    assert "aiobmsble/bms/jikong_bms.mpy" not in _files(board)


def test_names_are_short_and_known_in_the_build(tree):
    (tree / "store.py").write_text("class Store:\n    _number = 1\n\n    def f(self, many):\n"
                                   "        return self._number * many\n")  # fmt: skip
    board, plain = tree / "build/board", tree / "build/plain"
    build.build(board)
    build.build(plain, short=False)
    short = build.names()["_number"]
    for name in ("_number", "many"):
        assert name.encode() not in (board / "store.mpy").read_bytes()
        assert name.encode() in (plain / "store.mpy").read_bytes()
    assert short.encode() in (board / "store.mpy").read_bytes()
    assert build.build(board).made == 0
    (tree / "store.py").write_text("class Store:\n    _size = 1\n")
    build.build(board)
    assert list(build.names()) == ["_size"]


def test_native_code_stays_source(tree):
    (tree / "lib/half.py").write_text("import micropython\n@micropython.viper\ndef f(): pass\n")
    build.build(tree / "build/board")
    assert "lib/half.py" in _files(tree / "build/board")


def test_same_sources_same_bytes(tree):
    build.build(tree / "a")
    build.build(tree / "b")
    assert _files(tree / "a") == _files(tree / "b")
    for name in _files(tree / "a"):
        assert (tree / "a" / name).read_bytes() == (tree / "b" / name).read_bytes()


def test_mistakes_get_a_sentence(tree):
    (tree / "lib/half.py").write_text("def broken(:\n")
    with pytest.raises(UserError, match=re.escape("lib/half.py does not compile: SyntaxError")):
        build.build(tree / "build/board")
    (tree / "lib/half.py").write_text("")
    assert build.build(tree / "build/board").files == 10


def test_forgotten_state_is_no_trouble(tree):
    board = tree / "build/board"
    build.build(board)
    (board / "stale.mpy").write_bytes(b"")
    (tree / "build/state.json").write_text("rubbish")
    assert build.build(board).made == 10
    assert "stale.mpy" not in _files(board)


def test_foreign_folder_is_left_alone(tree, capsys):
    other = tree / "other"
    other.mkdir()
    (other / "thesis.txt").write_text("precious")
    assert main(["build", "--out", str(other)]) == 2
    assert "holds other files" in capsys.readouterr().err
    assert _files(other) == {"thesis.txt"}
    before = _files(tree)
    assert main(["build", "--out", str(tree)]) == 2
    assert main(["build", "--out", str(tree.parent)]) == 2
    assert _files(tree) - before <= {"build/lock"}


def test_a_name_that_leads_out_of_the_build_removes_nothing(tree, monkeypatch):
    monkeypatch.setattr(translator, "translate", lambda out, only: translator._chosen(only))
    (tree / "docs").mkdir()
    (tree / "docs/thesis.txt").write_text("precious")
    for name in ("../../docs", "..", str(tree / "docs")):
        with pytest.raises(UserError, match="no BMS driver"):
            build.build(tree / "build/board", [name])
        assert _files(tree / "docs") == {"thesis.txt"} and (tree / "build/lock").exists()


def test_unknown_driver_is_named(capsys, tmp_path):
    assert main(["build", "--out", str(tmp_path / "x"), "--bms", "lemon"]) == 2
    said = capsys.readouterr().err
    assert "lemon" in said and "docs/BMS.md" in said and len(said.splitlines()) == 1
