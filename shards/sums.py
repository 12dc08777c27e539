# The small files of a battery's lifetime counters, and what they say
# docs/FORMAT.md specifies them. Loaded for a moment; the PC runs this code too.
import struct
from binascii import crc32

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
_UNIT = const(3_600_000)  # mA s in an Ah, mW s in a Wh

# places, as in shards/counters.py
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
_LOW_MV = const(23)
_HIGH_MV = const(24)
_LEAST_SOC = const(25)
_RUNNING = const(26)
_ARMED = const(27)


def load(path, name):
    """Return what the newer file of the log `name` in the folder `path` has, None if none is whole.

    That is a list of numbers, see shards/counters.py.
    """
    first, second = [_read(file % (path, name)) for file in _FILES]
    return second if rank(second) > rank(first) else first


def save(path, name, n):
    """Write `n` into the older file; raises OSError."""
    first, second = [rank(_read(file % (path, name))) for file in _FILES]
    with open(_FILES[second < first] % (path, name), "wb") as f:
        f.write(encode(n))


def rank(n):
    """Return what grows from file to file; less than that for None."""
    return (n[_ROWS],) + place(n) if n else (-1,)


def place(n):
    """Return (shard, byte) from which on frames are not counted yet; (0, 0) before any."""
    return n[_SHARD], n[_AT]


def values(n):
    """Return a list of numbers in the order of NAMES, None for what is unknown.

    `since_full_h` is by the clock if it is known, else by hours logged; `lost` counts the
    shards that were gone before they were counted.
    """
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


def encode(n):
    """Return the bytes of the file."""
    data = bytearray(_BYTES)
    flags = n[_RUNNING] | n[_ARMED] << 1
    struct.pack_into(_LAYOUT, data, 0, _MAGIC, *n[:_RUNNING], flags)
    struct.pack_into("<I", data, _BYTES - 4, crc32(memoryview(data)[: _BYTES - 4]))
    return data


def decode(data):
    """Return the numbers of which `encode` made the data, which are whole."""
    row = struct.unpack_from(_LAYOUT, data)
    return list(row[1:-1]) + [row[-1] & 1, row[-1] >> 1 & 1]


def whole(data):
    """Is that the content of a file that `save` wrote?"""
    if len(data) != _BYTES or struct.unpack_from("<I", data)[0] != _MAGIC:
        return False
    return crc32(data[:-4]) == struct.unpack_from("<I", data, _BYTES - 4)[0]


def _read(file):
    try:
        with open(file, "rb") as f:
            data = f.read(_BYTES + 1)
    except OSError:
        return None
    return decode(data) if whole(data) else None
