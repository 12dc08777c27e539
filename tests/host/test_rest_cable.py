"""A board that sleeps at rest, on a cable: what `batmon` says and does, through the real mpremote.

It has slept for hours of the simulation when it gets its serial line, in real time.
"""

import json
import shutil
import subprocess
import threading
import time

import pytest

import batmon
from batmon.board import remote
from batmon.cli import main
from batmon.firmware.build import build
from batmon.log import stream, timeline
from batmon.log.formats import frame
from batmon.paths import BUILD, SIM
from batmon.virtual import process
from batmon.virtual.serialboard import SerialBoard

_RESET = 75  # the exit code of a board that wants to start again
_LOOKS = 6
_MINUTES = 20
_SLEEP_S = 9  # of our time
_LONG_S = 300
_SETTINGS = {
    "dev_name": "jk-pak01",
    "capacity_ah": 280,
    "poll_s": 30,
    "lcd": {"fitted": False},
    "rest": {"minutes": _MINUTES},
}

pytestmark = pytest.mark.xdist_group("rest_cable")


@pytest.fixture(scope="module")
def rested(tmp_path_factory):
    """Return the folder of a board that has looked some times, and sleeps."""
    folder = tmp_path_factory.mktemp("rested")
    build(BUILD / "board-jikong", ["jikong_bms"])
    tree = shutil.copytree(BUILD / "board-jikong", folder / "board")
    shutil.copytree(SIM / "aioble", tree / "lib/aioble")  # which a board has from the installer
    config = process.configure(folder, tree, battery="parked=0-0:0", settings=_SETTINGS, days=9)
    command, sleeps = process.board_command(config), 0
    while sleeps <= _LOOKS:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True)
        assert done.returncode == _RESET
        sleeps += "asleep_at_ms" in json.loads((folder / "rtc.bin.world").read_text())
    return folder


@pytest.fixture
def board(rested, tmp_path, monkeypatch):
    """Yield that board on a serial line, just fallen asleep."""
    for name in ("flash.img", "rtc.bin", "rtc.bin.world"):
        (tmp_path / name).write_bytes((rested / name).read_bytes())
    monkeypatch.setattr(remote, "_PATIENCE_S", (0.5, 0.5))
    more = {"settings": _SETTINGS, "battery": "parked=0-0:0", "lcd": "none"}
    with SerialBoard(tmp_path, goes_on=True, sleep_s=_SLEEP_S, **more) as running:
        until = time.monotonic() + _LONG_S
        while not running.asleep and time.monotonic() < until:
            time.sleep(0.05)
        assert running.asleep
        yield running


def _rests(folder):
    """Return the seconds between polls that the events of a rest in a log name."""
    found = []
    for dated in stream.Logs([folder]).dated():
        events = dated.frames.view(timeline.EVENT)
        kinds = timeline.kinds(dated.frames) == frame.EVENT
        found += [int(e["a"]) for e in events[kinds] if e["code"] == timeline.REST]
    return found


def test_a_pull_waits_until_the_board_looks(board, tmp_path, capsys):
    assert main(["pull", board.port, str(tmp_path / "log")]) == 0
    said = capsys.readouterr().err
    assert said.count("sleeps at rest") == 1 and said.count("wakes by itself") == 1
    table = batmon.read(tmp_path / "log")
    assert table["boot"].nunique() == 1 and table["time_known"].all()
    assert _rests(tmp_path / "log") == [60 * _MINUTES]
    # what was logged while it slept, but for an hour at most
    assert table["uptime_s"].iloc[-1] > (_LOOKS - 4) * 60 * _MINUTES
    assert not board.asleep


@pytest.mark.campaign
def test_reset_wakes_it_at_once(board, tmp_path, capsys):
    timer = threading.Timer(2, board.power_cycle)
    timer.start()
    assert main(["pull", board.port, str(tmp_path / "log")]) == 0
    timer.join()
    table = batmon.read(tmp_path / "log")
    assert table["boot"].nunique() == 1 and _rests(tmp_path / "log") == [60 * _MINUTES]
    assert table["uptime_s"].iloc[-1] > (_LOOKS - 4) * 60 * _MINUTES


@pytest.mark.campaign
def test_the_doctor_waits_too(board, tmp_path, capsys):
    out = tmp_path / "told.txt"
    assert main(["doctor", board.port, "--wait", "1", "-o", str(out)]) == 0
    assert "wakes by itself" in capsys.readouterr().err and "rest.minutes: 20" in out.read_text()


@pytest.mark.campaign
def test_the_installer_waits_too(board, capsys, standin):
    options = ["--bms", "jikong", "--name", "jk-pak01", "--capacity", "280", "--wait", "0"]
    assert main(["install", board.port, *options]) == 0
    said = capsys.readouterr()
    assert "wakes by itself" in said.err and "installed, clock set" in said.out
