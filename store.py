# The store: frames into shards on flash, with nothing lost that was said to be stored
# docs/FORMAT.md specifies the files, the RTC memory, and what recovery makes of every state.
import gc
import os
import struct
import sys
from binascii import crc32

from micropython import const
from shards import frame
from shards.folder import STATES, Shards

_BUFFER_FRAMES = const(77)  # 1 kB with the commit that ends a flush
_SLOTS = const(80)  # and with what a restart adds: a frame that was held, an anchor
_HELD_AT = const(1040)  # _SLOTS * 13
_TAIL_AT = const(1053)
_TAIL = const("<HHHHIII")  # magic, frames, name, flush, shard, check of the frames, of the held
_TAIL_BYTES = const(20)
_MAGIC = const(0x324D)
_CHECK = const(0x1FFFFFF)  # 31 * this is still a small int
_FLUSH_AGE_S = const(600)  # a power cut costs at most so much
_RETRY_S = const(30)  # between attempts to write to a full or failing volume
_SILENCE_S = const(30_000)  # the u16 time in a frame is unique for twice that
_CLOCK_STEP_S = const(2)
_RATE_S = const(3600)  # a shorter uptime says nothing about the present rate
_DAY_S = const(86400)
_FULL = (28, 13)  # ENOSPC; EACCES is what FAT says when a folder cannot grow
_ENOENT = const(2)
_UNKNOWN = 0xFFFFFFFF  # number of a shard, before the folder was read
_LOOKS = const(10)  # for what is on flash, before a shard is left as it is


