"""What a board says may be torn, endless or made up: one sentence, and nothing is lost."""

import os
import subprocess
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mpremote.transport import TransportExecError
from shardfiles import anchor, data, sealed

from batmon.board import boardlog, remote
from batmon.board.pull import Pull
from batmon.cli import main
from batmon.console import UserError
from batmon.firmware.interpreter import micropython

_SHARD = sealed([anchor(0, 1_767_247_200), *(data(10 * i) for i in range(1, 90))])

_DEEP = b"(" * 5000 + b")" * 5000  # MemoryError or RecursionError of the reader
_ODD = [
    b"", b"None", b"'x'", b"1.5", b"[]", b"(1, 2)", b"\xff\xfe", b"-1", b"9" * 5000, _DEEP,
    b"\x1b]0;x\x07", b"12 x", b"12 'van-00001.bts'\n", b"-5 'van-00001.bts'", b"3 5", b"1 2 3 4",
    b"1 2 3 x", b"{}", b"a" * 64 + b" x", b"b'ab'", b"12 [[1]]", b"[1, *'a']", b"0e", b"f()",
]  # fmt: skip


class _Transport:
    """Answers everything with the same bytes."""

    def __init__(self, answer):
        self._answer = answer

    def exec(self, code, consumer=None):
        if isinstance(self._answer, Exception):
            raise self._answer
        for i in range(len(self._answer)):
            consumer(self._answer[i : i + 1])
        consumer(b"\x04")
        return b"\x04"


def _board(answer):
    board = object.__new__(remote.Remote)
    board.port, board.transport, board._fresh = "/dev/x", _Transport(answer), True
    return board


_QUESTIONS = [
    (lambda b: b.get("", "x"), tuple),
    (lambda b: b.space(), tuple),
    (lambda b: b.read("/x"), bytes),
    (lambda b: b.hashes(), dict),
    (lambda b: b.set_clock(), int),
    (lambda b: _log(b).files(), dict),
    (lambda b: _log(b).crc("x", 5), int),
    (lambda b: _log(b).fetch("x", 0, 9, lambda chunk: None), type(None)),
]


def _log(board):
    log = object.__new__(boardlog.BoardLog)
    log._board = board
    return log


@settings(max_examples=150)
@given(st.sampled_from(_ODD) | st.binary(max_size=60), st.sampled_from(_QUESTIONS))
def test_any_answer_is_a_value_or_a_sentence(answer, question):
    ask, kind = question
    try:
        assert isinstance(ask(_board(answer)), kind)
    except UserError as error:
        assert len(str(error).splitlines()) == 1 and "Error" not in str(error)


def test_an_answer_without_end_is_not_kept():
    with pytest.raises(UserError, match="garbled"):
        _board(b"1" * (2 << 20)).hashes()
    with pytest.raises(UserError, match="garbled"):
        _log(_board(b"x" * 5000)).fetch("x", 0, 9, lambda chunk: None)
    line = b"%08x YWJj\n" % zlib.crc32(b"abc")
    came = []
    with pytest.raises(UserError, match="garbled"):
        _log(_board(line * 5)).fetch("x", 0, 9, came.append)
    assert came == [b"abc"] * 3


@pytest.mark.parametrize("said, words", [
    ("Traceback\r\nMemoryError: memory allocation failed, allocating 9 bytes\r\n", "reset button"),
    ("Traceback\r\nOSError: 28\r\n", "full"),
    ("Traceback\r\nOSError: [Errno 5] EIO\r\n", "refused"),
    ("", "refused"),
])  # fmt: skip
def test_what_fails_on_the_board(said, words):
    with pytest.raises(UserError, match=words):
        _board(TransportExecError(b"", said)).run("x")


