# Sealed shards: blocks of frames, each compressed by columns and decodable alone
# docs/FORMAT.md specifies the bytes; runs on the board and on the PC.
import struct
from binascii import crc32

import frame
from micropython import const


HEADER = b"BTS\x01\x0d"  # magic, version of the format, bytes per frame
BLOCK_FRAMES = 315  # 4 kB raw: one block in and one out fit a board's memory
MAX_BLOCK_BYTES = 12 + BLOCK_FRAMES * frame.SIZE

_MARK = const(b"BK")
_HEAD = const("<2sHHI")  # mark, frames, bytes of payload, CRC-32 of frames, length and payload
_HEAD_BYTES = const(10)
_END_FRAMES = const(0xFFFF)  # a last block that says how many frames there were

_STORED = const(0)
_COLUMNS = const(1)

_OFFSETS = const(b"\x00\x02\x04\x06\x07\x08\x0a\x0c")  # where a column lies in a frame
_WIDTHS = const(b"\x02\x02\x02\x01\x01\x02\x02\x01")  # its bytes
_TIME = const(0)
_VOLTAGE = const(1)
_CURRENT = const(2)
_CELL_MAX = const(6)
_ESCAPE = const(12)  # so many ones: the value follows in full
_SLICE = const(64)  # values between two yields, a few ms on a board


class ShardError(ValueError):
    """The bytes are not a sealed block, or damaged."""


def _column(frames, i, column):
    """Return the value of frame `i` that is coded: neighbours close in time are close numbers."""
    at = i * frame.SIZE + _OFFSETS[column]
    x = frames[at]
    if _WIDTHS[column] == 2:
        x |= frames[at + 1] << 8
        if column == _VOLTAGE or column == _CURRENT:
            x = x ^ 0xFFFF if x & 0x8000 else x | 0x8000  # half floats in their order
        elif column == _CELL_MAX:
            x = x - (frames[at - 2] | frames[at - 1] << 8) & 0xFFFF
    return x


def _residual(frames, i, column, before):
    """Return (number to write, value): the difference to the frame before, small when close."""
    x = _column(frames, i, column)
    if _WIDTHS[column] == 1:
        d = x - before & 0xFF
        return ((0xFF - d) << 1 | 1 if d & 0x80 else d << 1), x
    d = x - before & 0xFFFF
    if column == _TIME:
        return d, x
    return ((0xFFFF - d) << 1 | 1 if d & 0x8000 else d << 1), x


def _parameter(mean):
    """Return the Rice parameter for numbers about mean / 4: so many low bits are plain."""
    k = 0
    while 8 << k < mean:
        k += 1
    return k


def _follow(mean, r):
    """Return the running mean (x 4) of the numbers of a column after `r`."""
    return mean + r - (mean >> 2)


class _Writer:
    """Writes bits into a buffer, lowest first, until it is full."""

    def __init__(self, out, pos, limit):
        self._out = out
        self.pos = pos
        self._limit = limit
        self._acc = 0
        self._bits = 0
        self.full = False

    def put(self, x, n):
        acc = self._acc | x << self._bits
        n += self._bits
        while n >= 8:
            if self.pos >= self._limit:
                self.full = True
                return
            self._out[self.pos] = acc & 0xFF
            self.pos += 1
            acc >>= 8
            n -= 8
        self._acc = acc
        self._bits = n

    def rice(self, r, k):
        q = r >> k
        if q < _ESCAPE:
            self.put((1 << q) - 1, q + 1)  # q ones and a zero
            self.put(r & (1 << k) - 1, k)
        else:
            self.put((1 << _ESCAPE) - 1, _ESCAPE)
            self.put(r, 17)


class Encoder:
    """Turns up to BLOCK_FRAMES frames into one block, in slices.

    `for _ in encoder.encode(frames, n): …` runs it, yielding every few milliseconds of board
    time; then `encoder.block` is a memoryview of the block. Holds 4 kB, needs little more.
    """

    def __init__(self):
        self._out = bytearray(MAX_BLOCK_BYTES)
        self.block = None

    def encode(self, frames, n):
        """Encode the first `n` frames of the buffer `frames`."""
        out = self._out
        stored_end = _HEAD_BYTES + 1 + n * frame.SIZE
        out[_HEAD_BYTES] = _COLUMNS
        writer = _Writer(out, _HEAD_BYTES + 1, stored_end)
        for column in range(8):
            before = mean = 0
            for i in range(n):
                r, before = _residual(frames, i, column, before)
                writer.rice(r, _parameter(mean))
                mean = _follow(mean, r)
                if i % _SLICE == 0:
                    yield
            if writer.full:
                break
        else:
            writer.put(0, 7)  # push out the last bits
        end = writer.pos
        if writer.full:  # it would not shrink
            out[_HEAD_BYTES] = _STORED
            out[_HEAD_BYTES + 1 : stored_end] = frames[: n * frame.SIZE]
            end = stored_end
        self.block = _finish(memoryview(out)[:end], n)


