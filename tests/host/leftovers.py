"""Makes what a version leaves behind, for the tests of every later one to start from.

leftovers.py FOLDER writes, with the batmon of this checkout:

leftovers.tar.xz   flash.img (littlefs, as `batmon install` and some days of logging leave it),
                   rtc.bin (RTC memory after a watchdog reset, frames waiting in it),
                   update.img (the same flash amid an update, its journal half carried out),
                   pc/data (what `batmon pull` copied some time before), pc/sent (`batmon send`)
truth.json         what is in them: every shard's frames by SHA-256, the frames in RTC memory

Run it when a version is released, before anything else changes. It takes some minutes.
"""

import contextlib
import hashlib
import http.server
import json
import os
import random
import shutil
import subprocess
import sys
import tarfile
import tempfile
import threading
from pathlib import Path

import flashimage

from batmon import cli
from batmon.board import deploy
from batmon.board.remote import Remote
from batmon.console import UserError
from batmon.firmware.build import build
from batmon.log import polllog, shards
from batmon.paths import ROOT, SIM
from batmon.virtual import process
from batmon.virtual.serialboard import SerialBoard

_SIZE = 0xF0000  # of the volume: MicroPython's ESP32 with room for two firmwares
_START_UNIX = 1_793_491_200  # 2026-11-01
_DAY_S = 86_400
_OPTIONS = ["--bms", "jikong", "--name", "jk-pak01", "--capacity", "100", "--lcd", "20x4"]
_OPTIONS += ["--set", "alarm.soc=15", "--set", "alarm.cell_low_mv=2900"]
_OWN_LINES = """# Anna's van; the spare BMS is jk-pak02
import gc  # her own line
"""
_SETTINGS = {"poll_s": 2}  # what the faults need to know
_TAIL_AT, _HELD_AT, _FRAME = 1053, 1040, 13  # of RTC memory, docs/FORMAT.md
# What makes another, older program of an installed one: every file differs, and works.
_AGE = """
import os
def _age(folder):
    for e in list(os.ilistdir(folder)):
        path = folder + e[0]
        if e[1] == 0x4000:
            if e[0] not in ('data', 'aioble'):
                _age(path + '/')
        elif path.endswith(('.py', '.mpy')):
            with open(path, 'ab') as f:
                f.write(b'#old')
_age('/')
"""
_HALF = """
import os
lines = open('/update.txt').read().split('\\n')
for line in lines[: len(lines) // 2]:
    path = line[1:]
    if line[:1] == '-':
        os.remove(path)
    elif line[:1] == '+':
        os.rename(path + '.new', path)
"""


def make(work: Path):
    """Make everything in `work`, an empty folder."""
    build()
    os.environ["AIOBLE"] = str(ROOT / "sim")  # the stand-in
    _installed(work)
    # boots of every kind: ended by a power cut, without a time, with faults of the radio
    _live(work, 0.35, _START_UNIX, faults=True)
    _live(work, 0.05, None)
    _live(work, 0.4, _START_UNIX + 2 * _DAY_S, faults=True)
    _pulled(work)
    _live(work, 0.45, _START_UNIX + 26 * _DAY_S)
    _reset(work, _START_UNIX + 27 * _DAY_S)
    _half_updated(work)


@contextlib.contextmanager
def _board(folder: Path):
    with SerialBoard(folder, size=_SIZE, bms="jikong") as board:
        yield board


def _installed(work: Path):
    with _board(work / "board") as board:
        arguments = [*_OPTIONS, "--wait", "0"]
        assert cli.main(["install", board.port, *arguments]) == 0
        with Remote(board.port) as link:
            conn = link.read("/conn.py").decode()
            link.write("/conn.py", (_OWN_LINES + conn).encode(), lambda _: None)


