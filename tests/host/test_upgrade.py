"""What earlier versions left: on flash, in RTC memory, in a folder of the PC, amid an update.

tests/data/upgrade has a folder for each version; README.md there says how it was made.
"""

import gzip
import hashlib
import http.server
import json
import random
import tarfile
import threading
from dataclasses import dataclass
from pathlib import Path

import flashimage
import pytest
import seeds

import batmon
from batmon import cli
from batmon.board import deploy, install
from batmon.console import UserError
from batmon.firmware import payload
from batmon.firmware.build import build
from batmon.firmware.interpreter import cpu
from batmon.log import shards
from batmon.log.formats import frame
from batmon.paths import BOARD, BUILD, ROOT
from batmon.version import VERSION
from batmon.virtual import process
from batmon.virtual.serialboard import SerialBoard

pytestmark = pytest.mark.usefixtures("standin")

_LEFT = ROOT / "tests/data/upgrade"
_OWN = "import gc  # her own line"  # of the user, in conn.py
# on a flash, but not of the program
_THEIRS = "/data/", "/lib/aioble/", "/conn.py", "/settings.json", "/installed.txt", "/crashes"
_ANCHOR = b"\x01\xfe"
_START_UNIX = 1_796_000_000  # after all that was logged
_CUTS = 24  # of less than a hundred operations; `make campaign` takes all


@dataclass
class Left:
    """What a version left, in a folder of its own."""

    folder: Path
    truth: dict

    def image(self, name: str = "flash.img") -> Path:
        """Return a flash image, alone in a folder as the virtual board wants it."""
        folder = self.folder / name[:-4]
        folder.mkdir(exist_ok=True)
        image = (self.folder / name).rename(folder / "flash.img")
        # The stand-in for aioble had an empty central.py, as no aioble has: it would hide .mpy.
        hides = {"/lib/aioble/central.py"} & set(flashimage.files(image))
        flashimage.put(image, {}, gone=hides)
        return image


@pytest.fixture(params=sorted(path.name for path in _LEFT.iterdir() if path.is_dir()))
def left(request, tmp_path):
    build()
    with tarfile.open(_LEFT / request.param / "leftovers.tar.xz") as tar:
        tar.extractall(tmp_path, filter="data")
    return Left(tmp_path, json.loads((_LEFT / request.param / "truth.json").read_text()))


def _copied(image: Path, instead=False):
    """Put the program of this checkout onto a flash, over the old one or instead of it."""
    paths = {p for p in BOARD.rglob("*") if p.is_file()}
    paths -= set(BOARD.rglob("*_bms.*")) - set(BOARD.rglob("jikong_bms.*"))  # the log needs room
    off = ["sinks/*", "lib/mqtt*", "lib/ntp*", "lib/udpask*", "lib/advert*", "*/several*"]
    off += ["app/rest*", "app/look*", "link/resting*"]
    off += ["app/pins*", "app/butt*", "app/buzzer*", "app/ownclock*", "app/clockw*", "lib/ds3231*"]
    off += ["app/network*", "app/findall*", "link/shared*", "link/peers*"]
    off += ["app/safemode*", "link/places*", "lib/bleak/pairing*"]  # not met here
    paths -= {path for pattern in [*off, "names.txt"] for path in BOARD.glob(pattern)}
    paths.remove(BOARD / "conn.py")  # hers stays
    old = [path for path in flashimage.files(image) if not path.startswith(_THEIRS)]
    new = {f"/{p.relative_to(BOARD)}": p for p in paths}
    flashimage.put(image, new, gone=old if instead else ())


def _live(image: Path, minutes: float, rtc: Path | None = None, **changes):
    """Let a board live; return its last record, what the REPL said, and a copy of its log."""
    folder = image.parent
    (folder / "rtc.bin.world").write_text(json.dumps({"t_ms": 1, "unix_ms": _START_UNIX * 1000}))
    (folder / "rtc.bin").unlink(missing_ok=True)  # of a power that is gone, even half written
    if rtc:
        rtc.rename(folder / "rtc.bin")
    wanted = {"size": image.stat().st_size, "lcd": "20x4", "status_wall_ms": 0} | changes
    config = process.configure(folder, None, days=minutes / 1440, **wanted)
    words = []
    end = process.run(config, lambda _: None, words.append)
    return end, "\n".join(words), folder / "data"


def _check_log(folder: Path, truth: dict, rtc=False, goes_on=True):
    """Is every frame in this log that was in the one left, in its shard, and does it go on?"""
    files, _ = shards.find([folder])
    chosen, doubles = shards.choose(map(shards.load, files))
    assert not doubles and not any(shard.damage for shard in chosen)
    have = {shard.path.stem: shard.frames for shard in chosen}
    for old in truth["flash"]:
        frames = have.pop(Path(old["file"]).stem)
        known, new = frames[: old["frames"]].tobytes(), frames[old["frames"] :].tobytes()
        assert hashlib.sha256(known).hexdigest() == old["sha256"], old["file"]
        if old["file"].endswith(".bts"):
            assert not new
    # the last was being written, and is written on
    waiting = bytes.fromhex("".join(truth["rtc"]))
    if rtc:
        assert new.startswith(waiting)
        new = new[len(waiting) :]
    boot, number = map(int, truth["state"].split())
    if goes_on or new:
        assert new[2:4] == _ANCHOR and int.from_bytes(new[8:10], "little") == boot + 1
    assert all(int(stem.rsplit("-", 1)[1]) > number for stem in have)


