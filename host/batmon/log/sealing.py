"""Frames into the bytes of a sealed shard or a raw one, with the code of the board."""

import zlib
from collections.abc import Iterator

from batmon.log import version3
from batmon.log.formats import codec, frame

_MARK = b"BK"  # begins a block, see docs/FORMAT.md
_FLUSH_FRAMES = 77  # as many as the board's buffer holds beside the commit


def sealed(frames: bytes) -> bytes:
    """Return the sealed shard of `frames`, control frames among them but no commits."""
    encoder = codec.Encoder()
    out = bytearray(codec.HEADER)
    step = codec.CHUNK_FRAMES * frame.SIZE
    for at in range(0, len(frames), step):
        chunk = bytearray(frames[at : at + step])
        for block in encoder.encode(chunk, len(chunk) // frame.SIZE):
            out += block or b""
    out += encoder.end()
    return bytes(out + codec.end_block(len(frames) // frame.SIZE))


def raw(frames: bytes) -> bytes:
    """Return the raw shard of `frames`: the same frames with a commit after each flush."""
    out = bytearray()
    step = _FLUSH_FRAMES * frame.SIZE
    for flush, at in enumerate(range(0, len(frames), step)):
        part = frames[at : at + step]
        commit = bytearray(frame.SIZE)
        time = int.from_bytes(part[-frame.SIZE :][:2], "little")
        frame.pack_commit(commit, 0, time, zlib.crc32(part), len(part) // frame.SIZE, flush)
        out += part + commit
    return bytes(out)


def version(data: bytes) -> int:
    """Return the version of the format of a sealed shard's bytes, 0 if they are none."""
    magic = codec.HEADER[:3]
    return data[3] if len(data) >= len(codec.HEADER) and data.startswith(magic) else 0


def blocks(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield (offset, block) for each intact block of a sealed shard's bytes.

    Bytes between two yields that no block covers are damage: the reader finds the next intact
    block by itself. Ends with the file; an intact shard ends with an end block.
    """
    pos = len(codec.HEADER)
    most = version3.BLOCK_BYTES if version(data) == version3.VERSION else codec.BLOCK_BYTES
    while pos + codec.HEAD_BYTES < len(data):
        length = codec.block_bytes(data[pos : pos + codec.HEAD_BYTES], most)
        if length and pos + length <= len(data):
            block = data[pos : pos + length]
            try:
                codec.check(block)
                yield pos, block
                pos += length
                continue
            except codec.ShardError:
                pass
        pos = data.find(_MARK, pos + 1)
        if pos < 0:
            return


def frames(block: bytes) -> int:
    """Return how many frames an intact block holds, 0 for the end block."""
    return 0 if codec.end_total(block) >= 0 else codec.check(block)
