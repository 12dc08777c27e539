# Lifetime counters of a battery: what its frames add up to, and the small file that keeps them
# docs/FORMAT.md specifies it. Loaded every few hours and forgotten; the PC runs this code too.
import asyncio
import struct
from binascii import crc32

import half
from micropython import const
from shards import frame

# What `values` returns, in this order: names with their units.
NAMES = (
    "charge_in_Ah charge_out_Ah energy_in_kWh energy_out_kWh soc_min_percent cell_min_mV"
    " cell_max_mV full_charges full_unix_s since_full_h logged_h first_unix_s rows lost"
)
_FILES = ("%s/%s.sum", "%s/%s.sum2")  # the older one is written, so that one is always whole
_LAYOUT = "<20IiHHHHHBB"
_BYTES = const(100)
_MAGIC = const(0x31435342)  # "BSC1"
_FULL = const(200)  # half percent
_NOT_FULL = const(190)
_UNIT = const(3_600_000)  # mA s in an Ah, mW s in a Wh
_NO_SHARD = const(0xFFFFFFFF)  # before the folder was read
_EIO = const(5)
_ENOENT = const(2)
_WINDOW = const(1053)  # bytes of the largest flush and its commit

# Places in Counters._n, in the order of the file: whole Ah and the mAs of the next, Wh and mWs, of
# charging and discharging; seconds of all intervals; how often full; when last, by unix time and by
# seconds logged; unix time of the first data frame, and of the last frame (0 = unknown); data
# frames; from where on frames are not counted yet; shards that were gone before they were counted;
# the first that was counted; seconds from the last data frame to the last frame; the time of that
# one; the voltage of the last data frame; boot; extremes
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
_PLACES = const(26)


