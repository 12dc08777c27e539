# A folder on FAT that grows while the power is cut: what FatFs leaves there hides no shard
import os
import random

import shardlog
from flash import Flash, PowerCut
from shardlog import (
    DATA,
    MOUNT,
    SEED,
    Clock,
    StoredEncoder,
    Volume,
    data_frame,
    file_names,
    noise,
    pack,
    stored_numbers,
)
from shards import codec
from store import Store

_SECTORS = ((512, 200), (4096, 288))  # bytes, and kB of a volume that holds what all lives log
_LIMIT = 4096  # of a shard, so that there are soon many
_NAMES = ("b", "jk-pak01", "a battery of a long name")  # one entry of the folder, three, four
_NEVER = 9  # more shards than a life makes: then they stay raw
_APART = 100_000  # what is logged after a cut counts from the next multiple
_UNIX = 1_780_272_000
_SHARDS = 6  # are made, with a cut somewhere
_LIVES = 5  # the power is cut in all but the last, mostly while it recovers
_MORE = 6  # are made after it: no shard was made into a place where it is not found


def _old_entry():
    """Return old bytes that are an entry: of a file in use, or one that hides what is behind it."""
    name = (
        bytes(11),  # ends the folder
        b" \0" + noise(9),  # ends a listing of it
        b"\xe5" + noise(10),  # deleted
        b"A" + noise(10),  # a piece of a long name, or of that attribute
        noise(11),
        b"KEEP    TXT",
    )[random.getrandbits(16) % 6]
    entry = name + noise(15) + bytes((random.getrandbits(6), 0)) + noise(4)  # a cluster, the size
    if name[:1] == b"A":
        entry = entry[:11] + b"\x0f" + entry[12:]
    return entry


def _old_bytes():
    """Fill the volume and empty it again: what the folder grows into is not blank."""
    if random.getrandbits(1):
        old = b"".join(bytes(data_frame(i)) for i in range(315))
    else:
        old = b"".join(_old_entry() for _ in range(128))
    try:
        with open(MOUNT + "/old", "wb") as f:
            while True:
                f.write(old)
    except OSError:
        pass
    os.remove(MOUNT + "/old")


class _Spoiling(Flash):
    """A chip that loses power where FAT has linked a new cluster to a folder, not cleared."""

    spoil_in = 0  # at the so-many-th such moment from now

    def writeblocks(self, block, buf, offset=None):
        if self.spoil_in and self.cut_in != 0 and not any(buf):
            self.spoil_in -= 1
            if self.spoil_in == 0:
                self.cut_in = 0
                raise PowerCut
        return super().writeblocks(block, buf, offset)


class _Life:
    """A board from its start: what it logged, and what of it was said to be stored."""

    def __init__(self, volume, clock, name, first):
        self.volume = volume
        self.clock = clock
        self.name = name
        self.first = self.flushed = self.next = first
        self.waiting = _NEVER * random.getrandbits(1)  # so many shards are not sealed at once

    def log(self, shards):
        """Log until so many shards were made and sealed."""
        store = Store(DATA, self.name, self.clock)
        store.limit = _LIMIT
        store.open()
        end = store.waiting.shard + shards
        while store.waiting.shard < end:
            self.clock.now_s += 2
            self.next += 1
            flushes = store.flushes
            store.append(data_frame(self.next - 1))
            if store.flushes > flushes:
                self.flushed = self.next
            if len(store.unsealed) > self.waiting:
                pack(store)
            if self.volume.flash.cut_in == 0:
                raise PowerCut
            assert store.message == "", store.message

    def log_until_cut(self, at, growth=0):
        """Log until the power is cut at operation `at`, or a growth; return whether it was."""
        self.volume.flash.cut_in = at
        self.volume.flash.spoil_in = growth
        try:
            self.log(_SHARDS)
        except (PowerCut, OSError):
            pass
        cut = self.volume.flash.cut_in == 0
        self.volume.replug()
        return cut

    def check(self, got):
        """Look for this life's frames in `got`; the flush that was under way may be there too."""
        got = [n for n in got if self.first <= n < self.first + _APART]
        end = self.first + len(got)
        assert got == list(range(self.first, end)), (self.name, self.first, end, got[:2])
        assert self.flushed - 1 <= end <= self.next, (self.name, self.flushed, end, self.next)


