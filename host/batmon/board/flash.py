"""MicroPython onto a board: its file is checked here, what then erases and writes is esptool.

Untried on a real board. esptool itself asks the chip what it is before it erases anything.
"""

import importlib.metadata
import importlib.util
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from batmon.board.remote import Remote, find_port
from batmon.console import UserError
from batmon.firmware import boards

OLDEST = (1, 25)  # of MicroPython: what the tests run on, see host/micropython32.sh
DOWNLOAD = "download the .bin file for your board from https://micropython.org/download/?mcu=esp32"

_MAGIC = 0xE9  # of an image for any of these chips
_CHIP_AT = 12
# The chip by its number in the image's header (ESP-IDF's esp_chip_id_t), as esptool calls it.
_CHIPS = {0: "esp32", 5: "esp32c3", 9: "esp32s3", 13: "esp32c6"}
_OTHERS = {2: "ESP32-S2", 12: "ESP32-C2", 16: "ESP32-H2", 18: "ESP32-P4"}
_BANNER = re.compile(rb"MicroPython v(\d+)\.(\d+)\.(\d+)")
_BACK_S = 20  # until its port is there again, after the reset


@dataclass
class Firmware:
    """A file that can be written: for which chip, as esptool calls it, and to which address."""

    path: Path
    chip: str
    version: tuple[int, ...]
    address: str

    def __str__(self) -> str:
        return f"MicroPython {'.'.join(map(str, self.version))} for {self.chip}"


def firmware(path: Path) -> Firmware:
    """Return what a firmware file is; raises UserError for one that would not do."""
    try:
        image = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); {DOWNLOAD}.") from None
    if len(image) <= _CHIP_AT or image[0] != _MAGIC:
        raise UserError(f"{path} is no firmware for an ESP32; {DOWNLOAD}.")
    banner = _BANNER.search(image)
    if not banner:
        raise UserError(f"{path} is no MicroPython; {DOWNLOAD}.")
    number = image[_CHIP_AT]
    if number not in _CHIPS:
        other = _OTHERS.get(number, f"another chip (number {number})")
        raise UserError(f"{path} is for {other}, on which batmon does not run; take another board.")
    version = tuple(map(int, banner.groups()))
    if version < OLDEST:
        is_, oldest = (".".join(map(str, v)) for v in (version, OLDEST))
        raise UserError(f"{path} is MicroPython {is_}, {oldest} or newer is needed; {DOWNLOAD}.")
    chip = _CHIPS[number]
    return Firmware(path, chip, version, boards.load().row(chip)[6])


def write(found: Firmware, port: str | None):
    """Erase the board at `port` (the only one on USB) and write MicroPython; raises UserError."""
    port = port or find_port()
    _need_esptool()
    command = [sys.executable, "-m", "esptool", "--chip", found.chip, "--port", port]
    command += ["write-flash", "--erase-all", found.address, str(found.path)]
    if subprocess.run(command, stdin=subprocess.DEVNULL).returncode:
        raise UserError(
            f"esptool did not get {found} onto the board at {port} (its words are above); hold the"
            " board's BOOT button, press RESET, let go of both, then run the same command again.",
            1,
        )


def reopen(port: str | None) -> Remote:
    """Return the board after its reset, in which the port of some boards goes away for a while."""
    end = time.monotonic() + _BACK_S
    while True:
        try:
            return Remote(port)
        except UserError:
            if time.monotonic() > end:
                raise
            time.sleep(0.5)


def _need_esptool():
    """Install esptool into this environment if it is not there: few need it, and once."""
    if importlib.util.find_spec("esptool"):
        return
    wanted = next(n for n in importlib.metadata.requires("batmon") if n.startswith("esptool"))
    wanted = wanted.partition(";")[0].strip()
    print(f"installing {wanted} (once, needs the network)", flush=True)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    if subprocess.run([*command, wanted]).returncode:
        raise UserError(
            "esptool, which puts MicroPython on a board, could not be installed (pip's words are"
            " above); connect this computer to the network and run the same command again.",
            1,
        )
    importlib.invalidate_caches()
