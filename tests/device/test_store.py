# The store on real littlefs and FAT volumes: flush, roll over, seal, make room
import os
import random
import struct

from shardlog import (
    DATA,
    MOUNT,
    Clock,
    Volume,
    data_frame,
    events,
    log,
    noisy_frame,
    open_store,
    pack,
    shard_files,
    stored_frames,
    stored_numbers,
)
from shards import frame, packing

_DAY_S = 86_400


def _shards_and_reboots(kind):
    volume = Volume(kind)
    try:
        clock = Clock(1_780_272_000)
        store = open_store(clock)
        log(store, clock, 0, 6000)
        pack(store)
        assert store.flush()
        volume.replug()
        kinds = sorted(e[0].rpartition(".")[2] for e in os.ilistdir(DATA))
        assert kinds.count("bts") == 2 and kinds.count("raw") == 1, kinds
        assert stored_numbers() == list(range(6000))
        store = open_store(clock)
        assert store.boot == 2
        log(store, clock, 6000, 100)
        store.flush()
        assert stored_numbers() == list(range(6100))
        names = [e[0] for e in os.ilistdir(DATA) if e[0][:5] not in ("state", "index")]
        assert all(n[:14] == "jk_pak01-0000" + n[13] for n in names), names
        assert store.shards == len(names)
        assert store.bytes == sum(os.stat(DATA + "/" + n)[6] for n in names)
    finally:
        volume.remove()


def test_shards_and_reboots_on_littlefs():
    _shards_and_reboots("lfs2")


def test_shards_and_reboots_on_fat():
    _shards_and_reboots("fat")


def test_frames_that_come_together_are_all_kept():
    volume = Volume("lfs2")
    try:
        clock = Clock()
        store = open_store(clock)
        together = bytearray(3 * frame.SIZE)
        for number in range(0, 900, 3):
            for i in range(3):
                together[i * frame.SIZE : (i + 1) * frame.SIZE] = data_frame(number + i)
            store.append(together, 3)
        store.flush()
        assert store.dropped == 0
        assert stored_numbers() == list(range(900))
    finally:
        volume.remove()


def test_full_volume_drops_the_oldest_and_goes_on():
    volume = Volume("lfs2", 128 * 1024)
    try:
        with open(MOUNT + "/hog", "wb") as f:
            try:
                while True:
                    f.write(bytes(1024))
                    f.flush()
            except OSError:
                pass
        clock = Clock()
        store = open_store(clock)
        log(store, clock, 0, 3000)
        assert "full" in store.message
        assert store.dropped > 2800
        os.remove(MOUNT + "/hog")
        clock.now_s += 60
        log(store, clock, 3000, 199)
        assert store.flush() and store.message == ""
        log(store, clock, 3199, 1)
        assert store.flush()  # and the drops are not told again
        numbers = stored_numbers()
        assert numbers == list(range(numbers[0], 3200)) and numbers[0] > 2900
        told = [a for code, a, _ in events() if code == frame.FRAMES_DROPPED]
        assert sum(told) == numbers[0], (told, numbers[0])
    finally:
        volume.remove()


def _oldest():
    return int(shard_files()[0][-9:-4])


def test_oldest_sealed_shards_make_room():
    volume = Volume("lfs2", 128 * 1024)
    try:
        clock = Clock()
        store = open_store(clock)
        for i in range(60):
            for number in range(i * 500, i * 500 + 500):
                clock.now_s += 2
                f = data_frame(number)
                struct.pack_into("<H", f, 4, random.getrandbits(16))  # hard to compress
                store.append(f)
            pack(store)
            store.tick()
            assert store.message == "", (i, store.message)
        assert store.dropped == 0
        store.flush()
        numbers = stored_numbers()
        assert numbers == list(range(numbers[0], 30000))
        assert 0 < numbers[0] < 29000
        assert [a for code, a, _ in events() if code == frame.SHARD_DELETED][-1] == _oldest() - 1
        assert store.shards == len(shard_files())
        assert store.bytes == sum(os.stat(name)[6] for name in shard_files())
        st = os.statvfs(MOUNT)
        assert st[3] * st[0] >= 16 * 1024
    finally:
        volume.remove()


