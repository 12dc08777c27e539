# A month of a board's life as shards, and when each frame really was: month.py BOARD FOLDER SEED
# Prints a line per data frame, "number unix boot dated"; run by tests/host/test_month.py.
import sys

_HERE = __file__.rsplit("/", 1)[0]
sys.path[:] = [_HERE + "/../../sim", sys.argv[1], sys.argv[1] + "/lib", _HERE, ".frozen"]
import vclock

vclock.install()

import random
import struct

from shardlog import data_frame
from shards import packing
from store import Store

_MONTH_S = 30 * 86_400
_START_UNIX = 1_780_272_000


class Clock:
    """A board's clocks: UTC is unknown, known, or off by some seconds until it is set."""

    def __init__(self, start_s, set_s, off_s):
        self.start_s = start_s  # of this boot, in true unix time
        self.now_s = 0
        self._set_s = set_s  # uptime at which the right time comes
        self._off_s = off_s  # of the clock until then, None = unknown

    def true_s(self):
        return self.start_s + self.now_s

    def uptime_s(self):
        return self.now_s

    def unix_s(self):
        if self.now_s >= self._set_s:
            return self.true_s()
        return 0 if self._off_s is None else self.true_s() + self._off_s


def _some(low, high):
    return low + random.getrandbits(24) % (high - low)


def main(folder, seed):
    random.seed(seed)
    number = on_s = 0
    start_s = _START_UNIX
    while on_s < _MONTH_S:
        length_s = (_some(60, 3600), _some(3600, 86_400), _some(86_400, 10 * 86_400))[_some(0, 3)]
        set_s = (0, _some(0, length_s), 10**9)[_some(0, 3)]
        wrong_s = (None, None, _some(60, 10**7), -_some(60, 10**7))[_some(0, 4)]
        if set_s in (0, 10**9):
            wrong_s = None  # nobody can know that a clock is wrong which is never set
        clock = Clock(start_s, set_s, wrong_s)
        store = Store(folder, "month", clock)
        store.open()
        dated = set_s <= length_s
        while clock.now_s < length_s:
            # up to half an hour without frames, and sometimes a day without a link
            for _ in range((_some(1, 120), _some(120, 1800), 86_400)[_some(0, 200) // 100] // 5):
                clock.now_s += 5
                store.tick()
            data = data_frame(number)
            struct.pack_into("<H", data, 0, clock.now_s & 0xFFFF)
            store.append(data)
            print(number, clock.true_s(), store.boot, int(dated))
            number += 1
            if store.packing_due:
                store.packing_due = False
                packing.pack(store, int)
        store.tick()
        store.flush()
        on_s += clock.now_s
        off_s = (_some(60, 3600), _some(3600, 10**6), _some(10**6, 10**7))[_some(0, 3)]
        start_s += clock.now_s + off_s


main(sys.argv[2], int(sys.argv[3]))