def end_block(total):
    """Return the last block of a shard of `total` frames."""
    block = bytearray(_HEAD_BYTES + 4)
    struct.pack_into("<I", block, _HEAD_BYTES, total)
    return _finish(block, _END_FRAMES)


def _finish(block, n):
    length = len(block) - _HEAD_BYTES
    struct.pack_into(_HEAD, block, 0, _MARK, n, length, 0)
    struct.pack_into("<I", block, 6, _crc(block))
    return block


def _crc(block):
    view = memoryview(block)
    return crc32(view[_HEAD_BYTES:], crc32(view[2:6]))


class _Bits:
    """Reads bits, lowest first."""

    def __init__(self, data):
        self._data = data
        self._pos = 0
        self._acc = 0
        self._bits = 0

    def take(self, n):
        while self._bits < n:
            if self._pos >= len(self._data):
                raise ShardError("block ends too early")
            self._acc |= self._data[self._pos] << self._bits
            self._pos += 1
            self._bits += 8
        x = self._acc & (1 << n) - 1
        self._acc >>= n
        self._bits -= n
        return x

    def rice(self, k):
        q = 0
        while self.take(1):
            q += 1
            if q == _ESCAPE:
                return self.take(17)
        return q << k | self.take(k)


def decode(block, out):
    """Decode one block (as `blocks` or an Encoder gives it) into `out`, yielding in slices.

    `out` needs room for the block's frames. Raises ShardError if the block is damaged.
    """
    n = check(block)
    method = block[_HEAD_BYTES]
    data = memoryview(block)[_HEAD_BYTES + 1 :]
    if method == _STORED:
        if len(data) != n * frame.SIZE:
            raise ShardError("stored block of the wrong length")
        out[: len(data)] = data
        return
    if method != _COLUMNS:
        raise ShardError("block of unknown method %d" % method)
    bits = _Bits(data)
    for column in range(8):
        wide = _WIDTHS[column] == 2
        mask = 0xFFFF if wide else 0xFF
        at = _OFFSETS[column]
        x = mean = 0
        for i in range(n):
            r = bits.rice(_parameter(mean))
            mean = _follow(mean, r)
            if column != _TIME:
                r = mask - (r >> 1) if r & 1 else r >> 1
            x = x + r & mask
            y = x
            if column == _VOLTAGE or column == _CURRENT:
                y = x ^ 0x8000 if x & 0x8000 else x ^ 0xFFFF
            elif column == _CELL_MAX:
                y = x + (out[at - 2] | out[at - 1] << 8) & 0xFFFF
            out[at] = y & 0xFF
            if wide:
                out[at + 1] = y >> 8
            at += frame.SIZE
            if i % _SLICE == 0:
                yield


def check(block):
    """Return the number of frames of an intact block; raises ShardError for any other bytes."""
    if len(block) <= _HEAD_BYTES:
        raise ShardError("no block")
    mark, n, length, crc = struct.unpack_from(_HEAD, block, 0)
    if mark != _MARK or length != len(block) - _HEAD_BYTES or crc != _crc(block):
        raise ShardError("block is damaged")
    if n > BLOCK_FRAMES and n != _END_FRAMES:
        raise ShardError("block of %d frames" % n)
    return n


def block_bytes(head):
    """Return the length of the block that begins with the 10 bytes `head`, or 0 for no block."""
    if len(head) < _HEAD_BYTES:
        return 0
    mark, n, length, _ = struct.unpack_from(_HEAD, head, 0)
    if mark != _MARK or not length or length > MAX_BLOCK_BYTES - _HEAD_BYTES:
        return 0
    return _HEAD_BYTES + length


HEAD_BYTES = 10


def end_total(block):
    """Return the frame count of an end block, or -1 for a block of frames."""
    n, length = struct.unpack_from("<HH", block, 2)
    if n != _END_FRAMES or length != 4:
        return -1
    return struct.unpack_from("<I", block, _HEAD_BYTES)[0]


def blocks(data):
    """Yield (offset, block) for each intact block of a sealed shard's bytes.

    Bytes between two yields that no block covers are damage: the reader finds the next intact
    block by itself. Ends with the file; an intact shard ends with an end block.
    """
    pos = len(HEADER)
    while pos + _HEAD_BYTES < len(data):
        length = block_bytes(data[pos : pos + _HEAD_BYTES])
        if length and pos + length <= len(data):
            block = data[pos : pos + length]
            try:
                check(block)
                yield pos, block
                pos += length
                continue
            except ShardError:
                pass
        pos = data.find(_MARK, pos + 1)
        if pos < 0:
            return
