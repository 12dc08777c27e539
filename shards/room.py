# What is hardly ever done with shards: a new one, room for it, a flush that was cut off; loaded for
# that. docs/FORMAT.md specifies the files. `shards` is a folder.Shards, `waiting` a Waiting.
import os
import struct
from binascii import crc32

from micropython import const
from shards import frame
from shards.waiting import SLOTS, check_of

INDEX = "/index"  # of the sealed shards, see docs/FORMAT.md
_ENOENT = const(2)


def anchor_first(waiting, unix_offset_s, boot, cells):
    """Put an anchor before the first frame, unless that is one: it will begin a shard.

    `unix_offset_s` is unix time minus uptime, 0 if unknown.
    """
    if waiting.n == 0 or frame.kind(waiting.buffer, 0) == frame.ANCHOR:
        return
    if waiting.n == waiting.slots - 1:
        waiting.drop_oldest()
    end = waiting.n * frame.SIZE
    waiting.buffer[frame.SIZE : end + frame.SIZE] = waiting.buffer[:end]
    first_s = struct.unpack_from("<H", waiting.buffer)[0]
    unix_s = 0
    if unix_offset_s:  # the frame tells the low 16 bits; it came soon after that time
        first_s = waiting.oldest_s - (waiting.oldest_s - first_s & 0xFFFF)
        unix_s = first_s + unix_offset_s
    frame.pack_anchor(waiting.buffer, 0, first_s, unix_s, boot, 0, cells)
    waiting.n += 1
    waiting.check = check_of(waiting.buffer, waiting.n)


def save_state(store):
    """Write the last boot and shard number, of a Store; return whether that was done."""
    for name in store.states:  # one after the other: a cut spoils one at most
        try:
            with open(store.path + name, "w") as f:
                f.write("%d %d\n" % (store.boot, store.highest[0]))
        except OSError as exc:
            print("store: cannot write %s%s (error %d)" % (store.path, name, exc.errno))
            return False  # nor is the other one touched
    return True


def measure(shards, size, frames):
    """Learn from a sealed shard what a frame takes; a file takes whole blocks."""
    blocks = (size + shards.block - 1) // shards.block
    shards.millibytes = blocks * shards.block * 1000 // max(1, frames)


def make_room(shards):
    """Keep free what a raw shard and its sealed form take; raises OSError."""
    shards.ask_free()
    while shards.free < 2 * shards.limit and delete_oldest(shards):
        shards.ask_free()  # a file takes whole blocks


def delete_oldest(shards):
    """Delete the oldest shard that is not in use; return whether there was one."""
    if shards.kept:
        first = 0
        if shards.names:
            from shards import several

            first = several.first_to_go(shards)
        number, name, size, kind = shards.kept.pop(first)
    elif len(shards.unsealed) > 1:  # sealing fails again and again
        number, name, size = shards.unsealed.pop(0)
        kind = "raw"
    else:
        return False
    path = shards.file(number, name, kind)
    shards.events.append((frame.SHARD_DELETED, number, size))  # first: whatever interrupts it
    try:
        os.remove(path)
    except OSError as exc:
        if _exists(path):
            shards.events[-1] = (frame.FLASH_ERROR, exc.errno)
            return False
    if kind != "bad":
        shards.shards -= 1
        shards.bytes -= size
    shards.free += size
    find_oldest(shards)
    return True


def find_oldest(shards):
    """Look up when the oldest shard begins, or the next if it does not know."""
    shards.oldest_unix_s = 0
    mine = shards.kept
    raws = shards.unsealed
    if shards.names:
        mine = [shard for shard in mine if shard[1] == shards.name]
        raws = [shard for shard in raws if shard[1] == shards.name]
    for number, name, _, kind in mine[:2]:
        if kind == "bts":
            shards.oldest_unix_s = known(shards.path, number)[1]
        elif kind == "raw":
            shards.oldest_unix_s = first_unix_s(shards.file(number, name, kind))
        if shards.oldest_unix_s:
            return
    for number, name, _ in raws[:1]:
        shards.oldest_unix_s = first_unix_s(shards.file(number, name, "raw"))


def known(path, number):
    """Return (frames, unix time of the anchor that begins it) of a sealed shard; 0 = unknown."""
    try:
        with open(path + INDEX) as f:
            for line in f:
                fields = line.split()
                if len(fields) == 3 and fields[0] == str(number):
                    return int(fields[1]), int(fields[2])
    except (OSError, ValueError):
        pass  # it was never written, or torn: the next packing writes it anew
    return 0, 0


def first_unix_s(raw):
    """Return the unix time of the anchor that begins a raw shard, 0 if it does not know."""
    first = bytearray(frame.SIZE)
    try:
        with open(raw, "rb") as f:
            f.readinto(first)
    except OSError:
        pass  # it stays unknown
    return frame.unix_s(first)


def flush_at(name, at, number):
    """Return (bytes of the file, frames of the flush `number` that begins at byte `at`).

    No frames if it is not there whole or does not end the file; 0 bytes if there is no file, and
    `at` does not say that there was. Raises OSError.
    """
    data = bytearray((SLOTS + 1) * frame.SIZE)
    try:
        with open(name, "rb") as f:
            size = f.seek(0, 2)
            f.seek(at)
            n = f.readinto(data) - frame.SIZE
    except OSError as exc:
        if exc.errno == _ENOENT and at == 0:
            return 0, 0
        raise
    if n < 0 or n % frame.SIZE or frame.kind(data, n) != frame.COMMIT:
        return size, 0
    _, _, crc, count, flush = struct.unpack_from("<HHIHH", data, n)
    whole = count * frame.SIZE == n and flush == number & 0xFFFF and size == at + n + frame.SIZE
    return size, count if whole and crc32(memoryview(data)[:n]) == crc else 0


def _exists(name):
    try:
        os.stat(name)
        return True
    except OSError as exc:
        return exc.errno != _ENOENT