class Store(Shards):
    """One battery's log in the folder `path`, e.g. "/data".

    `clock` has `uptime_s()` and `unix_s()` (0 = unknown); `rtc` is a machine.RTC or None;
    `reset_cause` goes into this boot's anchor. Call `open` once, then `append`, `hold` and
    `event` as frames come, and `tick` every second or so. When `packing_due` says so, flush and
    let app/packing.py pack the shards that are full: that takes a start of its own.

    Nothing here raises for a full or broken volume: `message` then holds a sentence for the
    user and frames wait in the buffer; `dropped` counts those that had to go. Nothing is decided
    by a look at the volume that failed: it is repeated before the next flush.
    """

    def __init__(self, path, name, clock, rtc=None, reset_cause=0):
        super().__init__(path, clock)
        self.name = frame.shard_name(name)
        self.cells = 0  # in series, for anchors; 0 until known
        self.message = ""
        self.frames = 0  # appended since boot, control frames not counted
        self.flushes = 0
        self.flushed_s = 0  # uptime of the last flush
        self.dropped = 0
        self.days_stored = None  # from the oldest frame to now, None while unknown
        self.days_left = None  # at the present rate, until the oldest shard has to go
        self.boot = 0
        self.packing_due = False
        self._rtc = rtc
        self._reset_cause = reset_cause
        self._name_tag = crc32(self.name) & 0xFFFF
        self._buffer = bytearray(_TAIL_AT + _TAIL_BYTES)  # as it lies in RTC memory
        self._view = memoryview(self._buffer)
        self._n = 0  # frames in the buffer
        self._check = 0  # of them
        self._held = 0  # check of the frame that is held, 0 if none is
        self._oldest_s = 0  # when the first of them came
        self._newest_s = 0
        self._front = 0  # so many at the front may be on flash: of the boot before, or of a flush
        self._ready = False  # the folder was read
        self._unsure = False  # a flush was interrupted
        self._looks = 0  # in vain, for what it left
        self._paused = None
        self._retry_s = 0  # no flush before
        self._opened_s = 0
        self._unreported = 0  # dropped frames no event tells of yet
        self.unix_offset_s = 0  # unix time minus uptime at the last anchor; 0 = unknown
        self._number = _UNKNOWN
        self._size = 0  # committed bytes of the active shard
        self._file = None
        self._flush_number = 0

    # ---- frames in; nothing here takes memory while frames only go into the buffer

    def append(self, frames, n=1):
        """Take the first `n` frames of the buffer `frames`; they are flushed when due."""
        for i in range(n):
            if self._n >= _BUFFER_FRAMES:
                self.flush()
            self._put(frames, i * frame.SIZE)
            if frame.kind(frames, i * frame.SIZE) == 0:
                self.frames += 1
                self._held = 0  # it was about the time that this frame tells of
        self._mirror()
        if self._n >= _BUFFER_FRAMES:
            self.flush()

    def hold(self, frames, offset=0):
        """Keep a data frame that would be stored if the board stopped now.

        It lies in RTC memory until a data frame is appended or another one held; only a reset
        that keeps this memory makes it part of the log.
        """
        self._held = _copy(self._buffer, _HELD_AT, frames, offset, 1)
        self._mirror()

    def event(self, code, a=0, b=0):
        """Store an event (codes in shards/frame.py) with its two numbers."""
        control = bytearray(frame.SIZE)  # its own: appending may lead to other control frames
        frame.pack_event(control, 0, self._clock.uptime_s(), code, a, b)
        self.append(control)

    def tick(self):
        """Do what time demands: flush, retry, anchor a clock that was set."""
        now_s = self._clock.uptime_s()
        unix_s = self._clock.unix_s()
        while self.events:
            self.event(*self.events.pop(0))
        if unix_s:
            step = unix_s - now_s - self.unix_offset_s
            if abs(step) > _CLOCK_STEP_S:
                if self.unix_offset_s:
                    self.event(frame.CLOCK_STEPPED, max(0, step), max(0, -step))
                self.anchor()
        if now_s - self._newest_s >= _SILENCE_S:
            self.anchor()
        if self._n and now_s - self._oldest_s >= _FLUSH_AGE_S:
            self.flush()

    def anchor(self):
        """Store an anchor with what is known now: the time, and how many cells there are."""
        now_s = self._clock.uptime_s()
        unix_s = self._clock.unix_s()
        self.unix_offset_s = unix_s - now_s if unix_s else 0
        self.oldest_unix_s = self.oldest_unix_s or unix_s
        control = bytearray(frame.SIZE)
        frame.pack_anchor(control, 0, now_s, unix_s, self.boot, self._reset_cause, self.cells)
        self.append(control)

    def _put(self, frames, offset):
        while self._n >= _BUFFER_FRAMES:
            self._drop_oldest()
        self._newest_s = self._clock.uptime_s()
        if self._n == 0:
            self._oldest_s = self._newest_s
            self._check = 0
        self._check = _copy(self._buffer, self._n * frame.SIZE, frames, offset, self._check)
        self._n += 1

    def _drop_oldest(self):
        # data goes first: an anchor dates many frames
        i = 0
        while i < self._n - 1 and frame.kind(self._buffer, i * frame.SIZE):
            i += 1
        self._take_out(i, 1)
        if i < self._front:
            self._front -= 1
        self.dropped += 1
        self._unreported += 1

    def _take_out(self, first, count):
        """Take frames out of the buffer."""
        at = first * frame.SIZE
        end = self._n * frame.SIZE
        behind = at + count * frame.SIZE
        self._buffer[at : end - behind + at] = self._buffer[behind:end]
        self._n -= count
        self._check = _check(self._buffer, self._n)

    def _anchor_first(self, uptime_s, unix_s, boot):
        """Put an anchor before what waits in the buffer: it will begin a shard."""
        if self._n == 0 or frame.kind(self._buffer, 0) == frame.ANCHOR:
            return
        if self._n == _SLOTS - 1:  # the last is the commit's
            self._drop_oldest()
        end = self._n * frame.SIZE
        self._buffer[frame.SIZE : end + frame.SIZE] = self._buffer[:end]
        frame.pack_anchor(self._buffer, 0, uptime_s, unix_s, boot, 0, self.cells)
        self._n += 1
        self._check = _check(self._buffer, self._n)

    # ---- RTC memory: what a reset with power on must not lose

    def _mirror(self):
        if self._rtc is None:
            return
        # What says that the rest is valid comes last: a reset may strike while it is copied.
        struct.pack_into(
            _TAIL,
            self._buffer,
            _TAIL_AT,
            _MAGIC,
            self._n,
            self._name_tag,
            self._flush_number & 0xFFFF,
            self._number,
            self._check,
            self._held,
        )
        self._rtc.memory(self._buffer)

    def _take_back(self):
        """Take back the frames that a reset caught in the buffer, if they are of this log."""
        old = self._rtc.memory() if self._rtc else b""
        if len(old) != len(self._buffer):
            return
        magic, n, name, flush, number, check, held = struct.unpack_from(_TAIL, old, _TAIL_AT)
        if magic != _MAGIC or n >= _SLOTS or name != self._name_tag:
            return
        self._buffer[:] = old
        self._flush_number = flush
        self._number = number
        if check == _check(old, n):
            self._n = n
            self._check = check
        self._front = self._n
        if held and self._n == _SLOTS - 1:  # the last is the commit's
            self._drop_oldest()
        if held and held == _copy(self._buffer, self._n * frame.SIZE, old, _HELD_AT, 1):
            self._n += 1
            self._check = _check(self._buffer, self._n)
        self._oldest_s = self._newest_s = self._clock.uptime_s()

    def _sort_out(self, found):
        """Forget those of them that are on flash already, or are of another time.

        Return whether RTC memory says that the newest shard was being written.
        """
        front, self._front = self._front, 0
        if self._number == _UNKNOWN:
            return False
        # The reset may have come between the end of a shard and the first flush of the next, and
        # the volume may have refused to note that it is the next.
        if not found.number - 1 <= self._number <= found.number + 1:
            self._take_out(0, front)
            return False
        flush, count, crc = found.last_flush.get(self._number, (-1, 0, 0))
        if flush == self._flush_number and count <= front:
            # the reset came in or right after the flush
            if crc32(self._view[: count * frame.SIZE]) == crc:
                self._take_out(0, count)
        return self._number == found.number

    # ---- flash

    def flush(self):
        """Write the buffer and commit it; return True when nothing is left in it."""
        if self._n == 0:
            return True
        now_s = self._clock.uptime_s()
        if now_s < self._retry_s:
            return False
        if not (self._ready or self._begin(True)) or self._unsure and not self._look():
            self._retry_s = now_s + _RETRY_S
            return False
        if self._n == 0:
            return True  # it was on flash
        if self._unreported and self._n < _BUFFER_FRAMES:
            control = bytearray(frame.SIZE)
            frame.pack_event(control, 0, now_s, frame.FRAMES_DROPPED, self._unreported)
            self._unreported = 0
            self._put(control, 0)
        self._mirror()  # in it is exactly what is written: a reset may come right after
        error = self._write(now_s)
        if error and error.errno in _FULL and not self._unsure and self._is_full():
            if self.delete_oldest():
                error = self._write(now_s)
        if error:
            self._trouble(error)
            self._retry_s = now_s + _RETRY_S
            self._mirror()
            return False
        self.message = ""
        self._count_days(now_s)
        if self._size + _SLOTS * frame.SIZE > self.limit:
            self._roll_over()
            self.anchor()
        return True

    def _write(self, now_s):
        """Append the buffer to the active shard; return None, or the error if that failed."""
        end = self._n * frame.SIZE
        crc = crc32(self._view[:end])
        frame.pack_commit(self._buffer, end, now_s, crc, self._n, self._flush_number)
        self._front = self._n
        self._unsure = True  # whatever happens now, the next flush looks first
        try:
            if self._file is None:
                if self._size == 0:
                    self.make_folder()
                    self.make_entry(self._number, self.name)
                self._file = open(self.file(self._number, self.name, "raw"), "ab")
            self._file.write(self._view[: end + frame.SIZE])
            self._file.flush()
        except OSError as exc:
            return None if self._look() and self._n == 0 else exc
        self._stored(self._n)

    def _stored(self, count):
        """Note that the first `count` frames, less those dropped since, are committed."""
        size = (count + 1) * frame.SIZE
        self.shards += self._size == 0
        self._size += size
        self.bytes += size
        self.free -= size
        self._flush_number += 1
        self._unsure = False
        self._take_out(0, self._front)
        self._front = 0
        self.flushes += 1
        self.flushed_s = self._clock.uptime_s()
        self._mirror()

    def _close(self):
        if self._file:
            try:
                self._file.close()
            except OSError:
                pass  # what counts is what is on flash, looked at next
            self._file = None

    def _look(self):
        """Find out what an interrupted flush left; return whether that is known now.

        If it is on flash it counts, if nothing is it will be written again; a torn one ends the
        shard.
        """
        self._close()
        name = self.file(self._number, self.name, "raw")
        try:
            size = _size_of(name)
            count = _flush_at(name, self._size, self._flush_number) if size > self._size else 0
        except OSError as exc:
            self._looks += 1
            if self._looks < _LOOKS:
                self._trouble(exc)
                return False
            size, count = -1, 0  # it cannot be read: the frames go to the next shard
        self._looks = 0
        if count:
            self._stored(count)
            return True
        self._unsure = False
        self._front = 0
        if size != self._size:
            self.shards += self._size == 0
            self._roll_over()
            unix_s = self._oldest_s + self.unix_offset_s if self.unix_offset_s else 0
            self._anchor_first(self._oldest_s, unix_s, self.boot)
        return True

    def _is_full(self):
        """Is there really no room, as an error said?"""
        try:
            self.ask_free()
        except OSError:
            return False
        return self.free < self.limit

    def _trouble(self, error):
        if error.errno in _FULL:
            message = "Flash is full: delete files that are not from batmon"
        else:
            message = "Flash error %d: log kept in memory" % error.errno
        if message != self.message:
            print("store:", message)
        self.message = message

    def _roll_over(self):
        self._close()
        if self._size:
            self.unsealed.append((self._number, self.name, self._size))
            self.packing_due = True
        self._number += 1
        self._size = 0
        self._save_state()

    def _save_state(self):
        """Remember boot and shard number: neither is ever used twice."""
        for name in STATES:  # two copies, one after the other: a cut spoils one at most
            try:
                with open(self.path + name, "w") as f:
                    f.write("%d %d\n" % (self.boot, self._number))
            except OSError as exc:
                print("store: cannot write %s%s (error %d)" % (self.path, name, exc.errno))

    def _count_days(self, now_s):
        unix_s = self._clock.unix_s()
        if unix_s and self.oldest_unix_s:
            self.days_stored = max(0, unix_s - self.oldest_unix_s) // _DAY_S
        age_s = now_s - self._opened_s
        if age_s >= _RATE_S and self.frames:
            # in the end, all but three shards' worth of the volume holds sealed shards
            room = max(0, self.free + self._size - 3 * self.limit)
            a_day = self.frames * self.millibytes / age_s * (_DAY_S / 1000)
            self.days_left = int(room / a_day)

    # ---- start

    def open(self, paused=None):
        """Bring the folder into order after whatever happened, and begin this boot.

        `paused` is what app/packing.py tells: the boot goes on that it paused, and no packing
        is due until a shard is full.
        """
        self._paused = paused
        self._opened_s = self._clock.uptime_s()
        self._take_back()
        if not self._begin(False):
            self._retry_s = self._opened_s + _RETRY_S
            self._enter()

    def _begin(self, late):
        """Read the folder and begin this boot; return whether it could be read.

        `late` if frames of this boot wait already, behind an anchor without its number.
        """
        from shards import recovery

        found = recovery.Found(self._looks < _LOOKS)
        try:
            recovery.recover(self, found)
        except OSError as exc:
            self._trouble(exc)
            self._looks += 1
            return False
        finally:
            del sys.modules["shards.recovery"], sys.modules["shards"].recovery  # their memory
        self._looks = 0
        same = self._sort_out(found)
        self._number = found.number
        self._size = found.size
        self._flush_number = found.flush
        if found.taken or not (same or found.size):
            self._number += 1  # files may have been deleted: a number is never used again
        paused = self._paused
        self.packing_due = bool(self.unsealed) and not paused
        goes_on = paused and paused["boot"] == found.boot and paused["gap_s"]
        self.boot = found.boot if goes_on else found.boot + 1
        self._ready = True
        if late:
            self._name_boot()
        if self._size == 0:
            first_s = struct.unpack_from("<H", self._buffer)[0]
            self._anchor_first(first_s, 0, found.boot)
        self._save_state()
        self.flush()
        if not late:
            self._enter()
        if paused:
            self.events += paused["events"]
        gc.collect()
        return True

    def _enter(self):
        """Mark in the log where this boot begins, or goes on."""
        self.anchor()
        if self._paused and self._paused["gap_s"]:
            self.event(frame.GAP, self._paused["gap_s"])

    def _name_boot(self):
        """Tell the anchors of this boot its number, which nobody knew when they were made."""
        for at in range(0, self._n * frame.SIZE, frame.SIZE):
            if frame.kind(self._buffer, at) == frame.ANCHOR:
                boot = struct.unpack_from("<H", self._buffer, at + 8)[0]
                struct.pack_into("<H", self._buffer, at + 8, boot or self.boot & 0xFFFF)
        self._check = _check(self._buffer, self._n)


