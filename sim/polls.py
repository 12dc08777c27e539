# Plays a packed poll log through sampler and store, with no radio and no virtual time
# Usage: micropython polls.py BOARD LOG FOLDER NAME CAPACITY_AH CELLS UNIX_S, see batmon/replay.py
import sys

sys.path[:] = [sys.argv[1], sys.argv[1] + "/lib", ".frozen"]  # not sim/, which has its own time

import struct

from micropython import const
from sampling.sampler import Sampler
from shards import packing
from store import Store

# ms since the first row, mV, mA, 0.1 degC, 1/10 %, mV of lowest and highest cell, their indices;
# the largest negative or positive number is an unknown value
_ROW = "<QIihHHHBB"
_UNKNOWN_MA = const(-0x80000000)
_UNKNOWN_I16 = const(-0x8000)
_UNKNOWN_U16 = const(0xFFFF)
_ROWS = const(256)  # read at once
_TICK_MS = const(10_000_000)  # the store wants to be asked now and then, in long gaps too


class Clock:
    """Time as the log tells it."""

    def __init__(self, unix_s):
        self.now_ms = 0
        self._unix_s = unix_s

    def uptime_s(self):
        return self.now_ms // 1000

    def unix_s(self):
        """Return UTC seconds, 0 when the log does not tell."""
        return self._unix_s + self.uptime_s() if self._unix_s else 0


def play(source, folder, name, capacity_ah, cells, unix_s):
    """Store the log in `folder` and print how many polls there were, or what went wrong."""
    clock = Clock(unix_s)
    store = Store(folder, name, clock)
    store.cells = cells
    store.open()
    sampler = Sampler(capacity_ah)
    sample = {}
    volts = [0] * cells
    polls = 0
    for row in _rows(source):
        if row[0] - clock.now_ms > _TICK_MS:
            # the link would have noticed long before the store writes down that time passes
            store.append(sampler.frames, sampler.finish())
        while row[0] - clock.now_ms > _TICK_MS:
            clock.now_ms += _TICK_MS
            store.tick()
        clock.now_ms = row[0]
        _fill(sample, volts, row)
        n = sampler.poll(row[0], sample)
        if n:
            store.append(sampler.frames, n)
            _pack(store)
        store.tick()
        polls += 1
    store.append(sampler.frames, sampler.finish())
    stored = store.flush()
    _pack(store)
    print(polls if stored and not store.dropped else store.message)


def _pack(store):
    """Seal what is full; here the log's time stands still meanwhile."""
    if store.packing_due:
        store.packing_due = False
        packing.pack(store, int)


def _rows(source):
    size = struct.calcsize(_ROW)
    buf = bytearray(_ROWS * size)
    with open(source, "rb") as f:
        while True:
            n = f.readinto(buf)
            if not n:
                return
            for at in range(0, n, size):
                yield struct.unpack_from(_ROW, buf, at)


def _fill(sample, volts, row):
    _, mv, ma, temperature, soc, low, high, at_low, at_high = row
    sample["voltage"] = mv / 1000
    sample["current"] = None if ma == _UNKNOWN_MA else ma / 1000
    sample["temperature"] = None if temperature == _UNKNOWN_I16 else temperature / 10
    sample["battery_level"] = None if soc == _UNKNOWN_U16 else soc / 10
    known = low != _UNKNOWN_U16
    sample["cell_voltages"] = volts if known else None
    if known:
        for i in range(len(volts)):
            volts[i] = (low + high) / 2000
        volts[at_low] = low / 1000
        volts[at_high] = high / 1000


play(*sys.argv[2:5], *map(int, sys.argv[5:]))
