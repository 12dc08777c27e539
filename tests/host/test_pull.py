"""`batmon pull` from the virtual board, through a serial session with the real mpremote."""

import contextlib
import fcntl
import json
import os
import random
import select
import shutil
import subprocess
import sys
import threading
import time

import pytest
from shardfiles import anchor, data, write

import batmon
from batmon.board import boardlog, remote
from batmon.cli import main
from batmon.virtual.serialboard import SerialBoard

_START = 1_767_247_200
_LONG_S = 300  # for what takes seconds on a quiet computer


def _shards(folder, counts, seed=1):
    """Write shards of so many frames each, all sealed but the last; return their bytes."""
    folder.mkdir(exist_ok=True)
    rnd = random.Random(seed)
    up, made = 0, {}
    for number, count in enumerate(counts, 1):
        frames = [anchor(up, _START + up)]
        for _ in range(count):
            up += rnd.randint(2, 90)
            frames.append(data(up, rnd.uniform(12, 14), rnd.uniform(-90, 90)))
        kind = "bts" if number < len(counts) else "raw"
        path = write(folder, f"van-{number:05}.{kind}", frames)
        made[path.name] = path.read_bytes()
    return made


def _put(board, files):
    """Give a board these files as its log."""
    with remote.Remote(board.port) as link:
        for name, content in files.items():
            link.write(f"/data/{name}", content, lambda n: None)


def _contents(folder):
    return {path.name: path.read_bytes() for path in folder.glob("*-*")}


def _pull(capsys, *arguments):
    """Run `batmon pull --json`; return its exit code and result."""
    code = main(["pull", *map(str, arguments), "--json"])
    said = capsys.readouterr()
    assert said.out, said.err
    return code, json.loads(said.out)


@pytest.fixture(scope="module")
def board(tmp_path_factory):
    with SerialBoard(tmp_path_factory.mktemp("board")) as running:
        yield running


@pytest.mark.xdist_group("pull")
def test_only_what_is_new_and_grown(board, tmp_path, capsys):
    files = _shards(tmp_path / "made", [200, 150, 100])
    raw = files["van-00003.raw"]
    _put(board, files | {"van-00003.raw": raw[: 40 * 13], "state": b"1 3\n"})
    folder = tmp_path / "log"
    code, result = _pull(capsys, board.port, folder)
    assert code == 0 and set(result["new_bytes"]) == set(files)
    assert _contents(folder) == files | {"van-00003.raw": raw[: 40 * 13]}
    _put(board, {"van-00003.raw": raw})
    code, result = _pull(capsys, board.port, folder)
    assert code == 0 and result["new_bytes"] == {"van-00003.raw": len(raw) - 40 * 13}
    assert _contents(folder) == files
    assert _pull(capsys, board.port, folder)[1]["new_bytes"] == {}

    # the shard gets sealed: its raw copy goes
    sealed = _shards(tmp_path / "made", [200, 150, 100, 5])
    with remote.Remote(board.port) as link:
        boardlog.BoardLog(link).remove("van-00003.raw")
    _put(board, {"van-00003.bts": sealed["van-00003.bts"]})
    assert _pull(capsys, board.port, folder)[0] == 0
    assert set(_contents(folder)) == {"van-00001.bts", "van-00002.bts", "van-00003.bts"}

    # so it does when the pull before was stopped just then
    (folder / "van-00003.raw").write_bytes(raw)
    assert _pull(capsys, board.port, folder)[0] == 0
    assert set(_contents(folder)) == {"van-00001.bts", "van-00002.bts", "van-00003.bts"}

    # a copy that is not intact keeps its original on the board
    damaged = bytearray(files["van-00001.bts"])
    damaged[300] ^= 1
    (folder / "van-00001.bts").write_bytes(damaged)
    code, result = _pull(capsys, board.port, folder, "--free")
    assert code == 1 and "van-00001.bts stays" in result["problems"][0]
    assert result["freed"] == ["van-00002.bts", "van-00003.bts"]
    code, result = _pull(capsys, board.port, folder, "--free")
    assert set(result["on_board"]) == {"van-00001.bts"} and result["freed"] == []

    # another battery's log under the same names is not overwritten, nor mixed
    _put(board, {"van-00001.bts": sealed["van-00002.bts"] + sealed["van-00002.bts"]})
    code, result = _pull(capsys, board.port, folder)
    assert code == 1 and "into a new folder" in result["problems"][0]
    assert (folder / "van-00001.bts").read_bytes() == damaged
    erased = _shards(tmp_path / "made", [9], seed=4)["van-00001.raw"]
    _put(board, {"van-00002.raw": erased, "van-00004.raw": erased})
    (folder / "van-00001.bts").unlink()
    (folder / "van-00001.raw").write_bytes(erased)
    code, result = _pull(capsys, board.port, folder)
    assert code == 1 and len(result["problems"]) == 2
    assert set(result["new_bytes"]) == {"van-00004.raw"}
    names = {"van-00001.raw", "van-00002.bts", "van-00003.bts", "van-00004.raw"}
    assert set(_contents(folder)) == names


