# For tests of the store: volumes that can be unplugged, numbered frames, a reader
import gc
import os
import random
import struct
from binascii import crc32

import vfs
from flash import Flash, PowerCut
from shards import codec, frame, packing
from store import Store

# the interpreter's own random numbers are the same every time
SEED = bytes.fromhex(os.getenv("SEED") or os.urandom(4).hex())
print("random choices: repeat them with SEED=%s" % SEED.hex())
MOUNT = "/flash"
DATA = MOUNT + "/data"
_KEPT = 100
_mounted = []  # volumes, the last _KEPT of all tests
_IMAGE = "/tmp/batmon-test-store-%s.img" % os.urandom(4).hex()  # of this process


class Clock:
    """What the store needs of lib/clock.py; the test moves it."""

    def __init__(self, unix_s=0):
        self.now_s = 0
        self.start_unix_s = unix_s

    def uptime_s(self):
        return self.now_s

    def unix_s(self):
        return self.start_unix_s + self.now_s if self.start_unix_s else 0


def noise(n):
    """Return `n` random bytes, which SEED repeats."""
    return bytes([random.getrandbits(8) for _ in range(n)])


class Rtc:
    """RTC memory of so many logs, where a reset may strike amid a write, but for a part's tail."""

    def __init__(self, data=b"", parts=1):
        self.data = data
        self.cut_in = 0  # at which write from now
        self._parts = parts

    def memory(self, data=None):
        if data is None:
            return self.data
        if self.cut_in:
            self.cut_in -= 1
            if self.cut_in == 0:
                share = len(data) // self._parts
                tail = share - (share - 33) % frame.SIZE - 20
                n = random.getrandbits(16) % len(data)
                n = n // share * share + min(n % share, tail)
                self.data = bytes(data[:n]) + self.data[n:]
                raise PowerCut
        self.data = bytes(data)


