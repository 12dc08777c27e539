"""MicroPython onto a board: which file is taken, the question, the very command that writes.

No board is there: esptool is a program that writes down how it was called. How the real one (5.6.0)
takes these words and fails at a port where no chip answers was tried by hand.
"""

import io
import json
import os
import struct
import time
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batmon.board import flash
from batmon.cli import main
from batmon.console import UserError
from batmon.firmware import boards
from batmon.virtual.serialboard import SerialBoard

_ESPTOOL = """
import json, os, sys
with open(os.environ["CALLED"], "a") as f:
    f.write(json.dumps(sys.argv[1:]) + "\\n")
sys.exit(int(os.environ.get("FAILS", 0)))
"""


def firmware(chip=0, words=b"MicroPython v1.29.0 on 2026-07-01; Generic ESP32 module with ESP32"):
    """Return what a firmware begins with (ESP-IDF's esp_image_header_t), and its banner."""
    return struct.pack("<BBBBIBBBBHB", 0xE9, 3, 2, 32, 0x400805F0, 238, 0, 0, 0, chip, 0) + words


@pytest.fixture
def esptool(tmp_path, monkeypatch):
    """A stand-in for esptool; returns a function that gives the words of each call."""
    package = tmp_path / "packages/esptool"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(_ESPTOOL)
    called = tmp_path / "called"
    monkeypatch.syspath_prepend(str(package.parent))
    monkeypatch.setenv("PYTHONPATH", str(package.parent))
    monkeypatch.setenv("CALLED", str(called))
    called.touch()
    return lambda: [json.loads(line) for line in called.read_text().splitlines()]


@pytest.mark.parametrize(
    "number, chip, address",
    [(0, "esp32", "0x1000"), (5, "esp32c3", "0x0"), (9, "esp32s3", "0x0"), (13, "esp32c6", "0x0")],
)
def test_the_file_tells_the_chip_and_that_the_address(
    number, chip, address, tmp_path, monkeypatch, esptool, capsys
):
    path = tmp_path / "it.bin"
    path.write_bytes(firmware(number))
    found = flash.firmware(path)
    assert str(found) == f"MicroPython 1.29.0 for {chip}"
    flash.write(found, "/dev/ttyUSB7")
    assert esptool() == [
        ["--chip", chip, "--port", "/dev/ttyUSB7", "write-flash", "--erase-all", address, str(path)]
    ]
    assert boards.load().row(chip)[6] == address
    monkeypatch.setenv("FAILS", "2")
    with pytest.raises(UserError, match=r"did not get .* for .* hold the board's BOOT"):
        flash.write(found, "/dev/ttyUSB7")


@pytest.mark.parametrize(
    "content, sentence",
    [
        (None, "cannot be read .No such file"),
        (b"", "is no firmware for an ESP32"),
        (b"UF2\n" * 99, "is no firmware for an ESP32"),
        (firmware(words=b"Tasmota"), "is no MicroPython"),
        (firmware(2), "is for ESP32-S2, on which batmon does not run"),
        (firmware(77), "another chip .number 77."),
        (firmware(words=b"MicroPython v1.24.1 on"), "is MicroPython 1.24.1, 1.25 or newer"),
    ],
)
def test_a_file_that_will_not_do_is_refused_before_anything(
    content, sentence, tmp_path, esptool, capsys
):
    path = tmp_path / "it.bin"
    if content is not None:
        path.write_bytes(content)
    assert main(["install", "/dev/absent", "--flash", str(path), "--yes"]) == 2
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1 and "it.bin" in said, said
    with pytest.raises(UserError, match=sentence):
        flash.firmware(path)
    assert esptool() == []


@given(st.binary(max_size=40), st.binary(max_size=40))
def test_any_file_is_a_firmware_or_a_sentence(tmp_path_factory, head, tail):
    path = tmp_path_factory.getbasetemp() / "any.bin"
    for content in (head + tail, b"\xe9" + head + b"MicroPython v1." + tail):
        path.write_bytes(content)
        try:
            assert flash.firmware(path).chip
        except UserError as error:
            assert len(str(error).splitlines()) == 1


class _Typed(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    "typed, code, sentence",
    [
        (_Typed("\n"), 1, "nothing was erased"),
        (_Typed("y\n"), 1, "nothing was erased"),
        (_Typed(""), 1, "nothing was erased"),
        (io.StringIO("yes\n"), 2, "--yes says so"),  # not typed by anybody
        (_Typed("Yes\n"), 2, "cannot be opened"),
    ],
)
def test_nothing_is_erased_unasked(
    typed, code, sentence, tmp_path, monkeypatch, esptool, capsys, standin
):
    monkeypatch.setattr("sys.stdin", typed)
    monkeypatch.setattr(flash, "_BACK_S", 0.1)
    (tmp_path / "it.bin").write_bytes(firmware())
    assert main(["install", "/dev/absent", "--flash", str(tmp_path / "it.bin")]) == code
    said = capsys.readouterr()
    assert sentence in said.err and "erases all that is on the board at /dev/absent" in said.out
    assert len(esptool()) == (1 if "opened" in sentence else 0)


def test_a_new_board_gets_micropython_and_then_the_rest(
    tmp_path, monkeypatch, esptool, capsys, standin
):
    (tmp_path / "it.bin").write_bytes(firmware())
    port = tmp_path / "port"  # which is away for a while after the reset
    with SerialBoard(tmp_path / "board") as board:
        slept = []

        def sleep(seconds):
            slept.append(seconds)
            if len(slept) == 3:
                os.symlink(board.port, port)

        monkeypatch.setattr(flash, "time", SimpleNamespace(sleep=sleep, monotonic=time.monotonic))
        options = ["--flash", str(tmp_path / "it.bin"), "--yes", "--wait", "0"]
        assert main(["install", str(port), *options]) == 0
    assert len(esptool()) == 1
    assert "installed, clock set" in capsys.readouterr().out


def test_esptool_is_installed_when_it_is_wanted(monkeypatch, tmp_path, capfd):
    (tmp_path / "it.bin").write_bytes(firmware())
    monkeypatch.setattr(flash.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setenv("PIP_NO_INDEX", "1")  # as without a network
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    with pytest.raises(UserError, match=r"esptool, which .* could not be installed"):
        flash.write(flash.firmware(tmp_path / "it.bin"), "/dev/ttyUSB7")
    said = capfd.readouterr()
    assert "installing esptool==5.6.0 (once, needs the network)" in said.out
    assert "esptool==5.6.0" in said.err
