# Three years into a small volume: it is soon full, and logging goes on
import asyncio
import os
import random

import machine
import shardcodec
from flash import PowerCut
from shardlog import (
    MOUNT,
    SEED,
    Clock,
    SparseEncoder,
    StoredEncoder,
    Volume,
    data_frame,
    open_store,
    run,
    stored_numbers,
)

_DAYS = 3 * 365
_DAY_S = 86_400
_START_UNIX = 1_780_272_000


class _Board:
    """Logs day after day, and is reset now and then in one way or another."""

    def __init__(self, volume, a_day):
        self.volume = volume
        self.a_day = a_day
        self.number = 0  # of the next frame
        self.resets = self.cuts = 0
        self.deleted = 0  # shards
        self.unix_s = _START_UNIX
        self.rtc = machine.RTC()
        self.rtc.memory(b"")
        self.start()

    def start(self):
        self.clock = Clock(self.unix_s)
        self.store = open_store(self.clock, self.rtc)
        self.task = asyncio.create_task(run(self.store))

    async def day(self):
        store = self.store
        for _ in range(self.a_day):
            self.clock.now_s += _DAY_S // self.a_day
            store.append(data_frame(self.number))
            self.number += 1
            store.tick()
        await asyncio.sleep(2)  # what waits is sealed
        assert store.message == "" and store.dropped == 0, store.message

    async def reset(self):
        """Go through a random kind of reset: an orderly one, any moment, or a power cut."""
        keeps_ram = random.getrandbits(1)
        if random.getrandbits(2):
            self.volume.flash.cut_in = 1 + random.getrandbits(8)
            try:
                while self.volume.flash.cut_in:
                    self.clock.now_s += 10
                    self.store.append(data_frame(self.number))
                    self.number += 1
                    self.store.tick()
                    await asyncio.sleep_ms(0)
            except (PowerCut, OSError):
                pass
            self.cuts += 1
        else:
            self.store.flush()
        self.task.cancel()
        await asyncio.sleep_ms(0)
        self.unix_s = self.clock.unix_s()
        self.volume.replug()
        if not keeps_ram:
            self.rtc.memory(b"")
        self.resets += 1
        self.start()
        self.store.flush()
        stored = stored_numbers(2)[-1]
        assert self.number - 77 <= stored + 1 <= self.number, (self.number, stored)
        assert stored + 1 >= self.number - 1 or not keeps_ram  # the last append may be under way
        self.number = stored + 1
        st = os.statvfs(MOUNT)
        assert st[3] * st[0] >= 8 * 1024


async def _years(kind, size, a_day, encode):
    encoder = shardcodec.Encoder
    shardcodec.Encoder = encode
    random.seed(int.from_bytes(SEED, "little"))
    volume = Volume(kind, size)
    try:
        board = _Board(volume, a_day)
        for day in range(_DAYS):
            await board.day()
            if random.getrandbits(4) == 0:
                await board.reset()
        assert board.store.flush()
        got = stored_numbers()
        assert got == list(range(got[0], board.number)), (got[0], len(got), board.number)
        assert got[0] > 0, "the volume was never full"
        assert board.store.days_stored > 100 and board.store.days_left == 0
        print(
            "%d kB %s: %d frames, %d resets, %d of them cuts; %d frames of the last %d days kept"
            % (size // 1024, kind, board.number, board.resets, board.cuts, len(got),
               board.store.days_stored)
        )  # fmt: skip
        board.task.cancel()
        await asyncio.sleep_ms(0)
    finally:
        shardcodec.Encoder = encoder
        volume.remove()


if os.getenv("CAMPAIGN"):

    async def test_three_years_into_2_mib():
        await _years("lfs2", 2048 * 1024, 1500, SparseEncoder)

    async def test_three_years_into_576_kib():
        await _years("lfs2", 576 * 1024, 1500, SparseEncoder)

    async def test_three_years_into_fat():
        await _years("fat", 576 * 1024, 300, SparseEncoder)

else:

    async def test_three_years():
        await _years("lfs2", 576 * 1024, 60, StoredEncoder)
