"""Makes shards that somebody made up to hurt a reader: every CRC holds, and nothing else need.

Each of `KINDS` is given a random.Random and returns the kind of a file, "raw" or "bts", and its
bytes.
"""

import random
import struct
import zlib

from shardfiles import anchor, data, flush, raw, sealed

from batmon.log import version3
from batmon.log.formats import codec, frame

_FRAMES = [anchor(0, 1_767_247_200), *(data(10 * i, 13 + i / 1000, i / 10) for i in range(1, 300))]
_MOST_FILE = 200_000  # bytes of a made file, so that a thousand of them take no long


def _sealed(rnd, *blocks: bytes) -> tuple[str, bytes]:
    """A sealed shard of either version."""
    header = bytearray(codec.HEADER)
    header[3] = rnd.choice((version3.VERSION, codec.HEADER[3]))
    return "bts", bytes(header) + b"".join(blocks)


def block(frames: int, payload: bytes) -> bytes:
    """A block whose CRC holds, of any count and payload."""
    body = struct.pack("<HH", frames, len(payload))
    return b"BK" + body + struct.pack("<I", zlib.crc32(payload, zlib.crc32(body))) + payload


def commit(crc: int, count: int) -> bytes:
    """A frame that looks like a commit."""
    return struct.pack("<HHIHHB", 0, frame.COMMIT, crc, count, 0, 0)


def _many_frames(rnd):
    """Small blocks that grow to as many frames as they may, thousands of times."""
    payload = bytes([rnd.choice((0, 1, 2))]) + rnd.choice((b"\0", b"\xff", b"\x80")) * 8
    return _sealed(rnd, block(1280, payload) * rnd.randint(1, 4000), codec.end_block(0))


def _any_payload(rnd):
    """Blocks with payloads of no encoder, and counts of all sizes."""
    blocks = []
    for _ in range(rnd.randint(1, 6)):
        count = rnd.choice((1, 2, 31, 1280, 1281, 0x7FFF, 0xFFFE, 0xFFFF, rnd.randint(1, 1280)))
        start = rnd.choice((b"\xff\xff\xff", b"\0\0\0", b""))
        size = rnd.choice((0, 1, 3, 40, 1900, 4469))
        payload = bytes([rnd.choice((0, 1, 2, 3, 255))]) + start + rnd.randbytes(size)
        blocks.append(block(count, payload[:4470]))
    return _sealed(rnd, *blocks, codec.end_block(rnd.choice((0, 1280, 2**32 - 1))))


def _outside(rnd):
    """A block that begins with a code outside its interval, which then grows without end."""
    payload = bytes([rnd.choice((1, 2))]) + b"\xff" * rnd.randint(40, 400) + rnd.randbytes(40)
    return _sealed(rnd, block(1280, payload) * rnd.randint(1, 3), codec.end_block(1280))


def _ends(rnd):
    """End blocks amid the file, and of wrong lengths."""
    parts = [sealed(_FRAMES[:50], 32)[5:], block(0xFFFF, b""), block(0xFFFF, rnd.randbytes(4))]
    parts += [block(0xFFFF, rnd.randbytes(5)), codec.end_block(2**32 - 1), rnd.randbytes(9)]
    rnd.shuffle(parts)
    return _sealed(rnd, *parts)


def _versions(rnd):
    """Headers of other versions, of other frames, and too short."""
    content = bytearray(sealed(_FRAMES))
    content[3] = rnd.randrange(256)
    content[4] = rnd.choice((13, 0, 255, 14))
    return "bts", bytes(content[: rnd.choice((3, 4, 5, 6, len(content)))])


def _false_blocks(rnd):
    """Heads of blocks every few bytes, each of which is worth a CRC over thousands of bytes."""
    head = b"BK" + struct.pack("<HHI", 1280, 4470 - rnd.randrange(2500), 0)
    step = head + bytes(rnd.randrange(8))
    return _sealed(rnd, step * (_MOST_FILE // len(step)))


def _false_commits(rnd):
    """Nothing but commits, whose counts reach back as far as they can."""
    count = rnd.choice((0, 1, 77, 4096, 0xFFFF))
    return "raw", commit(rnd.choice((0, 1)), count) * (_MOST_FILE // 13)


def _commits_between(rnd):
    """True commits and false ones in turn: a thousand places of damage."""
    part = flush([anchor(0), data(1)]) + commit(1, rnd.choice((0, 1, 3, 4000)))
    return "raw", part * rnd.randint(1, 2000)


def _misaligned(rnd):
    """Frames off their places, and a length that is no number of frames."""
    content = bytearray(raw(_FRAMES, rnd.randint(1, 77)))
    at = rnd.randrange(len(content))
    content[at:at] = bytes(rnd.randint(1, 12))
    return "raw", bytes(content[: len(content) - rnd.randrange(14)])


def _any_frames(rnd):
    """Whole flushes of frames of any bytes, control frames of all types and versions among them."""
    frames = []
    for _ in range(rnd.randint(1, 400)):
        made = bytearray(rnd.randbytes(13))
        if rnd.random() < 0.5:
            made[2:4] = bytes([rnd.choice((0, 1, 3, 4, 255)), 0xFE])
        if made[2:4] != b"\x02\xfe":
            if made[2:4] == b"\x01\xfe" and rnd.random() < 0.9:
                made[12] = frame.VERSION
            frames.append(bytes(made))
    return rnd.choice((("raw", raw(frames, 77)), ("bts", sealed(frames))))


def _huge(rnd):
    """Far longer than any shard, full of what looks like commits."""
    return "raw", commit(0, rnd.choice((0, 1, 4096))) * 100_000


KINDS = [
    _many_frames, _any_payload, _outside, _ends, _versions, _false_blocks, _false_commits,
    _commits_between, _misaligned, _any_frames, _huge,
]  # fmt: skip


def shard(rnd: random.Random, number: int) -> tuple[str, bytes]:
    """Return the kind and the content of a hostile shard; numbers in turn are of all KINDS."""
    return KINDS[number % len(KINDS)](rnd)
