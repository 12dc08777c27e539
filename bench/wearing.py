# Stores frames for days on a counted flash: wearing.py SIM BOARD FRAMES IMAGE BYTES DAYS
# Prints what it cost as JSON; run by bench/wear.py.
import sys

sys.path[:] = [sys.argv[1], sys.argv[2], sys.argv[2] + "/lib", ".frozen"]
import vclock

vclock.install()

import asyncio
import json
import os
import struct

import frame
import vfs
from flash import Flash
from store import Store

_DAY_S = 86_400
_START_UNIX = 1_780_272_000
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


async def main(frames, image, size, days):
    with open(frames, "rb") as f:
        rows = f.read()
    flash = Flash(image, size, 4096)
    vfs.VfsLfs2.mkfs(flash)
    vfs.mount(vfs.VfsLfs2(flash), "/flash")
    flash.erases = flash.bytes_programmed = 0
    clock = Clock()
    start = Meter(flash)
    call = Meter(flash)
    store = _open(clock, flash, start)
    sealing = asyncio.create_task(store.run())
    row = bytearray(frame.SIZE)
    count = round_s = at = 0
    length = struct.unpack_from("<I", rows, len(rows) - 17)[0] + 60
    while clock.now_s < days * _DAY_S:
        uptime_s = round_s + struct.unpack_from("<I", rows, at)[0]
        row[:] = rows[at + 4 : at + 17]
        struct.pack_into("<H", row, 0, uptime_s & 0xFFFF)
        while clock.now_s < uptime_s:  # as often as the board does, near enough
            clock.now_s = min(uptime_s, clock.now_s + 60)
            call.start()
            store.tick()
            call.stop()
        call.start()
        store.append(row)
        call.stop()
        count += 1
        for _ in range(20):  # so many slices of sealing fit between two frames
            call.start()
            await asyncio.sleep_ms(0)
            call.stop()
        at += 17
        if at == len(rows):
            at = 0
            round_s += length
    sealing.cancel()
    result = {"days": clock.now_s / _DAY_S, "frames": count, "erases": flash.erases}
    result["most_erased"] = flash.most_erased()
    result["programmed"] = flash.bytes_programmed
    _open(clock, flash, start)  # the folder as it is by now
    for i in range(3):
        result["call_" + _COUNTERS[i]] = call.worst[i]
        result["start_" + _COUNTERS[i]] = start.worst[i]
    print(json.dumps(result))
    vfs.umount("/flash")
    os.remove(image)


asyncio.run(main(sys.argv[3], sys.argv[4], int(sys.argv[5]), int(sys.argv[6])))
