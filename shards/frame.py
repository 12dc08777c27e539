# The 13-byte frames of a shard: data, anchor, commit, event
# docs/FORMAT.md specifies them; runs on the board and on the PC.
import struct

SIZE = 13
VERSION = 2

UNKNOWN_U8 = 255
UNKNOWN_U16 = 65535

ANCHOR = 0xFE01
COMMIT = 0xFE02
EVENT = 0xFE03

# event codes, each with two numbers
LINK_FOUND = 1  # -, -
LINK_LOST = 2  # -, -
FRAMES_DROPPED = 3  # how many, -
SHARD_DELETED = 4  # its number, its bytes
CLOCK_STEPPED = 5  # seconds forward, seconds backward
FLASH_ERROR = 6  # errno, -
SHARD_BAD = 7  # its number, -
TAIL_CUT = 8  # bytes cut from a torn shard, -
GAP = 9  # seconds without samples before the next data frame, -
WIDENED = 10  # how many times wider than usual what is skipped may be from now on, -
SHARD_UNREADABLE = 11  # its number, its bytes
# 12 to 17 tell what happened: app/events.py
REST = 18  # seconds between polls from now on, 0 as usual; seconds since the last poll


def pack_data(
    buf, offset, uptime_s, voltage, current, temperature, soc, cell_min_mv, cell_max_mv, index
):
    """Write a data frame; `voltage` and `current` are half-float bits, the rest as stored."""
    struct.pack_into(
        "<HHHBBHHB",
        buf,
        offset,
        uptime_s & 0xFFFF,
        voltage,
        current,
        temperature,
        soc,
        cell_min_mv,
        cell_max_mv,
        index,
    )


def pack_anchor(buf, offset, uptime_s, unix_s, boot, reset_cause, cells):
    """Write an anchor: `unix_s` is UTC seconds since 1970 or 0 when the clock is unknown."""
    struct.pack_into(
        "<HHIHBBB",
        buf,
        offset,
        uptime_s & 0xFFFF,
        ANCHOR,
        unix_s,
        boot & 0xFFFF,
        reset_cause & 0xFF,
        cells,
        VERSION,
    )


def pack_commit(buf, offset, uptime_s, crc, count, flush):
    """Write a commit: CRC-32 of the `count` frames since the last one, and the flush number."""
    struct.pack_into(
        "<HHIHHB", buf, offset, uptime_s & 0xFFFF, COMMIT, crc, count, flush & 0xFFFF, 0
    )


def pack_event(buf, offset, uptime_s, code, a=0, b=0):
    """Write an event with its two numbers, each 0..2**32-1."""
    struct.pack_into("<HHBII", buf, offset, uptime_s & 0xFFFF, EVENT, code, a, b)


def kind(buf, offset):
    """Return 0 for a data frame, else ANCHOR, COMMIT, EVENT or another 0xFExx."""
    if buf[offset + 3] != 0xFE:
        return 0
    return 0xFE00 | buf[offset + 2]


def unix_s(buf):
    """Return the unix time of the anchor that begins `buf`; 0 if it is unknown or no anchor."""
    return struct.unpack_from("<I", buf, 4)[0] if kind(buf, 0) == ANCHOR else 0


def temperature_u8(celsius):
    """Return half degrees above -40 C, clamped to 0..254, or 255 for None, NaN and the like."""
    if celsius is None or not -1000 < celsius < 1000:
        return UNKNOWN_U8
    return max(0, min(254, round((celsius + 40) * 2)))


def shard_name(bms_name):
    """Reduce a BMS name to what a file may be called: [A-Za-z0-9_], at most 24 characters."""
    name = bytearray(bms_name.encode()[:24])
    for i, c in enumerate(name):
        if not (48 <= c <= 57 or 65 <= c <= 90 or 97 <= c <= 122):
            name[i] = 95  # _
    return str(name, "utf-8") or "bms"
