# The store on real littlefs and FAT volumes: flush, roll over, seal, recover, power cuts
import asyncio
import os
import random
import struct

import frame
import machine
import shardcodec
import vfs
from flash import Flash, PowerCut
from store import Store

_SEED = os.urandom(4)  # the interpreter's own random numbers are the same every time
_IMAGE = "/tmp/batmon-test-store-%s.img" % _SEED.hex()
_MOUNT = "/flash"


class _Clock:
    def __init__(self, unix_s=0):
        self.now_s = 0
        self._unix_s = unix_s

    def uptime_s(self):
        return self.now_s

    def unix_s(self):
        return self._unix_s + self.now_s if self._unix_s else 0


class _Volume:
    """A volume that can be unplugged and mounted again."""

    def __init__(self, kind, size=256 * 1024):
        self._fs = vfs.VfsFat if kind == "fat" else vfs.VfsLfs2
        self._shape = _IMAGE, size, 512 if kind == "fat" else 4096
        self.flash = Flash(*self._shape)
        self._fs.mkfs(self.flash)
        vfs.mount(self._fs(self.flash), _MOUNT)

    def replug(self):
        # files of the old session must never write again: a new chip on the same image
        self.flash.cut_in = 0
        vfs.umount(_MOUNT)
        self.flash = Flash(*self._shape)
        vfs.mount(self._fs(self.flash), _MOUNT)

    def remove(self):
        self.flash.cut_in = 0
        vfs.umount(_MOUNT)
        os.remove(_IMAGE)


def _data(number):
    """A data frame that carries a running number."""
    buf = bytearray(frame.SIZE)
    frame.pack_data(
        buf, 0, number // 2, 0x4AA0, 0x3C00 + number % 5, 130, 112, number & 0xFFFF, number >> 16, 7
    )
    return buf


def _names(path):
    """List a folder; a power cut may leave a FAT entry whose name is not text."""
    out = []
    entries = os.ilistdir(path)
    while True:
        try:
            out.append(next(entries)[0])
        except StopIteration:
            return out
        except UnicodeError:
            pass


def _frames(path):
    """Return every frame on the volume that a reader may count on, in order."""
    files = {}
    for file in _names(path):
        stem, _, kind = file.rpartition(".")
        if kind in ("raw", "bts"):
            number = int(stem.rpartition("-")[2])
            assert number not in files, "raw and sealed of %d" % number
            files[number] = path + "/" + file
    out = []
    for number in sorted(files):
        with open(files[number], "rb") as f:
            data = f.read()
        if files[number].endswith("bts"):
            got = _unseal(data)
        else:
            got = _committed(data)
        assert got, files[number]
        assert frame.kind(got[0], 0) == frame.ANCHOR, "no anchor begins %s" % files[number]
        out += got
    return out


def _unseal(data):
    out = []
    room = bytearray(shardcodec.BLOCK_FRAMES * frame.SIZE)
    total = -1
    for _, block in shardcodec.blocks(data):
        total = shardcodec.end_total(block)
        if total < 0:
            for _ in shardcodec.decode(block, room):
                pass
            n = shardcodec.check(block)
            out += [bytes(room[i * 13 : i * 13 + 13]) for i in range(n)]
    assert total == len(out), "sealed shard without its end"
    return out


def _committed(data):
    out = []
    waiting = []
    for at in range(0, len(data) - 12, 13):
        f = data[at : at + 13]
        if frame.kind(f, 0) == frame.COMMIT:
            out += waiting
            waiting = []
        else:
            waiting.append(f)
    return out


def _numbers(frames):
    out = []
    for f in frames:
        if frame.kind(f, 0) == 0:
            low, high = struct.unpack_from("<HH", f, 8)
            out.append(high << 16 | low)
    return out


def _open(clock, rtc=None, name="jk-pak01"):
    store = Store(_MOUNT + "/data", name, clock, rtc)
    store.open()
    return store


async def _settle(store):
    """Let the background task seal what waits."""

    async def run():
        try:
            await store.run()
        except PowerCut:  # out of a task it would end the test
            pass

    task = asyncio.create_task(run())
    await asyncio.sleep(1)
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        pass


async def _log(store, clock, first, count):
    for number in range(first, first + count):
        clock.now_s += 2
        store.append(_data(number))
        store.tick()
        if number % 77 == 0:
            await asyncio.sleep_ms(0)