class Counters:
    """Counts committed frames in their order, each once."""

    def __init__(self):
        self._n = [0] * _PLACES
        self._n[_VOLTAGE] = half.NAN
        self._n[_LOW_MV] = frame.UNKNOWN_U16
        self._n[_LEAST_SOC] = frame.UNKNOWN_U8
        self._running = False  # an interval ends with the next data frame
        self._armed = False  # it was not full lately

    def values(self):
        """Return a list of numbers in the order of NAMES, None for what is unknown.

        `since_full_h` is by the clock if it is known, else by hours logged; `lost` counts the
        shards that were gone before they were counted.
        """
        n = self._n
        sums = [n[i] + n[i + 1] / _UNIT for i in range(0, 8, 2)]
        full_h = None
        if n[_FULL_UNIX] and n[_UNIX]:
            full_h = (n[_UNIX] - n[_FULL_UNIX]) / 3600
        elif n[_FULL_LOGGED_S]:
            full_h = (n[_LOGGED_S] - n[_FULL_LOGGED_S]) / 3600
        known = n[_HIGH_MV] > 0
        return sums[:2] + [
            sums[2] / 1000,
            sums[3] / 1000,
            None if n[_LEAST_SOC] == frame.UNKNOWN_U8 else n[_LEAST_SOC] / 2,
            n[_LOW_MV] if known else None,
            n[_HIGH_MV] if known else None,
            n[_FULLS],
            n[_FULL_UNIX] or None,
            full_h,
            n[_LOGGED_S] / 3600,
            n[_FIRST_UNIX] or None,
            n[_ROWS],
            n[_LOST],
        ]

    @property
    def place(self):
        """(shard, byte) from which on frames are not counted yet; (0, 0) before any."""
        return self._n[_SHARD], self._n[_AT]

    # ---- counting

    async def count(self, store):
        """Count what `store` has committed since the last time, and keep it; return `values`.

        Committed frames only, so that a power cut takes nothing away. Raises OSError when flash
        cannot be read or written: the next time is another try.
        """
        self.load(store.path, store.name)
        n = self._n
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
                self.begin(number)
            try:
                f = open(store.file(number, store.name, "raw"), "rb")
            except OSError as exc:
                if exc.errno == _ENOENT and number == numbers[-1]:
                    break  # nothing was written yet
                raise
            with f:
                for _ in self.take(f):
                    await asyncio.sleep_ms(0)
        for _ in range(min(2, len(numbers))):  # both files, before what the older needs is sealed
            self.save(store.path, store.name)
        return self.values()

    def begin(self, shard):
        """Go on with another shard."""
        n = self._n
        if n[_SHARD] and (shard != n[_SHARD] + 1 or not n[_AT]):
            self._running = False  # what is between may be lost
        n[_SHARD] = shard
        n[_AT] = 0
        n[_FIRST_SHARD] = n[_FIRST_SHARD] or shard

    def take(self, f):
        """Count what is not counted yet of the open raw shard `f`; yield after each flush."""
        end = f.seek(0, 2)
        while self._n[_AT] < end:
            self._take_flush(f, end)
            yield

    def _take_flush(self, f, end):
        """Count the next flush of the open raw shard `f` of `end` bytes; leave out what is none."""
        n = self._n
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
                        self._running = False
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
        n = self._n
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
                self._running = False
                n[_UNIX] = 0
            n[_UNIX] = unix_s or n[_UNIX]
        elif kind == frame.EVENT and buf[offset + 4] == frame.GAP:
            self._running = False
        elif kind == 0:
            self._take_data(*struct.unpack_from("<HHHBBHHB", buf, offset))

    def _take_data(self, _t, voltage, current, _c, soc, low_mv, high_mv, _i):
        n = self._n
        if self._running and n[_SINCE_S] > 0:
            n[_LOGGED_S] += n[_SINCE_S]
            self._add(voltage, current, min(n[_SINCE_S], 0xFFFF))
        self._running = True
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
                self._armed = True
            elif soc >= _FULL:
                n[_FULLS] += self._armed
                self._armed = False
                n[_FULL_UNIX] = n[_UNIX]
                n[_FULL_LOGGED_S] = n[_LOGGED_S]

    def _add(self, voltage, current, seconds):
        """Add charge and energy of an interval; its voltage is the mean of both ends."""
        if not _is_number(current):
            return
        mas = half.times_milli(current & 0x7FFF, seconds)
        at = _OUT if current & 0x8000 else _IN
        self._carry(at, mas)
        if _is_number(voltage) and _is_number(self._n[_VOLTAGE]):
            # in 1/16 mV: small integers for all but the largest charges
            volts = half.times_milli(voltage, 8) + half.times_milli(self._n[_VOLTAGE], 8)
            self._carry(at + _ENERGY, mas // 1000 * volts // 16 + mas % 1000 * volts // 16000)

    def _carry(self, at, more):
        more += self._n[at + 1]
        self._n[at] += more // _UNIT
        self._n[at + 1] = more % _UNIT

    # ---- the file

    def load(self, path, name):
        """Take what the newer file of the log `name` in the folder `path` has, if one is whole."""
        for file in _FILES:
            data = _read(file % (path, name))
            if data and _rank(data) > (self._n[_ROWS],) + self.place:
                self.decode(data)

    def save(self, path, name):
        """Write the older file; raises OSError."""
        first, second = [_rank(_read(file % (path, name))) for file in _FILES]
        with open(_FILES[second < first] % (path, name), "wb") as f:
            f.write(self.encode())

    def encode(self):
        """Return the bytes of the file."""
        data = bytearray(_BYTES)
        flags = self._running | self._armed << 1
        struct.pack_into(_LAYOUT, data, 0, _MAGIC, *self._n, flags)
        struct.pack_into("<I", data, _BYTES - 4, crc32(memoryview(data)[: _BYTES - 4]))
        return data

    def decode(self, data):
        """Take what `encode` returned; the data are whole."""
        row = struct.unpack_from(_LAYOUT, data)
        self._n = list(row[1 : _PLACES + 1])
        self._running = bool(row[-1] & 1)
        self._armed = bool(row[-1] & 2)


def _crc(f, first, count, one):
    """Return the CRC-32 of `count` frames from byte `first` on, read into `one`."""
    crc = 0
    f.seek(first)
    for _ in range(count):
        f.readinto(one)
        crc = crc32(one, crc)
    return crc


def whole(data):
    """Is that the content of a file that `save` wrote?"""
    if len(data) != _BYTES or struct.unpack_from("<I", data)[0] != _MAGIC:
        return False
    return crc32(data[:-4]) == struct.unpack_from("<I", data, _BYTES - 4)[0]


def _is_number(bits):
    return bits >> 10 & 31 not in (0, 31)  # nothing that is stored is so small and not 0


def _rank(data):
    """Return what grows from file to file; less than that for no file."""
    if not data:
        return (-1,)
    row = struct.unpack_from(_LAYOUT, data)
    return row[1 + _ROWS], row[1 + _SHARD], row[1 + _AT]


def _read(file):
    """Return the content of a file if it is whole, else b""."""
    try:
        with open(file, "rb") as f:
            data = f.read(_BYTES + 1)
    except OSError:
        return b""
    return data if whole(data) else b""