def _copy(to, at, source, offset, check):
    """Copy a frame; return `check` carried on over it: small ints, which take no memory."""
    for i in range(frame.SIZE):
        byte = source[offset + i]
        to[at + i] = byte
        check = check * 31 + byte & _CHECK
    return check


def _check(frames, n):
    check = 0
    for i in range(n * frame.SIZE):
        check = check * 31 + frames[i] & _CHECK
    return check


def _size_of(name):
    """Return the bytes of a file, 0 if there is none; raises OSError for any other reason."""
    try:
        return os.stat(name)[6]
    except OSError as exc:
        if exc.errno != _ENOENT:
            raise
        return 0


def _flush_at(name, at, number):
    """Return how many frames the flush `number` has that begins at byte `at` and ends the file.

    0 if it is not there whole. Raises OSError.
    """
    data = bytearray((_SLOTS + 1) * frame.SIZE)
    with open(name, "rb") as f:
        f.seek(at)
        n = f.readinto(data) - frame.SIZE
    if n < 0 or n % frame.SIZE or frame.kind(data, n) != frame.COMMIT:
        return 0
    _, _, crc, count, flush = struct.unpack_from("<HHIHH", data, n)
    whole = count * frame.SIZE == n and flush == number & 0xFFFF
    return count if whole and crc32(memoryview(data)[:n]) == crc else 0
