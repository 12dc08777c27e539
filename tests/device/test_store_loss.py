# What a power cut costs: sampler and store at each current, the power cut at every moment
import os
import random

from flash import PowerCut
from sampling.sampler import Sampler
from shardlog import _IMAGE, SEED, Clock, Volume, open_store, stored_frames
from shards import frame

_HOURS = 24 if os.getenv("CAMPAIGN") else 3
_POLL_S = 2
_TICK_S = 6  # App's housekeeping comes every five seconds
_MOST_S = 600
_REST_S = 1800  # the sampler's silence
_CAPACITY_AH = 100


def _sample(amps, ah):
    """What a BMS tells, noise and all."""
    cells = [3.3 + ah / 2000 + i / 1000 + random.getrandbits(1) / 1000 for i in range(4)]
    return {
        "voltage": round(sum(cells), 2),
        "current": round(amps, 2),
        "battery_level": 60 + int(ah / _CAPACITY_AH * 100),
        "temperature": 20,
        "cell_voltages": cells,
    }


class _Board:
    """A board at a battery of which `amps` are drawn on average; the loads change if any are."""

    def __init__(self, amps):
        self.clock = Clock(1_780_272_000)
        self.store = open_store(self.clock)
        self._sampler = Sampler(_CAPACITY_AH)
        self._amps = self._now = amps
        self._ah = 0

    def poll(self):
        """Let time pass until a poll, and do with it what App does."""
        self.clock.now_s += _POLL_S
        if random.getrandbits(4) == 0:
            self._now = self._amps * random.getrandbits(6) / 32
        self._ah += self._now * _POLL_S / 3600
        sampler = self._sampler
        n = sampler.poll(self.clock.now_s * 1000, _sample(self._now, self._ah))
        if n:
            self.store.append(sampler.frames, n)
        if sampler.provisional():
            self.store.hold(sampler.held)
        if self.clock.now_s % _TICK_S == 0:
            self.store.tick()


def _last_s(volume, image):
    """Switch on with this on the flash; return until when the log goes, in uptime before."""
    volume.replug(image)
    store = open_store(Clock(1_780_900_000))
    assert store.flush()
    times = [f[0] | f[1] << 8 for f in stored_frames() if frame.kind(f, 0) == 0]
    return times[-1] if times else 0


def _read(path):
    with open(path, "rb") as f:
        return f.read()


def _losses(amps):
    """Return what a cut costs that comes right before anything is written, in s: the worst."""
    volume = Volume("lfs2", 96 * 1024)
    out = []
    try:
        board = _Board(amps)
        kept = []  # (when it was written, what is on the flash then)
        programs = 0
        while board.clock.now_s < _HOURS * 3600:
            board.poll()
            if volume.flash.programs != programs:
                programs = volume.flash.programs
                kept.append((board.clock.now_s, _read(_IMAGE)))
        for i in range(len(kept) - 1):
            out.append(kept[i + 1][0] - _last_s(volume, kept[i][1]) & 0xFFFF)  # as frames have it
        return out
    finally:
        volume.remove()


def test_a_power_cut_costs_at_most_ten_minutes_at_any_current():
    random.seed(int.from_bytes(SEED, "little"))
    print("the power is cut right before anything is written, for %d h:" % _HOURS)
    for amps in (0, 1, 5, 20, -20):
        losses = _losses(amps)
        print("%4d A: %3d s at most, %d cuts, 0 failures" % (amps, max(losses), len(losses)))
        assert len(losses) > _HOURS and max(losses) <= _MOST_S, losses


def _cut_in_a_save(kind, at, cut_in):
    """At rest, cut the power at an operation of the save at uptime `at`.

    Return (was it cut, how many seconds are lost, when anything was written).
    """
    volume = Volume(kind, 96 * 1024)
    try:
        board = _Board(0)
        writes = []
        try:
            while board.clock.now_s < at:
                if board.clock.now_s == at - _POLL_S:
                    volume.flash.cut_in = cut_in
                programs = volume.flash.programs
                board.poll()
                if volume.flash.programs != programs:
                    writes.append(board.clock.now_s)
        except (PowerCut, OSError):
            pass
        was_cut = volume.flash.cut_in == 0
        return was_cut, board.clock.now_s - _last_s(volume, None), writes
    finally:
        volume.remove()


def test_a_power_cut_while_the_held_frame_is_saved():
    for kind in ("lfs2", "fat"):
        for at in _cut_in_a_save(kind, _REST_S, None)[2][-2:]:  # there are two files, in turn
            losses = []
            was_cut = True
            while was_cut:
                was_cut, lost_s, _ = _cut_in_a_save(kind, at, len(losses) + 1)
                losses.append(lost_s)
            del losses[-1]  # it was not cut
            told = "power cuts at each of %d writes of a save, %s: %d s at most, 0 failures"
            print(told % (len(losses), kind, max(losses)))
            assert losses and max(losses) <= _MOST_S, (kind, at, losses)
