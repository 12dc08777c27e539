# A volume that is full or fails, and sealing that goes wrong: what was stored stays whole
import os

import vfs
from faultyfs import SAME, FaultyFs
from shardlog import (
    DATA,
    MOUNT,
    Clock,
    Rtc,
    StoredEncoder,
    Volume,
    data_frame,
    events,
    file_names,
    log,
    open_store,
    pack,
    shard_files,
    stored_frames,
    stored_numbers,
)
from shards import codec, folder, frame, room
from store import Store

_UNIX = 1_780_272_000


class _File:
    """The active shard's file: it takes `most` bytes of a flush, then there is an error."""

    def __init__(self, file, most):
        self._file = file
        self._most = most

    def write(self, data):
        self._file.write(data[: self._most])
        self._file.flush()
        raise OSError(28)

    def close(self):
        self._file.close()


def _failing_flush(most):
    """Log with a flush of which only the first `most` bytes are written; return the shards."""
    volume = Volume("fat")
    try:
        clock = Clock(_UNIX)
        store = open_store(clock)
        store.append(data_frame(0))
        assert store.flush()
        for number in range(1, 40):
            store.append(data_frame(number))
        store._file = _File(store._file, most)
        clock.now_s += 600
        store.tick()
        clock.now_s += 60
        assert store.flush() and store.message == ""
        assert stored_numbers() == list(range(40))
        store.append(data_frame(40))
        assert store.flush()
        assert stored_numbers() == list(range(41))
        return store.shards
    finally:
        volume.remove()


def test_a_torn_flush_is_repeated_whole_in_the_next_shard():
    assert _failing_flush(100) == 2


def test_a_flush_that_is_there_in_spite_of_an_error_counts():
    assert _failing_flush(2000) == 1


def test_a_flush_of_which_nothing_is_there_is_repeated():
    assert _failing_flush(0) == 1


def _fill():
    """Take all the room there is."""
    with open(MOUNT + "/hog", "ab") as f:
        try:
            while True:
                f.write(bytes(256))
                f.flush()
        except OSError:
            pass


def test_what_a_full_volume_left_in_the_buffer_survives_a_reset():
    volume = Volume("lfs2", 128 * 1024)
    try:
        clock = Clock(_UNIX)
        rtc = Rtc()
        _fill()
        store = open_store(clock, rtc)
        for number in range(200):
            store.append(data_frame(number))
        assert store.dropped > 100
        volume.replug()
        os.remove(MOUNT + "/hog")
        assert open_store(clock, rtc).flush()
        got = stored_numbers()
        assert len(got) > 70 and got == list(range(200 - len(got), 200)), got
    finally:
        volume.remove()


def test_a_failing_volume_is_asked_every_half_minute():
    volume = Volume("lfs2", 128 * 1024)
    try:
        clock = Clock(_UNIX)
        _fill()
        store = open_store(clock)
        log(store, clock, 0, 100)
        assert "full" in store.message
        asked = []
        for _ in range(90):
            reads = volume.flash.reads
            clock.now_s += 1
            store.append(data_frame(0))
            store.tick()
            asked.append(volume.flash.reads > reads)
        assert 2 <= sum(asked) <= 4, asked
    finally:
        volume.remove()


def test_the_oldest_shard_makes_room_when_others_take_it():
    volume = Volume("lfs2", 256 * 1024)
    try:
        clock = Clock(_UNIX)
        store = open_store(clock)
        log(store, clock, 0, 8000)
        pack(store)
        assert len(store.kept) == 3
        _fill()
        log(store, clock, 8000, 500)
        pack(store)
        store.tick()
        assert store.flush() and store.message == "" and store.dropped == 0
        got = stored_numbers()
        assert got == list(range(got[0], 8500)) and got[0] > 0
        assert events()[0] == (frame.SHARD_DELETED, 1, events()[0][2])
    finally:
        volume.remove()


def test_an_error_that_says_full_deletes_nothing_while_there_is_room():
    encoder = codec.Encoder
    codec.Encoder = StoredEncoder
    volume = Volume("lfs2", 512 * 1024)
    os.mkdir(DATA)
    fs = FaultyFs(DATA)
    vfs.mount(fs, "/data")
    try:
        clock = Clock(_UNIX)
        store = Store("/data", "jk-pak01", clock)
        store.open()
        log(store, clock, 0, 6000)
        pack(store)
        files = shard_files()
        assert len(store.kept) == 1
        number = 6000
        for errno in (28, 13):  # ENOSPC; EACCES is what FAT says
            at = 0
            failed = True
            while failed:
                at += 1
                log(store, clock, number, 1)
                number += 1
                fs.fail(at, lambda: OSError(errno), SAME)
                store.flush()
                failed = fs.failed
                fs.stop()
                clock.now_s += 60
                assert store.flush(), (errno, at, store.message, failed)
            assert at > 2
        assert shard_files()[:1] == files[:1] and stored_numbers() == list(range(number))
        assert not [code for code, _, _ in events() if code == frame.SHARD_DELETED]
    finally:
        codec.Encoder = encoder
        vfs.umount("/data")
        volume.remove()