_TORN = """
import os, vfs
class Disk:
    def __init__(self):
        self.data = bytearray(512 * 200)
    def readblocks(self, n, buf):
        buf[:] = self.data[n * 512 : n * 512 + len(buf)]
    def writeblocks(self, n, buf):
        self.data[n * 512 : n * 512 + len(buf)] = buf
    def ioctl(self, op, arg):
        return {4: 200, 5: 512}.get(op, 0)
disk = Disk()
vfs.VfsFat.mkfs(disk)
vfs.mount(vfs.VfsFat(disk), '/data')
for name in ('TORN1.RAW', 'TORN2.RAW', 'van-00001.raw'):
    with open('/data/' + name, 'w') as f:
        f.write('12345')
vfs.umount('/data')
for old, new in ((b'TORN1   RAW', b'T\\xe9\\xffN1   RAW'), (b'TORN2   RAW', b'TO\\nN2   RAW')):
    at = disk.data.find(old)
    disk.data[at : at + 11] = new
vfs.mount(vfs.VfsFat(disk), '/data')
"""


def test_names_that_a_power_cut_tore_on_fat():
    code = _TORN + boardlog._HELPERS + "_list()\n"
    done = subprocess.run([micropython(), "-c", code], capture_output=True, timeout=60)
    sizes = boardlog._sizes(done.stdout.decode())
    assert sizes.pop("van-00001.raw") == 5, done.stderr
    assert all(size == 5 for size in sizes.values())


class _Log:
    """The log of a board, in memory; what is removed is told to `done`."""

    def __init__(self, files, done):
        self._files, self._done = files, done

    def files(self):
        return {name: len(content) for name, content in self._files.items()}

    def crc(self, name, size):
        return zlib.crc32(self._files[name][:size])

    def fetch(self, name, at, size, take):
        take(self._files[name][at:size])

    def names(self):
        return b""

    def told(self):
        return "", ""

    def remove(self, name):
        del self._files[name]
        self._done.append(name)


def test_nothing_is_freed_before_the_copies_are_on_the_disk(tmp_path, monkeypatch):
    done = []
    fsync = os.fsync
    monkeypatch.setattr(
        os, "fsync", lambda f: (done.append(os.readlink(f"/proc/self/fd/{f}")), fsync(f))
    )
    folder = tmp_path / "new" / "log"
    folder.parent.mkdir()
    there = {"van-00001.bts": _SHARD, "van-00002.bts": _SHARD, "van-00002.bad": b"bad"}
    pull = Pull(_Log(dict(there), done), folder)
    pull.run()
    done.clear()
    pull.free()
    assert not pull.problems and {p.name: p.read_bytes() for p in folder.iterdir()} == there
    synced, freed = done[: -len(there)], done[-len(there) :]
    assert set(freed) == set(there)
    assert {str(folder / name) for name in there} | {str(folder), str(folder.parent)} <= set(synced)


def test_what_the_board_set_aside(tmp_path, capsys):
    there = {"van-00001.raw": b"torn", "van-00002.bts": _SHARD}
    log = _Log(there, [])
    Pull(log, tmp_path).run()
    assert (tmp_path / "van-00001.raw").exists()
    there["van-00001.bad"] = there.pop("van-00001.raw") + b"more"  # found at its next start
    there |= {"index": b"2 90 0\n", "packing": b"{}", "state": b"1 2\n", "van-00003.tmp": b"x"}
    pull = Pull(log, tmp_path)
    pull.run()
    assert not pull.problems
    came = {"van-00001.bad", "van-00002.bts", "state"}
    assert {path.name for path in tmp_path.iterdir()} == came
    for name in ("index", "packing"):  # as by `mpremote cp`
        (tmp_path / name).write_bytes(there[name])
    for command in ("verify", "info"):
        assert main([command, str(tmp_path)]) == 0
        said = capsys.readouterr()
        assert said.err.count("\n") == 1 and "van-00001.bad was set aside by the board" in said.err


def test_names_are_harmless_for_a_terminal(tmp_path, capsys):
    (tmp_path / "van-00001.bts").write_bytes(_SHARD)
    (tmp_path / "\x1b]0;owned\x07\n\udcff").write_bytes(b"")
    folder = tmp_path / "\x1b[2J"
    folder.mkdir()
    (folder / "van-00002.raw").write_bytes(b"torn")
    (folder / "version").write_bytes(b"\x1b[5m \x1b[1m")
    for command in ("verify", "info"):
        assert main([command, str(tmp_path)]) == 1
        said = capsys.readouterr()
        assert said.err.rstrip("\n").isprintable() and "?]0;owned???" in said.err
        assert said.out.replace("\n", "").isprintable() and "?[2J" in said.out
