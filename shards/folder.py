# The shards of a folder that are full: sealing them, and deleting the oldest to make room
# docs/FORMAT.md specifies the files; everything that the store needs of the codec is here.
import asyncio
import gc
import os
import struct

from micropython import const
from shards import codec, frame

STATES = ("/state.bak", "/state")  # no rename: on FAT a cut can leave both names for one cluster
_SHARD_BYTES = const(262_144)
_SEAL_RETRY_S = const(600)
_EEXIST = const(17)
_FILLERS = const(2000)  # twice the entries of the largest cluster
_SEALED_MILLIBYTES = const(3000)  # per frame; until a shard was sealed


class Shards:
    """The files in the folder `path`, but for the shard that is being written.

    `clock` has `uptime_s()`. Run `run` as a task. Nothing raises for a full or broken volume.
    """

    def __init__(self, path, clock):
        self.path = path
        self.shards = 0  # files on flash, and their bytes
        self.bytes = 0
        self.free = 0  # bytes; asked at the start and before a shard is sealed, else counted
        self.oldest_unix_s = 0  # when the log begins, unix time; 0 = unknown
        self.limit = _SHARD_BYTES  # a shard is full
        self.unsealed = []  # (number, name, committed bytes), oldest first
        self.kept = []  # (number, name, bytes, "bts", or "raw" if it cannot be sealed)
        self.events = []  # to be stored at the next tick
        self.millibytes = _SEALED_MILLIBYTES  # that a sealed frame takes
        self._clock = clock
        self._block = 1  # bytes; of the volume
        self._busy = False  # the first of the unsealed is open
        self._seal_retry_s = 0
        self._wake = asyncio.Event()

    def file(self, number, name, kind):
        """Return the path of a shard."""
        return "%s/%s-%05d.%s" % (self.path, name, number, kind)

    def make_folder(self):
        """Make the folder unless it exists; raises OSError."""
        try:
            os.mkdir(self.path)
        except OSError as exc:
            if exc.errno != _EEXIST:
                raise

    def make_entry(self, number, name):
        """Make the folder list the next file that is made for this shard; raises OSError.

        FAT links a new cluster to a folder and then clears it. After a power cut in between, an
        entry of zeros may stand before old bytes. It ends every listing, and what is entered
        behind it is lost at the next start. So a probe of the same length goes first: while it
        is not found, the gaps before it are filled.
        """
        probe = self.file(number, "~" * len(name), "tmp")
        fillers = 0
        try:
            _make_empty(probe)
            while not _exists(probe) and fillers < _FILLERS:
                fillers += 1
                _make_empty(self.file(fillers, "~", "tmp"))  # 8.3, so it goes into any gap
            os.remove(probe)
        finally:
            for i in range(fillers):
                _remove(self.file(i + 1, "~", "tmp"))

    def wake(self):
        """Let `run` seal what waits, unless that failed a short while ago."""
        if self.unsealed and self._clock.uptime_s() >= self._seal_retry_s:
            self._wake.set()

    async def run(self):
        """Seal what waits and keep room for the next shard; never ends."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            self._busy = True
            try:
                while self.unsealed and await self._seal_next():
                    gc.collect()
            finally:
                self._busy = False

    async def _seal_next(self):
        """Seal the oldest that waits; False if it has to wait longer."""
        number, name, good = self.unsealed[0]
        tmp = self.file(number, name, "tmp")
        try:
            self._make_room()
            size = await self._seal(number, name, good, tmp)
            kind = "bts"
        except codec.ShardError as exc:
            # the raw shard is whole all the same: it stays, and the next boot tries again
            print("store: %s-%05d stays raw: %s" % (name, number, exc))
            self.events.append((frame.FLASH_ERROR, 0))
            size = good
            kind = "raw"
            _remove(tmp)
        except (OSError, MemoryError) as exc:
            print("store: %s-%05d is sealed later: %r" % (name, number, exc))
            errno = exc.errno if isinstance(exc, OSError) else 0
            self.events.append((frame.FLASH_ERROR, errno))
            self._seal_retry_s = self._clock.uptime_s() + _SEAL_RETRY_S
            _remove(tmp)
            return False
        self.unsealed.pop(0)
        self.kept.append((number, name, size, kind))
        self.kept.sort()
        return True

    # ---- room

    def ask_free(self):
        """Ask the volume how much of it is free; return the bytes of all of it."""
        st = os.statvfs(self.path)
        self._block = st[0]
        # littlefs counts a block of two files twice: full, it may have -1 free, or 4e9 in 64 bits
        self.free = st[3] * st[0] if 0 <= st[3] <= st[2] else 0
        return st[2] * st[0]

    def measure(self, size, frames):
        """Learn from a sealed shard what a frame takes; a file takes whole blocks."""
        blocks = (size + self._block - 1) // self._block
        self.millibytes = blocks * self._block * 1000 // max(1, frames)

    def _make_room(self):
        self.ask_free()
        while self.free < 2 * self.limit and self.delete_oldest():
            self.ask_free()  # a file takes whole blocks

    def delete_oldest(self):
        """Delete the oldest shard that is not in use; return whether there was one."""
        if self.kept:
            number, name, size, kind = self.kept.pop(0)
        elif len(self.unsealed) > 1 and not self._busy:  # sealing fails again and again
            number, name, size = self.unsealed.pop(0)
            kind = "raw"
        else:
            return False
        try:
            os.remove(self.file(number, name, kind))
        except OSError as exc:
            self.events.append((frame.FLASH_ERROR, exc.errno))
            return False
        self.shards -= 1
        self.bytes -= size
        self.free += size
        self.events.append((frame.SHARD_DELETED, number, size))
        self.find_oldest()
        return True

    def find_oldest(self):
        """Look up when the oldest shard begins, or the next if it does not know."""
        self.oldest_unix_s = 0
        for number, name, _, kind in self.kept[:2]:
            self.oldest_unix_s = first_unix_s(self.file(number, name, kind), kind)
            if self.oldest_unix_s:
                return
        for number, name, _ in self.unsealed[:1]:
            self.oldest_unix_s = first_unix_s(self.file(number, name, "raw"), "raw")

    # ---- sealing

    async def _seal(self, number, name, good, tmp):
        """Make the sealed form of a shard, compare, put it in place; return its bytes."""
        raw = self.file(number, name, "raw")
        frames = bytearray(codec.CHUNK_FRAMES * frame.SIZE)
        encoder = codec.Encoder()
        total = 0
        self.make_entry(number, name)
        with open(raw, "rb") as source, open(tmp, "wb") as out:
            size = out.write(codec.HEADER)
            n = _read_frames(source, frames, good, codec.CHUNK_FRAMES)
            while n:
                for block in encoder.encode(frames, n):
                    if block:
                        size += out.write(block)
                    await asyncio.sleep_ms(0)
                total += n
                n = _read_frames(source, frames, good, codec.CHUNK_FRAMES)
            size += out.write(encoder.end())
            size += out.write(codec.end_block(total))
        encoder = None
        await _compare(raw, tmp, good, frames, total)
        raw_size = os.stat(raw)[6]
        self.make_entry(number, name)
        os.rename(tmp, self.file(number, name, "bts"))
        os.remove(raw)
        self.bytes += size - raw_size
        self.free += raw_size - size
        self.measure(size, total)
        return size


async def _compare(raw, tmp, good, frames, total):
    """Read a sealed shard back against its raw one; raises ShardError if they differ."""
    back = bytearray(codec.SLICE_FRAMES * frame.SIZE)
    model = codec.new_model()
    left = total
    with open(raw, "rb") as source, open(tmp, "rb") as f:
        for block in _blocks(f):
            if codec.end_total(block) >= 0:
                if codec.end_total(block) == total and not left:
                    return
                break
            for n in codec.decode(block, back, model):
                end = _read_frames(source, frames, good, n) * frame.SIZE
                if memoryview(back)[:end] != memoryview(frames)[:end]:
                    raise codec.ShardError("read back differently")
                left -= n
                await asyncio.sleep_ms(0)
    raise codec.ShardError("read back differently")


def _read_frames(f, frames, good, most):
    """Fill `frames` from a raw shard up to byte `good`, without commits; return how many."""
    n = 0
    view = memoryview(frames)
    while n < most and f.tell() < good:
        at = n * frame.SIZE
        if f.readinto(view[at : at + frame.SIZE]) < frame.SIZE:
            break
        if frame.kind(frames, at) != frame.COMMIT:
            n += 1
    return n


def _blocks(f):
    """Yield the blocks of an open sealed shard; raises ShardError at damage."""
    if f.read(len(codec.HEADER)) != codec.HEADER:
        raise codec.ShardError("no sealed shard")
    while True:
        head = f.read(codec.HEAD_BYTES)
        if not head:
            return
        length = codec.block_bytes(head)
        if not length:
            raise codec.ShardError("damaged block")
        block = bytearray(length)
        block[: len(head)] = head
        if f.readinto(memoryview(block)[len(head) :]) < length - len(head):
            raise codec.ShardError("cut off")
        codec.check(block)
        yield block


def sealed_frames(name):
    """Return how many frames a sealed shard holds, -1 if it is not whole."""
    total = 0
    try:
        with open(name, "rb") as f:
            for block in _blocks(f):
                end = codec.end_total(block)
                if end >= 0:
                    return end if end == total else -1
                total += codec.check(block)
    except (OSError, codec.ShardError):
        pass
    return -1


def first_unix_s(name, kind):
    """Return the unix time of the anchor that begins a shard, 0 if it does not know."""
    first = bytearray(frame.SIZE)
    try:
        with open(name, "rb") as f:
            if kind == "raw":
                f.readinto(first)
            else:
                next(codec.decode(next(_blocks(f)), first))
    except (OSError, MemoryError, codec.ShardError, StopIteration):
        pass  # it stays unknown
    if frame.kind(first, 0) != frame.ANCHOR:
        return 0
    return struct.unpack_from("<I", first, 4)[0]


def _make_empty(name):
    open(name, "w").close()


def _exists(name):
    try:
        os.stat(name)
        return True
    except OSError:
        return False


def _remove(name):
    try:
        os.remove(name)
    except OSError:
        pass  # it was not made, or the volume is gone: the next start looks again
