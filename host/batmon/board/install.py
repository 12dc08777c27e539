"""From a board with MicroPython to one that logs: checked, filled, started, watched."""

import argparse
import re
from collections.abc import Callable
from dataclasses import dataclass

from batmon.board import deploy
from batmon.board.remote import Remote
from batmon.console import UserError, note
from batmon.firmware import boards, payload
from batmon.log.formats import frame
from batmon.version import VERSION, parts

OLDEST = (1, 25)  # of MicroPython: what the tests run on, see host/micropython32.sh
# Bytes of heap that the program takes at its peak (109,500 by `python -m bench heap`), and of the
# system's memory that Bluetooth needs besides once it is on: for a connection.
_HEAP = 110_000
_SYSTEM = 8_000

_FACTS = """
import gc, sys
gc.collect()
_i = sys.implementation
try:
    import bluetooth as _b
except ImportError:
    _b = None
_f = (_i.name, tuple(_i.version[:3]), getattr(_i, '_mpy', 0), getattr(_i, '_machine', ''))
_f += _b is not None,
"""
# With Bluetooth on: the heap, used and free, the second with what it could take from the system;
# then what the system has, free and in one block, for the heap and for radios.
_MEMORY = """
import bluetooth, gc
_ble = bluetooth.BLE()
_ble.active(True)
gc.collect()
_m = gc.mem_alloc(), gc.mem_free()
try:
    import esp32
    for _caps in 0x1000, 0x804:
        _a = esp32.idf_heap_info(_caps)
        _m += sum(a[1] for a in _a), max(a[2] for a in _a)
except ImportError:
    _m += 0, 0, 0, 0
_ble.active(False)
"""
# Version 0.1.0 does not say what it is.
_VERSION = """
import os
_v = ''
try:
    from app.version import VERSION as _v
except ImportError:
    try:
        os.stat('/installed.txt')
        _v = '0.1.0'
    except OSError:
        pass
"""
_LOG_VERSION = "/data/version"  # docs/FORMAT.md


# What a board says of a sample it has stored; no name from the air can say it.
_SAMPLE = re.compile(r"(-?[0-9.]+|--) V  (.* )?[1-9][0-9]* frames$")


@dataclass
class Facts:
    """What a board says of itself; sizes in bytes."""

    name: str
    version: tuple[int, ...]
    mpy: int
    machine: str
    bluetooth: bool
    flash_free: int
    flash: int


@dataclass
class Memory:
    """What a board has with Bluetooth on; sizes in bytes.

    used, free: of the heap, in free what it could take from the system at once. system, block: what
    the system has for that, and in one block; internal, internal_block: the same of what radios can
    use. They are 0 where radios have memory of their own.
    """

    used: int
    free: int
    system: int
    block: int
    internal: int
    internal_block: int

    @property
    def heap(self) -> int:
        """What the heap becomes: doubled, or larger by the largest block if that is less."""
        now = self.used + self.free - self.block
        return now + min(now, self.block)

    @property
    def radio(self) -> int:
        """What is then left for the radio."""
        if not self.system:
            return _SYSTEM
        if self.block > self.internal_block:  # the heap grows in PSRAM
            return self.internal
        return self.internal - min(self.used + self.free - self.block, self.block)

    def __str__(self) -> str:
        text = f"{self.heap // 1000} kB of heap ({self.used // 1000} used)"
        if not self.system:
            return text
        return (
            f"{text}, then {self.radio // 1000} kB of system memory left for the radio; now"
            f" {self.internal // 1000} kB, {self.internal_block // 1000} in one block"
        )