async def _shards_and_reboots(kind):
    volume = _Volume(kind)
    try:
        clock = _Clock(1_780_272_000)
        store = _open(clock)
        await _log(store, clock, 0, 6000)
        await _settle(store)
        assert store.flush()
        volume.replug()
        kinds = sorted(e[0].rpartition(".")[2] for e in os.ilistdir(_MOUNT + "/data"))
        assert kinds.count("bts") == 2 and kinds.count("raw") == 1, kinds
        assert _numbers(_frames(_MOUNT + "/data")) == list(range(6000))
        store = _open(clock)
        assert store.boot == 2
        await _log(store, clock, 6000, 100)
        store.flush()
        assert _numbers(_frames(_MOUNT + "/data")) == list(range(6100))
        names = [e[0] for e in os.ilistdir(_MOUNT + "/data") if e[0] != "state"]
        assert all(n[:14] == "jk_pak01-0000" + n[13] for n in names), names
        assert store.shards == len(names)
        assert store.bytes == sum(os.stat(_MOUNT + "/data/" + n)[6] for n in names)
    finally:
        volume.remove()


async def test_shards_and_reboots_on_littlefs():
    await _shards_and_reboots("lfs2")


async def test_shards_and_reboots_on_fat():
    await _shards_and_reboots("fat")


async def _cuts(kind, step):
    """Cut the power at every `step`-th operation of a scenario; return the number of cuts."""
    cuts = 0
    random.seed(int.from_bytes(_SEED, "little"))
    at = 1 + random.getrandbits(16) % step
    while True:
        volume = _Volume(kind, 128 * 1024)
        clock = _Clock(1_780_272_000)
        kept = number = 0
        try:
            volume.flash.cut_in = at
            try:
                store = _open(clock)
                for round in range(77 * 30):
                    clock.now_s += 2
                    number += 1
                    store.append(_data(number - 1))
                    if store._n <= 1:  # what was appended before is on flash
                        kept = number - store._n
                    if round % 385 == 384:
                        await _settle(store)
                    if volume.flash.cut_in == 0:
                        break
            except (PowerCut, OSError):
                pass
            cut = volume.flash.cut_in == 0
            volume.replug()
            store = _open(clock)
            await _settle(store)
            await _log(store, clock, 100_000, 50)
            store.flush()
            got = _numbers(_frames(_MOUNT + "/data"))
            before = [n for n in got if n < 100_000]
            assert got[len(before) :] == list(range(100_000, 100_050)), at
            assert before == list(range(len(before))), (at, before[-5:])
            assert kept <= len(before) <= number, (at, kept, len(before), number)
        finally:
            volume.remove()
        if not cut:
            return cuts
        cuts += 1
        at += step


async def test_power_cuts_on_littlefs():
    cuts = await _cuts("lfs2", 1 if os.getenv("CAMPAIGN") else 29)
    print("littlefs: %d power cuts, 0 failures" % cuts)
    assert cuts > 20


async def test_power_cuts_on_fat():
    cuts = await _cuts("fat", 1 if os.getenv("CAMPAIGN") else 7)
    print("FAT: %d power cuts, 0 failures" % cuts)
    assert cuts > 20


def test_reset_that_keeps_ram_loses_nothing():
    volume = _Volume("lfs2")
    rtc = machine.RTC()
    try:
        clock = _Clock()
        total = 0
        for boot in range(20):
            store = _open(clock, rtc)
            assert store.boot == boot + 1
            for _ in range(random.getrandbits(7)):
                clock.now_s += 2
                store.append(_data(total))
                total += 1
            if boot % 3 == 0:
                store.flush()
            clock.now_s = 0  # a reset: uptime begins again
        store = _open(clock, rtc)
        store.flush()
        assert _numbers(_frames(_MOUNT + "/data")) == list(range(total))
        store.append(_data(total))
        memory = bytearray(rtc.memory())
        memory[5] ^= 1
        rtc.memory(memory)  # damaged: ignored, never stored
        store = _open(clock, rtc)
        store.flush()
        assert _numbers(_frames(_MOUNT + "/data")) == list(range(total))
    finally:
        rtc.memory(b"")
        volume.remove()


def test_frames_that_come_together_are_all_kept():
    volume = _Volume("lfs2")
    try:
        clock = _Clock()
        store = _open(clock)
        together = bytearray(3 * frame.SIZE)
        for number in range(0, 900, 3):
            for i in range(3):
                together[i * frame.SIZE : (i + 1) * frame.SIZE] = _data(number + i)
            store.append(together, 3)
        store.flush()
        assert store.dropped == 0
        assert _numbers(_frames(_MOUNT + "/data")) == list(range(900))
    finally:
        volume.remove()


