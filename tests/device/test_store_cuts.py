# Power cuts at every operation of a full volume, and again at every operation of the recovery
import os
import random

from flash import PowerCut
from shardlog import (
    DATA,
    SEED,
    Clock,
    StoredEncoder,
    Volume,
    data_frame,
    file_names,
    open_store,
    pack,
    stored_numbers,
)
from shards import codec

_BYTES = 64 * 1024  # the store rolls over at an eighth
_BEFORE = 3600  # frames, and more until the next shard is half full
_HALF = (4, 5)  # kB
_LIVES = (60, 90, 5, 60, 77, 90)  # frames from boot to boot
_MOST_LIVES = 60
_AFTER = 100_000  # what is logged after the cut counts from here
_KEPT = 1000  # at least so many frames are always there


class _Run:
    """The life of a board from a full volume to the cut."""

    def __init__(self, first):
        self.first = first  # the next frame
        self.flushed = first  # those below were said to be stored
        self.clock = Clock(1_780_272_000)

    def run(self):
        """Append, flush, roll over, seal, reboot, append, until the oldest was deleted."""
        try:
            oldest = _oldest()
            for life in range(_MOST_LIVES):
                if life >= len(_LIVES) and _oldest() > oldest:
                    break
                store = open_store(self.clock)
                for _ in range(_LIVES[life % len(_LIVES)]):
                    self.clock.now_s += 2
                    self.first += 1
                    store.append(data_frame(self.first - 1))
                    store.tick()
                if store.flush():
                    self.flushed = self.first
                pack(store)
        except (PowerCut, OSError):
            pass


def _prepare(kind):
    """Return (volume, image, number of frames) of a volume that is full of shards."""
    volume = Volume(kind, _BYTES)
    clock = Clock(1_780_272_000)
    store = open_store(clock)
    number = 0
    while number < _BEFORE or _newest_bytes() // 1000 not in _HALF:
        assert number < 2 * _BEFORE
        clock.now_s += 2
        store.append(data_frame(number))
        store.tick()
        number += 1
        if number % 77 == 0:
            pack(store)
    assert store.flush() and store.dropped == 0
    pack(store)
    assert stored_numbers()[0] > 500, "nothing was deleted yet"
    return volume, volume.image(), number


def _oldest():
    return min(int(name[-9:-4]) for name in file_names() if name[-4:] in (".raw", ".bts"))


def _newest_bytes():
    files = [(name[-9:-4], name) for name in file_names() if name.endswith(".raw")]
    return os.stat(DATA + "/" + max(files)[1])[6] if files else 0


def _check(run, where):
    """After the cuts: nothing that was flushed is missing, and the log goes on."""
    store = open_store(run.clock)
    pack(store)
    for number in range(_AFTER, _AFTER + 50):
        run.clock.now_s += 2
        store.append(data_frame(number))
        store.tick()
    assert store.flush() and store.message == "" and store.dropped == 0, where
    pack(store)
    assert not [name for name in file_names() if name[-4:] in (".tmp", ".bad")], where
    got = stored_numbers()
    old = got[: len(got) - 50]
    assert got[len(old) :] == list(range(_AFTER, _AFTER + 50)), where
    assert old == list(range(old[0], old[-1] + 1)), (where, old[0], old[-1], len(old))
    assert run.flushed - 1 <= old[-1] < run.first, (where, run.flushed, old[-1])
    assert len(old) >= _KEPT, (where, len(old), file_names(), store.free)


def _cuts(kind, step, recovery_step):
    """Cut the power at every `step`-th operation, and in the recovery; return how often."""
    encoder = codec.Encoder
    codec.Encoder = StoredEncoder
    random.seed(int.from_bytes(SEED, "little"))
    volume, full, number = _prepare(kind)
    oldest = stored_numbers()[0]
    try:
        at = 1 + random.getrandbits(16) % step
        cuts = 0
        while True:
            volume.replug(full)
            volume.flash.cut_in = at
            first = _Run(number)
            first.run()
            if volume.flash.cut_in:
                assert stored_numbers()[0] > oldest, "the scenario deletes nothing"
                return cuts
            torn = volume.image()
            again = 0  # and then at each operation of the recovery
            while True:
                volume.replug(torn)
                second = _Run(first.first)
                second.flushed = first.flushed
                if again:
                    volume.flash.cut_in = again
                    try:
                        store = open_store(second.clock)
                        pack(store)
                    except (PowerCut, OSError):
                        pass
                    cut = volume.flash.cut_in == 0
                    volume.replug()
                else:
                    cut = True
                _check(second, (at, again))
                if not cut:
                    break
                cuts += 1
                again += 1 + random.getrandbits(16) % recovery_step
            at += 1 + random.getrandbits(16) % step if step > 1 else 1
    finally:
        codec.Encoder = encoder
        volume.remove()


def test_power_cuts_on_littlefs():
    cuts = (_cuts("lfs2", 1, 1) if os.getenv("CAMPAIGN") else _cuts("lfs2", 40, 20))
    print("littlefs: %d power cuts, 0 failures" % cuts)
    assert cuts > 10


def test_power_cuts_on_fat():
    cuts = (_cuts("fat", 1, 1) if os.getenv("CAMPAIGN") else _cuts("fat", 12, 12))
    print("FAT: %d power cuts, 0 failures" % cuts)
    assert cuts > 10
