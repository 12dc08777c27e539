# Resets that keep RTC memory lose nothing; and what goes into it takes no memory from the heap
import gc
import os
import random
import struct

import micropython
from clock import Clock as BoardClock
from flash import PowerCut
from shardlog import (
    SEED,
    Clock,
    Rtc,
    StoredEncoder,
    Volume,
    data_frame,
    open_store,
    pack,
    stored_frames,
    stored_numbers,
)
from shards import codec, frame
from store import Store

_LONG = os.getenv("CAMPAIGN")


class _Life:
    """A board that logs until it is reset; what it appended and what it holds."""

    def __init__(self):
        self.rtc = Rtc()
        self.clock = Clock(1_780_272_000)
        self.next = 0
        self.held = None
        self.expected = []
        self.doubtful = ()  # what was under way when the reset came

    def run(self, volume, steps):
        """Go on where the last reset left off; a cut of the power ends it."""
        store = None
        try:
            store = open_store(self.clock, self.rtc)
            for _ in range(steps):
                self.clock.now_s += 1 + random.getrandbits(6)
                self._step(store)
            pack(store)
        except (PowerCut, OSError):
            pass
        volume.replug()
        return store

    def _step(self, store):
        what = random.getrandbits(3)
        if what < 3:
            n = 1 + random.getrandbits(1)
            self.doubtful = list(range(self.next, self.next + n))
            self.next += n
            store.append(b"".join(bytes(data_frame(i)) for i in self.doubtful), n)
            self.expected += self.doubtful
            self.held = None
        elif what < 6:
            self.doubtful = (self.next,)
            self.next += 1
            store.hold(data_frame(self.doubtful[0]))
            self.held = self.doubtful[0]
        elif what == 6:
            store.event(frame.LINK_LOST)
        else:
            store.tick()
            if random.getrandbits(3) == 0:
                store.flush()
        self.doubtful = ()

    def settle(self, got):
        """After a reset: what was under way may be in the log or not, the rest must be."""
        if got and self.expected and got[0] > self.expected[0]:  # the volume is full
            self.expected = self.expected[self.expected.index(got[0]) :]
            assert len(got) > 1500, len(got)
        sure = len(self.expected)
        assert got[:sure] == self.expected, (got[-5:], self.expected[-5:])
        rest = got[sure:]
        allowed = [[], [self.held], list(self.doubtful[:1]), list(self.doubtful)]
        assert rest in allowed, (rest, self.held, self.doubtful)
        if not self.doubtful:
            assert rest == ([] if self.held is None else [self.held]), (rest, self.held)
        self.expected = got
        self.held = None
        self.doubtful = ()


def _resets(rounds, cut):
    encoder = codec.Encoder
    codec.Encoder = StoredEncoder
    random.seed(int.from_bytes(SEED, "little"))
    volume = Volume("lfs2", 128 * 1024)
    life = _Life()
    try:
        for _ in range(rounds):
            if cut == "flash":
                volume.flash.cut_in = 1 + random.getrandbits(7)
            elif cut == "rtc":
                life.rtc.cut_in = 1 + random.getrandbits(6)
            life.run(volume, random.getrandbits(8))
            life.rtc.cut_in = 0
            store = open_store(life.clock, life.rtc)  # a second reset, right after
            assert store.flush()
            volume.replug()
            life.settle(stored_numbers())
    finally:
        codec.Encoder = encoder
        volume.remove()


def test_resets_that_keep_ram_lose_nothing():
    _resets(400 if _LONG else 25, None)


def test_resets_while_flash_is_written_lose_nothing():
    _resets(1500 if _LONG else 40, "flash")


def test_resets_while_rtc_memory_is_written_lose_at_most_what_was_under_way():
    _resets(1500 if _LONG else 40, "rtc")