@pytest.mark.xdist_group("pull")
def test_what_went_wrong_on_the_board_comes_too(board, tmp_path, capsys):
    for text in ("2026-01-01 06:00, boot 1: link", "shorter, with ümlaut\n"):
        _put(board, {"errors.txt": text.encode(), "errors.old": b"older\n" * 600})
        assert _pull(capsys, board.port, tmp_path)[0] == 0
        assert (tmp_path / "errors.txt").read_text() == text
        assert (tmp_path / "errors.old").read_bytes() == b"older\n" * 600
        assert not list(tmp_path.glob("*.part"))


@pytest.mark.xdist_group("pull")
def test_the_error_log_has_the_names_of_the_sources(board, tmp_path, capsys):
    log = ' batmon 9.9.9 boot 1 +0 s x: Traceback:\n  File "app.app", line 1, in _a\nOSError: 5\n'
    names = b"9.9.9\napp.app _a=_show\n" + b"x _b=_c\n" * 8000  # more than its memory takes
    _put(board, {"errors.txt": b"\xff" + log.encode(), "../names.txt": names})
    assert _pull(capsys, board.port, tmp_path)[0] == 0
    read = log.replace('", line 1, in _a', '", in _show').encode()
    assert (tmp_path / "errors.txt").read_bytes() == b"\xff" + read


@pytest.mark.xdist_group("pull")
def test_a_folder_that_cannot_be_written_is_not_the_boards_fault(board, tmp_path, capsys):
    content = _shards(tmp_path / "made", [90])["van-00001.raw"]
    _put(board, {"full-00001.raw": content})
    full = tmp_path / "full-00001.raw.part"
    full.symlink_to("/dev/full")
    for folder, why in ((tmp_path, "No space left"), (tmp_path / "made/van-00001.raw/x", "Not a")):
        assert main(["pull", board.port, str(folder)]) == 1
        error = capsys.readouterr().err
        assert error.splitlines()[-1].startswith(f"batmon: cannot write in {folder}: {why}")
        assert "lost the board" not in error
    full.unlink()
    assert _pull(capsys, board.port, tmp_path)[0] == 0
    assert (tmp_path / "full-00001.raw").read_bytes() == content


@pytest.mark.xdist_group("pull")
def test_interrupted_at_random_points(tmp_path, capsys):
    files = _shards(tmp_path / "made", [900, 700, 800, 600, 900], seed=2)
    rnd = random.Random(3)
    folder = tmp_path / "log"
    with SerialBoard(tmp_path / "board") as board:
        _put(board, files)
        command = [sys.executable, "-m", "batmon", "pull", board.port, str(folder)]
        ways = ["kill", "power", "interrupt"]
        for _ in range(30):
            if _contents(folder) == files:  # it came to its end before the cut: begin anew
                shutil.rmtree(folder)
            goal = _bytes(folder) + rnd.randint(1, 9000)
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            end = time.monotonic() + _LONG_S
            while process.poll() is None and _bytes(folder) < goal and time.monotonic() < end:
                time.sleep(0.002)
            if process.poll() is None:
                way = ways.pop()
                if way == "power":
                    board.power_cycle()
                else:
                    process.kill() if way == "kill" else process.send_signal(2)
            error = process.communicate(timeout=_LONG_S)[1].decode()
            assert "Traceback" not in error
            for path in folder.glob("*.*"):  # what has its name is whole
                assert path.suffix == ".part" or path.read_bytes() == files[path.name]
            if not ways:
                break
        assert not ways
        assert main(["pull", board.port, str(folder)]) == 0
    assert _contents(folder) == files
    assert len(batmon.read(folder)) == 3900


