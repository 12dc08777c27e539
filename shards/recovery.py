# Puts the folder of shards in order after whatever happened; loaded for the start only
# docs/FORMAT.md says what is made of each state that a power cut can leave.
import os
import struct
from binascii import crc32

from micropython import const
from shards import frame
from shards.folder import STATES, first_unix_s, known

_READ_FRAMES = const(78)
_SHORT = ("RAW", "BTS", "TMP")  # what FAT calls a shard without its long name
_FLUSH_BYTES = const(1040)  # the longest flush: more that is bad is no torn end


class Found:
    """What a folder says about the log so far."""

    def __init__(self):
        self.boot = 0  # the last
        self.number = 0  # the highest of a shard
        self.size = 0  # committed bytes, if that shard can be written on
        self.flush = 0  # the number of its next flush
        self.taken = True  # its file, if there is one, is not to be written on
        self.last_flush = {}  # by number, of this battery's raw shards


def recover(store, found):
    """Bring the files of `store` into order and fill `found`; raises OSError of the folder."""
    store.make_folder()
    store.limit = min(store.limit, store.ask_free() // 8)
    _load_state(store.path, found)
    raws = _sort_files(store, found)
    taken = False
    for number, name in raws:
        try:
            if not _sort_raw(store, found, number, name):
                taken = taken or number == found.number
        except OSError as exc:  # this one cannot be read; the others may
            store.events.append((frame.FLASH_ERROR, exc.errno))
            taken = taken or number == found.number
    found.taken = taken
    store.kept.sort()
    store.find_oldest()
    if found.size and not store.oldest_unix_s:
        active = store.file(found.number, store.name, "raw")
        store.oldest_unix_s = first_unix_s(active)
    for number, _, size, kind in store.kept[-1:]:
        frames = known(store.path, number)[0] if kind == "bts" else 0
        if frames:
            store.measure(size, frames)


def _load_state(path, found):
    for name in STATES:
        try:
            with open(path + name) as f:
                boot, number = f.read().split()
            found.boot = max(found.boot, int(boot))
            found.number = max(found.number, int(number))
        except (OSError, ValueError):
            pass


def _sort_files(store, found):
    """List the folder once, delete what is unfinished or superseded; return raw shards."""
    raws = []
    sealed = []
    unfinished = []
    for file, size in _list(store.path):
        kind = file[file.rfind(".") + 1 :]
        stem = file[: -len(kind) - 1]
        dash = stem.rfind("-")
        if kind in _SHORT and "~" in stem:  # FAT: the long name was deleted, then the power went
            unfinished.append(file)
        if dash < 1 or not stem[dash + 1 :].isdigit():
            continue
        number = int(stem[dash + 1 :])
        if kind == "tmp":
            unfinished.append(file)
        elif kind in ("raw", "bts", "bad"):
            found.number = max(found.number, number)
        if kind == "raw":
            raws.append((number, stem[:dash], size))
        elif kind == "bts":
            sealed.append((number, stem[:dash], size, kind))
    open_numbers = {raw[:2] for raw in raws}
    for shard in sealed:
        if shard[:2] in open_numbers:
            # Cut while it took its place. On FAT both its names may stand for the same clusters:
            # they are deleted before anything is made, and sealed again from the raw shard.
            unfinished.insert(0, "%s-%05d.bts" % (shard[1], shard[0]))
        else:
            store.kept.append(shard)
    for file in unfinished:
        try:
            os.remove(store.path + "/" + file)
        except OSError as exc:  # the others count all the same
            store.events.append((frame.FLASH_ERROR, exc.errno))
    for shard in raws + store.kept:
        store.shards += 1
        store.bytes += shard[2]
    raws.sort()
    store.kept.sort()
    return [raw[:2] for raw in raws]


def _sort_raw(store, found, number, name):
    """Decide what becomes of a raw shard; return True if it is written on."""
    good, size, flush, boot, more = _scan(store.file(number, name, "raw"))
    found.boot = max(found.boot, boot)
    if good != size:
        store.events.append((frame.TAIL_CUT, size - good))
    if name == store.name:
        found.last_flush[number] = flush
        if number == found.number and good == size and 0 < good <= store.limit - _FLUSH_BYTES:
            found.size = good
            found.flush = flush + 1
            return True
    if more:  # not a torn end: readers find the whole flushes behind the damage
        store.kept.append((number, name, size, "raw"))
    elif not good:
        _set_aside(store, number, name, size)
    else:
        store.unsealed.append((number, name, good))
    return False


def _scan(raw):
    """Return what is in a raw shard.

    (bytes up to the last good commit before any damage, file size, last flush, last boot, are
    there good flushes behind damage)
    """
    good = pos = boot = last_boot = 0
    flush = -1
    crc = count = 0
    torn = more = False
    buf = bytearray(_READ_FRAMES * frame.SIZE)
    view = memoryview(buf)
    with open(raw, "rb") as f:
        n = len(buf)
        while n == len(buf):
            n = f.readinto(buf)
            end = n - n % frame.SIZE
            start = 0  # of what the CRC does not cover yet
            for at in range(0, end, frame.SIZE):
                kind = frame.kind(buf, at)
                if kind == frame.ANCHOR:
                    boot = struct.unpack_from("<H", buf, at + 8)[0]
                elif kind == frame.COMMIT:
                    _, _, want, frames, number = struct.unpack_from("<HHIHH", buf, at)
                    count += (at - start) // frame.SIZE
                    if crc32(view[start:at], crc) != want or frames != count:
                        torn = True
                    else:
                        last_boot = max(boot, last_boot)
                        flush = number
                        more = torn
                        if not torn:
                            good = pos + at + frame.SIZE
                    start = at + frame.SIZE
                    crc = count = 0
            count += (end - start) // frame.SIZE
            crc = crc32(view[start:end], crc)
            pos += n
    return good, pos, flush, last_boot, more


def _set_aside(store, number, name, size):
    raw = store.file(number, name, "raw")
    if size == 0:
        os.remove(raw)
    else:
        store.make_entry(number, name)
        os.rename(raw, store.file(number, name, "bad"))
        store.events.append((frame.SHARD_BAD, number))
        print("store: %s holds no whole flush, set aside as .bad" % raw)
    store.shards -= 1
    store.bytes -= size


def _list(path):
    """Return (name, bytes) of every file in a folder."""
    entries = os.ilistdir(path)
    out = []
    while True:
        try:
            entry = next(entries)
        except StopIteration:
            return out
        except UnicodeError:
            continue  # FAT: a name torn by a power cut
        out.append((entry[0], entry[3] if len(entry) > 3 else 0))