def test_damaged_rtc_memory_is_ignored():
    random.seed(int.from_bytes(SEED, "little"))
    volume = Volume("lfs2")
    rtc = Rtc()
    try:
        clock = Clock()
        store = open_store(clock, rtc)
        for number in range(40):
            store.append(data_frame(number))
        store.hold(data_frame(40))
        image = volume.image()
        kept = rtc.data
        for _ in range(60):
            volume.replug(image)
            damaged = bytearray(kept)
            for _ in range(1 + random.getrandbits(2)):
                damaged[random.getrandbits(16) % len(damaged)] ^= 1 << random.getrandbits(3) % 8
            rtc.data = bytes(damaged)[: len(kept) - (random.getrandbits(3) == 0)]
            assert open_store(clock, rtc).flush()
            got = stored_numbers()
            assert got in ([], list(range(40)), list(range(41)), [40]), got
        for other in (b"", bytes(2048), bytes(range(256)) * 5):
            rtc.data = other
            assert open_store(clock, rtc).flush()
    finally:
        volume.remove()


def test_what_another_battery_left_in_rtc_memory_is_not_taken():
    volume = Volume("lfs2")
    rtc = Rtc()
    try:
        clock = Clock()
        open_store(clock, rtc).append(data_frame(1))
        store = open_store(clock, rtc, name="other")
        assert store.flush()
        assert stored_numbers() == []
    finally:
        volume.remove()


def test_a_held_frame_begins_a_shard_behind_an_anchor_of_its_boot():
    volume = Volume("lfs2")
    rtc = Rtc()
    try:
        clock = Clock()
        open_store(clock, rtc).hold(data_frame(7))
        volume.replug()
        store = open_store(clock, rtc)
        assert store.flush()
        kinds = [frame.kind(f, 0) for f in stored_frames()]
        assert kinds == [frame.ANCHOR, 0, frame.ANCHOR], kinds
        boots = [struct.unpack_from("<H", f, 8)[0] for f in stored_frames()]
        assert (boots[0], boots[2]) == (1, 2)
    finally:
        volume.remove()


def test_a_power_cut_costs_ten_minutes_also_of_what_is_held():
    for apart_s in (5, 60, 300, 1800):  # between frames, as at 20, 5, 1 and 0 A
        volume = Volume("lfs2")
        try:
            clock = Clock(1_780_272_000)
            number = 0
            for _ in range(12):
                store = open_store(clock)  # the power was off: nothing is in RTC memory
                begin_s = clock.now_s
                before = number
                stop_s = begin_s + 60 + random.getrandbits(13) % 5000
                while clock.now_s < stop_s:  # a poll of every second goes on in the held frame
                    clock.now_s += 5
                    number += 1
                    if (clock.now_s - begin_s) % apart_s < 5:
                        store.append(data_frame(number))
                    else:
                        store.hold(data_frame(number))
                    store.tick()
                volume.replug()
                store = open_store(clock)
                assert store.flush()
                got = stored_numbers()
                assert got == sorted(set(got)), got
                lost_s = 5 * (number - max(before, got[-1] if got else 0))
                assert lost_s <= 600, (apart_s, lost_s)
                volume.replug()
        finally:
            volume.remove()


def test_a_saved_frame_is_not_told_again():
    volume = Volume("lfs2")
    try:
        clock = Clock(1_780_272_000)
        store = open_store(clock)
        store.hold(data_frame(1))
        clock.now_s += 600
        store.tick()
        store.append(data_frame(2))  # takes the place of the one that is held
        assert store.flush()
        volume.replug()
        for _ in range(2):
            assert open_store(clock).flush()
            assert stored_numbers() == [2]
    finally:
        volume.remove()


class _SilentRtc:
    def memory(self, data=None):
        return b""


def test_frames_take_no_memory():
    volume = Volume("lfs2")
    try:
        store = Store("/flash/data", "van", BoardClock(), _SilentRtc())
        store.open()
        frames = bytearray(3 * frame.SIZE)
        for i in range(3):
            frames[i * frame.SIZE : (i + 1) * frame.SIZE] = data_frame(i)
        store.append(frames, 3)
        micropython.heap_lock()  # from here on every allocation raises
        try:
            for _ in range(20):
                store.hold(frames, 2 * frame.SIZE)
                store.append(frames, 3)
        finally:
            micropython.heap_unlock()
        assert store.frames == 63 and store.flushes == 0
        used = [0] * 6
        for i in range(6):  # and a flush leaves nothing behind
            for _ in range(300):
                store.append(frames, 1)
            gc.collect()
            used[i] = gc.mem_alloc()
        assert used[-1] <= used[1], used
        assert store.flushes > 20
    finally:
        volume.remove()
