# What of a raw shard was committed: the frames of each flush whose check holds
# Loaded where a shard is sealed, or rescued from a flash that is damaged.
import struct
from binascii import crc32

from micropython import const
from shards import frame

_CHUNK_FRAMES = const(32)  # that are given at a time, no more than the codec's Encoder takes
_WINDOW_FRAMES = const(80)  # a flush and its commit
_WINDOW_BYTES = const(1040)


class Committed:
    """Iterates over what is committed in the open raw shard `f` up to byte `good`.

    Each step gives how many frames there are in `frames`, at most 32; `crc` and
    `total` are of all that were given. A commit counts if its check holds for the frames before
    it: others, and frames that no commit follows, are counted in `damaged`.
    """

    def __init__(self, f, good):
        self.frames = bytearray(_CHUNK_FRAMES * frame.SIZE)
        self.crc = self.total = self.damaged = self.bytes = 0
        self._f = f
        self._good = good

    def __iter__(self):
        window = bytearray(_WINDOW_BYTES)
        view = memoryview(window)
        n = 0  # frames in the window
        while self.bytes < self._good:
            at = n * frame.SIZE
            if self._f.readinto(view[at : at + frame.SIZE]) < frame.SIZE:
                break
            self.bytes += frame.SIZE
            n += 1
            if frame.kind(window, at) == frame.COMMIT:
                _, _, crc, count = struct.unpack_from("<HHIH", window, at)
                first = at - count * frame.SIZE
                if count and first >= 0 and crc32(view[first:at]) == crc:
                    self.damaged += n - 1 - count
                    yield from self._chunks(view[first:at])
                else:
                    self.damaged += n
                n = 0
            elif n == _WINDOW_FRAMES:
                window[: -frame.SIZE] = view[frame.SIZE :]
                n -= 1
                self.damaged += 1
        self.damaged += n

    def _chunks(self, flush):
        for at in range(0, len(flush), len(self.frames)):
            part = flush[at : at + len(self.frames)]
            self.frames[: len(part)] = part
            self.crc = crc32(part, self.crc)
            self.total += len(part) // frame.SIZE
            yield len(part) // frame.SIZE
