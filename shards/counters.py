# Lifetime counters of a battery: what its frames add up to; shards/sums.py keeps that in a file
# docs/FORMAT.md specifies it. Loaded every few hours and forgotten; the PC runs this code too.
import asyncio
import struct
from binascii import crc32

import half
from micropython import const
from shards import frame

_FULL = const(200)  # half percent
_NOT_FULL = const(190)
_UNIT = const(3_600_000)  # mA s in an Ah, mW s in a Wh
_NO_SHARD = const(0xFFFFFFFF)  # before the folder was read
_EIO = const(5)
_ENOENT = const(2)
_WINDOW = const(1053)  # bytes of the largest flush and its commit

# Places in Counters.n, in the order of the file: whole Ah and the mAs of the next, Wh and mWs, of
# charging and discharging; seconds of all intervals; how often full; when last, by unix time and by
# seconds logged; unix time of the first data frame, and of the last frame (0 = unknown); data
# frames; from where on frames are not counted yet; shards that were gone before they were counted;
# the first that was counted; seconds from the last data frame to the last frame; the time of that
# one; the voltage of the last data frame; boot; extremes; whether an interval ends with the next
# data frame, and whether it was not full lately
_IN = const(0)
_OUT = const(2)
_ENERGY = const(4)  # behind charge
_LOGGED_S = const(8)
_FULLS = const(9)
_FULL_UNIX = const(10)
_FULL_LOGGED_S = const(11)
_FIRST_UNIX = const(12)
_ROWS = const(13)
_UNIX = const(14)
_SHARD = const(15)
_AT = const(16)
_LOST = const(17)
_FIRST_SHARD = const(18)
_SINCE_S = const(19)
_TIME = const(20)
_VOLTAGE = const(21)
_BOOT = const(22)
_LOW_MV = const(23)
_HIGH_MV = const(24)
_LEAST_SOC = const(25)
_RUNNING = const(26)
_ARMED = const(27)
_PLACES = const(28)


async def count(store, n):
    """Count what `store` has committed since it was `n`, what Counters takes; return Counters.n.

    Committed frames only, so that a power cut takes nothing away. Raises OSError when flash cannot
    be read.
    """
    counters = Counters(n)
    n = counters.n
    numbers = [number for number, name, _ in store.unsealed if name == store.name]
    if store.waiting.shard == _NO_SHARD:
        raise OSError(_EIO)
    numbers.append(store.waiting.shard)
    if n[_AT] and n[_SHARD] not in numbers:
        n[_LOST] += 1  # it was gone before all of it was counted
    for number in numbers:
        if number < n[_SHARD]:
            continue
        if number > n[_SHARD]:
            counters.begin(number)
        try:
            f = open(store.file(number, store.name, "raw"), "rb")
        except OSError as exc:
            if exc.errno == _ENOENT and number == numbers[-1]:
                break  # nothing was written yet
            raise
        with f:
            for _ in counters.take(f):
                await asyncio.sleep_ms(0)
    return n