async def test_full_volume_drops_the_oldest_and_goes_on():
    volume = _Volume("lfs2", 128 * 1024)
    try:
        with open(_MOUNT + "/hog", "wb") as f:
            try:
                while True:
                    f.write(bytes(1024))
                    f.flush()
            except OSError:
                pass
        clock = _Clock()
        store = _open(clock)
        await _log(store, clock, 0, 3000)
        assert "full" in store.message
        assert store.dropped > 2800
        os.remove(_MOUNT + "/hog")
        clock.now_s += 60
        await _log(store, clock, 3000, 10)
        assert store.flush() and store.message == ""
        got = _frames(_MOUNT + "/data")
        numbers = _numbers(got)
        assert numbers == list(range(numbers[0], 3010)) and numbers[0] > 2900
        told = [struct.unpack_from("<I", f, 5)[0] for f in got if f[2:5] == b"\x03\xfe\x03"]
        assert sum(told) == numbers[0], (told, numbers[0])
    finally:
        volume.remove()


async def test_oldest_sealed_shards_make_room():
    volume = _Volume("lfs2", 128 * 1024)
    try:
        clock = _Clock()
        store = _open(clock)
        for i in range(60):
            for number in range(i * 500, i * 500 + 500):
                clock.now_s += 2
                f = _data(number)
                struct.pack_into("<H", f, 4, random.getrandbits(16))  # hard to compress
                store.append(f)
            await _settle(store)
            store.tick()
            assert store.message == "", (i, store.message)
        assert store.dropped == 0
        store.flush()
        numbers = _numbers(_frames(_MOUNT + "/data"))
        assert numbers == list(range(numbers[0], 30000))
        assert 0 < numbers[0] < 29000
        st = os.statvfs(_MOUNT)
        assert st[3] * st[0] >= 16 * 1024
    finally:
        volume.remove()


async def test_torn_and_foreign_shards():
    volume = _Volume("lfs2")
    try:
        clock = _Clock()
        store = _open(clock)
        await _log(store, clock, 0, 300)
        store.flush()
        data = _MOUNT + "/data/"
        with open(data + "jk_pak01-00001.raw", "ab") as f:
            f.write(b"torn!")
        with open(data + "jk_pak01-00007.raw", "wb") as f:
            f.write(bytes(130))
        with open(data + "notes.txt", "w") as f:
            f.write("mine")
        store = _open(clock)
        store.tick()
        await _log(store, clock, 300, 100)
        await _settle(store)
        store.flush()
        names = sorted(e[0] for e in os.ilistdir(data))
        assert "jk_pak01-00007.bad" in names and "notes.txt" in names
        assert "jk_pak01-00001.bts" in names and "jk_pak01-00008.raw" in names, names
        assert _numbers(_frames(_MOUNT + "/data")) == list(range(400))
        codes = [f[4] for f in _frames(_MOUNT + "/data") if frame.kind(f, 0) == frame.EVENT]
        assert frame.TAIL_CUT in codes and frame.SHARD_BAD in codes
        assert _open(clock, name="other")._number == 9
    finally:
        volume.remove()


async def test_a_shard_that_does_not_read_back_stays_raw():
    volume = _Volume("lfs2")
    decode = shardcodec.decode

    def damaged(block, out):
        raise shardcodec.ShardError("flipped bit")

    try:
        clock = _Clock()
        store = _open(clock)
        shardcodec.decode = damaged
        await _log(store, clock, 0, 3000)
        await _settle(store)
        store.flush()
        shardcodec.decode = decode
        assert _numbers(_frames(_MOUNT + "/data")) == list(range(3000))
        store = _open(clock)  # and the next boot seals it
        await _settle(store)
        store.flush()
        assert "jk_pak01-00001.bts" in _names(_MOUNT + "/data")
        assert _numbers(_frames(_MOUNT + "/data")) == list(range(3000))
    finally:
        shardcodec.decode = decode
        volume.remove()


def test_clock_set_late_gets_an_anchor():
    volume = _Volume("lfs2")
    try:
        clock = _Clock()
        store = _open(clock)
        clock.now_s = 100
        store.tick()
        clock._unix_s = 1_780_272_000
        store.tick()
        store.tick()
        clock._unix_s += 3600
        store.tick()
        store.flush()
        got = _frames(_MOUNT + "/data")
        anchors = [f for f in got if frame.kind(f, 0) == frame.ANCHOR]
        anchors = [struct.unpack_from("<I", f, 4)[0] for f in anchors]
        assert anchors == [0, 1_780_272_100, 1_780_275_700], anchors
    finally:
        volume.remove()
