"""What a board says of itself: its MicroPython, its flash, its memory, and which batmon it has."""

import re
from dataclasses import dataclass

from batmon.board.remote import Remote

# What a board says of a sample it has taken, of several batteries with the name before it. No name
# from the air can say it: those have 29 characters at most.
_N = r"(?:-?[0-9.]+|--)"
SAMPLE = re.compile(
    rf"(?:.+: )?{_N} V  {_N} A  {_N} %  cells (?:[0-9]+/[0-9]+|--) mV  {_N} C  [1-9][0-9]* frames$"
)
# What it says after it has looked for its BMS once: what it will say from then on as well.
ABSENT = re.compile(r".* not found.*, retry [0-9]+ in [0-9]+ s$")
SYSTEM = 8_000  # bytes of the system's memory that Bluetooth takes for a connection

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
            return SYSTEM
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


def facts(board: Remote) -> Facts:
    """Return what the board is."""
    return Facts(*board.get(_FACTS, "_f"), *board.space())


def memory(board: Remote) -> Memory:
    """Return what memory the board has; Bluetooth is switched on for that."""
    return Memory(*board.get(_MEMORY, "_m"))


def version(board: Remote) -> str:
    """Return which batmon is on the board; "" if there is none."""
    return board.get(_VERSION, "_v", str)