def test_boots_from_it_and_loses_no_frame(left):
    image = left.image()
    _copied(image)
    end, words, data = _live(image, 20, left.folder / "rtc.bin")
    assert end["connected"] and end["dropped"] == 0 and end["frames"] > 0, words
    assert "Traceback" not in words and "Error" not in words, words
    assert "13.2" in words and "jk-pak01" in words, words
    _check_log(data, left.truth, rtc=True)
    assert f"batmon {VERSION}: press Ctrl-C" in words


def test_a_shard_that_is_full_is_packed_by_this_version(left):
    image = left.image()
    _copied(image, instead=True)  # else it would make room
    boot, number = map(int, left.truth["state"].split())
    state = left.folder / "state"
    state.write_text(f"{boot} {number + 1}\n")  # as if the last had become full just then
    flashimage.put(image, {"/data/state": state, "/data/state.bak": state})
    end, words, data = _live(image, 20)
    assert end["connected"] and end["dropped"] == 0 and "Traceback" not in words, words
    last = Path(left.truth["flash"][-1]["file"]).stem
    assert (data / f"{last}.bts").exists() and not (data / f"{last}.raw").exists(), words
    _check_log(data, left.truth, goes_on=False)


@pytest.mark.xdist_group("upgrade")
@pytest.mark.parametrize("name", ["flash.img", "update.img"])
def test_installs_over_it(left, capsys, name):
    image = left.image(name)
    with SerialBoard(image.parent, size=left.truth["volume"]) as board:
        # beside the old version, its log leaves no room for this one
        code = cli.main(["install", board.port, "--wait", "0", "--replace"])
        said = capsys.readouterr()
        assert code == 0, said.err
        code = cli.main(["install", board.port, "--wait", "0"])
        assert code == 0 and "up to date" in capsys.readouterr().out
    found = flashimage.files(image)
    _check_program(found)
    # what was built for a real board goes with the aioble that was built with it
    radio = image.parent / "radio"
    radio.mkdir()
    flashimage.get(image, "/lib/aioble", radio / "aioble")
    end, words, data = _live(image, 10, aioble=str(radio))
    assert end["connected"] and end["frames"] > 0 and "Traceback" not in words, words
    _check_log(data, left.truth)
    assert _OWN in flashimage.read(image, "/conn.py")
    assert '"cell_low_mv": 2900' in flashimage.read(image, "/settings.json")


def _check_program(found: dict):
    """Is this version on the flash, and of the old one nothing?"""
    tree = BUILD / "install" / f"jikong_bms-{cpu() or 'any'}"
    built = {f"/{p.relative_to(tree)}": None for p in tree.rglob("*") if p.is_file()}
    assert set(_program(found)) == set(_program(built)) - set(payload.SEVERAL)


def _program(found: dict) -> dict:
    return {path: found[path] for path in found if not path.startswith(_THEIRS)}


def _staged(left: Left, monkeypatch) -> Path:
    """Return a flash on which an update to this version lies complete, but not in its place."""
    image = left.image()
    # both versions need the room of the log, and of what was not used
    spare = ("/data/", "/influx.", "/wifi.")
    gone = [path for path in flashimage.files(image) if path.startswith(spare)]
    flashimage.put(image, {}, gone=gone)
    finish = deploy.finish
    calls = []

    def cut(board):
        calls.append(board)
        if len(calls) > 1:
            raise UserError("cut off")
        finish(board)

    monkeypatch.setattr(deploy, "finish", cut)
    with SerialBoard(image.parent, size=left.truth["volume"]) as board:
        assert cli.main(["install", board.port, "--wait", "0"]) == 2
    assert len(calls) == 2
    return image


def _check_cuts(image: Path, some: int | None):
    before = flashimage.files(image)
    assert "/update.txt" in before
    # Until the journal is there the old version runs: no new folder hides a module of it.
    modules = {p.split(".")[0] for p in before if p.endswith((".py", ".mpy")) and p.count("/") == 1}
    assert not {p for p in before for module in modules if p.startswith(f"{module}/")}
    program = (ROOT / "app/update.py").read_text() + "\nfinish()\n"
    (after, count), (booted, _) = flashimage.cut(image, program, [(0, 0), (1, 0)])
    _check_program(after)
    assert booted == after and count > 50
    cuts = range(1, count + 1)
    if some:
        rnd = random.Random(seeds.new())
        cuts = sorted(rnd.sample(cuts, some))
    pairs = [(at, at * 7 % count if at % 2 else 0) for at in cuts]  # every other boot is cut too
    for pair, (found, _) in zip(pairs, flashimage.cut(image, program, pairs), strict=True):
        assert found == after, (pair, set(found.items()) ^ set(after.items()))


