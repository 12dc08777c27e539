# Packs shards that are full: of each raw one a sealed one is made, a quarter of its size
# The codec is loaded here and nowhere else on the board: app/packing.py says when.
import os
from binascii import crc32

from shards import codec, frame, room
from shards.committed import Committed


def pack(shards, say):
    """Pack all that waits in `shards.unsealed`, the oldest first.

    `say(percent)` is called at every step, for a display or a watchdog. Nothing raises for a
    full or broken volume: what goes wrong is in `shards.events`, and the raw shard stays.
    """
    waiting = shards.unsealed
    shards.unsealed = []  # nothing of it may go to make room
    for i in range(len(waiting)):
        _pack(shards, *waiting[i], lambda part: say((i * 100 + part) // len(waiting)))
    try:
        _write_index(shards)
    except (OSError, codec.ShardError) as exc:
        _trouble(shards, exc)
    room.find_oldest(shards)


def _pack(shards, number, name, good, say):
    size, kind = good, "raw"
    tmp = shards.file(number, name, "tmp")
    try:
        room.make_room(shards)
        size = _seal(shards, number, name, good, say)
        kind = "bts"
    except (OSError, MemoryError, codec.ShardError) as exc:
        # the raw shard is as it was: it stays, and the next time is another try
        print("%s-%05d stays as it is: %s" % (name, number, exc))
        _trouble(shards, exc)
        try:
            os.remove(tmp)
        except OSError:
            pass  # it was not made, or the volume is gone: the next start looks again
    shards.kept.append((number, name, size, kind))
    shards.kept.sort()


def _seal(shards, number, name, good, say):
    """Make the sealed form of a shard, read it back, put it in place; return its bytes."""
    raw = shards.file(number, name, "raw")
    tmp = shards.file(number, name, "tmp")
    with open(raw, "rb") as f, open(tmp, "wb") as out:
        source = Committed(f, good)
        size = out.write(codec.HEADER)
        encoder = codec.Encoder()
        for n in source:
            for block in encoder.encode(source.frames, n):
                if block:
                    size += out.write(block)
            say(source.bytes * 60 // good)
        size += out.write(encoder.end())
        size += out.write(codec.end_block(source.total))
    del encoder, block  # 14 kB, before the decoder takes 9
    if _crc(tmp, lambda part: say(60 + part * 4 // 10)) != (source.crc, source.total):
        raise codec.ShardError("it reads back differently")
    raw_size = os.stat(raw)[6]
    os.rename(tmp, shards.file(number, name, "bts"))
    if source.damaged:
        print("%s-%05d: %d frames are damaged, kept as .bad" % (name, number, source.damaged))
        os.rename(raw, shards.file(number, name, "bad"))
        shards.kept.append((number, name, raw_size, "bad"))
        shards.events.append((frame.SHARD_BAD, number, source.damaged))
    else:
        os.remove(raw)
    shards.bytes += size - raw_size
    shards.free += raw_size - size
    room.measure(shards, size, source.total)
    return size


def _crc(sealed, say):
    """Return (CRC-32 of all frames, how many) of a sealed shard; raises ShardError, OSError."""
    back = bytearray(codec.SLICE_FRAMES * frame.SIZE)
    view = memoryview(back)
    model = codec.new_model()
    crc = total = 0
    size = os.stat(sealed)[6]
    with open(sealed, "rb") as f:
        for block in _blocks(f):
            if codec.end_total(block) >= 0:
                if codec.end_total(block) != total:
                    break
                return crc, total
            for n in codec.decode(block, back, model):
                crc = crc32(view[: n * frame.SIZE], crc)
                total += n
            say(f.tell() * 100 // size)
    raise codec.ShardError("it has no end")


def _blocks(f):
    """Yield the blocks of an open sealed shard; raises ShardError at damage."""
    if f.read(len(codec.HEADER)) != codec.HEADER:
        raise codec.ShardError("no sealed shard")
    while True:
        head = f.read(codec.HEAD_BYTES)
        if not head:
            return
        length = codec.block_bytes(head)
        if not length:
            raise codec.ShardError("damaged block")
        block = bytearray(length)
        block[: len(head)] = head
        if f.readinto(memoryview(block)[len(head) :]) < length - len(head):
            raise codec.ShardError("cut off")
        codec.check(block)
        yield block


def _write_index(shards):
    """Write down what the app wants to know of sealed shards, which it cannot decode."""
    lines = []
    for number, name, _, kind in shards.kept:
        if kind == "bts":
            frames, unix_s = room.known(shards.path, number)
            if not frames:
                frames, unix_s = _look_into(shards.file(number, name, kind))
            lines.append("%d %d %d\n" % (number, frames, unix_s))
    with open(shards.path + room.INDEX, "w") as f:
        for line in lines:
            f.write(line)


def _look_into(sealed):
    """Return (frames, unix time of the anchor that begins it) of a sealed shard, 0 = unknown."""
    first = bytearray(frame.SIZE)
    try:
        with open(sealed, "rb") as f:
            next(codec.decode(next(_blocks(f)), first))
            f.seek(-len(codec.end_block(0)), 2)
            return max(0, codec.end_total(f.read())), frame.unix_s(first)
    except (codec.ShardError, StopIteration):
        return 0, 0  # damaged, or of another version: readers on the PC make the best of it


def _trouble(shards, exc):
    errno = exc.errno if isinstance(exc, OSError) else 0
    shards.events.append((frame.FLASH_ERROR, errno))
