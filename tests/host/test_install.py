"""install.sh through mpremote's transport onto the virtual board: from bare to logging."""

import argparse
import contextlib
import io
import json
import os
import random
import re
import shlex
import subprocess
import sys
import time

import pytest
import seeds
from serial import Serial

from batmon import cli
from batmon.board import deploy, identity, install, remote
from batmon.board.remote import Remote
from batmon.console import UserError
from batmon.firmware import payload
from batmon.firmware.build import PACKAGES
from batmon.firmware.interpreter import cpu
from batmon.paths import BUILD, ROOT
from batmon.virtual import process
from batmon.virtual.serialboard import SerialBoard

pytestmark = pytest.mark.usefixtures("standin")

# all but what a log that has taken what it may leaves free of a small volume
_FILL = """
import os
with open('/x', 'wb') as f:
    while os.statvfs('/')[3] > 36:
        f.write(bytes(4096))
"""

_SAMPLE = "12.07 V  -0.62 A  63 %%  cells 3305/3309 mV  -- C  %d frames"


@pytest.fixture
def bare(tmp_path):
    with SerialBoard(tmp_path / "board") as board:
        yield board


def _start(port: str, *options: str, program=(sys.executable, "-m", "batmon", "install")):
    return subprocess.Popen(
        [*program, port, *options],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _install(port: str, *options: str, **more) -> tuple[int, str]:
    """Run the installer; return its exit code and what it said."""
    process = _start(port, *options, **more)
    out, err = process.communicate(timeout=600)
    assert "Traceback" not in err
    return process.returncode, out + err


def _hashes(board) -> dict[str, str]:
    with Remote(board.port) as link:
        return link.hashes()


def _expected(extra=()) -> set[str]:
    tree = BUILD / "install" / f"jikong_bms-{cpu() or 'any'}"
    files = {"/" + p.relative_to(tree).as_posix() for p in tree.rglob("*") if p.is_file()}
    return (files | {"/installed.txt", *extra}) - set(payload.SEVERAL)


def test_from_bare_to_the_first_sample_and_again(bare):
    code, said = _install(bare.port, program=(str(ROOT / "install.sh"),))
    assert code == 0, said
    assert "The first sample has come" in said and "connected" in said
    found = _hashes(bare)
    files = {path for path in found if path != "/crashes"}
    assert files == _expected()
    assert "/aiobmsble/bms/jikong_bms.mpy" in files and "/aiobmsble/bms/jbd_bms.mpy" not in files
    # the second run copies nothing, and logs on
    code, said = _install(bare.port)
    assert code == 0 and "up to date" in said and "copying" not in said, said
    assert "The first sample has come" in said
    after = _hashes(bare)
    assert after.pop("/crashes", None) is found.pop("/crashes", None) or after == found
    with Remote(bare.port) as link:
        names = link.get("import os", "os.listdir('/data')", list)
        assert abs(link.set_clock()) < 60  # it was right
    assert [name for name in names if name.startswith("jk_pak01-")]


def test_options_reach_the_board_and_stay(bare, tmp_path):
    options = ("--bms", "jbd", "--name", 'my "JBD"', "--capacity", "99.5", "--lcd", "20x4")
    more = ("--wifi", "boat", "--wifi-password", "secret-word", "--set", "alarm.soc=15")
    code, said = _install(bare.port, "--wait", "0", *options, *more)
    assert code == 0 and "secret-word" not in said, said
    with Remote(bare.port) as link:
        head = link.read("/conn.py").decode().split("# ----")[0]
        settings = json.loads(link.read("/settings.json"))
        drivers = link.get("import os", "os.listdir('/aiobmsble/bms')", list)
    assert "bms.jbd_bms import BMS" in head and "DESIGN_CAP = 99.5" in head
    assert 'dev_name = "my \\"JBD\\""' in head
    assert settings["lcd"] == {"fitted": True, "cols": 20, "rows": 4}
    assert settings["wifi"] == {"ssid": "boat", "password": "secret-word"}
    assert sorted(drivers) == ["__init__.mpy", "jbd_bms.mpy"]
    # a run without options keeps all of it, one with others changes only those
    code, said = _install(bare.port, "--wait", "0", "--lcd", "16x2")
    with Remote(bare.port) as link:
        assert link.read("/conn.py").decode().split("# ----")[0] == head
        changed = json.loads(link.read("/settings.json"))
    assert changed == settings | {"lcd": {"fitted": True, "cols": 16, "rows": 2}}
    # another driver takes the place of the first
    _install(bare.port, "--wait", "0", "--bms", "jikong_bms")
    assert {"/aiobmsble/bms/jikong_bms.mpy"} == {
        path for path in _hashes(bare) if path.startswith("/aiobmsble/bms/j")
    }


def test_bthome_is_asked_once(bare, monkeypatch):
    asked = []
    monkeypatch.setattr(sys, "stdin", argparse.Namespace(isatty=lambda: True))
    for answer, wanted in (("y", True), ("", True)):
        monkeypatch.setattr("builtins.input", lambda text, said=answer: asked.append(text) or said)
        assert cli.main(["install", bare.port, "--wait", "0"]) == 0
        with Remote(bare.port) as link:
            assert json.loads(link.read("/settings.json"))["bthome"] == wanted
    assert len(asked) == 1
    assert cli.main(["install", bare.port, "--wait", "0", "--no-bthome"]) == 0
    with Remote(bare.port) as link:
        assert json.loads(link.read("/settings.json"))["bthome"] is False
    assert len(asked) == 1


def test_a_list_of_batteries_on_a_board_for_one_is_logged_after_the_next_run(tmp_path):
    several = set(payload.SEVERAL)
    listed = [{"bms": "jikong_bms", "dev_name": f"jk-pak0{n}", "capacity_ah": 280} for n in (1, 2)]
    with SerialBoard(tmp_path / "board", bms="jikong", battery="van,van") as board:
        assert _install(board.port, "--wait", "0", "--lcd", "none", "--set", "phone=off")[0] == 0
        assert not several & set(_hashes(board))
        said = []
        with Remote(board.port) as link:
            settings = json.loads(link.read("/settings.json"))
            text = json.dumps(settings | {"batteries": listed}).encode()
            link.write("/settings.json", text, lambda n: None)
            for line in link.restart(300):
                said.append(line)
                if identity.SAMPLE.match(line):  # of the one before
                    break
        assert identity.SAMPLE.match(said[-1]) and "Traceback" not in "".join(said), said
        remedy = "settings.json: batteries: only one is logged until ./install.sh has brought what"
        assert [line for line in said if line.startswith(remedy)], said
        code, words = _install(board.port)
        assert code == 0 and f"copying {1 + len(several)} files" in words, words
        assert "jk-pak02: " in words and remedy not in words and "left out" not in words, words
        assert several <= set(_hashes(board))
        # and the next one does not take it away
        code, words = _install(board.port, "--wait", "0")
        assert code == 0 and "up to date" in words, words
        with Remote(board.port) as link:
            assert link.read("/settings.json") == text


def _age(port: str):
    """Make an earlier version of what is installed: it runs as well, but every file differs."""
    with Remote(port) as link:
        link.run(
            "import os\n"
            "def age(folder):\n"
            " for e in list(os.ilistdir(folder)):\n"
            "  path = folder + e[0]\n"
            "  if e[1] == 0x4000:\n"
            "   if e[0] not in ('data', 'aioble'): age(path + '/')\n"
            "  elif path != '/installed.txt':\n"
            "   f = open(path, 'ab'); f.write(b'#old'); f.close()\n"
            "age('/')"
        )


def _without_crashes(found: dict) -> dict:
    return {path: digest for path, digest in found.items() if path != "/crashes"}


def _without_staged(found: dict) -> dict:
    return {
        path: digest
        for path, digest in found.items()
        if not path.endswith((".new", ".part")) and path not in ("/crashes", "/main.old.py")
    }


def _killed_anywhere(tmp_path, points: int, power: bool):
    """Kill the installer, or cut the board's power, at random points of an update."""
    with SerialBoard(tmp_path / "board") as board:
        assert _install(board.port, "--wait", "0")[0] == 0
        new = _without_crashes(_hashes(board))
        with Remote(board.port) as link:
            link.write("/data/x", b"log", lambda n: None)
        _age(board.port)
        chance = random.Random(seeds.new())
        began = time.monotonic()
        assert _install(board.port, "--wait", "0")[0] == 0
        took = time.monotonic() - began
        finished = 0
        for _ in range(points):
            _age(board.port)
            old = _without_crashes(_hashes(board))
            process = _start(board.port, "--wait", "0")
            after_s = chance.uniform(0.2, 1.05) * took
            print(f"{'cut' if power else 'killed'} after {after_s:.2f} of {took:.2f} s")
            time.sleep(after_s)
            if power:
                board.power_cycle()
                process.communicate(timeout=600)
            else:
                process.kill()
                process.communicate()
                board.power_cycle()  # as a user would, before trying again
            found = _without_staged(_hashes(board))
            assert found in (old, new), set(found.items()) ^ set(new.items())
            finished += found == new
            code, said = _install(board.port, "--wait", "0")
            assert code == 0, said
            assert _without_crashes(_hashes(board)) == new
            with Remote(board.port) as link:
                assert link.read("/data/x") == b"log"
        return finished


@pytest.mark.parametrize("power", [False, True], ids=["installer", "power"])
def test_cut_off_anywhere_the_next_run_ends_right(tmp_path, power):
    _killed_anywhere(tmp_path, 1, power)


@pytest.mark.campaign
@pytest.mark.parametrize("power", [False, True], ids=["installer", "power"])
def test_cut_off_at_twenty_points(tmp_path, power):
    assert _killed_anywhere(tmp_path, 20, power) < 20


def test_a_folder_that_would_hide_a_running_module_comes_at_one_stroke():
    """As tests/device/test_start.py takes it: from the flat modules of version 0.1.0 to folders."""
    found = dict.fromkeys(
        ("/boot.py", "/main.py", "/app.mpy", "/link.mpy", "/store.mpy", "/lib/frame.mpy"), "old"
    )
    changed = ["/app/app.mpy", "/app/update.mpy", "/boot.py", "/link/__init__.mpy", "/main.py"]
    changed += ["/shards/frame.mpy", "/store.mpy"]
    staged = {path: deploy._staged(path, found) for path in changed}
    assert set(staged.values()) == {
        "/app.new/update.mpy", "/app.new/app.mpy", "/boot.py.new", "/link.new/__init__.mpy",
        "/main.py.new", "/shards/frame.mpy.new", "/store.mpy.new",
    }  # fmt: skip
    assert deploy._journal(staged, ["/app.mpy", "/lib/frame.mpy", "/link.mpy", "/update.mpy"]) == (
        "+/app\n+/boot.py\n-/app.mpy\n-/lib/frame.mpy\n-/link.mpy\n-/update.mpy\n"
        "+/link\n+/shards/frame.mpy\n+/store.mpy\n+/main.py\n"
    )
    # once it is there, its files come one by one, whatever is left of the old ones
    found |= {"/app/app.mpy": "new"}
    assert deploy._staged("/app/update.mpy", found) == "/app/update.mpy.new"
    staged = {path: f"{path}.new" for path in ("/app/app.mpy", "/app/update.mpy", "/main.py")}
    assert deploy._journal(staged, ["/x"]) == "+/app/update.mpy\n-/x\n+/app/app.mpy\n+/main.py\n"


@pytest.mark.parametrize("port", ["/dev/ttyUSB99", "telnet://board"])
def test_wrong_port(port, capsys):
    assert cli.main(["install", port]) == 2
    assert f"{port} cannot be opened, there is no such port" in capsys.readouterr().err


def test_no_micropython(monkeypatch, capsys):
    monkeypatch.setattr(remote, "_PATIENCE_S", (1, 1))
    monkeypatch.setattr(remote, "_SLEEP_S", 1)
    line, end = os.openpty()
    try:
        code = cli.main(["install", os.ttyname(end)])
    finally:
        os.close(line)
        os.close(end)
    said = capsys.readouterr().err
    assert code == 1 and "no MicroPython answers at" in said
    assert said.count("asking again") == said.count("wakes by itself") == 1
    assert said.count("\n") == 3


def test_too_old(tmp_path):
    with SerialBoard(tmp_path, version=(1, 19, 1)) as board:
        code, said = _install(board.port)
        assert code == 1 and "MicroPython 1.19.1 is too old, 1.25 is needed" in said
        assert _hashes(board) == {}


@pytest.mark.parametrize(
    "name, version, block, bluetooth, flash, sentence",
    [
        ("micropython", 26, 40_000, True, 1 << 21, "needs 104 kB of memory and Bluetooth 8 kB"),
        ("micropython", 26, 50_000, True, 1 << 21, "needs 104 kB of memory and Bluetooth 8 kB"),
        ("micropython", 26, 70_000, False, 1 << 21, "has no Bluetooth"),
        ("micropython", 26, 70_000, True, 0, "has no file system"),
        ("micropython", 24, 70_000, True, 1 << 21, "1.24.0 is too old, 1.25 is needed"),
        ("circuitpython", 26, 70_000, True, 1 << 21, "runs circuitpython, not MicroPython"),
    ],
)
def test_a_board_that_will_not_do(name, version, block, bluetooth, flash, sentence):
    class Board:
        def get(self, code, expression):
            if expression == "_m":
                return 4000, 52_000 + block, block + 4000, block, block + 4000, block
            return name, (1, version, 0), 6, "some board", bluetooth

        def space(self):
            return flash // 2, flash

    with pytest.raises(UserError, match=sentence):
        install._check(Board())


@pytest.mark.parametrize("chip", process.CHIPS)
def test_what_a_board_has_is_what_its_chip_gives(tmp_path, chip):
    truth = process.CHIPS[chip]
    with SerialBoard(tmp_path, chip=chip) as board, Remote(board.port) as link:
        memory = identity.memory(link)
    assert abs(memory.heap - truth["limit"]) < 0.03 * truth["limit"], memory
    left = truth["block"] + truth["rest"] - truth["bluetooth"] - truth["limit"] + truth["heap"]
    assert abs(memory.radio - left) < 2500, memory


def test_memory_beside_the_radio():
    psram = identity.Memory(4000, 4_000_000, 4_100_000, 3_900_000, 90_000, 60_000)
    assert (psram.heap, psram.radio) == (208_000, 90_000)
    other = identity.Memory(10_000, 190_000, 0, 0, 0, 0)  # a radio with memory of its own
    assert other.heap == 200_000 and other.radio >= identity.SYSTEM
    assert str(other) == "200 kB of heap (10 used)"


@pytest.mark.parametrize("said", [b"E (912) wifi: x\r\n(1, 2)\r\n", b"\xff", b"12ab /main.py\r\n"])
def test_what_the_line_garbles_is_told(said):
    link = object.__new__(Remote)
    link.port = "/dev/ttyUSB0"
    link.transport = argparse.Namespace(exec=lambda code, consumer: consumer(said))
    for ask in (link.space, link.hashes, lambda: link.read("/conn.py")):
        with pytest.raises(UserError, match=r"garbled.*run the same"):
            ask()


_SMALL = 896 << 10  # holds the program with one driver, and not twice


def test_full_volume(tmp_path):
    with SerialBoard(tmp_path, size=_SMALL) as board:
        with Remote(board.port) as link:
            link.run(_FILL)
        code, said = _install(board.port)
        assert code == 1 and "kB free" in said and "are needed; make room" in said, said
        assert set(_hashes(board)) == {"/x"}


def test_a_flash_that_is_too_small(tmp_path):
    with SerialBoard(tmp_path, size=576 << 10) as board:  # of a chip with 2 MB
        code, said = _install(board.port)
        assert code == 1 and "too little for the log; take a board with more" in said, said


def test_an_update_that_does_not_fit_beside_the_old_version(tmp_path):
    def run(*options):
        return _install(board.port, "--wait", "0", *options)

    with SerialBoard(tmp_path, size=_SMALL) as board:
        code, said = run("--name", "mine")
        assert code == 0, said
        new = _hashes(board)
        with Remote(board.port) as link:  # a log that has taken what it may
            link.write("/data/x", b"", lambda n: None)
            link.run(_FILL.replace("/x", "/data/x"))
            log = link.get("", "os.stat('/data/x')[6]", int)
        code, said = run("--capacity", "99")  # a small change does fit
        assert code == 0, said
        _age(board.port)
        old = _without_crashes(_hashes(board))
        code, said = run()
        assert code == 1 and "are needed beside the old version" in said, said
        assert "make room with" in said and "--replace" in said, said
        assert said.count("\n") == 3 and _without_crashes(_hashes(board)) == old
        process = _start(board.port, "--wait", "0", "--replace")
        while "copying" not in (line := process.stdout.readline()):
            assert line, process.communicate()
        process.kill()
        process.communicate()
        assert "/main.py" not in _hashes(board)  # the old version is gone, the new one not there
        code, said = run()
        assert code == 0, said
        found = _hashes(board)
        other = {path for path in new if found.get(path) != new[path]}
        assert other <= {"/installed.txt", "/conn.py", "/crashes"}
        with Remote(board.port) as link:
            assert link.get("import os", "os.stat('/data/x')[6]", int) == log
            assert b'dev_name = "mine"' in link.read("/conn.py")


def test_all_drivers(bare):
    code, said = _install(bare.port, "--wait", "0", "--all-drivers")
    assert code == 0, said
    modules = [path for path in _hashes(bare) if path.startswith("/aiobmsble/bms/")]
    assert len(modules) == 1 + len(list((BUILD / "board/aiobmsble/bms").glob("*_bms.mpy")))
    assert set(payload.SEVERAL) <= set(_hashes(bare))


def test_all_drivers_on_a_small_flash_are_refused(tmp_path):
    with SerialBoard(tmp_path, size=_SMALL) as board:
        code, said = _install(board.port, "--all-drivers")
        assert code == 1 and "leaves too little for the log; name one BMS" in said, said
        assert _hashes(board) == {}


def test_a_full_volume_has_nothing_free(tmp_path):
    """MicroPython's statvfs says four billion blocks when littlefs counts more than there are."""
    with SerialBoard(tmp_path, size=1 << 17) as board, Remote(board.port) as link:
        with contextlib.suppress(UserError):
            for number in range(100):
                link.write(f"/{number}", bytes(1000), lambda n: None)
        free, size = link.space()
        assert free <= 2 * 4096 and size == 1 << 17


def test_what_has_to_be_fetched_is_missed_before_anything(monkeypatch, tmp_path, capsys):
    monkeypatch.delenv("AIOBLE")
    monkeypatch.setattr("batmon.firmware.aioble.BUILD", tmp_path)
    monkeypatch.setattr(install, "Remote", None)  # which is not even asked
    assert cli.main(["install", "/dev/ttyUSB0", "--index", "http://127.0.0.1:9"]) == 1
    said = capsys.readouterr().err
    assert "aioble, which the board needs, cannot be fetched" in said and said.count("\n") == 1


def test_a_flash_full_of_other_files_is_told(bare):
    assert _install(bare.port, "--wait", "0")[0] == 0
    with Remote(bare.port) as link:
        link.write("/data/x", b"", lambda n: None)
        link.run(_FILL.replace("'/x'", "'/data/x'").replace("36", "1"))
    assert _install(bare.port, "--wait", "0")[0] == 0  # a log may take what there is
    with Remote(bare.port) as link:
        link.run("import os\nos.rename('/data/x', '/x')")
    code, said = _install(bare.port)
    assert code == 1 and "of the board's flash are left for the log" in said, said
    assert "sample" not in said


class _Typing(io.StringIO):
    def isatty(self):
        return True


def test_secrets_are_asked_for_when_somebody_can_answer(monkeypatch):
    asked, seen = [], []

    def getpass(prompt):
        asked.append(prompt)
        return f"answer {len(asked)}"

    monkeypatch.setattr("getpass.getpass", getpass)
    monkeypatch.setattr(install, "install", lambda port, options, ask: seen.append(options))
    words = ["--pin", "--set", "secret", "--set", "alarm.soc=5", "--wifi", "boat"]
    monkeypatch.setattr("sys.stdin", _Typing())
    assert cli.main(["install", *words]) == 0
    assert asked == [
        "PIN of the BMS, six digits: ", "secret: ", "password of the WiFi network boat: ",
    ]  # fmt: skip
    assert (seen[0].pin, seen[0].wifi_password) == ("answer 1", "answer 3")
    assert seen[0].set == ["secret=answer 2", "alarm.soc=5"]
    # what is there is not asked for, nor is anything where nobody can answer
    asked.clear()
    for typed, more in (
        (_Typing(), ["--set", "wifi.password"]),
        (_Typing(), ["--wifi-password", ""]),
        (io.StringIO(), []),
    ):
        monkeypatch.setattr("sys.stdin", typed)
        assert cli.main(["install", "--wifi", "boat", *more]) == 0
    assert asked == ["wifi.password: "]


def test_without_aioble_nothing_is_touched(bare, monkeypatch, tmp_path):
    monkeypatch.setenv("AIOBLE", str(tmp_path))
    code, said = _install(bare.port)
    assert code == 2 and f"AIOBLE={tmp_path} has no aioble/__init__.py; set AIOBLE to" in said
    assert "/main.py" not in _hashes(bare)


def test_parts_of_aioble_that_harm_are_removed(bare):
    with Remote(bare.port) as link:
        link.write("/lib/aioble/peripheral.mpy", b"x", lambda n: None)
        link.write("/lib/other.py", b"", lambda n: None)
    assert _install(bare.port, "--wait", "0")[0] == 0
    found = _hashes(bare)
    assert "/lib/aioble/peripheral.mpy" not in found and "/lib/other.py" in found


@pytest.mark.parametrize(
    "options, sentence",
    [
        (["--set", "lcd.cols=21"], "lcd.cols is 21, must be 16 or 20"),
        (["--set", "colour=blue"], "unknown key colour"),
        (["--set", "lcd.cols"], "must be KEY=VALUE"),
        (["--influx", "host:99999"], "influx.port is 99999, must be"),
        (["--capacity", "-3"], "not a capacity"),
        (["--bms", "jk"], "there is no BMS driver 'jk'; is it jikong"),
        (["--set", "bms=jbd_bms"], "has an option of its own"),
    ],
)
def test_wrong_options_are_refused(bare, options, sentence):
    code, said = _install(bare.port, *options)
    assert code == 2 and sentence in said, said
    # what a board does about a wrong file is not what happens here
    assert "; using" not in said and "ignored" not in said, said


def test_another_program_is_kept(bare):
    with Remote(bare.port) as link:
        link.write("/main.py", b"print('mine')\n", lambda n: None)
        link.write("/mine.py", b"MINE = 1\n", lambda n: None)
        # hides a module of ours, which has another ending
        link.write("/store.py", b"1/0\n", lambda n: None)
    code, said = _install(bare.port, "--wait", "0")
    assert code == 0 and "kept as main.old.py" in said
    with Remote(bare.port) as link:
        assert link.read("/main.old.py") == b"print('mine')\n"
        assert link.read("/mine.py") == b"MINE = 1\n"
        assert link.read("/store.py") == b""


@pytest.mark.parametrize(
    "lines, sentence",
    [
        (["connected", _SAMPLE % 0, "", _SAMPLE % 10], None),
        (["my: van: connected", "my: van: " + _SAMPLE % 10], None),  # one of several
        ([_SAMPLE % 0, "\x1b]0;x\x07a", "looking for b (seen: 7 frames", "a 7 frames"],
         "within 9 s.*last words: a 7 frames"),
        (["connected", _SAMPLE % 0], "within 9 s.*last words: 12.07 V.* 0 frames"),
        # the longest name from the air
        (["van: connecting to x: 1 V  1 A  % C  mV  7 frames"], "within 9 s"),
        ([], "last words: -"),
        (["conn.py: dev_name is 7, must be text in quotes"], "board says: conn.py: dev_name is 7"),
        (["batmon: safe mode, the start failed 5 times"], "board says: batmon: safe mode"),
        (
            ["Traceback (most recent call last):", "ValueError: 5", "link failed, starts again"],
            "program fails: ValueError: 5",
        ),
    ],
)
def test_what_the_restarted_board_says_counts(lines, sentence):
    board = argparse.Namespace(restart=lambda seconds: iter(lines))
    if sentence is None:
        assert install._follow(board, 9) is None
    else:
        with pytest.raises(UserError, match=sentence):
            install._follow(board, 9)


def test_what_is_wrong_is_said(bare):
    code, said = _install(bare.port, "--name", "nobody", "--wait", "5")
    assert code == 1 and "no sample came within 5 s" in said and "looking for nobody" in said


def test_what_the_documents_tell_to_type_is_understood():
    parser = cli.make_parser()
    lines = [line for name in ("README.md", "docs/SETTINGS.md") for line in _commands(ROOT / name)]
    assert any("--bms jikong" in line for line in lines)
    for line in lines:
        parser.parse_args(["install", *shlex.split(line)[1:]])


def test_what_troubleshooting_quotes_is_said_in_these_words():
    table = (ROOT / "README.md").read_text().partition("## Troubleshooting")[2]
    paths = list(ROOT.glob("*.py"))
    for folder in (*PACKAGES, "lib", "host/batmon"):
        paths += (ROOT / folder).rglob("*.py")
    said = "".join(path.read_text() for path in paths)
    said = re.sub(r'"\s+f?"', "", said)  # sentences that go on in the next line
    quoted = re.findall(r'"([^"]+)"', " ".join(re.findall(r"^\| ([^|]*) \|", table, re.M)))
    assert len(quoted) > 6
    for phrase in quoted:
        for part in re.split(" ?…[ )]?|^jk-", phrase):
            assert part in said, part


def _commands(path):
    return re.findall(r"^ +(\./install\.sh.*)$", path.read_text(), re.M)


def _logs(board) -> bool:
    """Whether the board's program says within some minutes that it is connected, or what it has."""
    said, logs = b"", re.compile(rb"connected\r\n| frames\r\n")  # the first may be past
    with Serial(board.port, timeout=1) as line:
        end = time.monotonic() + 300
        while not logs.search(said) and time.monotonic() < end:
            said += line.read(1000)
    return bool(logs.search(said))


def test_a_board_that_logs_goes_on_after_a_refusal_or_ctrl_c(tmp_path, monkeypatch):
    with SerialBoard(tmp_path / "board", installed=True) as board:
        assert _logs(board)
        code, said = _install(board.port, "--add", "nonsense")  # told when the board was stopped
        assert code == 2 and "must be MAKE,NAME,AH" in said
        assert _logs(board)
        process = _start(board.port)
        while "copying" not in (line := process.stdout.readline()):
            assert line
        process.send_signal(2)
        err = process.communicate(timeout=600)[1]
        assert process.returncode == 130 and "Traceback" not in err, err
        assert _logs(board)
        enter = remote.Transport.enter_raw_repl

        def stopped_by_then(*options):
            enter(*options)
            raise KeyboardInterrupt

        monkeypatch.setattr(remote.Transport, "enter_raw_repl", stopped_by_then)
        assert cli.main(["install", board.port]) == 130
        assert _logs(board)
