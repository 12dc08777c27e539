# The frames that wait for the next flush, and their copy in RTC memory, which resets leave alone
# docs/FORMAT.md specifies that memory, and the file that keeps the held frame through a power cut.
import struct
from binascii import crc32

from micropython import const
from shards import frame

SLOTS = const(80)  # for frames, if there is one battery
SPARE = const(5)  # what comes during a flush, or with a restart: an anchor, a held frame
UNKNOWN = 0xFFFFFFFF  # number of a shard, before the folder was read
_BYTES = const(1073)  # SLOTS * 13, the held frame, the tail
_TAIL = const("<HHHHIII")  # magic, frames, name, flush, shard, check of the frames, of the held
_HELD_BYTES = const(33)  # the held frame and the tail
_MAGIC = const(0x324D)
_RECORD = const(0xFE04)  # of the minutes around a fault: no more than data
_READS = const(3)
_CHECK = const(0x1FFFFFF)  # 31 * this is still a small int


class Waiting:
    """Frames of the log `name` in order, less than `slots`, and one that is held.

    `rtc` is a machine.RTC, or the part of one that the log has (shards/several.py), or None.
    `full` says when it is time to flush. The held frame is data that would be stored if the board
    stopped now; 0 in `held` says that there is none. Nothing here takes memory while frames come
    in, and nothing goes into RTC memory before `mirror`.
    """

    def __init__(self, name, rtc):
        self.n = 0
        self.front = 0  # so many, the oldest, may be on flash: of the boot before, or of a flush
        self.held = 0  # its check
        self.oldest_s = 0  # uptime when the first of them came, and the last
        self.newest_s = 0
        self.shard = UNKNOWN  # the number of the one that is being written
        self.flush = 0  # the number of the next
        self.dropped = 0  # that had no place any more
        self.untold = 0  # of these, no event tells
        self.saved = False  # what was taken back is of the file, not of RTC memory
        self._rtc = rtc
        self._tag = crc32(name) & 0xFFFF
        self._buffer = getattr(rtc, "part", None) or bytearray(_BYTES)  # as it lies in RTC memory
        self._view = memoryview(self._buffer)
        self._held_at = len(self._buffer) - _HELD_BYTES
        self._tail_at = self._held_at + frame.SIZE
        self.slots = self._held_at // frame.SIZE
        self._check = 0  # of the frames

    def full(self):
        return self.n >= self.slots - SPARE

    def put(self, frames, offset, now_s):
        """Add a frame, and drop the oldest one if there is no place."""
        while self.n >= self.slots - 1:  # the last is the commit's
            self.drop_oldest()
        self.newest_s = now_s
        if self.n == 0:
            self.oldest_s = now_s
            self._check = 0
        self._check = _copy(self._buffer, self.n * frame.SIZE, frames, offset, self._check)
        self.n += 1

    def hold(self, frames, offset):
        self.held = _copy(self._buffer, self._held_at, frames, offset, 1)

    def drop_oldest(self):
        # data goes first: an anchor dates many frames
        i = 0
        while i < self.n - 1 and frame.kind(self._buffer, i * frame.SIZE) not in (0, _RECORD):
            i += 1
        self.take_out(i, 1)
        if i < self.front:
            self.front -= 1
        self.dropped += 1
        self.untold += 1

    def take_out(self, first, count):
        """Take out `count` frames from the `first` on."""
        at = first * frame.SIZE
        end = self.n * frame.SIZE
        behind = at + count * frame.SIZE
        self._buffer[at : end - behind + at] = self._buffer[behind:end]
        self.n -= count
        self._check = _check(self._buffer, self.n)

    def anchor_first(self, unix_offset_s, boot, cells):
        """Put an anchor before the first frame, unless that is one: it will begin a shard.

        `unix_offset_s` is unix time minus uptime, 0 if unknown.
        """
        if self.n == 0 or frame.kind(self._buffer, 0) == frame.ANCHOR:
            return
        if self.n == self.slots - 1:
            self.drop_oldest()
        end = self.n * frame.SIZE
        self._buffer[frame.SIZE : end + frame.SIZE] = self._buffer[:end]
        first_s = struct.unpack_from("<H", self._buffer)[0]
        unix_s = 0
        if unix_offset_s:  # the frame tells the low 16 bits; it came soon after that time
            first_s = self.oldest_s - (self.oldest_s - first_s & 0xFFFF)
            unix_s = first_s + unix_offset_s
        frame.pack_anchor(self._buffer, 0, first_s, unix_s, boot, 0, cells)
        self.n += 1
        self._check = _check(self._buffer, self.n)

    def name_boots(self, boot):
        """Give anchors that lack it the number of their boot, `boot` and up; return the next."""
        before_s = 0
        lacked = False
        for at in range(0, self.n * frame.SIZE, frame.SIZE):
            time_s = struct.unpack_from("<H", self._buffer, at)[0]
            if frame.kind(self._buffer, at) == frame.ANCHOR:
                if struct.unpack_from("<H", self._buffer, at + 8)[0] == 0:
                    boot += lacked and time_s < before_s  # the uptime began anew
                    lacked = True
                    struct.pack_into("<H", self._buffer, at + 8, boot & 0xFFFF)
            before_s = time_s
        self._check = _check(self._buffer, self.n)
        return boot + lacked

    def commit(self, now_s):
        """Return what a flush writes: all frames, and the commit that ends them."""
        end = self.n * frame.SIZE
        crc = crc32(self._view[:end])
        frame.pack_commit(self._buffer, end, now_s, crc, self.n, self.flush)
        return self._view[: end + frame.SIZE]

    def mirror(self):
        """Copy all to RTC memory."""
        if self._rtc is not None:
            # What says that the rest is valid comes last: a reset may strike while it is copied.
            self._write_tail(self.n, self._check)
            self._rtc.memory(self._buffer)

    def save(self, path):
        """Write the held frame into a file; raises OSError. No other frame must wait."""
        self._write_tail(0, 0)
        with open(path, "wb") as f:
            f.write(self._view[self._held_at :])

    def _write_tail(self, n, check):
        struct.pack_into(
            _TAIL,
            self._buffer,
            self._tail_at,
            _MAGIC,
            n,
            self._tag,
            self.flush & 0xFFFF,
            self.shard,
            check,
            self.held,
        )

    def take_back(self, path, now_s):
        """Take back what a reset or a power cut left in RTC memory or in that file."""
        if self._rtc and self._take(self._rtc.memory()):
            self.front = self.n
        elif self._take(self._read(path)):
            self.saved = True
            self.front = 1
        else:
            return
        if self.held and self.n == self.slots - 1:
            self.drop_oldest()
        if self.held:
            _copy(self._buffer, self.n * frame.SIZE, self._buffer, self._held_at, 1)
            self.n += 1
        self.held = 0
        self.front = min(self.front, self.n)
        self._check = _check(self._buffer, self.n)
        self.oldest_s = self.newest_s = now_s

    def _take(self, old):
        """Take what was mirrored or saved, if it is of this log; return whether it is."""
        if len(old) != len(self._buffer):
            return False
        magic, n, tag, flush, shard, check, held = struct.unpack_from(_TAIL, old, self._tail_at)
        if magic != _MAGIC or n >= self.slots or tag != self._tag:
            return False
        self._buffer[:] = old
        self.flush = flush
        self.shard = shard
        if check == _check(old, n):
            self.n = n
        if held == _copy(self._buffer, self._held_at, old, self._held_at, 1):
            self.held = held
        return True

    def _read(self, path):
        """Return what `save` wrote, as long as RTC memory; b"" if there is none."""
        old = bytearray(len(self._buffer))
        for _ in range(_READS):
            try:
                with open(path, "rb") as f:
                    n = f.readinto(memoryview(old)[self._held_at :])
                return old if n == _HELD_BYTES else b""
            except OSError:
                pass  # mostly there is none
        return b""

    def sort_out(self, found):
        """Forget those taken back that are on flash already, or are of another time.

        `found` is a recovery.Found. Return whether they say that the newest shard was being
        written.
        """
        front, self.front = self.front, 0
        saved, self.saved = self.saved, False
        if self.shard == UNKNOWN:
            return False
        # The reset may have come between the end of a shard and the first flush of the next, and
        # the volume may have refused to note that it is the next.
        if not found.number - 1 <= self.shard <= found.highest + 1:
            self.take_out(0, front)
            return False
        flush, count, crc = found.last_flush.get(self.shard, (-1, 0, 0))
        if saved:
            # any flush since tells what the saved frame does
            stale = found.there and self.shard < found.number
            if self.shard <= found.number and flush < 0:
                stale = found.there or self.shard < found.number
            elif flush >= 0:
                stale = stale or flush + 1 & 0xFFFF != self.flush
            if stale:
                self.take_out(0, front)
        elif flush == self.flush and count <= front:
            # the reset came in or right after the flush
            if crc32(self._view[: count * frame.SIZE]) == crc:
                self.take_out(0, count)
        return self.shard == found.number


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
