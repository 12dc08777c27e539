# Three years into a small volume: it is soon full, and logging goes on
import os
import random
import struct
from binascii import crc32

import machine
from flash import PowerCut
from shardlog import (
    MOUNT,
    SEED,
    Clock,
    Volume,
    frames_of,
    noisy_frame,
    open_store,
    pack,
    shard_files,
)
from shards import frame

_DAYS = 3 * 365
_DAY_S = 86_400
_START_UNIX = 1_780_272_000


class _Reader:
    """Checks every frame of every shard; a shard read before is compared with what it was."""

    def __init__(self):
        self._known = {}  # file: CRC-32, numbers of the first frame and behind the last
        self.first = 0  # number of the oldest frame
        self.sealed = 0  # shards that were read

    def check(self):
        """Read all shards; return the number of the frame behind the newest."""
        known = {}
        first = end = None
        for file in shard_files():
            with open(file, "rb") as f:
                data = f.read()
            crc = crc32(data)
            if self._known.get(file, (None,))[0] != crc:
                self._known[file] = (crc,) + self._read(file, data)
            known[file] = self._known[file]
            _, begins, ends = known[file]
            if begins is None:  # nothing but control frames
                continue
            assert end in (None, begins), (file, end, begins)
            first = begins if first is None else first
            end = ends
        self._known = known
        self.first = first
        return end

    def _read(self, file, data):
        first = end = None
        for f in frames_of(file, data):
            if frame.kind(f, 0):
                continue
            if end is None:
                low, high = struct.unpack_from("<HH", f, 8)
                first = end = high << 16 | low
            assert f == noisy_frame(end), (file, end, f)
            end += 1
        self.sealed += file.endswith("bts")
        return first, end


class _Board:
    """Logs day after day, and is reset now and then in one way or another."""

    def __init__(self, volume, a_day, apart_s):
        self.volume = volume
        self.a_day = a_day
        self.apart_s = apart_s
        self.reader = _Reader()
        self.number = 0  # of the next frame
        self.resets = self.cuts = self.full_cuts = 0
        self.least_free = 1 << 30
        self.unix_s = _START_UNIX
        self.rtc = machine.RTC()
        self.rtc.memory(b"")
        self.start()

    def start(self):
        self.clock = Clock(self.unix_s)
        self.store = open_store(self.clock, self.rtc)

    def log(self, after_s):
        self.clock.now_s += after_s
        self.number += 1
        self.store.append(noisy_frame(self.number - 1))
        self.store.tick()

    def day(self):
        for i in range(self.a_day):
            self.log(self.apart_s)
        self.clock.now_s += _DAY_S - self.a_day * self.apart_s
        self.store.tick()
        pack(self.store)
        self.check_room()

    def check_room(self):
        assert self.store.message == "" and self.store.dropped == 0, self.store.message
        assert not self.store.unsealed
        st = os.statvfs(MOUNT)
        free = st[3] * st[0]
        assert free >= self.store.limit // 2, free
        self.least_free = min(self.least_free, free)

    def reset(self):
        """Go through a random kind of reset: an orderly one, any moment, or a power cut."""
        keeps_ram = random.getrandbits(1)
        if random.getrandbits(2):
            self.cut()
        else:
            self.store.flush()
        self.unix_s = self.clock.unix_s()
        self.volume.replug()
        if not keeps_ram:
            self.rtc.memory(b"")
        self.resets += 1
        self.start()
        self.store.flush()
        end = self.reader.check()
        assert self.number - 77 <= end <= self.number, (self.number, end)
        assert end >= self.number - 1 or not keeps_ram  # the last append may be under way
        self.number = end
        pack(self.store)
        self.check_room()

    def cut(self):
        """Log until the power goes, in half of the cases soon after a shard was full."""
        flash = self.volume.flash
        after_shard = random.getrandbits(1)
        full = self.reader.first > 0  # shards were deleted
        try:
            while after_shard and not self.store.unsealed:
                self.log(10)
            flash.cut_in = 1 + random.getrandbits(2 + random.getrandbits(3))
            while flash.cut_in:
                self.log(10)
        except (PowerCut, OSError):
            pass
        self.cuts += 1
        self.full_cuts += full


def _years(kind, kib, a_day, apart_s):
    """Log for three years: each day `a_day` frames, `apart_s` seconds apart."""
    random.seed(int.from_bytes(SEED, "little"))
    volume = Volume(kind, kib * 1024)
    try:
        board = _Board(volume, a_day, apart_s)
        for _ in range(_DAYS):
            board.day()
            if random.getrandbits(4) == 0:
                board.reset()
        board.day()  # a start knows no rate
        assert board.store.flush()
        assert board.reader.check() == board.number
        first = board.reader.first
        assert first > 0, "the volume was never full"
        store = board.store
        assert store.days_stored > 20, store.days_stored
        assert store.days_left < store.days_stored // 2, (store.days_stored, store.days_left)
        print(
            "%d KiB %s: %d frames, %d resets, %d of them power cuts, %d cuts while full;"
            " %d frames of the last %d days kept, %d shards sealed, %d kB free at least"
            % (kib, kind, board.number, board.resets, board.cuts, board.full_cuts,
               board.number - first, store.days_stored, board.reader.sealed,
               board.least_free // 1024)
        )  # fmt: skip
    finally:
        volume.remove()


if os.getenv("CAMPAIGN"):

    def test_three_years_into_2_mib():
        _years("lfs2", 2048, 1500, 57)

    def test_three_years_into_576_kib():
        _years("lfs2", 576, 1500, 57)

    def test_three_years_into_fat():
        _years("fat", 576, 1500, 57)

else:

    def test_three_years():
        _years("lfs2", 64, 40, 10)