def _crowd(sector):
    """Make files of the user until the folder has room for but a few more in its first cluster."""
    os.mkdir(DATA)
    for i in range((sector - 512) // 32 + random.getrandbits(3)):
        open("%s/U%d" % (DATA, i), "w").close()


def _cuts(volume, image, name, waiting, step):
    """Cut the power at every `step`-th operation while the folder grows; return how often."""
    at = 1 + random.getrandbits(16) % step
    cuts = 0
    while True:
        volume.replug(image)
        clock = Clock(_UNIX)
        lives = [_Life(volume, clock, name, i * _APART) for i in range(_LIVES)]
        lives[0].waiting = waiting
        if not lives[0].log_until_cut(at):
            return cuts
        cuts += 1
        for life in lives[1:-1]:
            cuts += life.log_until_cut(1 + random.getrandbits(8))
        lives[-1].log(_MORE)
        volume.replug()
        got = stored_numbers()
        for life in lives:
            life.check(got)
        at += 1 + random.getrandbits(16) % step if step > 1 else 1


def _grow(name, sector, kib, step):
    volume = Volume("fat", kib * 1024, sector)
    try:
        _old_bytes()
        _crowd(sector)
        image = volume.image()
        for waiting in (0, _NEVER):
            cuts = _cuts(volume, image, name, waiting, step)
            print(
                "FAT, growing folder, %d B sectors, %s, %s: %d power cuts, 0 failures"
                % (sector, name, "raw" if waiting else "sealed", cuts)
            )
            assert cuts > 1, cuts
    finally:
        volume.remove()


def _spoil(name, sector, kib):
    """Cut the power again and again where the folder, or its successor, has grown."""
    volume = Volume("fat", kib * 1024, sector)
    try:
        _old_bytes()
        _crowd(sector)
        cuts = 0
        lives = [_Life(volume, Clock(_UNIX), name, i * _APART) for i in range(_LIVES)]
        for life in lives[:-1]:
            cuts += life.log_until_cut(None, 1 + random.getrandbits(1))
        lives[-1].log(_MORE)
        volume.replug()
        got = stored_numbers()
        for life in lives:
            life.check(got)
        return cuts
    finally:
        volume.remove()


def _fill():
    """Fill the volume with a file of the user's, and the folder with empty ones."""
    try:
        with open(MOUNT + "/big", "wb") as f:
            while True:
                f.write(bytes(1000))
    except OSError:
        pass
    try:
        for i in range(1000):
            open("%s/U%d" % (DATA, i), "w").close()
    except OSError as exc:
        assert exc.errno == 13, exc  # what FAT says when a folder cannot grow
        return
    raise AssertionError("the folder never was full")


def test_a_folder_that_cannot_grow_is_a_full_volume():
    volume = Volume("fat", 64 * 1024)
    try:
        os.mkdir(DATA)
        _fill()
        clock = Clock(_UNIX)
        store = Store(DATA, "jk-pak01", clock)
        store.open()
        store.append(data_frame(0))
        assert not store.flush()
        assert store.message == "Flash is full: delete files that are not from batmon"
        os.remove(MOUNT + "/big")
        clock.now_s += 60
        assert store.flush() and store.message == ""
        assert stored_numbers() == [0]
    finally:
        volume.remove()


def test_what_cannot_be_deleted_does_not_stop_the_start():
    for kind in ("fat", "lfs2"):
        volume = Volume(kind)
        try:
            clock = Clock(_UNIX)
            store = Store(DATA, "jk-pak01", clock)
            store.open()
            store.append(data_frame(0))
            assert store.flush()
            for folder in ("/OLD~1.TMP", "/old-00009.tmp"):
                os.mkdir(DATA + folder)
                open(DATA + folder + "/mine", "w").close()
            volume.replug()
            store = Store(DATA, "jk-pak01", clock)
            store.open()
            store.append(data_frame(1))
            assert store.flush() and store.message == "" and store.boot == 2
            assert stored_numbers() == [0, 1]
            assert [n[-9:] for n in file_names() if n[-4:] == ".raw"] == ["00001.raw"]
        finally:
            volume.remove()


def test_what_a_cut_deletion_leaves_is_deleted():
    volume = Volume("fat")
    try:
        os.mkdir(DATA)
        for file in ("JK_PAK~1.TMP", "JK_PAK~2.RAW", "~-00001.tmp", "HOUSE~1.PDF", "Fotos~.raw"):
            open(DATA + "/" + file, "w").close()
        store = Store(DATA, "jk-pak01", Clock(_UNIX))
        store.open()
        assert sorted(file_names()) == ["Fotos~.raw", "HOUSE~1.PDF", "state", "state.bak"]
    finally:
        volume.remove()


def test_a_folder_grows_while_the_power_is_cut():
    encoder = codec.Encoder
    codec.Encoder = StoredEncoder
    random.seed(int.from_bytes(SEED, "little"))
    try:
        for name in _NAMES:
            for sector, kib in _SECTORS:
                _grow(name, sector, kib, 1 if os.getenv("CAMPAIGN") else 90)
    finally:
        codec.Encoder = encoder


def test_a_folder_is_spoilt_again_and_again():
    encoder, flash = codec.Encoder, shardlog.Flash
    codec.Encoder, shardlog.Flash = StoredEncoder, _Spoiling
    random.seed(int.from_bytes(SEED, "little"))
    cuts = 0
    try:
        for _ in range(100 if os.getenv("CAMPAIGN") else 2):
            for name in _NAMES:
                for sector, kib in _SECTORS:
                    cuts += _spoil(name, sector, kib)
    finally:
        codec.Encoder, shardlog.Flash = encoder, flash
    print("FAT, folders spoilt: %d power cuts, 0 failures" % cuts)
    assert cuts > 1, cuts
