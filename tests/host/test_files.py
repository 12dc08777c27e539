"""What commands write: whole or not at all, whatever ends them."""

import os
import random
import resource
import signal
import time

import pytest
import seeds
from shardfiles import anchor, data, write

from batmon import files
from batmon.cli import main
from batmon.console import UserError

_START = 1_767_247_200
_LINES = b"old\n" * 10


def _log(folder, count=3000):
    folder.mkdir()
    frames = [anchor(0, _START), *(data(7 * i, 13 + i / 5000, i / 100) for i in range(1, count))]
    write(folder, "a-00001.bts", frames)
    return folder


@pytest.fixture
def full_disk():
    """Give a function after which no file can grow beyond so many bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda most: resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


_WAYS = [
    ("export", "x.csv", []),
    ("export", "x.parquet", []),
    ("export", "x", ["--partition"]),
    ("report", "x.html", []),
    ("unseal", "x", []),
]


def _content(path):
    if path.is_dir():
        return {str(p.relative_to(path)): p.read_bytes() for p in path.rglob("*") if p.is_file()}
    return path.read_bytes() if path.exists() else None


def _arguments(way, log, folder):
    command, name, more = way
    return [command, str(log), "-o", str(folder / name), *more]


@pytest.mark.parametrize("way", _WAYS, ids=lambda way: way[1])
def test_a_full_disk_leaves_the_old_file(way, tmp_path, full_disk, capsys):
    log, out = _log(tmp_path / "log"), tmp_path / "out"
    out.mkdir()
    target = out / way[1]
    if way[0] != "unseal":  # which replaces nothing
        assert main(_arguments(way, log, out)) == 0
    before = _content(target)
    (tmp_path / "more").mkdir()
    write(log, "a-00002.bts", [anchor(30_000, _START + 30_000), data(30_001)])
    full_disk(39_500)  # the frames, which wait in a temporary file, have 39,039
    assert main(_arguments(way, log, out)) in (1, 2)
    error = capsys.readouterr().err
    assert "cannot write" in error and len(error.splitlines()) == 1
    assert (_content(target) or None) == (before or None)
    assert {path.name for path in out.iterdir()} <= {way[1]}


@pytest.mark.parametrize("way", _WAYS, ids=lambda way: way[1])
def test_ctrl_c_leaves_the_old_file_or_the_new_one(way, tmp_path, capsys):
    log, out = _log(tmp_path / "log"), tmp_path / "out"
    out.mkdir()
    target = out / way[1]
    began = time.monotonic()
    assert main(_arguments(way, log, out)) == 0
    took_s = time.monotonic() - began
    whole = _content(target)

    def old():
        if way[0] == "unseal":
            for path in target.iterdir():
                path.unlink()
        elif target.is_dir():
            path = target / "battery=a/month=2026-01/part-0.parquet"
            path.write_bytes(_LINES)
        else:
            target.write_bytes(_LINES)
        return _content(target)

    def press(_, frame):
        # one that comes before `main` can hear it, or after, would end the tests
        while frame := frame.f_back:
            if frame.f_code is main.__code__:
                signal.raise_signal(signal.SIGINT)
                return

    handler = signal.signal(signal.SIGALRM, press)
    chance, codes = random.Random(seeds.new()), set()
    try:
        for _ in range(6):
            before = old()
            signal.setitimer(signal.ITIMER_REAL, chance.uniform(0.001, took_s))
            codes.add(main(_arguments(way, log, out)))
            signal.setitimer(signal.ITIMER_REAL, 0)
            assert _content(target) in (before, whole)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
    assert codes <= {0, 130}
    assert "Traceback" not in capsys.readouterr().err


def test_what_ends_the_block_is_passed_on_and_leaves_no_rest(tmp_path):
    path = tmp_path / "x"
    for error in (KeyboardInterrupt, MemoryError, ValueError):
        with pytest.raises(error), files.whole(path) as part:
            part.write_bytes(b"half")
            raise error
        assert not list(tmp_path.iterdir())


def test_a_link_stays_one_and_the_mode_is_kept(tmp_path):
    real, link = tmp_path / "real", tmp_path / "link"
    real.write_bytes(_LINES)
    real.chmod(0o640)
    link.symlink_to(real)
    with files.whole(link) as part:
        part.write_bytes(b"new")
    assert link.is_symlink() and real.read_bytes() == b"new"
    assert real.stat().st_mode & 0o777 == 0o640


def test_an_export_that_was_killed_while_it_exchanged(tmp_path):
    log, out = _log(tmp_path / "log", 20), tmp_path / "out"
    arguments = _arguments(("export", "out", ["--partition"]), log, tmp_path)
    assert main(arguments) == 0
    whole = _content(out)
    (out / "battery=b").mkdir()
    (out / "battery=b/x").write_bytes(_LINES)
    (out / "battery=b").rename(out / ".battery=b.old")  # it died just here
    assert main(arguments) == 0
    assert _content(out) == whole | {"battery=b/x": _LINES}


def test_devices_and_protected_files_are_not_replaced(tmp_path, capsys, monkeypatch):
    log = _log(tmp_path / "log", 20)
    state = ["send", str(log), "--influx", "http://127.0.0.1:9", "--state"]
    assert main([*state, "/dev/full"]) == 2  # which can be read without end
    assert "cannot write /dev/full: it is no file" in capsys.readouterr().err
    os.mkfifo(tmp_path / "x.csv")
    assert main(["export", str(log), "-o", str(tmp_path / "x.csv")]) == 2
    assert "x.csv: it is no file" in capsys.readouterr().err
    monkeypatch.setattr(os, "access", lambda *_: False)  # who runs the tests may be root
    (tmp_path / "y").write_bytes(b"")
    with pytest.raises(UserError, match="write-protected"):
        files.check(tmp_path / "y")
