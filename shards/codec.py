# Sealed shards: blocks of frames, each compressed, and each good as far as what is before it is
# docs/FORMAT.md specifies the bytes; runs on the board and on the PC.
import struct
from binascii import crc32

from micropython import const
from shards import frame, model
from shards.rangecoder import finish, start

HEADER = b"BTS\x04\x0d"  # magic, version of the format, bytes per frame
HEAD_BYTES = 10
BLOCK_FRAMES = 1280  # at most
BLOCK_BYTES = 2000  # a full block is shorter
CHUNK_FRAMES = 32  # what an Encoder takes at a time
# Coded in one go. A frame takes about 7 us on a PC; an ESP32 at 240 MHz is taken to be 60 times
# slower (a sixteenth of the clock, a quarter of the work per clock), which makes 7 ms.
SLICE_FRAMES = 16

_MARK = const(b"BK")
_HEAD = const("<2sHHI")  # mark, frames, bytes of payload, CRC-32 of frames, length and payload
_BODY = const(11)  # where the frames begin, after the method
_END_FRAMES = const(0xFFFF)  # a last block that says how many frames there were

_STORED = const(0)
_GOES_ON = const(1)
_BEGINS = const(2)

_FRAME_MOST = const(352)  # no frame is coded in more bytes
_MODEL_FRAMES = const(5120)  # then the model begins anew: what damage costs at most


class ShardError(ValueError):
    """The bytes are not a sealed block, or damaged."""


class Encoder:
    """Turns frames into blocks, in slices. Holds 12 kB, in pieces of at most 2 kB.

    Feed it chunks: `for block in encoder.encode(frames, n)` yields None or a block that is
    complete, every few milliseconds of board time. `end` returns the last block. A block is a
    memoryview that holds until the Encoder goes on.
    """

    def __init__(self):
        self._out = bytearray(BLOCK_BYTES)
        self._model = model.new(self._out)
        self._n = 0  # frames in the block begun
        self._modelled = _MODEL_FRAMES  # frames since the model began

    def encode(self, frames, n):
        """Take the first `n` frames, at most CHUNK_FRAMES, of the bytearray `frames`."""
        first = self._n and -1  # frame that begins the block, -1: in an earlier chunk
        i = 0
        while i < n:
            if self._n == 0:
                first = i
                self._begin()
            count = min(SLICE_FRAMES, n - i, self._room(), BLOCK_FRAMES - self._n)
            model.code(self._model, frames, i, count)
            i += count
            self._n += count
            full = self._n == BLOCK_FRAMES or not self._room()
            if full or i == n and not self._shrinks(n):
                yield self._close(frames, first)
            else:
                yield

    def end(self):
        """Return the block begun, b"" if there is none."""
        return self._close(None, -1) if self._n else b""

    def _begin(self):
        start(self._model[0], self._out, _BODY, 0)
        self._out[HEAD_BYTES] = _GOES_ON
        if self._modelled >= _MODEL_FRAMES:
            self._modelled = 0
            self._out[HEAD_BYTES] = _BEGINS
            model.begin(self._model)

    def _room(self):
        """Return for how many frames there is room in any case."""
        return (BLOCK_BYTES - self._model[0][2] - 1) // _FRAME_MOST

    def _shrinks(self, n):
        """Will the block stay shorter than its frames, if the next `n` do not compress?"""
        return self._model[0][2] + n < self._n * frame.SIZE

    def _close(self, frames, first):
        n = self._n
        self._n = 0
        self._modelled += n
        out = self._out
        end = finish(self._model[0], out)
        if first >= 0 and end > _BODY + n * frame.SIZE:
            self._modelled = _MODEL_FRAMES  # a reader's model knows nothing of these
            out[HEAD_BYTES] = _STORED
            end = _BODY + n * frame.SIZE
            out[_BODY:end] = memoryview(frames)[first * frame.SIZE : (first + n) * frame.SIZE]
        return _finish(memoryview(out)[:end], n)


def end_block(total):
    """Return the last block of a shard of `total` frames."""
    block = bytearray(HEAD_BYTES + 4)
    struct.pack_into("<I", block, HEAD_BYTES, total)
    return _finish(block, _END_FRAMES)


def _finish(block, n):
    length = len(block) - HEAD_BYTES
    struct.pack_into(_HEAD, block, 0, _MARK, n, length, 0)
    struct.pack_into("<I", block, 6, _crc(block))
    return block


def _crc(block):
    view = memoryview(block)
    return crc32(view[HEAD_BYTES:], crc32(view[2:6]))


def new_model():
    """Return what decoding takes, 10 kB in pieces of at most 2 kB."""
    return model.new(None)


def decode(block, out, known=None):
    """Decode one block (as `blocks` or an Encoder gives it) into the bytearray `out`.

    Yields how many frames are at the start of `out`, until it has had all of them; with room
    for the whole block, once. `known` is one of new_model(), the same for all blocks of a shard in
    their order, or None for a block that depends on none. Raises ShardError if the block is
    damaged, or the one before it was.
    """
    n = check(block)
    method = block[HEAD_BYTES]
    known = known or new_model()
    if n > BLOCK_FRAMES or method > _BEGINS:
        raise ShardError("block of unknown method %d, %d frames" % (method, n))
    if method == _STORED and len(block) != _BODY + n * frame.SIZE:
        raise ShardError("stored block of the wrong length")
    if method == _BEGINS:
        model.begin(known)
    elif method == _GOES_ON and not model.ready(known):
        raise ShardError("%d frames depend on a block that is damaged" % n)
    model.ready(known, 0)
    data = known[:1] + (block if isinstance(block, bytearray) else bytearray(block),) + known[2:]
    if method != _STORED:
        start(data[0], data[1], _BODY, len(block))
    room = len(out) // frame.SIZE
    for first in range(0, n, room):
        count = min(room, n - first)
        if method == _STORED:
            at = _BODY + first * frame.SIZE
            out[: count * frame.SIZE] = block[at : at + count * frame.SIZE]
        else:
            model.code(data, out, 0, count)
        yield count
    if method != _STORED:
        if data[0][2] != len(block) + 2:
            raise ShardError("block of the wrong length")
        model.ready(known, 1)


def check(block):
    """Return the number of frames of an intact block; raises ShardError for any other bytes."""
    if len(block) <= HEAD_BYTES:
        raise ShardError("no block")
    mark, n, length, crc = struct.unpack_from(_HEAD, block, 0)
    if mark != _MARK or length != len(block) - HEAD_BYTES or crc != _crc(block):
        raise ShardError("block is damaged")
    if not n or n > BLOCK_FRAMES and n != _END_FRAMES:
        raise ShardError("block of %d frames" % n)
    return n


def block_bytes(head, most=BLOCK_BYTES):
    """Return the length of the block that begins with the 10 bytes `head`, or 0 for no block.

    `most` is how long a block may be.
    """
    if len(head) < HEAD_BYTES:
        return 0
    mark, n, length, _ = struct.unpack_from(_HEAD, head, 0)
    if mark != _MARK or not length or length > most - HEAD_BYTES:
        return 0
    return HEAD_BYTES + length


def end_total(block):
    """Return the frame count of an end block, or -1 for a block of frames."""
    n, length = struct.unpack_from("<HH", block, 2)
    if n != _END_FRAMES or length != 4:
        return -1
    return struct.unpack_from("<I", block, HEAD_BYTES)[0]