def test_silence_gets_anchors():
    volume = Volume("lfs2")
    try:
        clock = Clock(_UNIX)
        store = open_store(clock)
        while clock.now_s < 200_000:
            clock.now_s += 100
            store.tick()
        store.append(data_frame(0))
        store.flush()
        times = [f[0] | f[1] << 8 for f in stored_frames() if frame.kind(f, 0) == frame.ANCHOR]
        steps = [(b - a) & 0xFFFF for a, b in zip(times, times[1:])]
        assert sum(steps) == 180_000 and max(steps) == 30_000, times
    finally:
        volume.remove()


def _wrong(at):
    """Return an Encoder that changes frame `at` of each chunk."""

    class Wrong(StoredEncoder):
        def encode(self, frames, n):
            wrong = bytearray(frames)
            wrong[at * frame.SIZE + 5] ^= 1
            yield from super().encode(wrong, n)

    return Wrong


class _Short(StoredEncoder):
    """An Encoder that loses all blocks but the last."""

    def encode(self, frames, n):
        for _ in super().encode(frames, n):
            yield


class _Few(StoredEncoder):
    """An Encoder that loses a frame of each chunk."""

    def encode(self, frames, n):
        yield from super().encode(frames, n - 1)


def test_a_shard_that_does_not_read_back_stays_raw():
    encoder = codec.Encoder
    for wrong in (_wrong(0), _wrong(20), _Short, _Few):
        volume = Volume("lfs2")
        try:
            clock = Clock(_UNIX)
            store = open_store(clock)
            codec.Encoder = wrong
            log(store, clock, 0, 3000)
            pack(store)
            store.tick()
            store.flush()
            codec.Encoder = encoder
            assert stored_numbers() == list(range(3000))
            assert not [name for name in file_names() if name.endswith(".tmp")]
            assert (frame.FLASH_ERROR, 0, 0) in events()
            store = open_store(clock)  # and the next boot seals it
            pack(store)
            store.flush()
            assert "jk_pak01-00001.bts" in file_names()
            assert stored_numbers() == list(range(3000))
        finally:
            codec.Encoder = encoder
            volume.remove()


class _Failing(StoredEncoder):
    """An Encoder behind which the volume fails; counts how often it was tried."""

    tries = 0

    def __init__(self):
        super().__init__()
        _Failing.tries += 1

    def encode(self, frames, n):
        raise OSError(5)


def test_failed_packing_is_tried_again_with_the_next_shard_and_stops_nothing():
    encoder = codec.Encoder
    codec.Encoder = _Failing
    volume = Volume("lfs2", 128 * 1024)
    try:
        clock = Clock(_UNIX)
        store = open_store(clock)
        for number in range(0, 20_000, 100):  # two seconds apart
            log(store, clock, number, 100)
            pack(store)
        assert store.message == "" and store.dropped == 0
        assert _Failing.tries == store.waiting.shard - 1
        store.flush()
        got = stored_numbers()
        assert got == list(range(got[0], 20_000)) and got[0] > 0
        codec.Encoder = encoder
        store = open_store(clock)
        pack(store)
        assert store.flush()
        assert [file[-3:] for file in shard_files()][:-1] == ["bts"] * (store.shards - 1)
        got = stored_numbers()
        assert got == list(range(got[0], 20_000))
    finally:
        codec.Encoder = encoder
        volume.remove()


def test_the_shard_that_is_being_sealed_makes_no_room():
    encoder = codec.Encoder
    store = None

    class Meanwhile(StoredEncoder):
        """While it works the next flush finds no room."""

        def end(self):
            assert store.kept or not room.delete_oldest(store)
            return super().end()

    volume = Volume("lfs2", 256 * 1024)
    try:
        clock = Clock(_UNIX)
        store = open_store(clock)
        log(store, clock, 0, 5000)  # two shards wait
        assert len(store.unsealed) == 2
        codec.Encoder = Meanwhile
        pack(store)
        assert len(store.kept) == 2
        assert store.flush() and stored_numbers() == list(range(5000))
    finally:
        codec.Encoder = encoder
        volume.remove()


def test_a_name_that_is_no_text_is_left_alone():
    volume = Volume("fat")  # where a power cut can leave one
    try:
        clock = Clock(_UNIX)
        store = open_store(clock)
        log(store, clock, 0, 100)
        store.flush()
        with open(DATA + "/NOTES.TXT", "w") as f:
            f.write("mine")
        image = volume.image()
        torn = image.replace(b"NOTES   TXT", b"N\xffTES   TXT")
        assert torn != image
        volume.replug(torn)
        store = open_store(clock)
        log(store, clock, 100, 100)
        assert store.flush() and stored_numbers() == list(range(200))
    finally:
        volume.remove()


class _FreeBlocks:
    """`os` with a statvfs that counts so many free blocks."""

    def __init__(self, free):
        self._free = free

    def __getattr__(self, name):
        return getattr(os, name)

    def statvfs(self, path):
        told = os.statvfs(path)
        return told[:3] + (self._free, self._free) + told[5:]


def test_a_volume_with_more_free_than_it_has_is_full():
    volume = Volume("lfs2")
    try:
        store = open_store(Clock(_UNIX))
        for free in (-1, (1 << 32) - 1):
            folder.os = _FreeBlocks(free)
            store.ask_free()
            assert store.free == 0
    finally:
        folder.os = os
        volume.remove()
