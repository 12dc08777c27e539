# What a start finds: RTC memory byte by byte, resets at every write of it, files that are left
import os
import struct
from binascii import crc32

import vfs
from faultyfs import FaultyFs
from flash import PowerCut
from shardlog import (
    DATA,
    Clock,
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
from shards import frame
from store import Store

_UNIX = 1_780_272_000
_TORN = b"torn!"


class Rtc:
    """RTC memory; a reset may strike instead of the write behind the next `cut_in`."""

    def __init__(self, data=b"", volume=None):
        self.data = data
        self.cut_in = None
        self._volume = volume

    def memory(self, data=None):
        if data is None:
            return self.data
        if self._volume and self._volume.flash.cut_in == 0:
            raise PowerCut  # the reset has come while flash was written
        if self.cut_in is not None:
            if self.cut_in == 0:
                raise PowerCut
            self.cut_in -= 1
        self.data = bytes(data)


def _check(check, data):
    for byte in data:
        check = (check * 31 + byte) % (1 << 25)
    return check


def _rtc(frames, held=b"", flush=0, shard=1, n=None):
    """Return RTC memory as docs/FORMAT.md specifies it, of the battery jk_pak01."""
    room = b"".join(bytes(f) for f in frames)
    tail = struct.pack(
        "<HHHHIII",
        0x324D,
        len(frames) if n is None else n,
        crc32(b"jk_pak01") & 0xFFFF,
        flush,
        shard,
        _check(0, room),
        _check(1, held) if held else 0,
    )
    return room + bytes(1040 - len(room)) + (bytes(held) or bytes(13)) + tail


def _tail(rtc):
    """Return (frames waiting, number of the next flush, shard) of RTC memory."""
    _, n, _, flush, shard, _, _ = struct.unpack_from("<HHHHIII", rtc.data, 1053)
    return n, flush, shard


def test_rtc_memory_is_as_specified():
    volume = Volume("lfs2")
    try:
        clock = Clock()
        rtc = Rtc()
        store = open_store(clock, rtc)
        assert _tail(rtc) == (1, 0, 1)  # the anchor
        store.flush()
        assert _tail(rtc) == (0, 1, 1)
        three = b"".join(bytes(data_frame(i)) for i in range(3))
        store.append(three, 2)
        store.hold(three, 26)
        want = _rtc([data_frame(0), data_frame(1)], data_frame(2), 1, 1)
        assert rtc.data[:26] == want[:26] and rtc.data[1040:] == want[1040:]
        store = open_store(clock, Rtc(want))  # and what is so specified is taken
        assert store.flush() and stored_numbers() == [0, 1, 2]
    finally:
        volume.remove()


def test_rtc_memory_of_another_time_is_not_taken():
    volume = Volume("lfs2")
    try:
        clock = Clock()
        store = open_store(clock)
        store.flush()
        store.append(data_frame(0))
        store.flush()
        frames = [data_frame(i) for i in range(1, 5)]
        for rtc in (
            _rtc([data_frame(0)], flush=1),  # the last flush: this frame is on flash
            _rtc(frames, flush=2, shard=7),
            _rtc([data_frame(i) for i in range(80)], flush=2),
            _rtc(frames, flush=2, n=65535),
        ):
            store = open_store(clock, Rtc(rtc))
            assert store.flush()
            assert stored_numbers() == [0], rtc[1053:]
    finally:
        volume.remove()


def test_frames_that_came_behind_an_interrupted_flush_are_taken():
    volume = Volume("lfs2")
    try:
        clock = Clock()
        store = open_store(clock)
        store.flush()
        store.append(data_frame(0))
        store.flush()
        store = open_store(clock, Rtc(_rtc([data_frame(0), data_frame(1)], flush=1)))
        assert store.flush() and stored_numbers() == [0, 1]
    finally:
        volume.remove()


def test_rtc_memory_of_a_shard_that_never_reached_flash_is_taken():
    # the volume took no more, not even the state, when the shard before was full
    volume = Volume("lfs2")
    try:
        clock = Clock(_UNIX)
        store = open_store(clock)
        store.append(data_frame(0))
        store.flush()
        store = open_store(clock, Rtc(_rtc([data_frame(1), data_frame(2)], shard=2)))
        assert store.flush() and stored_numbers() == [0, 1, 2]
    finally:
        volume.remove()


def _cut_everywhere(prepare, kind="lfs2"):
    """Reset a restart, and the flush after it, at each write to RTC memory and to flash.

    `prepare(store)` leaves a log and returns how many frames are in it or in RTC memory.
    """
    volume = Volume(kind)
    clock = Clock(_UNIX)
    rtc = Rtc()
    try:
        count = prepare(open_store(clock, rtc))
        image = volume.image()
        kept = rtc.data
        for what in ("rtc", "flash"):
            cuts = 0
            done = False
            while not done:
                volume.replug(image)
                rtc = Rtc(kept, volume)
                if what == "rtc":
                    rtc.cut_in = cuts
                else:
                    volume.flash.cut_in = cuts + 1
                try:
                    store = open_store(clock, rtc)
                    store.append(data_frame(count))
                    done = store.flush()
                except (PowerCut, OSError):
                    pass
                if what == "flash":
                    done = volume.flash.cut_in > 0
                volume.replug()
                rtc.cut_in = None
                assert open_store(clock, rtc).flush()
                got = stored_numbers()
                more = got[count:]
                assert got[:count] == list(range(count)), (what, cuts, len(got), got[-5:])
                assert more in ([], [count]), (what, cuts, more)
                cuts += 1
            assert cuts > 4, cuts
    finally:
        volume.remove()


def test_a_full_rtc_memory_is_taken():
    frames = [data_frame(i) for i in range(79)]
    for held, begun, want in (
        (b"", False, range(1, 79)),  # an anchor must go first, and the commit needs the last place
        (data_frame(79), False, range(2, 80)),
        (b"", True, range(79)),
    ):
        volume = Volume("lfs2")
        try:
            clock = Clock(_UNIX)
            if begun:  # there is a shard to go on with
                open_store(clock).flush()
            store = open_store(clock, Rtc(_rtc(frames, held, flush=1)))
            assert store.flush()
            assert stored_numbers() == list(want), (begun, stored_numbers())
            volume.replug()
            open_store(clock).flush()  # its own flush was a whole one
            assert stored_numbers() == list(want)
        finally:
            volume.remove()


def test_frames_of_a_boot_before_get_an_anchor_of_that_boot():
    volume = Volume("lfs2")
    try:
        clock = Clock(_UNIX)
        rtc = Rtc()
        _torn(open_store(clock, rtc))
        assert open_store(clock, rtc).flush()
        anchors = [f for f in stored_frames() if frame.kind(f, 0) == frame.ANCHOR]
        anchors = [struct.unpack_from("<IH", f, 4) for f in anchors]
        assert anchors == [(_UNIX, 1), (0, 1), (_UNIX, 2)], anchors
    finally:
        volume.remove()


def _waiting(store):
    for i in range(100):
        store.append(data_frame(i))
    store.flush()
    for i in range(100, 110):
        store.append(data_frame(i))
    store.hold(data_frame(110))
    return 111


def _torn(store):
    count = _waiting(store)
    with open(DATA + "/jk_pak01-00001.raw", "ab") as f:
        f.write(_TORN)
    return count


def _full(store):
    number = 0
    while store.waiting.shard == 1:  # the next flush begins a shard
        store.append(data_frame(number))
        number += 1
    store.append(data_frame(number))
    return number + 1


def test_resets_at_every_write_of_a_restart():
    _cut_everywhere(_waiting)


def test_resets_at_every_write_of_a_restart_behind_a_torn_shard():
    _cut_everywhere(_torn)
    _cut_everywhere(_torn, "fat")


def test_resets_at_every_write_of_a_restart_with_a_new_shard():
    _cut_everywhere(_full)


def test_a_reset_before_the_first_flush_of_a_shard_leaves_no_number_out():
    volume = Volume("lfs2")
    try:
        clock = Clock(_UNIX)
        rtc = Rtc()
        _full(open_store(clock, rtc))
        volume.replug()
        assert open_store(clock, rtc).flush() and _numbers() == [1, 2]
    finally:
        volume.remove()


def _cut_sealing(kind):
    """Cut the power at each write of sealing a shard."""
    volume = Volume(kind, 64 * 1024)
    clock = Clock(_UNIX)
    try:
        count = _full(open_store(clock)) - 1
        image = volume.image()
        cuts = 0
        done = False
        while not done:
            volume.replug(image)
            store = open_store(clock)
            store.flush()
            volume.flash.cut_in = cuts + 1
            try:
                pack(store)
            except PowerCut:
                pass
            done = volume.flash.cut_in > 0
            volume.replug()
            store = open_store(clock)
            pack(store)
            store.flush()
            assert stored_numbers() == list(range(count)), (kind, cuts)
            assert shard_files()[0].endswith("00001.bts"), (kind, cuts)
            cuts += 1
        assert cuts > 6, cuts
    finally:
        volume.remove()


def test_cuts_at_every_write_of_sealing_on_littlefs():
    _cut_sealing("lfs2")


def test_cuts_at_every_write_of_sealing_on_fat():
    _cut_sealing("fat")


def test_numbers_are_never_used_again():
    volume = Volume("lfs2")
    try:
        clock = Clock(_UNIX)
        store = open_store(clock)
        log(store, clock, 0, 8000)
        pack(store)
        assert store.flush()
        newest = max(_numbers())
        assert newest > 2
        for file in shard_files():
            os.remove(file)
        volume.replug()
        assert open_store(clock).flush()
        assert _numbers() == [newest + 1]
        boots = [struct.unpack_from("<H", f, 8)[0] for f in stored_frames()]
        assert boots == [2]
    finally:
        volume.remove()


def _numbers():
    return [int(file[-9:-4]) for file in shard_files()]


def test_boot_and_number_survive_cuts_of_a_start_without_a_raw_shard():
    for kind in ("lfs2", "fat"):
        volume = Volume(kind)
        try:
            clock = Clock(_UNIX)
            store = open_store(clock)
            while store.waiting.shard < 3:
                log(store, clock, store.frames, 77)
            pack(store)
            volume.replug()
            image = volume.image()
            cuts = 0
            done = False
            while not done:
                volume.replug(image)
                volume.flash.cut_in = cuts + 1
                try:
                    open_store(clock)
                except (PowerCut, OSError):
                    pass
                done = volume.flash.cut_in > 0
                volume.replug()
                store = open_store(clock)
                assert store.boot in (2, 3) and store.waiting.shard >= 3, (kind, cuts, store.boot)
                cuts += 1
        finally:
            volume.remove()


def _remove_state():
    os.remove(DATA + "/state")
    os.remove(DATA + "/state.bak")


def test_without_state_the_files_tell():
    volume = Volume("lfs2")
    try:
        clock = Clock(_UNIX)
        for _ in range(5):
            open_store(clock).flush()
        for spoilt in ("/state", "/state.bak"):
            with open(DATA + spoilt, "w") as f:
                f.write("7")
            boot = open_store(clock).boot
        assert boot == 7
        _remove_state()
        store = open_store(clock)
        assert store.boot == 6  # the last two stored nothing
        _remove_state()
        os.rename(DATA + "/jk_pak01-00001.raw", DATA + "/jk_pak01-00008.bad")
        assert open_store(clock).flush()
        assert _numbers() == [9]
    finally:
        volume.remove()


def test_a_cut_in_the_first_state_of_all_delays_nothing():
    for kind in ("fat", "lfs2"):
        for torn in (b"", b"1", b"1 ", b"\xff" * 9):
            volume = Volume(kind)
            try:
                os.mkdir(DATA)
                with open(DATA + "/state", "wb") as f:
                    f.write(torn)
                store = open_store(Clock(_UNIX))
                store.append(data_frame(0))
                assert store.flush() and store.message == ""
                assert stored_numbers() == [0]
            finally:
                volume.remove()


def test_a_look_that_fails_at_a_start_repeats_no_boot():
    for kind in ("fat", "lfs2"):
        volume = Volume(kind)
        fs = FaultyFs(DATA)
        vfs.mount(fs, "/data")
        try:
            os.mkdir(DATA)
            for name, text in (("/state.bak", "3 5\n"), ("/state", "4 6\n")):  # a cut between them
                with open(DATA + name, "w") as f:
                    f.write(text)
            image = volume.image()
            at = 0
            while not at or fs.failed:
                at += 1
                volume.replug(image)
                fs.fail(at, lambda: OSError(5))
                clock = Clock(_UNIX)
                store = Store("/data", "jk-pak01", clock)
                store.open()
                clock.now_s += 60
                store.append(data_frame(0))
                assert store.flush() or store.flush(), at
                assert store.boot == 5 and store.waiting.shard == 7, at
            assert at > 10
        finally:
            vfs.umount("/data")
            volume.remove()


def test_only_the_newest_raw_shard_is_written_on_and_only_if_it_has_room():
    volume = Volume("lfs2", 128 * 1024)
    try:
        clock = Clock(_UNIX)
        store = open_store(clock)
        log(store, clock, 0, 100)
        store.flush()
        with open(DATA + "/jk_pak01-00001.raw", "rb") as f:
            short = f.read()
        with open(DATA + "/jk_pak01-00002.raw", "wb") as f:
            f.write(short)
        volume.replug()
        store = open_store(clock)
        store.flush()
        pack(store)
        assert [file[-9:] for file in shard_files()] == ["00001.bts", "00002.raw"]
        assert os.stat(DATA + "/jk_pak01-00002.raw")[6] > len(short)
        number = 100
        while store.waiting.shard == 2:
            store.append(data_frame(number))
            number += 1
        full = os.stat(DATA + "/jk_pak01-00002.raw")[6]
        volume.replug()
        _remove_state()  # as if the cut had come before it was written
        store = open_store(clock)
        store.flush()
        assert os.stat(DATA + "/jk_pak01-00002.raw")[6] == full and _numbers()[-1] == 3
    finally:
        volume.remove()


def test_a_commit_with_the_wrong_count_is_none():
    volume = Volume("lfs2")
    try:
        os.mkdir(DATA)
        frames = b"".join(bytes(data_frame(i)) for i in range(5))
        commit = bytearray(frame.SIZE)
        frame.pack_commit(commit, 0, 0, crc32(frames), 4, 0)
        with open(DATA + "/jk_pak01-00001.raw", "wb") as f:
            f.write(frames + commit)
        with open(DATA + "/jk_pak01-00002.raw", "wb"):
            pass  # a cut left it empty
        store = open_store(Clock(_UNIX))
        store.tick()
        store.flush()
        left = sorted(file_names())[:2]
        assert left == ["jk_pak01-00001.bad", "jk_pak01-00003.raw"]
        assert events() == [(frame.TAIL_CUT, 6 * 13, 0), (frame.SHARD_BAD, 1, 0)]
        assert store.shards == 1 and store.bytes == os.stat(shard_files()[0])[6]
    finally:
        volume.remove()


def test_a_raw_shard_rules_while_it_is_there():
    volume = Volume("lfs2", 128 * 1024)
    try:
        clock = Clock(_UNIX)
        store = open_store(clock)
        while store.waiting.shard == 1:
            log(store, clock, store.frames, 77)
        store.flush()
        with open(DATA + "/jk_pak01-00001.raw", "rb") as f:
            raw = f.read()
        pack(store)
        with open(DATA + "/jk_pak01-00001.bts", "rb") as f:
            good = f.read()
        want = stored_frames()
        end = len(good) - 14
        for sealed in (good, good[:5] + good[end:], good[:end], good[:-1], b""):
            with open(DATA + "/jk_pak01-00001.raw", "wb") as f:
                f.write(raw)
            with open(DATA + "/jk_pak01-00001.bts", "wb") as f:
                f.write(sealed)
            store = open_store(clock)
            assert stored_frames() == want, len(sealed)
            assert shard_files()[0].endswith("raw"), len(sealed)
            assert store.shards == len(shard_files())
            assert store.bytes == sum(os.stat(file)[6] for file in shard_files())
        pack(store)
        assert stored_frames() == want and shard_files()[0].endswith("bts")
    finally:
        volume.remove()