@pytest.mark.xdist_group("upgrade")
def test_an_update_that_is_cut_is_finished_by_the_next_boot(left, monkeypatch):
    _check_cuts(_staged(left, monkeypatch), _CUTS)


@pytest.mark.campaign
def test_an_update_cut_at_every_operation(left, monkeypatch):
    _check_cuts(_staged(left, monkeypatch), None)


def test_an_update_of_its_own_that_was_cut_is_finished(left):
    image = left.image("update.img")
    assert "/update.txt" in flashimage.files(image)
    ((found, _),) = flashimage.cut(image, "", [(0, 0)])
    assert not [path for path in found if ".new" in path or path == "/update.txt"]


@pytest.mark.xdist_group("upgrade")
def test_a_newer_version_is_not_replaced_by_this_one(tmp_path, capsys, left):
    image = left.image()
    newer = tmp_path / "version.py"
    newer.write_text('VERSION = "99.10.0"\n')
    before = flashimage.put(image, {"/app/version.py": newer})
    with SerialBoard(image.parent, size=left.truth["volume"]) as board:
        assert cli.main(["install", board.port, "--wait", "0"]) == 1
    said = capsys.readouterr().err
    assert f"has batmon 99.10.0, which is newer than this, {VERSION}: install 99.10.0" in said, said
    assert _program(flashimage.files(image)) == _program(before)


@pytest.mark.parametrize(
    "program, log, newer",
    [
        ("", b"", None),  # bare
        ("0.1.0", b"", None),
        (VERSION, b"%s %d\n" % (VERSION.encode(), frame.VERSION), None),
        ("0.0.99", b"nonsense", None),
        ("0.2.1", b"99.0.0 %d\n" % frame.VERSION, None),  # its log is no problem
        ("99.0.0", b"", "99.0.0"),
        ("", b"99.1.0 250\n", "99.1.0"),  # of a board whose program is gone
        ("0.1.0", b"99.1.0 250\n", "99.1.0"),
    ],
)
def test_what_a_newer_version_left_is_refused(monkeypatch, program, log, newer):
    class Board:
        def get(self, code, expression, *_):
            return program

        def read(self, path):
            return log

    if program == "0.2.1":
        monkeypatch.setattr(install, "VERSION", "0.10.0")
    if newer is None:
        install._check_version(Board())
    else:
        with pytest.raises(UserError, match=f"has batmon {newer}, .*pull.*erase"):
            install._check_version(Board())


def test_an_older_program_does_not_touch_a_newer_log(left):
    image = left.image()
    _copied(image)
    boot, number = map(int, left.truth["state"].split())
    packing = {"name": "jk_pak01", "boot": boot, "uptime_s": 1, "time_s": 1, "tries": 0}
    texts = {
        "version": "99.1.0 250\n",
        # which would like its last shard to be packed
        "state": f"{boot} {number + 1}\n",
        "packing": json.dumps(packing | {"events": []}),
    }
    for name, text in texts.items():
        (left.folder / name).write_text(text)
    before = flashimage.put(image, {f"/data/{name}": left.folder / name for name in texts})
    end, words, _ = _live(image, 3, left.folder / "rtc.bin")
    assert end["frames"] == end["flushes"] == 0
    sentence = f"log is of batmon 99.1.0, this is {VERSION}, which cannot write it: install 99.1.0"
    assert sentence in words, words
    after = flashimage.files(image)
    assert {p: after[p] for p in after if p.startswith("/data/")} == {
        p: before[p] for p in before if p.startswith("/data/")
    }


def test_the_folder_on_the_pc_is_read(left):
    data = left.folder / "pc/data"
    for old in left.truth["pc"]:
        shard = shards.load(data / old["file"])
        assert not shard.damage and len(shard.frames) == old["frames"]
        assert hashlib.sha256(shard.frames.tobytes()).hexdigest() == old["sha256"]
    table = batmon.read(data)
    assert len(table) > 10_000 and table["voltage_V"].between(12, 14).all()


@pytest.mark.xdist_group("upgrade")
def test_is_pulled_into_the_folder_and_sent_on(left, capsys):
    image = left.image()
    _copied(image)
    data, state = left.folder / "pc/data", left.folder / "pc/sent"
    with SerialBoard(image.parent, size=left.truth["volume"]) as board:
        assert cli.main(["pull", board.port, str(data)]) == 0, capsys.readouterr().err
    _check_log(data, left.truth, goes_on=False)
    (rows,) = json.loads(state.read_text()).values()
    sent = sum(row[0] for row in rows.values())
    lines = []

    class Taken(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            lines.extend(gzip.decompress(body).splitlines())
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Taken)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    assert cli.main(["send", str(data), "--influx", url, "--state", str(state)]) == 0
    server.shutdown()
    assert len(lines) + sent == len(batmon.read(data))
