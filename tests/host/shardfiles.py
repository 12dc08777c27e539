"""Writes shards as a board does, for the tests of the reader."""

import zlib
from pathlib import Path

from batmon.log.formats import codec, frame, half


def data(uptime_s=0, voltage=13.2, current=-2.5, **fields) -> bytes:
    """A data frame; fields as shards/frame.py stores them."""
    known = {"temperature": 120, "soc": 130, "cell_min_mv": 3300, "cell_max_mv": 3305, "index": 49}
    buf = bytearray(frame.SIZE)
    frame.pack_data(
        buf, 0, uptime_s, half.encode(voltage), half.encode(current), *(known | fields).values()
    )
    return bytes(buf)


def anchor(uptime_s=0, unix_s=0, boot=1, cells=4) -> bytes:
    buf = bytearray(frame.SIZE)
    frame.pack_anchor(buf, 0, uptime_s, unix_s, boot, 1, cells)
    return bytes(buf)


def event(uptime_s=0, code=frame.LINK_LOST, a=0, b=0) -> bytes:
    buf = bytearray(frame.SIZE)
    frame.pack_event(buf, 0, uptime_s, code, a, b)
    return bytes(buf)


def flush(frames: list[bytes], number=0) -> bytes:
    """The frames and their commit."""
    body = b"".join(frames)
    buf = bytearray(frame.SIZE)
    frame.pack_commit(buf, 0, 0, zlib.crc32(body), len(frames), number)
    return body + bytes(buf)


def raw(frames: list[bytes], per_flush=60) -> bytes:
    """A raw shard."""
    parts = range(0, len(frames), per_flush)
    return b"".join(flush(frames[i : i + per_flush], i // per_flush) for i in parts)


def sealed(frames: list[bytes], per_block=320) -> bytes:
    """A sealed shard, whose model begins anew after every `per_block` frames."""
    encoder = codec.Encoder()
    out = bytearray(codec.HEADER)
    for i in range(0, len(frames), codec.CHUNK_FRAMES):
        part = frames[i : i + codec.CHUNK_FRAMES]
        for block in encoder.encode(bytearray(b"".join(part)), len(part)):
            out += block or b""
        if (i + len(part)) % per_block == 0:
            out += encoder.end()
            encoder = codec.Encoder()
    return bytes(out + encoder.end() + codec.end_block(len(frames)))


def write(folder: Path, name: str, frames: list[bytes]) -> Path:
    """Write a shard, of the kind that the name says; return its path."""
    path = folder / name
    path.write_bytes(raw(frames) if path.suffix == ".raw" else sealed(frames))
    return path