class Counters:
    """Counts committed frames in their order, each once. `n`: what was counted before, or None."""

    def __init__(self, n=None):
        if n is None:
            n = [0] * _PLACES
            n[_VOLTAGE] = half.NAN
            n[_LOW_MV] = frame.UNKNOWN_U16
            n[_LEAST_SOC] = frame.UNKNOWN_U8
        self.n = n

    def begin(self, shard):
        """Go on with another shard."""
        n = self.n
        if n[_SHARD] and (shard != n[_SHARD] + 1 or not n[_AT]):
            n[_RUNNING] = 0  # what is between may be lost
        n[_SHARD] = shard
        n[_AT] = 0
        n[_FIRST_SHARD] = n[_FIRST_SHARD] or shard

    def take(self, f):
        """Count what is not counted yet of the open raw shard `f`; yield after each flush."""
        end = f.seek(0, 2)
        while self.n[_AT] < end:
            self._take_flush(f, end)
            yield

    def _take_flush(self, f, end):
        """Count the next flush of the open raw shard `f` of `end` bytes; leave out what is none."""
        n = self.n
        one = bytearray(frame.SIZE)  # a frame at a time: a whole flush would be a large piece
        at = n[_AT]
        end = min(end, at + _WINDOW)
        f.seek(at)
        while at + frame.SIZE <= end:
            f.readinto(one)
            if frame.kind(one, 0) == frame.COMMIT:
                crc, count = struct.unpack_from("<HHIHH", one)[2:4]
                first = at - count * frame.SIZE
                if first >= n[_AT] and _crc(f, first, count, one) == crc:
                    if first > n[_AT]:
                        n[_RUNNING] = 0
                    f.seek(first)
                    for _ in range(count):
                        f.readinto(one)
                        self.put(one, 0)
                    n[_AT] = at + frame.SIZE
                    return
                f.seek(at + frame.SIZE)
            at += frame.SIZE
        n[_AT] = max(at, n[_AT] + frame.SIZE)

    def put(self, buf, offset):
        """Count a frame, data or control."""
        n = self.n
        time = buf[offset] | buf[offset + 1] << 8
        passed_s = (time - n[_TIME] + 0x8000 & 0xFFFF) - 0x8000
        n[_TIME] = time
        n[_SINCE_S] += passed_s
        if n[_UNIX]:
            n[_UNIX] += passed_s
        kind = frame.kind(buf, offset)
        if kind == frame.ANCHOR:
            unix_s, boot = struct.unpack_from("<HHIHBBB", buf, offset)[2:4]
            if boot != n[_BOOT]:
                n[_BOOT] = boot
                n[_RUNNING] = 0
                n[_UNIX] = 0
            n[_UNIX] = unix_s or n[_UNIX]
        elif kind == frame.EVENT and buf[offset + 4] == frame.GAP:
            n[_RUNNING] = 0
        elif kind == 0:
            self._take_data(*struct.unpack_from("<HHHBBHHB", buf, offset))

    def _take_data(self, _t, voltage, current, _c, soc, low_mv, high_mv, _i):
        n = self.n
        if n[_RUNNING] and n[_SINCE_S] > 0:
            n[_LOGGED_S] += n[_SINCE_S]
            self._add(voltage, current, min(n[_SINCE_S], 0xFFFF))
        n[_RUNNING] = 1
        n[_SINCE_S] = 0
        n[_VOLTAGE] = voltage
        n[_ROWS] += 1
        n[_FIRST_UNIX] = n[_FIRST_UNIX] or n[_UNIX]
        if low_mv != frame.UNKNOWN_U16:
            n[_LOW_MV] = min(n[_LOW_MV], low_mv)
            n[_HIGH_MV] = max(n[_HIGH_MV], high_mv)
        if soc != frame.UNKNOWN_U8:
            n[_LEAST_SOC] = min(n[_LEAST_SOC], soc)
            if soc <= _NOT_FULL:
                n[_ARMED] = 1
            elif soc >= _FULL:
                n[_FULLS] += n[_ARMED]
                n[_ARMED] = 0
                n[_FULL_UNIX] = n[_UNIX]
                n[_FULL_LOGGED_S] = n[_LOGGED_S]

    def _add(self, voltage, current, seconds):
        """Add charge and energy of an interval; its voltage is the mean of both ends."""
        if not _is_number(current):
            return
        mas = half.times_milli(current & 0x7FFF, seconds)
        at = _OUT if current & 0x8000 else _IN
        self._carry(at, mas)
        if _is_number(voltage) and _is_number(self.n[_VOLTAGE]):
            # in 1/16 mV: small integers for all but the largest charges
            volts = half.times_milli(voltage, 8) + half.times_milli(self.n[_VOLTAGE], 8)
            self._carry(at + _ENERGY, mas // 1000 * volts // 16 + mas % 1000 * volts // 16000)

    def _carry(self, at, more):
        more += self.n[at + 1]
        self.n[at] += more // _UNIT
        self.n[at + 1] = more % _UNIT


def _crc(f, first, count, one):
    """Return the CRC-32 of `count` frames from byte `first` on, read into `one`."""
    crc = 0
    f.seek(first)
    for _ in range(count):
        f.readinto(one)
        crc = crc32(one, crc)
    return crc


def _is_number(bits):
    return bits >> 10 & 31 not in (0, 31)  # nothing that is stored is so small and not 0
