# What a reset or a power cut left of the frames that waited; loaded for the start only
# docs/FORMAT.md specifies what is in RTC memory and in the files. `waiting` is a Waiting.
import struct
from binascii import crc32

from micropython import const
from shards import frame
from shards.waiting import HELD_BYTES, MAGIC, TAIL, UNKNOWN, check_of, copy

_READS = const(3)


def name_boots(waiting, boot):
    """Give anchors that lack it the number of their boot, `boot` and up; return the next."""
    before_s = 0
    lacked = False
    for at in range(0, waiting.n * frame.SIZE, frame.SIZE):
        time_s = struct.unpack_from("<H", waiting.buffer, at)[0]
        if frame.kind(waiting.buffer, at) == frame.ANCHOR:
            if struct.unpack_from("<H", waiting.buffer, at + 8)[0] == 0:
                boot += lacked and time_s < before_s  # the uptime began anew
                lacked = True
                struct.pack_into("<H", waiting.buffer, at + 8, boot & 0xFFFF)
        before_s = time_s
    waiting.check = check_of(waiting.buffer, waiting.n)
    return boot + lacked


def take_back(waiting, path, now_s):
    """Take back what a reset or a power cut left in RTC memory, or in one of two files."""
    if waiting.rtc and _take(waiting, waiting.rtc.memory()):
        waiting.front = waiting.n
    elif _take(waiting, _saved(waiting, path)):
        waiting.saved = True
        waiting.front = 1
    else:
        return
    if waiting.held and waiting.n == waiting.slots - 1:
        waiting.drop_oldest()
    if waiting.held:
        copy(waiting.buffer, waiting.n * frame.SIZE, waiting.buffer, waiting.held_at, 1)
        waiting.n += 1
    waiting.held = 0
    waiting.front = min(waiting.front, waiting.n)
    waiting.check = check_of(waiting.buffer, waiting.n)
    waiting.oldest_s = waiting.newest_s = now_s


def wake(waiting):
    """After a rest: take back what RTC memory has, and what is held stays held.

    Return whether it has anything of this log.
    """
    if not _take(waiting, waiting.rtc.memory()):
        return False
    waiting.check = check_of(waiting.buffer, waiting.n)
    return True


def _take(waiting, old):
    """Take what was mirrored or saved, if it is of this log; return whether it is."""
    size = len(waiting.buffer)
    if len(old) < size:
        return False
    old = memoryview(old)[:size]  # behind it may be what a rest has there, see app/rest.py
    magic, n, tag, flush, shard, check, held = struct.unpack_from(TAIL, old, waiting.tail_at)
    if magic != MAGIC or n >= waiting.slots or tag != waiting.tag:
        return False
    waiting.buffer[:] = old
    waiting.flush = flush
    waiting.shard = shard
    if check == check_of(old, n):
        waiting.n = n
    if held == copy(waiting.buffer, waiting.held_at, old, waiting.held_at, 1):
        waiting.held = held
    return True


def _saved(waiting, path):
    """Return what was saved last, as long as RTC memory; b"" if nothing is whole."""
    last = b""
    for file in (path, path + "2"):
        data = _read(file)
        if len(data) == HELD_BYTES and _is_whole(data) and (not last or _is_newer(data, last)):
            last = data
    if last:
        last = bytes(waiting.held_at) + last
    return last


def _read(file):
    for _ in range(_READS):
        try:
            with open(file, "rb") as f:
                return f.read(HELD_BYTES + 1)
        except OSError:
            pass  # mostly there is none
    return b""


def _is_whole(data):
    held = struct.unpack_from(TAIL, data, frame.SIZE)[6]
    return held == copy(bytearray(frame.SIZE), 0, data, 0, 1)


def _is_newer(data, than):
    """Was that saved after this? Numbers of flushes and times go on at 0 after 65535."""
    _, _, _, flush, shard, _, _ = struct.unpack_from(TAIL, data, frame.SIZE)
    _, _, _, old_flush, old_shard, _, _ = struct.unpack_from(TAIL, than, frame.SIZE)
    if shard != old_shard:
        return shard > old_shard
    later = flush - old_flush & 0xFFFF
    if not later:
        later = struct.unpack_from("<H", data)[0] - struct.unpack_from("<H", than)[0] & 0xFFFF
    return later < 0x8000


def sort_out(waiting, found):
    """Forget those taken back that are on flash already, or are of another time.

    `found` is a recovery.Found. Return whether they say that the newest shard was being
    written.
    """
    front, waiting.front = waiting.front, 0
    saved, waiting.saved = waiting.saved, False
    if waiting.shard == UNKNOWN:
        return False
    # The reset may have come between the end of a shard and the first flush of the next, and
    # the volume may have refused to note that it is the next.
    if not found.number - 1 <= waiting.shard <= found.highest + 1:
        waiting.take_out(0, front)
        return False
    flush, count, crc = found.last_flush.get(waiting.shard, (-1, 0, 0))
    if saved:
        # any flush since tells what the saved frame does
        stale = found.there and waiting.shard < found.number
        if waiting.shard <= found.number and flush < 0:
            stale = found.there or waiting.shard < found.number
        elif flush >= 0:
            stale = stale or flush + 1 & 0xFFFF != waiting.flush
        if stale:
            waiting.take_out(0, front)
    elif flush == waiting.flush and count <= front:
        # the reset came in or right after the flush
        if crc32(waiting.view[: count * frame.SIZE]) == crc:
            waiting.take_out(0, count)
    return waiting.shard == found.number
