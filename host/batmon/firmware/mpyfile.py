"""What of a compiled file would cost a board memory for ever, mended.

MicroPython puts a module's names, two bytes each, and its constant objects into one piece of the
heap and keeps a pointer to where the objects begin. A module that has none, and whose names fill
their blocks of 16 bytes to the end, points at the block behind its own: the collector takes that
for in use, whatever it is, and with it all that hangs on it, 10 kB if it is a module that was
loaded once and let go of.
"""

_BLOCK = 16  # bytes of a board's heap
_WORD = 4
_NAME = 2
_ARCH_FLAGS = 0x40  # of byte 2: numbers that mpy-cross writes only if asked for
_NONE = b"\x01"  # the object


def mended(data: bytes) -> bytes:
    """Return the content of an .mpy file, with a constant None in it if it needs one."""
    at = 4

    def number() -> int:
        nonlocal at
        value, more = 0, True
        while more:
            value, more = value << 7 | data[at] & 127, data[at] & 128
            at += 1
        return value

    names = number()
    count_at = at
    objects = number()
    words = -(-names * _NAME // _WORD)
    if objects or words * _WORD % _BLOCK or data[2] & _ARCH_FLAGS:
        return data
    for _ in range(names):
        kind = number()
        at += 0 if kind & 1 else (kind >> 1) + 1  # in ROM, or spelled with a zero behind it
    return data[:count_at] + b"\x01" + data[count_at + 1 : at] + _NONE + data[at:]
