# Deletes a shard that cannot be read, and saves what of it can be
# Loaded for that only, in a start of its own: app/mending.py says when.
import os
import struct
from binascii import crc32

from micropython import const
from shards import frame
from shards.committed import Committed
from shards.room import known

_MOST = const(49152)  # bytes of a shard that fit into the heap, its newest
_PIECE = const(256)
_HEADER = b"BTS\x04\x0d"  # of a sealed shard, as codec.HEADER
_MAGIC = b"BTS"
_BREAK = bytes(frame.SIZE)  # is no block: a reader knows that something is missing there
_END_FRAMES = const(0xFFFF)


def rescue(path, number):
    """Delete a shard, and make a sealed one of what can be read of it; return the bytes of that.

    Nothing is saved of one that was unfinished or set aside, or when memory is short, or nothing
    can be written. Raises OSError.
    """
    stem, _, kind = path.rpartition(".")
    saved = []
    try:
        if kind == "bts":
            saved = _pieces_of_sealed(path, number)
        elif kind == "raw" and not _exists(stem + ".bts"):
            saved = _blocks_of_raw(path)
    except MemoryError:
        saved = []
    os.remove(path)
    if not saved:
        return 0
    try:
        with open(stem + ".tmp", "wb") as f:
            for piece in saved:
                f.write(piece)
        os.rename(stem + ".tmp", stem + ".bts")
    except OSError:
        return 0  # another file cannot be read either
    return sum(len(piece) for piece in saved)


class _Holes:
    """An open file in which zeros are where it cannot be read."""

    def __init__(self, f, at=0):
        self._f = f
        self.at = at

    def readinto(self, buf):
        try:
            self._f.seek(self.at)
            n = self._f.readinto(buf)
        except OSError:
            n = len(buf)
            buf[:] = bytes(n)
        self.at += n
        return n


def _pieces_of_sealed(path, number):
    """Return a sealed shard as it is, zeros in its holes; [] if nobody knows its version."""
    size = os.stat(path)[6]
    with open(path, "rb") as f:
        source = _Holes(f)
        header = bytearray(len(_HEADER))
        source.readinto(header)
        if not header.startswith(_MAGIC):
            if not known(path[: path.rfind("/")], number)[0]:
                return []
            header = _HEADER  # the index lists no older ones
        out = [header]
        if size > _MOST:
            out.append(_BREAK)
            source.at = size - _MOST
        while source.at < size:
            piece = bytearray(min(_PIECE, size - source.at))
            source.readinto(piece)
            out.append(piece)
    return out


def _blocks_of_raw(path):
    """Return what was committed in a raw shard as a sealed one, its blocks stored."""
    size = os.stat(path)[6]
    first = max(0, size - _MOST) // frame.SIZE * frame.SIZE
    out = [_HEADER]
    with open(path, "rb") as f:
        source = Committed(_Holes(f, first), size - first)
        damaged = 0 if first == 0 else -1
        for n in source:
            if source.damaged != damaged:
                damaged = source.damaged
                out.append(_BREAK)
            out.append(_block(n, b"\0" + source.frames[: n * frame.SIZE]))
    if source.damaged != damaged:
        out.append(_BREAK)
    out.append(_block(_END_FRAMES, struct.pack("<I", source.total)))
    return out if source.total else []


def _block(n, payload):
    """Return a block of a sealed shard, see docs/FORMAT.md."""
    head = struct.pack("<HH", n, len(payload))
    return b"BK" + head + struct.pack("<I", crc32(payload, crc32(head))) + payload


def _exists(path):
    try:
        os.stat(path)
        return True
    except OSError:
        return False
