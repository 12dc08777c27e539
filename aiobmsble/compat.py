# What translated drivers need and MicroPython lacks: exceptions, text and bytes helpers.
# Each helper does what the CPython construct does that it is put in for.


class ConnectionError(OSError):
    """The BMS is not what the driver expects, or refuses to talk."""


class _Cut:
    def __getitem__(self, part):
        return part


cut = _Cut()  # cut[a:b] is slice(a, b), which MicroPython cannot call


def same(x):
    """The value itself: the conversion of a field that needs none."""
    return x


def once(function):
    """Decorator: a function without arguments runs once and keeps its result."""
    result = []

    def kept():
        if not result:
            result.append(function())
        return result[0]

    return kept


def signed_from_bytes(data, order, signed):
    """int.from_bytes with its signed argument, which MicroPython ignores."""
    number = int.from_bytes(data, order)
    bits = 8 * len(data)
    if signed and bits and number >> (bits - 1):
        number -= 1 << bits
    return number


def decoded(data, encoding, errors):
    """bytes.decode for ascii and utf-8, errors "strict" or "ignore" (ascii only)."""
    if encoding.lower() != "ascii":
        return str(bytes(data), "utf-8")
    if any(byte > 127 for byte in data):
        if errors != "ignore":
            raise UnicodeError("not ascii")
        data = bytes(byte for byte in data if byte < 128)
    return str(bytes(data), "utf-8")


def is_printable(text):
    """str.isprintable for ascii text."""
    return all(31 < ord(char) < 127 for char in text)


def mean(values):
    """statistics.fmean of numbers or temperature sensors, in the board's floats."""
    total = 0
    for value in values:
        total += float(value)
    return total / len(values)
