# Puts the folder of shards in order after whatever happened; loaded for the start only
# docs/FORMAT.md says what is made of each state that a power cut can leave.
import os
import struct
from binascii import crc32

from micropython import const
from shards import entries, frame, room
from shards.folder import STATES

_READ_FRAMES = const(78)
_SHORT = ("RAW", "BTS", "TMP")  # what FAT calls a shard without its long name
_FLUSH_BYTES = const(1040)  # the longest flush
_BLOCK_HEAD = const(10)  # bytes before the payload of a block in a sealed shard
_END_FRAMES = const(0xFFFF)


class Found:
    """What a folder says about the log so far.

    While `patient`, a state or newest shard that cannot be read raises OSError: to be tried
    again. Later the log goes on without.
    """

    def __init__(self, patient=True):
        self.patient = patient
        self.boot = 0  # the last
        self.number = 0  # the highest of a shard, if there are several batteries of this one's
        self.highest = 0  # of any
        self.newest = {}  # of each of several batteries: the number of the shard it writes
        self.there = False  # a file bears that number
        self.size = 0  # committed bytes, if that shard can be written on
        self.flush = 0  # the number of its next flush
        # by number, of this battery's raw shards: number, frames and CRC-32
        self.last_flush = {}


def recover(store, found):
    """Bring the files of `store` into order and fill `found`.

    Raises OSError if what decides could not be read: nothing was changed then that matters, and
    this is to be called again.
    """
    entries.move(store)
    store.make_folder()
    # of several batteries each has a raw one
    store.limit = min(store.limit, store.ask_free() // max(8, 4 * len(store.names)))
    store.shards = store.bytes = 0
    store.kept.clear()  # logs of several batteries share them
    store.unsealed.clear()
    raws, sealed, bad, unfinished, states = _list(store)
    _load_state(store, found, states)
    for number, _ in list(raws) + list(sealed) + list(bad):
        found.there = number == found.number or found.there and number < found.number
        found.number = max(found.number, number)
    found.highest = found.number
    if store.names:
        _part(store, found, list(raws) + list(sealed) + list(bad))
    scans = {}
    for shard in raws:
        scans[shard] = _scan_of(store, found, shard)
    # On FAT both names of a sealed shard that is being renamed may stand for the same clusters:
    # before anything is made it is deleted, and sealed again from the raw one, if that is whole.
    for shard in raws:
        if shard in sealed and scans[shard] and scans[shard][0] == scans[shard][1] > 0:
            unfinished.insert(0, "%s-%05d.bts" % (shard[1], shard[0]))
            del sealed[shard]
    for file in unfinished:
        _remove(store, file)
    entries.secure(store, True)
    for shard in raws:
        if shard in sealed and scans[shard] and _is_whole(store, shard):
            if _rename(store, shard):
                bad[shard] = raws[shard]
                del scans[shard]
    for shard in sealed:
        _keep(store, shard, sealed[shard], "bts")
    for shard in bad:
        store.kept.append(shard + (bad[shard], "bad"))
    for shard in sorted(scans):
        if scans[shard]:
            _sort_raw(store, found, shard, *scans[shard])
        elif found.newest.get(shard[1]) != shard[0]:
            _keep(store, shard, raws[shard], "raw")
    store.kept.sort()
    room.find_oldest(store)
    if found.size and not store.oldest_unix_s:
        active = store.file(found.number, store.name, "raw")
        store.oldest_unix_s = room.first_unix_s(active)
    for number, _, size, kind in store.kept[-1:]:
        frames = room.known(store.path, number)[0] if kind == "bts" else 0
        if frames:
            room.measure(store, size, frames)


def _load_state(store, found, states):
    """Read the copies of the state that there are; raises OSError if one could not be read.

    One that is torn was read: a cut spoils one at most, and if that was a board's first, the shards
    tell what there is to be told.
    """
    told = []
    failed = None
    for name in STATES:
        boot = number = -1
        if name in states:
            try:
                with open(store.path + name) as f:
                    boot, number = [int(word) for word in f.read().split()]
            except ValueError:
                pass  # torn: the other one is not
            except OSError as exc:
                failed = exc
        told.append((boot, number, name))
    told.sort()
    boot, number, _ = told[-1]
    if failed and found.patient:
        raise failed  # it may be the newer one
    found.boot = max(0, boot)
    found.number = max(0, number, told[0][1])
    store.states = [name for _, _, name in told]


def _part(store, found, shards):
    """Find out which shard each of several batteries was writing."""
    for number, name in shards:
        if name in store.names:
            found.newest[name] = max(number, found.newest.get(name, 0))
    found.number = found.newest.pop(store.name, 0)
    found.there = found.number > 0


def _list(store):
    """Return {(number, name): bytes} of raw, sealed and bad shards, the names of files that are
    unfinished, and which copies of the state there are."""
    raws, sealed, bad = {}, {}, {}
    unfinished = []
    states = []
    kinds = {"raw": raws, "bts": sealed, "bad": bad}
    for file, size in entries.entries(store.path):
        if "/" + file in STATES:
            states.append("/" + file)
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
        elif kind in kinds:
            kinds[kind][number, stem[:dash]] = size
    return raws, sealed, bad, unfinished, states


def _scan_of(store, found, shard):
    """Return what `_scan` tells of a raw shard; None if it cannot be read.

    Raises OSError if it is the newest of this battery: it tells whether frames that wait are on
    flash already.
    """
    number, name = shard
    try:
        return _scan(store.file(number, name, "raw"))
    except OSError as exc:
        if found.patient and number == found.number and name == store.name:
            raise
        store.events.append((frame.FLASH_ERROR, exc.errno))
        return None


def _remove(store, file):
    try:
        os.remove(store.path + "/" + file)
    except OSError as exc:  # the others count all the same
        store.events.append((frame.FLASH_ERROR, exc.errno))


def _is_whole(store, shard):
    try:
        return whole(store.file(*shard, "bts"))
    except OSError as exc:  # both stay
        store.events.append((frame.FLASH_ERROR, exc.errno))
        return False


def _rename(store, shard):
    """Set a raw shard aside as .bad; return whether that could be done."""
    try:
        os.rename(store.file(*shard, "raw"), store.file(*shard, "bad"))
        return True
    except OSError as exc:
        store.events.append((frame.FLASH_ERROR, exc.errno))
        return False


def _keep(store, shard, size, kind):
    store.kept.append(shard + (size, kind))
    store.shards += 1
    store.bytes += size


def _sort_raw(store, found, shard, good, size, flush, boot, more):
    """Decide what becomes of a raw shard that could be read."""
    number, name = shard
    found.boot = max(found.boot, boot)
    writable = good == size and 0 < good <= store.limit - _FLUSH_BYTES
    if writable and found.newest.get(name) == number:
        return  # another battery's, which goes on with it
    if good != size:
        store.events.append((frame.TAIL_CUT, size - good))
    newest = number == found.number
    if name == store.name:
        found.last_flush[number] = flush
        if newest and writable:
            found.size = good
            found.flush = flush[0] + 1
            store.shards += 1
            store.bytes += size
            return
    if not good and not more:
        _set_aside(store, shard, size)
    else:
        store.unsealed.append((number, name, size if more else good))
        store.shards += 1
        store.bytes += size


def _scan(raw):
    """Return what is in a raw shard.

    (bytes up to the last good commit before any damage, file size, (number, frames, CRC-32) of the
    last flush, last boot, are there good flushes behind damage)
    """
    good = pos = boot = last_boot = 0
    flush = -1
    flush_frames = flush_crc = 0
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
                        flush, flush_frames, flush_crc = number, frames, want
                        more = torn
                        if not torn:
                            good = pos + at + frame.SIZE
                    start = at + frame.SIZE
                    crc = count = 0
            count += (end - start) // frame.SIZE
            crc = crc32(view[start:end], crc)
            pos += n
    return good, pos, (flush, flush_frames, flush_crc), last_boot, more


def whole(sealed):
    """Is a sealed shard there to its end, each block as it was written? Raises OSError."""
    total = 0
    buf = bytearray(_READ_FRAMES * frame.SIZE)
    view = memoryview(buf)
    with open(sealed, "rb") as f:
        f.seek(5)  # the header
        while f.readinto(view[:_BLOCK_HEAD]) == _BLOCK_HEAD:
            mark, n, left, crc = struct.unpack_from("<2sHHI", buf, 0)
            found = crc32(view[2:6])
            first = None
            while left:
                got = f.readinto(view[: min(left, len(buf))])
                if not got:
                    return False
                first = first or struct.unpack_from("<I", buf, 0)[0]
                found = crc32(view[:got], found)
                left -= got
            if mark != b"BK" or found != crc:
                return False
            if n == _END_FRAMES:
                return first == total
            total += n
    return False


def _set_aside(store, shard, size):
    if size == 0:
        _remove(store, "%s-%05d.raw" % (shard[1], shard[0]))
    elif _rename(store, shard):
        store.events.append((frame.SHARD_BAD, shard[0]))
        print("store: %s-%05d.raw holds no whole flush, set aside as .bad" % (shard[1], shard[0]))