def install(
    port: str | None, options: argparse.Namespace, ask_bthome: Callable[[], bool] | None = None
):
    """Install, restart and wait for the first sample; raises UserError.

    `ask_bthome` asks the user for that setting, where nobody has answered that yet.
    """
    wanted = payload.wishes(options)
    with Remote(port) as board:
        facts = _check(board, bool(wanted.get("influx.host") or wanted.get("mqtt.host")))
        deploy.finish(board)
        _check_version(board)
        answered = "bthome" in wanted or b'"bthome"' in board.read(payload.SETTINGS)
        if ask_bthome and not answered:
            wanted["bthome"] = ask_bthome()
        found = board.hashes()
        was = deploy.manifest(board, found)
        files = payload.files(board.read, was, wanted, options, facts.mpy)
        deploy.make_room(board, found, was, files, options.replace)
        changed = deploy.copy(board, found, was, files)
        board.set_clock()
        print(f"{changed} of {len(files)} files copied, clock set" if changed else "up to date")
        if options.wait:
            _follow(board, options.wait)
        else:
            for _ in board.restart(0):
                pass


def _check(board, wifi: bool = False) -> Facts:
    """Return what the board is; raises UserError if it will not do. wifi: it is wanted."""
    facts = Facts(*board.get(_FACTS, "_f"), *board.space())
    version = ".".join(map(str, facts.version))
    print(
        f"{facts.machine or 'a board'}: {facts.name} {version},"
        f" {facts.flash_free >> 10} of {facts.flash >> 10} kB flash free"
    )
    flash = "flash a current one for your board from micropython.org/download"
    if facts.name != "micropython":
        raise UserError(f"the board runs {facts.name}, not MicroPython; {flash}.", 1)
    if facts.version < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        raise UserError(f"MicroPython {version} is too old, {oldest} is needed; {flash}.", 1)
    if not facts.bluetooth:
        raise UserError("this chip or its MicroPython has no Bluetooth; take another board.", 1)
    if not facts.flash:
        raise UserError(f"the board has no file system; {flash}.", 1)
    memory = Memory(*board.get(_MEMORY, "_m"))
    row = boards.load().row(facts.machine)
    print(f"with Bluetooth on: {memory}; usual for this chip are {row[4]} kB of heap")
    if wifi and row[5] == "no":
        note(
            "WiFi has no room beside Bluetooth on this chip: the board will log and send nothing to"
            " InfluxDB or MQTT; --bthome needs no WiFi."
        )
    if memory.heap < _HEAP or memory.radio < _SYSTEM:
        raise UserError(
            f"the program needs {_HEAP // 1000} kB of heap and Bluetooth {_SYSTEM // 1000} kB more,"
            f" this board gives {memory.heap // 1000} and {memory.radio // 1000}; take one that"
            " docs/HARDWARE.md names. If its WiFi was on, take the power away first and try again.",
            1,
        )
    return facts


def _check_version(board):
    """Tell what takes whose place; raises UserError for what a newer version left on the board."""
    theirs = board.get(_VERSION, "_v", str)
    newer = theirs if parts(theirs) > parts(VERSION) else ""
    # whatever program is there now: an older one may have been copied, or none be left
    match = re.fullmatch(rb"(\S+) (\d{1,5})\n", board.read(_LOG_VERSION))
    if match and int(match[2]) > frame.VERSION:
        newer = match[1].decode(errors="replace")
    if newer:
        raise UserError(
            f"the board has batmon {newer}, which is newer than this, {VERSION}: install {newer} or"
            " newer; to go back all the same, `batmon pull` the log with that version and erase the"
            " board as docs/HARDWARE.md shows.",
            1,
        )
    if theirs != VERSION:
        print(f"installing batmon {VERSION}" + (f" in place of {theirs}" if theirs else ""))


def _follow(board, seconds: int):
    """Restart, show what the board says, return when it has stored a sample."""
    last = ""
    failing = False
    for line in board.restart(seconds):
        if not line:
            continue
        print(f"  {line}", flush=True)
        if _SAMPLE.match(line):
            print("The first sample is stored; the board logs.")
            return
        if line.startswith("conn.py: ") or "safe mode" in line:
            raise UserError(f"installed, but the board says: {line}.", 1)
        if failing and "starts again" in line:
            raise UserError(f"installed, but the board's program fails: {last}.", 1)
        failing = failing or line.startswith("Traceback")
        last = line
    raise UserError(
        f"installed, but no sample came within {seconds} s; the board's last words: {last or '-'}."
        " README.md has causes under Troubleshooting.",
        1,
    )