def test_torn_and_foreign_shards():
    volume = Volume("lfs2")
    try:
        clock = Clock()
        store = open_store(clock)
        log(store, clock, 0, 300)
        store.flush()
        data = DATA + "/"
        with open(data + "jk_pak01-00001.raw", "ab") as f:
            f.write(b"torn!")
        with open(data + "jk_pak01-00007.raw", "wb") as f:
            f.write(bytes(130))
        with open(data + "notes.txt", "w") as f:
            f.write("mine")
        store = open_store(clock)
        store.tick()
        log(store, clock, 300, 100)
        pack(store)
        store.flush()
        names = sorted(e[0] for e in os.ilistdir(data))
        assert "jk_pak01-00007.bad" in names and "notes.txt" in names
        assert "jk_pak01-00001.bts" in names and "jk_pak01-00008.raw" in names, names
        assert stored_numbers() == list(range(400))
        codes = [code for code, _, _ in events()]
        assert frame.TAIL_CUT in codes and frame.SHARD_BAD in codes
        assert open_store(clock, name="other").waiting.shard == 9
    finally:
        volume.remove()


def test_clock_set_late_gets_an_anchor():
    volume = Volume("lfs2")
    try:
        clock = Clock()
        store = open_store(clock)
        clock.now_s = 100
        store.tick()
        clock.start_unix_s = 1_780_272_000
        store.tick()
        store.tick()
        clock.start_unix_s += 3600
        store.tick()
        clock.start_unix_s -= 10
        store.tick()
        store.flush()
        got = stored_frames()
        anchors = [f for f in got if frame.kind(f, 0) == frame.ANCHOR]
        anchors = [struct.unpack_from("<I", f, 4)[0] for f in anchors]
        assert anchors == [0, 1_780_272_100, 1_780_275_700, 1_780_275_690], anchors
        assert list(events()) == [(frame.CLOCK_STEPPED, 3600, 0), (frame.CLOCK_STEPPED, 0, 10)]
    finally:
        volume.remove()


def _days(kind):
    """Log until the oldest shard goes; that day must have been foretold all the time."""
    volume = Volume(kind, 256 * 1024)
    try:
        clock = Clock(1_780_272_000)
        store = open_store(clock)
        assert store.days_stored is None and store.days_left is None
        told = []  # days stored and left, since a shard was sealed
        number = 0
        while not store.kept or store.kept[0][0] == 1:
            for _ in range(500):
                clock.now_s += 10 if number % 100 else _DAY_S - 990
                store.append(noisy_frame(number))
                store.tick()
                number += 1
            pack(store)
            store.flush()
            assert store.flushed_s == clock.now_s
            if store.kept and store.kept[0][0] == 1:
                assert store.days_stored == clock.now_s // _DAY_S
                told.append(store.days_stored + store.days_left)
        day = clock.now_s // _DAY_S
        assert len(told) > 30 and all(abs(t - day) <= 0.1 * day for t in told), (day, told)
        again = open_store(clock)  # both are known again after a reboot
        again.append(data_frame(0))
        clock.now_s += 3600
        again.append(data_frame(0))
        again.flush()
        assert again.days_stored == store.days_stored
        assert again.days_left > store.days_left  # two frames an hour
    finally:
        volume.remove()


def test_days_stored_and_days_left_on_littlefs():
    _days("lfs2")


def test_days_stored_and_days_left_on_fat():
    _days("fat")


def test_packing_says_how_far_it_is_and_keeps_a_damaged_shard_for_a_human():
    volume = Volume("lfs2", 512 * 1024)
    try:
        clock = Clock(1_780_272_000)
        store = open_store(clock)
        log(store, clock, 0, 12_000)
        store.flush()
        (number, name, good), *_ = store.unsealed
        raw = store.file(number, name, "raw")
        with open(raw, "r+b") as f:
            f.seek(good // 2)
            f.write(b"\xff")
        said = []
        packing.pack(store, said.append)
        assert said == sorted(said) and said[0] < 10 and said[-1] > 90
        store.flush()
        numbers = stored_numbers()
        gone = sorted(set(range(12_000)) - set(numbers))
        assert numbers == sorted(numbers) and 1 <= len(gone) <= 77
        assert gone == list(range(gone[0], gone[-1] + 1))  # one flush
        told = [(number, frames) for code, number, frames in store.events]
        assert told[0][0] == number and len(gone) <= told[0][1] <= len(gone) + 2, told
        os.stat(store.file(number, name, "bad"))
        assert store.oldest_unix_s == 1_780_272_000
    finally:
        volume.remove()
