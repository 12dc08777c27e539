"""The virtual board as a serial port, through the real mpremote."""

import hashlib
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import mipindex
import pytest

from batmon.virtual.serialboard import SerialBoard

_MPREMOTE = Path(sys.executable).with_name("mpremote")


def mpremote(board: SerialBoard, *arguments: str) -> str:
    """Run mpremote; what it said on stdout."""
    command = [_MPREMOTE, "connect", board.port, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.replace("\r\n", "\n")


@pytest.fixture
def bare(tmp_path):
    with SerialBoard(tmp_path) as board:
        yield board


def test_files_programs_and_resets(bare, tmp_path):
    data = bytes(range(256)) * 20
    (tmp_path / "bytes.bin").write_bytes(data)
    mpremote(bare, "cp", str(tmp_path / "bytes.bin"), ":b.bin", "+", "mkdir", "d")
    assert hashlib.sha256(data).hexdigest() in mpremote(bare, "sha256sum", "b.bin")
    assert mpremote(bare, "fs", "ls").splitlines()[1:] == ["        5120 b.bin", "           0 d/"]
    mpremote(bare, "cp", ":b.bin", str(tmp_path / "back.bin"))
    assert (tmp_path / "back.bin").read_bytes() == data
    (tmp_path / "program.py").write_text(
        "import sys\nfor i in range(3):\n    print(i, sys.platform)\n"
    )
    assert mpremote(bare, "run", str(tmp_path / "program.py")) == "0 esp32\n1 esp32\n2 esp32\n"
    mpremote(bare, "exec", "x = 5")
    assert mpremote(bare, "resume", "eval", "x") == "5\n"
    # a soft reset, which mpremote does by itself, forgets globals; a power cut no file
    assert mpremote(bare, "eval", "'x' in globals()") == "False\n"
    bare.power_cycle()
    assert mpremote(bare, "eval", "__import__('os').listdir()") == "['b.bin', 'd']\n"


def test_an_error_has_a_traceback_and_an_exit_code(bare):
    command = [_MPREMOTE, "connect", bare.port, "exec", "print(7)\n1/0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 1 and done.stdout.startswith("7\n")
    assert "ZeroDivisionError" in done.stdout + done.stderr


def test_a_program_that_never_waits_is_interrupted(bare):
    mpremote(bare, "exec", "--no-follow", "while True: pass")
    assert mpremote(bare, "eval", "6 * 7") == "42\n"


def test_a_board_that_gets_no_time_is_not_interrupted_as_if_it_were_deaf(bare):
    mpremote(bare, "exec", "pass")
    bare.power_cycle()
    process = bare._process
    while bare._process is process:
        time.sleep(0.01)
    bare._process.send_signal(signal.SIGSTOP)  # before it has begun
    with open(bare.port, "r+b", buffering=0) as line:
        line.write(b"\r\x03")
        time.sleep(3)
    bare._process.send_signal(signal.SIGCONT)
    assert mpremote(bare, "eval", "6 * 7") == "42\n"


def test_ctrl_c_ends_a_program_that_was_sent_in_part(bare):
    with open(bare.port, "r+b", buffering=0) as line:
        line.write(b"\r\x03\x01\x05A\x01x = 1\nx = ")  # the sender dies here
    assert mpremote(bare, "eval", "6 * 7") == "42\n"


def test_the_typed_repl(bare):
    with open(bare.port, "r+b", buffering=0) as line:
        line.write(
            b"for i in range(2):\r  print('n', i)\r\rx = (1,\r2)\rx\r\x08y\x08\x081/0\r'end'\r"
        )
        said = b""
        while b"'end'\r\n>>>" not in said:
            said += line.read(1000)
    assert b"n 0\r\nn 1\r\n>>>" in said and b"(1, 2)\r\n" in said and b"ZeroDivision" in said


def test_a_pc_that_is_busy_reads_late_and_all(bare):
    with open(bare.port, "r+b", buffering=0) as line:
        line.write(b"print('x' * 20000)\r'end'\r")
        time.sleep(1)  # more than the line holds meanwhile
        said = b""
        while b"'end'\r\n>>>" not in said and select.select([line], [], [], 60)[0]:
            said += line.read(1000)
    assert said.count(b"x") == 20_000 + 1


def test_the_clock_is_set_and_survives_a_reset(bare):
    assert mpremote(bare, "exec", "import time; print(time.gmtime()[0])") == "2000\n"
    mpremote(bare, "rtc", "--set")
    mpremote(bare, "reset")
    assert int(mpremote(bare, "eval", "__import__('time').gmtime()[0]")) >= 2024


def test_mip_installs_from_a_local_index(bare, tmp_path):
    code = b"ANSWER = 42\n"
    digest = hashlib.sha256(code).hexdigest()[:8]
    package = tmp_path / "index/package/6/thing"
    package.mkdir(parents=True)
    (package / "latest.json").write_text(f'{{"hashes": [["thing.py", "{digest}"]]}}')
    store = tmp_path / "index/file" / digest[:2]
    store.mkdir(parents=True)
    (store / digest).write_bytes(code)
    with mipindex.serve(tmp_path / "index") as url:
        mpremote(bare, "mip", "install", "--index", url, "thing")
    assert mpremote(bare, "eval", "__import__('thing').ANSWER") == "42\n"


def test_an_installed_board_logs_until_interrupted(tmp_path):
    with SerialBoard(tmp_path, installed=True) as board:
        with open(board.port, "r+b", buffering=0) as line:
            said = b""
            until = time.monotonic() + 300
            while b"connected\r\n" not in said and time.monotonic() < until:
                said += line.read(1000)
            assert b"connected" in said
        # mpremote interrupts it; what is not stored yet is
        assert "jk_pak01-00001.raw" in mpremote(board, "fs", "ls", "data")


def test_the_command_offers_a_port_until_it_is_interrupted(tmp_path):
    command = [sys.executable, "-m", "batmon", "board", "--dir", str(tmp_path), "--bms", "none"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        port = re.search(r"is at (\S+);", process.stdout.readline())[1]
        done = subprocess.run(
            [_MPREMOTE, "connect", port, "eval", "6 * 7"],
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.stdout.strip() == "42"
    finally:
        process.send_signal(signal.SIGINT)
    assert process.wait(300) == 130
    (tmp_path / "mine.txt").touch()
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 2 and "holds other files (mine.txt)" in done.stderr