def _bytes(folder):
    size = 0
    for path in folder.glob("*") if folder.exists() else ():
        with contextlib.suppress(FileNotFoundError):  # it gets its name just now
            size += path.stat().st_size
    return size


@pytest.mark.xdist_group("pull")
def test_a_logging_board_gets_the_time_for_all_since_its_start(tmp_path, capsys):
    settings = {"poll_s": 1}
    with SerialBoard(tmp_path / "board", installed=True, settings=settings) as board:
        _wait_for(board, b"connected\r\n")
        code, result = _pull(capsys, board.port, tmp_path / "log")
        assert code == 0 and abs(result["clock_off_s"]) > 1000
        table = batmon.read(tmp_path / "log")
        assert len(table) and table["time_known"].all() and table["boot"].nunique() == 1
        age = time.time() - table["time_utc"].astype("datetime64[s, UTC]").astype("int64").max()
        assert -5 < age < _LONG_S
        _wait_for(board, b"connected\r\n")  # it logs again by itself
        code, result = _pull(capsys, board.port, tmp_path / "log")
        assert code == 0 and abs(result["clock_off_s"]) < 600  # a busy PC slows the board
        table = batmon.read(tmp_path / "log")
        assert table["boot"].nunique() == 2 and table["time_known"].all()


@pytest.mark.xdist_group("pull")
@pytest.mark.usefixtures("standin")
def test_two_batteries_from_installing_to_the_report(tmp_path, capsys):
    kind = {"bms": "jikong,jbd", "battery": "van,house"}
    with SerialBoard(tmp_path / "board", **kind) as board:
        add = ["--lcd", "none", "--add", "jbd,JBD-SP25S020,100", "--set", "phone=off"]
        assert main(["install", board.port, "--no-bthome", *add]) == 0
        said = capsys.readouterr().out
        assert "left out" not in said and "The first sample has come" in said
        _wait_for(board, b"JBD-SP25S020: 5", said.encode())  # so many volts
        assert _pull(capsys, board.port, tmp_path / "log")[0] == 0
        with remote.Remote(board.port) as link:
            stored = {name: link.read(f"/data/{name}") for name in _contents(tmp_path / "log")}
    for name, content in _contents(tmp_path / "log").items():
        assert content and stored[name].startswith(content)  # the board went on behind it
    assert {name[:-10] for name in stored} == {"jk_pak01", "JBD_SP25S020"}
    table = batmon.read(tmp_path / "log").groupby("battery")["voltage_V"].agg(["min", "max"])
    assert 12 < table["min"]["jk_pak01"] <= table["max"]["jk_pak01"] < 15
    assert 48 < table["min"]["JBD_SP25S020"] <= table["max"]["JBD_SP25S020"] < 60
    assert main(["info", str(tmp_path / "log"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert {fact["battery"] for fact in told if "battery" in fact} >= {"jk_pak01", "JBD_SP25S020"}
    assert main(["report", str(tmp_path / "log"), "-o", str(tmp_path / "page.html")]) == 0


@pytest.mark.xdist_group("pull")
def test_a_board_that_is_stopped_as_it_starts(tmp_path, capsys):
    with SerialBoard(tmp_path / "board", installed=True) as board:
        with open(board.port, "r+b", buffering=0) as line:
            line.write(b"\x03\x04")
        _wait_for(board, b"Ctrl-C now")
        code, result = _pull(capsys, board.port, tmp_path / "log")
        assert code == 0 and abs(result["clock_off_s"]) > 1000


_TAKE = """
spare = bytearray({spare})
hog = []
size = 20000
while size > 500:
    try:
        hog.append(bytearray(size))
    except MemoryError:
        size //= 2
del spare
"""


@pytest.mark.xdist_group("pull")
@pytest.mark.parametrize("spare, dated", [(8000, True), (0, False)])
def test_a_board_whose_memory_is_full_is_pulled_all_the_same(
    spare, dated, tmp_path, capsys, monkeypatch
):
    class Full(remote.Remote):
        def __enter__(self):
            super().__enter__()
            with contextlib.suppress(remote.NoMemory):
                self.run(_TAKE.format(spare=spare))
            return self

    with SerialBoard(tmp_path / "board", installed=True, settings={"poll_s": 1}) as board:
        _wait_for(board, b"connected\r\n")
        monkeypatch.setattr(remote, "Remote", Full)
        assert main(["pull", board.port, str(tmp_path / "log")]) == 0
        said = capsys.readouterr()
        assert "the board's clock is set" in said.out
        assert ("no memory left to date" not in said.err) == dated
        table = batmon.read(tmp_path / "log")
        assert len(table) and table["time_known"].all() == dated
        _wait_for(board, b"connected\r\n")


def _wait_for(board, words, said=b""):
    with open(board.port, "r+b", buffering=0) as line:
        end = time.monotonic() + _LONG_S
        while words not in said and time.monotonic() < end:
            if select.select([line], [], [], 1)[0]:
                said += line.read(1000)
    assert words in said


def test_a_port_that_another_program_looks_at_is_opened_when_that_lets_go(tmp_path, monkeypatch):
    wait = time.sleep
    with SerialBoard(tmp_path / "board") as board:
        other = os.open(board.port, os.O_RDWR | os.O_NOCTTY)
        fcntl.flock(other, fcntl.LOCK_EX)
        waits = []

        def lets_go(seconds):
            fcntl.flock(other, fcntl.LOCK_UN)
            waits.append(seconds)
            wait(seconds)

        with monkeypatch.context() as patch:
            patch.setattr(remote.time, "sleep", lets_go)
            with remote.Remote(board.port) as link:
                assert link.get("", "6 * 7", int) == 42
        os.close(other)
    assert waits


def test_no_port_no_board(tmp_path, capsys, monkeypatch):
    assert main(["pull", "/dev/absent", str(tmp_path)]) == 2
    assert "/dev/absent cannot be opened" in capsys.readouterr().err
    assert main(["pull", "here", "there"]) == 2
    assert "here is no port" in capsys.readouterr().err
    monkeypatch.setattr("serial.tools.list_ports.comports", lambda: [])
    assert main(["pull", str(tmp_path)]) == 2
    assert "found no board" in capsys.readouterr().err
    file = tmp_path / "file"
    file.write_text("")
    assert main(["pull", "/dev/absent", str(file)]) == 2
    assert "is a file" in capsys.readouterr().err


def test_a_port_behind_which_nobody_speaks_micropython(capsys, tmp_path, monkeypatch):
    import os
    import tty

    monkeypatch.setattr(remote, "_PATIENCE_S", (1,))
    line, end = os.openpty()
    tty.setraw(end)
    done = threading.Event()

    def babble():
        while not done.wait(0.02):
            os.write(line, b"noise ")

    thread = threading.Thread(target=babble)
    thread.start()
    try:
        assert main(["pull", os.ttyname(end), str(tmp_path / "log")]) == 1
    finally:
        done.set()
        thread.join()
        os.close(line)
        os.close(end)
    error = capsys.readouterr().err
    assert "no MicroPython answers" in error and len(error.splitlines()) == 2
    assert "wakes by itself" not in error  # a board that sleeps is silent
    assert not (tmp_path / "log").exists()


def test_a_chunk_that_is_not_intact_is_refused():
    assert boardlog._chunk(b"352441c2 YWJj\r\n") == b"abc"
    for line in (b"352441c3 YWJj\n", b"352441c2 YWJk\n", b"YWJj\n", b"352441c2 YW\n", b"\n"):
        with pytest.raises(ValueError):
            boardlog._chunk(line)
