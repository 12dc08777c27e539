# The store: frames into shards on flash, with nothing lost that was said to be stored
# docs/FORMAT.md specifies the files and what recovery makes of every state.
import asyncio
import gc
import os
import struct
from binascii import crc32

import frame
import shardcodec
from micropython import const

_BUFFER_FRAMES = const(77)  # 1 kB with the commit that ends a flush
_HEAD = const(16)  # the buffer's own head, for the mirror: magic, shard, flush, count, CRC
_MAGIC = const(0x314D)
_FLUSH_AGE_S = const(600)  # a power cut costs at most so much
_RETRY_S = const(30)  # between attempts to write to a full or failing volume
_SEAL_RETRY_S = const(600)
_SILENCE_S = const(30_000)  # the u16 time in a frame is unique for twice that
_CLOCK_STEP_S = const(2)
_SHARD_BYTES = const(262_144)
_READ_FRAMES = const(78)
_ENOSPC = const(28)
_EEXIST = const(17)


class Store:
    """One battery's log in the folder `path`, e.g. "/data".

    `clock` has `uptime_s()` and `unix_s()` (0 = unknown); `rtc` is a machine.RTC or None;
    `reset_cause` goes into this boot's anchor. Call `open` once, then `append` and `event`
    as frames come, `tick` every second or so, and run `run` as a task for sealing.

    Nothing here raises for a full or broken volume: `message` then holds a sentence for the
    user and frames wait in the buffer; `dropped` counts those that had to go.
    """

    def __init__(self, path, name, clock, rtc=None, reset_cause=0):
        self.path = path
        self.name = frame.shard_name(name)
        self.cells = 0  # in series, for anchors; 0 until known
        self.message = ""
        self.frames = 0  # appended since boot, control frames not counted
        self.flushes = 0
        self.dropped = 0
        self.shards = 0  # files on flash, and their bytes
        self.bytes = 0
        self.boot = 0
        self._clock = clock
        self._rtc = rtc
        self._reset_cause = reset_cause
        self._buffer = bytearray(_HEAD + (_BUFFER_FRAMES + 1) * frame.SIZE)
        self._view = memoryview(self._buffer)
        self._n = 0  # frames in the buffer
        self._crc = 0  # of them
        self._oldest_s = 0  # when the first of them came
        self._newest_s = 0
        self._retry_s = 0  # no flush before
        self._seal_retry_s = 0
        self._unreported = 0  # dropped frames no event tells of yet
        self._unix_offset_s = 0  # unix time minus uptime at the last anchor; 0 = unknown
        self._number = 0
        self._size = 0  # committed bytes of the active shard
        self._file = None
        self._flush_number = 0
        self._limit = _SHARD_BYTES
        self._events = []  # to be stored at the next tick
        self._unsealed = []  # (number, name, committed bytes), oldest first
        self._sealed = []  # (number, name, bytes), oldest first
        self._wake = asyncio.Event()

    # ---- frames in

    def append(self, frames, n=1):
        """Take the first `n` frames of the buffer `frames`; they are flushed when due."""
        for i in range(n):
            if self._n == _BUFFER_FRAMES:
                self.flush()
            self._put(frames, i * frame.SIZE)
            if frame.kind(frames, i * frame.SIZE) == 0:
                self.frames += 1
        self._mirror()
        if self._n == _BUFFER_FRAMES:
            self.flush()

    def event(self, code, a=0, b=0):
        """Store an event (codes in lib/frame.py) with its two numbers."""
        control = bytearray(frame.SIZE)  # its own: appending may lead to other control frames
        frame.pack_event(control, 0, self._clock.uptime_s(), code, a, b)
        self.append(control)

    def tick(self):
        """Do what time demands: flush, retry, anchor a clock that was set."""
        now_s = self._clock.uptime_s()
        unix_s = self._clock.unix_s()
        while self._events:
            self.event(*self._events.pop(0))
        if unix_s:
            step = unix_s - now_s - self._unix_offset_s
            if abs(step) > _CLOCK_STEP_S:
                if self._unix_offset_s:
                    self.event(frame.CLOCK_STEPPED, max(0, step), max(0, -step))
                self._anchor()
        if now_s - self._newest_s >= _SILENCE_S:
            self._anchor()
        if self._n and now_s - self._oldest_s >= _FLUSH_AGE_S:
            self.flush()
        if self._unsealed and now_s >= self._seal_retry_s:
            self._wake.set()

    def _anchor(self):
        now_s = self._clock.uptime_s()
        unix_s = self._clock.unix_s()
        self._unix_offset_s = unix_s - now_s if unix_s else 0
        control = bytearray(frame.SIZE)
        frame.pack_anchor(control, 0, now_s, unix_s, self.boot, self._reset_cause, self.cells)
        self.append(control)

    def _put(self, frames, offset):
        if self._n == _BUFFER_FRAMES:
            self._drop_oldest()
        at = _HEAD + self._n * frame.SIZE
        for i in range(frame.SIZE):
            self._buffer[at + i] = frames[offset + i]
        self._newest_s = self._clock.uptime_s()
        if self._n == 0:
            self._oldest_s = self._newest_s
            self._crc = 0
        self._crc = crc32(self._view[at : at + frame.SIZE], self._crc)
        self._n += 1

    def _drop_oldest(self):
        # data goes first: an anchor dates many frames
        i = 0
        while i < self._n - 1 and frame.kind(self._buffer, _HEAD + i * frame.SIZE):
            i += 1
        at = _HEAD + i * frame.SIZE
        end = _HEAD + self._n * frame.SIZE
        self._buffer[at : end - frame.SIZE] = self._buffer[at + frame.SIZE : end]
        self._n -= 1
        self._crc = crc32(self._view[_HEAD : end - frame.SIZE])
        self.dropped += 1
        self._unreported += 1

    def _anchor_first(self, uptime_s, unix_s, boot):
        """Put an anchor before what waits in the buffer: it will begin a shard."""
        if self._n == 0 or frame.kind(self._buffer, _HEAD) == frame.ANCHOR:
            return
        if self._n == _BUFFER_FRAMES:
            self._drop_oldest()
        end = _HEAD + self._n * frame.SIZE
        self._buffer[_HEAD + frame.SIZE : end + frame.SIZE] = self._buffer[_HEAD:end]
        frame.pack_anchor(self._buffer, _HEAD, uptime_s, unix_s, boot, 0, self.cells)
        self._n += 1
        self._crc = crc32(self._view[_HEAD : end + frame.SIZE])

    # ---- RTC memory: what a reset with power on must not lose

    def _mirror(self):
        if self._rtc is None:
            return
        struct.pack_into(
            "<HHIII",
            self._buffer,
            0,
            _MAGIC,
            self._n,
            self._number,
            self._flush_tag(self._flush_number),
            self._crc,
        )
        self._rtc.memory(self._buffer)

    def _flush_tag(self, flush):
        return (crc32(self.name) & 0xFFFF) << 16 | flush & 0xFFFF

    def _restore(self, last_flush):
        """Take back the frames that a reset caught in the buffer."""
        old = self._rtc.memory() if self._rtc else b""
        if len(old) != len(self._buffer):
            return
        magic, n, number, flush, crc = struct.unpack_from("<HHIII", old, 0)
        if magic != _MAGIC or n > _BUFFER_FRAMES or number != self._number:
            return
        if flush >> 16 != self._flush_tag(0) >> 16 or flush == self._flush_tag(last_flush):
            return  # another battery's, or the reset came after the flush
        if crc32(memoryview(old)[_HEAD : _HEAD + n * frame.SIZE]) != crc:
            return
        for i in range(n):
            self._put(old, _HEAD + i * frame.SIZE)

    # ---- flash

    def flush(self):
        """Write the buffer and commit it; return True when nothing is left in it."""
        if self._n == 0:
            return True
        now_s = self._clock.uptime_s()
        if now_s < self._retry_s:
            return False
        if self._unreported and self._n < _BUFFER_FRAMES:
            dropped = self._unreported
            self._unreported = 0
            control = bytearray(frame.SIZE)
            frame.pack_event(control, 0, now_s, frame.FRAMES_DROPPED, dropped)
            self._put(control, 0)
        end = _HEAD + self._n * frame.SIZE
        frame.pack_commit(self._buffer, end, now_s, self._crc, self._n, self._flush_number)
        data = self._view[_HEAD : end + frame.SIZE]
        error = self._write(data)
        if error and error.errno == _ENOSPC and self._file is None and self._delete_oldest():
            error = self._write(data)
        if error:
            self._trouble(error)
            self._retry_s = now_s + _RETRY_S
            return False
        self._size += len(data)
        self._n = 0
        self.flushes += 1
        self.bytes += len(data)
        self._flush_number += 1
        self.message = ""
        self._mirror()
        if self._size + len(self._buffer) > self._limit:
            self._roll_over()
            self._anchor()
        return True

    def _write(self, data):
        """Append to the active shard; return None, or the error if it is not on flash."""
        try:
            if self._file is None:
                if self._size == 0:
                    self._make_folder()
                    self.shards += 1
                self._file = open(self._file_name(self._number, self.name, "raw"), "ab")
            self._file.write(data)
            self._file.flush()
        except OSError as exc:
            return None if self._stored_after_all(data) else exc

    def _close(self):
        if self._file:
            try:
                self._file.close()
            except OSError:
                pass  # what counts is what is on flash, looked at next
            self._file = None

    def _stored_after_all(self, data):
        """After an error: is the flush on flash? A torn one ends the shard."""
        self._close()
        name = self._file_name(self._number, self.name, "raw")
        size = 0
        try:
            size = os.stat(name)[6]
            with open(name, "rb") as f:
                f.seek(self._size)
                if f.read(len(data)) == data:
                    return True
        except OSError:
            pass  # it does not exist, or cannot be read: a torn shard then
        if size == self._size:
            if size == 0:
                self.shards -= 1
            return False
        self._roll_over()
        unix_s = self._oldest_s + self._unix_offset_s if self._unix_offset_s else 0
        self._anchor_first(self._oldest_s, unix_s, self.boot)
        return False

    def _trouble(self, error):
        if error.errno == _ENOSPC:
            message = "Flash is full: delete files that are not from batmon"
        else:
            message = "Flash error %d: log kept in memory" % error.errno
        if message != self.message:
            print("store:", message)
        self.message = message

    def _file_name(self, number, name, kind):
        return "%s/%s-%05d.%s" % (self.path, name, number, kind)

    def _roll_over(self):
        self._close()
        if self._size:
            self._unsealed.append((self._number, self.name, self._size))
        self._number += 1
        self._size = 0
        self._save_state()
        self._wake.set()

    def _save_state(self):
        """Remember boot and shard number: neither is ever used twice."""
        name = self.path + "/state"
        try:
            with open(name + ".tmp", "w") as f:
                f.write("%d %d\n" % (self.boot, self._number))
            os.rename(name + ".tmp", name)
        except OSError as exc:
            print("store: cannot write %s (error %d)" % (name, exc.errno))

    # ---- start

    def open(self):
        """Bring the folder into order after whatever happened, and begin this boot."""
        boot = 0
        last_flush = -1
        taken = False  # the newest number has a file that is not gone on with
        try:
            self._make_folder()
            st = os.statvfs(self.path)
            self._limit = min(_SHARD_BYTES, st[2] * st[0] // 8)
            boot = self._load_state()
            raws = self._sort_files()
            taken = bool(self._sealed) and self._sealed[-1][0] == self._number
            for number, name in raws:
                good, size, flush, last_boot = self._scan(number, name)
                boot = max(boot, last_boot)
                if good != size:
                    self._events.append((frame.TAIL_CUT, size - good))
                if number == self._number and name == self.name:
                    last_flush = flush
                    if good == size and 0 < good <= self._limit - len(self._buffer):
                        self._size = good
                        self._flush_number = flush + 1
                        continue
                taken = taken or number == self._number
                if good:
                    self._unsealed.append((number, name, good))
                else:
                    self._set_aside(number, name, size)
        except OSError as exc:
            self._trouble(exc)
        self._restore(last_flush)
        if taken or self._number == 0:
            self._number += 1
        if self._n and self._size == 0:
            self._anchor_first(struct.unpack_from("<H", self._buffer, _HEAD)[0], 0, boot)
        self.boot = boot + 1
        self._save_state()
        self._anchor()
        if self._unsealed:
            self._wake.set()

    def _make_folder(self):
        try:
            os.mkdir(self.path)
        except OSError as exc:
            if exc.errno != _EEXIST:
                raise

    def _load_state(self):
        boot = 0
        for name in ("/state.tmp", "/state"):  # FAT may have been cut between delete and rename
            try:
                with open(self.path + name) as f:
                    b, n = f.read().split()
                boot = max(boot, int(b))
                self._number = max(self._number, int(n))
            except (OSError, ValueError):
                pass
        return boot

    def _sort_files(self):
        """List the folder once, delete what is unfinished or superseded; return raw shards."""
        raws = []
        sealed = []
        for file, size in _list(self.path):
            kind = file[file.rfind(".") + 1 :]
            stem = file[: -len(kind) - 1]
            dash = stem.rfind("-")
            if dash < 1 or not stem[dash + 1 :].isdigit():
                continue
            number = int(stem[dash + 1 :])
            if kind == "tmp":
                os.remove(self.path + "/" + file)
            elif kind in ("raw", "bts", "bad"):
                self._number = max(self._number, number)
                self.shards += kind != "bad"
                self.bytes += size
                if kind == "raw":
                    raws.append((number, stem[:dash]))
                elif kind == "bts":
                    sealed.append((number, stem[:dash], size))
        for number, name, size in sealed:
            if (number, name) in raws:  # cut between rename and delete, or in the rename
                kind = "raw" if _intact(self._file_name(number, name, "bts")) else "bts"
                os.remove(self._file_name(number, name, kind))
                self.shards -= 1
                if kind == "raw":
                    raws.remove((number, name))
                    self._sealed.append((number, name, size))
            else:
                self._sealed.append((number, name, size))
        raws.sort()
        self._sealed.sort()
        return raws

    def _scan(self, number, name):
        """Return (bytes up to the last good commit, file size, its flush, last boot number)."""
        good = pos = boot = 0
        flush = -1
        crc = count = 0
        buf = bytearray(_READ_FRAMES * frame.SIZE)
        view = memoryview(buf)
        with open(self._file_name(number, name, "raw"), "rb") as f:
            while True:
                n = f.readinto(buf)
                for at in range(0, n - n % frame.SIZE, frame.SIZE):
                    kind = frame.kind(buf, at)
                    if kind == frame.COMMIT:
                        _, _, want, frames, number = struct.unpack_from("<HHIHH", buf, at)
                        if want != crc or frames != count:
                            break
                        good = pos + at + frame.SIZE
                        flush = number
                        crc = count = 0
                    else:
                        if kind == frame.ANCHOR:
                            boot = max(boot, struct.unpack_from("<H", buf, at + 8)[0])
                        crc = crc32(view[at : at + frame.SIZE], crc)
                        count += 1
                else:
                    pos += n
                    if n == len(buf):
                        continue
                break
            size = f.seek(0, 2)
        return good, size, flush, boot

    def _set_aside(self, number, name, size):
        raw = self._file_name(number, name, "raw")
        self.shards -= 1
        if size == 0:
            os.remove(raw)
            return
        os.rename(raw, self._file_name(number, name, "bad"))
        self._events.append((frame.SHARD_BAD, number))
        print("store: %s holds no whole flush, set aside as .bad" % raw)

    # ---- sealing and room, in the background

    async def run(self):
        """Seal what waits and keep room for the next shard; never ends."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._unsealed:
                number, name, good = self._unsealed[0]
                try:
                    self._make_room()
                    await self._seal(number, name, good)
                except shardcodec.ShardError as exc:
                    # the raw shard is whole all the same: it stays, and the next boot tries again
                    self._events.append((frame.FLASH_ERROR, 0))
                    print("store: %s-%05d stays raw: %s" % (name, number, exc))
                except (OSError, MemoryError) as exc:
                    errno = exc.errno if isinstance(exc, OSError) else 0
                    self._events.append((frame.FLASH_ERROR, errno))
                    self._seal_retry_s = self._clock.uptime_s() + _SEAL_RETRY_S
                    print("store: %s-%05d is sealed later: %s" % (name, number, exc))
                    break
                self._unsealed.pop(0)
                gc.collect()

    def _make_room(self):
        st = os.statvfs(self.path)
        free = st[3] * st[0]
        while free < 2 * self._limit:
            freed = self._delete_oldest()
            if not freed:
                return
            free += freed

    def _delete_oldest(self):
        """Delete the oldest sealed shard; return its bytes, 0 if there is none."""
        if not self._sealed:
            return 0
        number, name, size = self._sealed.pop(0)
        try:
            os.remove(self._file_name(number, name, "bts"))
        except OSError:
            return 0
        self.shards -= 1
        self.bytes -= size
        self._events.append((frame.SHARD_DELETED, number, size))
        return size or 1

    async def _seal(self, number, name, good):
        raw = self._file_name(number, name, "raw")
        tmp = self._file_name(number, name, "tmp")
        bts = self._file_name(number, name, "bts")
        frames = bytearray(shardcodec.BLOCK_FRAMES * frame.SIZE)
        encoder = shardcodec.Encoder()
        total = 0
        size = len(shardcodec.HEADER)
        with open(raw, "rb") as source, open(tmp, "wb") as out:
            out.write(shardcodec.HEADER)
            while True:
                n = _read_frames(source, frames, good)
                if n == 0:
                    break
                for _ in encoder.encode(frames, n):
                    await asyncio.sleep_ms(0)
                out.write(encoder.block)
                size += len(encoder.block)
                total += n
            end = shardcodec.end_block(total)
            out.write(end)
            size += len(end)
        encoder = None
        await self._compare(raw, tmp, good, frames, total)
        os.rename(tmp, bts)
        raw_size = os.stat(raw)[6]
        os.remove(raw)
        self._sealed.append((number, name, size))
        self._sealed.sort()
        self.bytes += size - raw_size

    async def _compare(self, raw, tmp, good, frames, total):
        """Read a sealed shard back against its raw one; raises ShardError if they differ."""
        back = bytearray(len(frames))
        with open(raw, "rb") as source, open(tmp, "rb") as f:
            if f.read(len(shardcodec.HEADER)) != shardcodec.HEADER:
                raise shardcodec.ShardError("read back no header")
            for block in _blocks(f):
                if shardcodec.end_total(block) >= 0:
                    if shardcodec.end_total(block) == total:
                        return
                    break
                n = _read_frames(source, frames, good)
                for _ in shardcodec.decode(block, back):
                    await asyncio.sleep_ms(0)
                end = n * frame.SIZE
                if memoryview(back)[:end] != memoryview(frames)[:end]:
                    break
        raise shardcodec.ShardError("read back differently")


def _list(path):
    """Return (name, bytes) of every file in a folder."""
    entries = os.ilistdir(path)
    out = []
    while True:
        try:
            entry = next(entries)
        except StopIteration:
            return out
        except UnicodeError:
            continue  # FAT: a name torn by a power cut
        out.append((entry[0], entry[3] if len(entry) > 3 else 0))


def _read_frames(f, frames, good):
    """Fill `frames` from a raw shard up to byte `good`, without commits; return how many."""
    n = 0
    view = memoryview(frames)
    while n < shardcodec.BLOCK_FRAMES and f.tell() < good:
        at = n * frame.SIZE
        if f.readinto(view[at : at + frame.SIZE]) < frame.SIZE:
            break
        if frame.kind(frames, at) != frame.COMMIT:
            n += 1
    return n


def _blocks(f):
    """Yield the blocks of an open sealed shard; raises ShardError at damage."""
    while True:
        head = f.read(shardcodec.HEAD_BYTES)
        if not head:
            return
        length = shardcodec.block_bytes(head)
        if not length:
            raise shardcodec.ShardError("damaged block")
        block = head + f.read(length - len(head))
        shardcodec.check(block)
        yield block


def _intact(name):
    """Is a sealed shard complete?"""
    try:
        with open(name, "rb") as f:
            if f.read(len(shardcodec.HEADER)) != shardcodec.HEADER:
                return False
            total = 0
            for block in _blocks(f):
                end = shardcodec.end_total(block)
                if end >= 0:
                    return end == total
                total += shardcodec.check(block)
    except (OSError, shardcodec.ShardError):
        pass
    return False