def _reset(work: Path, unix: int):
    """Let the board run once more, until a reset finds frames in RTC memory, one of them held."""
    folder = work / "board"
    shutil.copy(folder / "flash.img", work / "before.img")
    for reset_s in range(_DAY_S // 4 + 401, _DAY_S // 4 + 421):
        shutil.copy(work / "before.img", folder / "flash.img")
        _live(work, 0.27, unix, reset_s=reset_s)
        if _held((folder / "rtc.bin").read_bytes()[1:]):
            return
    raise AssertionError("no frame was held at any of these moments")


def _live(work: Path, days: float, unix: int | None, faults=False, reset_s: int | None = None):
    """Let the board run as fast as it can, after a power-on."""
    folder = work / "board"
    for kept in folder.glob("rtc.bin*"):
        kept.unlink()
    # not 0: the volume is there already
    past = {"t_ms": 1, "unix_ms": unix and unix * 1000}
    (folder / "rtc.bin.world").write_text(json.dumps(past))
    wanted = {"days": days, "size": _SIZE, "status_wall_ms": 0}
    wanted |= {"battery": str(lively(work, days)), "settings": _SETTINGS, "lcd": "20x4"}
    wanted |= {"start_unix": unix or 0}
    wanted |= {"faults": True} if faults else {}
    config = process.configure(folder, None, **wanted)
    if reset_s is None:
        end = process.run(config, lambda _: None, lambda _: None)
        print(f"{end['frames']} frames, {end['shards']} shards, {end['dropped']} dropped")
        return
    program = (SIM / "board.py").read_text()
    reset = f"world.boot()\nimport machine\nvclock.call_at({reset_s * 1000}, machine._reset, 3)\n"
    (work / "board.py").write_text(program.replace("world.boot()\n", reset))
    command = process.board_command(config)
    command[-2] = str(work / "board.py")
    assert subprocess.run(command, stdout=subprocess.DEVNULL).returncode == 75
    (folder / "rtc.bin.world").unlink()


def lively(work: Path, days: float) -> Path:
    """Write a battery's log to `work`, so lively that a shard fills within half a day."""
    rnd = random.Random(days)
    rows = ["time_s,voltage,current,temperature,soc,cell_min_mv,cell_max_mv,idx_min,idx_max"]
    loads = {-31: -25.0, -17: -9.5, -5: -3.2, 0: 0.0, 4: 12.5}
    load, low, soc = 0, 3300, 60.0
    for t in range(0, int(days * _DAY_S) + 60, 4):
        if rnd.random() < 0.5:
            load = rnd.choice(list(loads))
            low += rnd.choice((-1, 0, 0, 0, 1)) if 3250 < low < 3330 else 3300 - low
        soc = min(95.0, max(20.0, soc + loads[load] / 90_000 * 4 * 100))
        cell = low + load
        volts = 4 * (cell + 2) / 1000
        row = t, f"{volts:.3f}", loads[load], 21.5, f"{soc:.1f}", cell, cell + 4, 2, t // 900 % 2
        rows.append(",".join(map(str, row)))
    (work / "battery.csv").write_text("\n".join(rows) + "\n")
    polllog.pack(work / "battery.csv", work / "battery.bpl", 280)
    return work / "battery.bpl"


def _pulled(work: Path):
    """Pull the log, and send it."""

    class Taken(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_):
            pass

    data = work / "pc" / "data"
    with _board(work / "board") as board:
        assert cli.main(["pull", board.port, str(data)]) == 0
    server = http.server.HTTPServer(("127.0.0.1", 0), Taken)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    state = work / "pc" / "sent"
    assert cli.main(["send", str(data), "--influx", url, "--state", str(state)]) == 0
    server.shutdown()


def _half_updated(work: Path):
    """Cut an update off in the middle of its journal, on a copy of the flash."""
    folder = work / "half"
    folder.mkdir()
    shutil.copy(work / "board" / "flash.img", folder)
    finish = deploy.finish
    calls = []

    def cut(board):
        calls.append(board)
        if len(calls) < 2:
            finish(board)
            return
        board.run(_HALF)
        raise UserError("cut off")

    with _board(folder) as board:
        with Remote(board.port) as link:
            link.run(_AGE)
        deploy.finish = cut
        try:
            assert cli.main(["install", board.port, "--wait", "0"]) == 2
        finally:
            deploy.finish = finish


def pack(work: Path, folder: Path):
    """Write what is in `work` to `folder`, and what is true of it."""
    folder.mkdir(parents=True, exist_ok=True)
    flash, half = work / "board" / "flash.img", work / "half" / "flash.img"
    rtc = work / "board" / "rtc.bin"
    members = {"flash.img": flash, "update.img": half, "rtc.bin": rtc}
    for path in sorted((work / "pc").rglob("*")):
        if path.is_file():
            members[path.relative_to(work).as_posix()] = path
    with tarfile.open(folder / "leftovers.tar.xz", "w:xz", preset=9) as tar:
        for name, path in members.items():
            tar.add(path, name, filter=_nobody)
    log = work / "log"
    flashimage.get(flash, "/data", log)
    truth = {
        "volume": _SIZE,
        "flash": _shards(log),
        "state": (log / "state").read_text(),
        "rtc": _waiting(rtc.read_bytes()[1:]),
        "pc": _shards(work / "pc" / "data"),
    }
    (folder / "truth.json").write_text(json.dumps(truth, indent=1) + "\n")


def _nobody(info: tarfile.TarInfo) -> tarfile.TarInfo:
    info.uid = info.gid = info.mtime = 0
    info.uname = info.gname = ""
    return info


def _shards(folder: Path) -> list[dict]:
    found, _ = shards.find([folder])
    loaded = [shards.load(path) for path in sorted(found)]
    assert not any(shard.damage for shard in loaded), [shard.damage for shard in loaded]
    return [
        {
            "file": shard.path.name,
            "frames": len(shard.frames),
            "sha256": hashlib.sha256(shard.frames.tobytes()).hexdigest(),
        }
        for shard in loaded
    ]


def _waiting(memory: bytes) -> list[str]:
    """Return the frames that wait in RTC memory, the one that is held last."""
    count = int.from_bytes(memory[_TAIL_AT + 2 : _TAIL_AT + 4], "little")
    places = [i * _FRAME for i in range(count)]
    if _held(memory):
        places.append(_HELD_AT)
    return [memory[at : at + _FRAME].hex() for at in places]


def _held(memory: bytes) -> bool:
    return any(memory[_TAIL_AT + 16 : _TAIL_AT + 20])


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as work:
        make(Path(work))
        pack(Path(work), Path(sys.argv[1]))
