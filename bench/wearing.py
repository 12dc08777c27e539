# Stores frames for days on a counted flash: wearing.py SIM BOARD FRAMES IMAGE BYTES DAYS
# Prints what it cost as JSON; run by bench/wear.py.
import sys

sys.path[:] = [sys.argv[1], sys.argv[2], sys.argv[2] + "/lib", ".frozen"]
import vclock

vclock.install()

import json
import os
import struct

import vfs
from flash import Flash
from shards import frame, packing
from store import Store

_DAY_S = 86_400
_START_UNIX = 1_780_272_000
_HOLDS = not os.getenv("NO_HOLD")
_COUNTERS = ("reads", "programs", "erases")


class Clock:
    now_s = 0

    def uptime_s(self):
        return self.now_s

    def unix_s(self):
        return _START_UNIX + self.now_s


class Meter:
    """The most that any call cost, in each counter of the flash."""

    def __init__(self, flash):
        self._flash = flash
        self.worst = [0, 0, 0]
        self.start()

    def start(self):
        self._before = [getattr(self._flash, name) for name in _COUNTERS]

    def stop(self):
        for i in range(3):
            cost = getattr(self._flash, _COUNTERS[i]) - self._before[i]
            self.worst[i] = max(self.worst[i], cost)


def _open(clock, flash, meter):
    store = Store("/flash/data", "bench", clock)
    meter.start()
    store.open()
    meter.stop()
    return store


class Log:
    """Stores the frames of a log, again and again."""

    def __init__(self, rows, clock):
        self.count = 0  # frames stored
        self._rows = rows
        self._clock = clock
        self._row = bytearray(frame.SIZE)
        self._at = self._round_s = 0
        self._length = struct.unpack_from("<I", rows, len(rows) - 17)[0] + 60

    def store(self, store, call):
        """Store the next frame when its time has come."""
        clock = self._clock
        uptime_s = self._round_s + struct.unpack_from("<I", self._rows, self._at)[0]
        self._row[:] = self._rows[self._at + 4 : self._at + 17]
        struct.pack_into("<H", self._row, 0, uptime_s & 0xFFFF)
        while clock.now_s < uptime_s:  # as often as the board does, near enough
            clock.now_s = min(uptime_s, clock.now_s + 60)
            call.start()
            if clock.now_s < uptime_s and _HOLDS:
                store.hold(self._row)
            store.tick()
            call.stop()
        call.start()
        store.append(self._row)
        call.stop()
        self.count += 1
        if store.packing_due:
            store.packing_due = False
            packing.pack(store, int)
        self._at += 17
        if self._at == len(self._rows):
            self._at = 0
            self._round_s += self._length


def _fill(log, clock, flash):
    """Log until a shard is sealed, then copy that as long as the store would keep it."""
    meter = Meter(flash)
    store = _open(clock, flash, meter)
    while not store.kept:
        log.store(store, meter)
    store.flush()
    with open(store.file(1, "bench", "bts"), "rb") as f:
        shard = f.read()
    number = 3  # 2 is being written
    while store.ask_free() and store.free > 2 * store.limit + len(shard):
        with open(store.file(number, "bench", "bts"), "wb") as f:
            f.write(shard)
        number += 1
    log.count = 0


def main(frames, image, size, days):
    with open(frames, "rb") as f:
        rows = f.read()
    flash = Flash(image, size, 4096)
    vfs.VfsLfs2.mkfs(flash)
    vfs.mount(vfs.VfsLfs2(flash), "/flash")
    clock = Clock()
    log = Log(rows, clock)
    _fill(log, clock, flash)
    flash.erases = flash.bytes_programmed = 0
    flash.erases_of[:] = bytes(len(flash.erases_of))
    start = Meter(flash)
    call = Meter(flash)
    store = _open(clock, flash, start)
    begin_s = clock.now_s
    while clock.now_s < begin_s + days * _DAY_S:
        log.store(store, call)
    result = {"days": (clock.now_s - begin_s) / _DAY_S, "frames": log.count}
    result["erases"] = flash.erases
    result["most_erased"] = flash.most_erased()
    result["programmed"] = flash.bytes_programmed
    result["shards"] = store.shards
    for i in range(3):
        result["call_" + _COUNTERS[i]] = call.worst[i]
        result["start_" + _COUNTERS[i]] = start.worst[i]
    print(json.dumps(result))
    vfs.umount("/flash")
    os.remove(image)


main(sys.argv[3], sys.argv[4], int(sys.argv[5]), int(sys.argv[6]))