class Volume:
    """A volume that can be unplugged and mounted again."""

    def __init__(self, kind, size=256 * 1024, sector=512):
        """Make one; `sector` is what FAT writes at a time: 512 on an SD card, 4096 on flash."""
        self._fs = vfs.VfsFat if kind == "fat" else vfs.VfsLfs2
        self._shape = _IMAGE, size, sector if kind == "fat" else 4096
        self.flash = Flash(*self._shape)
        self._fs.mkfs(self.flash)
        self._mount()

    def replug(self, image=None):
        """Power off and on; the chip then holds `image`, if given."""
        # files of the old session must never write again: a new chip on the same image
        self.flash.cut_in = 0
        vfs.umount(MOUNT)
        self.flash.close()
        if image:
            with open(_IMAGE, "wb") as f:
                f.write(image)
        self.flash = Flash(*self._shape)
        self._mount()

    def _mount(self):
        """Mount the volume and keep those before: of FAT an open file does not keep its volume.

        The collector closes what a cut left open, and would do so in memory that is others' now.
        """
        if len(_mounted) == _KEPT:
            gc.collect()  # closes the files of all but those that something may still hold
            del _mounted[: _KEPT // 2]
        _mounted.append(self._fs(self.flash))
        vfs.mount(_mounted[-1], MOUNT)

    def image(self):
        """Return what is on the chip, after it was unplugged."""
        self.replug()
        with open(_IMAGE, "rb") as f:
            return f.read()

    def remove(self):
        self.flash.cut_in = 0
        vfs.umount(MOUNT)
        self.flash.close()
        os.remove(_IMAGE)


class StoredEncoder:
    """Takes the place of codec.Encoder where much is sealed: real blocks, stored."""

    def __init__(self):
        self._data = bytearray()

    def encode(self, frames, n):
        self._data += frames[: n * frame.SIZE]
        yield self.end() if len(self._data) > 1500 else None

    def end(self):
        data = self._data
        if not data:
            return b""
        self._data = bytearray()
        head = struct.pack("<HH", len(data) // frame.SIZE, len(data) + 1)
        crc = crc32(data, crc32(b"\0", crc32(head)))
        return b"BK" + head + struct.pack("<I", crc) + b"\0" + data


def data_frame(number):
    """A data frame that carries a running number."""
    buf = bytearray(frame.SIZE)
    frame.pack_data(
        buf, 0, number // 2, 0x4AA0, 0x3C00 + number % 5, 130, 112, number & 0xFFFF, number >> 16, 7
    )
    return buf


def noisy_frame(number):
    """The same with a current that makes it take about two bytes when it is sealed."""
    buf = data_frame(number)
    struct.pack_into("<H", buf, 4, 0x3C00 + (number * 40503 >> 5 & 0x3FF))
    return buf


def file_names(path=DATA):
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


def stored_frames(strict=True):
    """Return every frame that a reader may count on, in order."""
    return list(_stored(0, strict))


def _stored(newest, strict):
    """Yield the frames of the `newest` files, 0 = all; unless `strict`, they may be damaged."""
    for file in shard_files()[-newest:]:
        with open(file, "rb") as f:
            yield from frames_of(file, f.read(), strict)


def shard_files():
    """Return the paths of all shards in order; of each number there must be one."""
    files = {}
    for file in file_names():
        stem, _, kind = file.rpartition(".")
        if kind in ("raw", "bts"):
            number = int(stem.rpartition("-")[2])
            assert number not in files, "raw and sealed of %d" % number
            files[number] = DATA + "/" + file
    return [files[number] for number in sorted(files)]


def frames_of(file, data, strict=True):
    """Return the frames in the content of a shard; unless `strict`, it may be damaged."""
    total = -1
    if file.endswith("bts"):
        got, total = _unseal(data)
    else:
        got = _committed(data)
    if strict:
        assert got and total in (-1, len(got)), file
        assert frame.kind(got[0], 0) == frame.ANCHOR, "no anchor begins %s" % file
        assert not [f for f in got if frame.kind(f, 0) == frame.COMMIT], file
    return got


def stored_numbers(newest=0, strict=True):
    """Return the numbers of the data frames of those files, in order."""
    return numbers_of(_stored(newest, strict))


def numbers_of(frames):
    """Return the numbers of the data frames among these."""
    out = []
    for f in frames:
        if frame.kind(f, 0) == 0:
            low, high = struct.unpack_from("<HH", f, 8)
            out.append(high << 16 | low)
    return out


def events():
    """Return the events that are stored, as (code, a, b)."""
    got = [f for f in stored_frames() if frame.kind(f, 0) == frame.EVENT]
    return [struct.unpack_from("<BII", f, 4) for f in got]


def _unseal(data):
    out = []
    room = bytearray(codec.BLOCK_FRAMES * frame.SIZE)
    known = codec.new_model()
    total = -1
    at = len(codec.HEADER)
    while 0 <= at < len(data):
        block = data[at : at + codec.block_bytes(data[at : at + codec.HEAD_BYTES])]
        try:
            n = codec.check(block)
        except codec.ShardError:
            at = data.find(b"BK", at + 1)
            continue
        at += len(block)
        total = codec.end_total(block)
        if total < 0:
            for _ in codec.decode(block, room, known):
                pass
            out += [bytes(room[i * 13 : i * 13 + 13]) for i in range(n)]
    return out, max(total, 0)


def _committed(data):
    out = []
    end = 0
    for at in range(0, len(data) - 12, 13):
        if frame.kind(data, at) == frame.COMMIT:
            crc, count = struct.unpack_from("<IH", data, at + 4)
            first = at - 13 * count
            if first >= end and crc32(data[first:at]) == crc:
                out += [data[i : i + 13] for i in range(first, at, 13)]
                end = at + 13
    return out


def open_store(clock, rtc=None, name="jk-pak01"):
    store = Store(DATA, name, clock, rtc)
    store.open()
    return store


def pack(store):
    """Seal what waits, as a board's next start does."""
    if store.packing_due:
        store.packing_due = False
        packing.pack(store, int)


def log(store, clock, first, count):
    """Append numbered frames, one every two seconds."""
    for number in range(first, first + count):
        clock.now_s += 2
        store.append(data_frame(number))
        store.tick()
