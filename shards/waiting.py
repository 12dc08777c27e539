# The frames that wait for the next flush, and their copy in RTC memory, which resets leave alone
# docs/FORMAT.md specifies that memory, and the file that keeps the held frame through a power cut.
import struct
from binascii import crc32

from micropython import const
from shards import frame

SLOTS = const(80)  # for frames, if there is one battery
_SPARE = const(5)  # what comes during a flush, or with a restart: an anchor, a held frame
UNKNOWN = 0xFFFFFFFF  # number of a shard, before the folder was read
_BYTES = const(1073)  # SLOTS * 13, the held frame, the tail
TAIL = const("<HHHHIII")  # magic, frames, name, flush, shard, check of the frames, of the held
HELD_BYTES = const(33)  # the held frame and the tail
MAGIC = const(0x324D)
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
        self.saved = False  # what was taken back is of a file, not of RTC memory
        self.second = 0  # the next save goes into the second file: the last one stays whole
        self.rtc = rtc
        self.tag = crc32(name) & 0xFFFF
        self.buffer = getattr(rtc, "part", None) or bytearray(_BYTES)  # as it lies in RTC memory
        self.view = memoryview(self.buffer)
        self.held_at = len(self.buffer) - HELD_BYTES
        self.tail_at = self.held_at + frame.SIZE
        self.slots = self.held_at // frame.SIZE
        self.check = 0  # of the frames

    def full(self):
        return self.n >= self.slots - _SPARE

    def put(self, frames, offset, now_s):
        """Add a frame, and drop the oldest one if there is no place."""
        while self.n >= self.slots - 1:  # the last is the commit's
            self.drop_oldest()
        self.newest_s = now_s
        if self.n == 0:
            self.oldest_s = now_s
            self.check = 0
        self.check = copy(self.buffer, self.n * frame.SIZE, frames, offset, self.check)
        self.n += 1

    def hold(self, frames, offset):
        self.held = copy(self.buffer, self.held_at, frames, offset, 1)

    def drop_oldest(self):
        # data and records (0xFE04) go first: an anchor dates many frames
        i = 0
        while i < self.n - 1 and frame.kind(self.buffer, i * frame.SIZE) & 3:
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
        self.buffer[at : end - behind + at] = self.buffer[behind:end]
        self.n -= count
        self.check = check_of(self.buffer, self.n)

    def commit(self, now_s):
        """Return what a flush writes: all frames, and the commit that ends them."""
        end = self.n * frame.SIZE
        crc = crc32(self.view[:end])
        frame.pack_commit(self.buffer, end, now_s, crc, self.n, self.flush)
        return self.view[: end + frame.SIZE]

    def mirror(self):
        """Copy all to RTC memory."""
        if self.rtc is not None:
            # What says that the rest is valid comes last: a reset may strike while it is copied.
            self._write_tail(self.n, self.check)
            self.rtc.memory(self.buffer)

    def save(self, path):
        """Write the held frame into the older of two files, `path` and that with a 2 behind it.

        No other frame must wait. Raises OSError.
        """
        self._write_tail(0, 0)
        with open(path + "2" * self.second, "wb") as f:
            f.write(self.view[self.held_at :])
        self.second ^= 1

    def _write_tail(self, n, check):
        struct.pack_into(
            TAIL,
            self.buffer,
            self.tail_at,
            MAGIC,
            n,
            self.tag,
            self.flush & 0xFFFF,
            self.shard,
            check,
            self.held,
        )


def copy(to, at, source, offset, check):
    """Copy a frame; return `check` carried on over it: small ints, which take no memory."""
    for i in range(frame.SIZE):
        byte = source[offset + i]
        to[at + i] = byte
        check = check * 31 + byte & _CHECK
    return check


def check_of(frames, n):
    check = 0
    for i in range(n * frame.SIZE):
        check = check * 31 + frames[i] & _CHECK
    return check
