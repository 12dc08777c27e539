# What translated drivers need and MicroPython lacks: exceptions, text and bytes helpers.
# Each helper does what the CPython construct does that it is put in for.


class ConnectionError(OSError):
    """The BMS is not what the driver expects, or refuses to talk."""


class ConnectionRefusedError(ConnectionError):
    """The BMS rejected the secret or a command."""


class PermissionError(OSError):
    """The BMS rejected the secret."""


class suppress:
    """Context manager that ends silently on the given exceptions."""

    def __init__(self, *kinds):
        self.kinds = kinds

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        return kind is not None and issubclass(kind, self.kinds)


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


def enum_member(value, members):
    """The value if it is one of the enum's values; ValueError otherwise."""
    if value in members:
        return value
    raise ValueError("%r is no member" % (value,))


def signed_from_bytes(data, order, signed):
    """int.from_bytes with its signed argument, which MicroPython ignores."""
    number = int.from_bytes(data, order)
    bits = 8 * len(data)
    if signed and bits and number >> (bits - 1):
        number -= 1 << bits
    return number


def bit_count(number):
    """How many ones abs(number) has in binary."""
    return "{:b}".format(abs(number)).count("1")


def decoded(data, encoding, errors):
    """bytes.decode for ascii and utf-8, errors "strict" or "ignore" (ascii only)."""
    if encoding.lower() != "ascii":
        return str(bytes(data), "utf-8")
    if any(byte > 127 for byte in data):
        if errors != "ignore":
            raise UnicodeError("not ascii")
        data = bytes(byte for byte in data if byte < 128)
    return str(bytes(data), "utf-8")


def encoded(text, encoding):
    """str.encode; UnicodeError for text that is not ascii if ascii is asked for."""
    data = text.encode()
    if encoding.lower() == "ascii" and len(data) != len(text):
        raise UnicodeError("not ascii")
    return data


def is_printable(text):
    """str.isprintable for ascii text."""
    return all(31 < ord(char) < 127 for char in text)


def without_prefix(data, prefix):
    """The text or bytes without the prefix, if it has it."""
    return data[len(prefix):] if data.startswith(prefix) else data


def takewhile(test, values):
    """The values up to the first that fails the test."""
    for value in values:
        if not test(value):
            return
        yield value


def clear_bytes(data):
    """bytearray.clear"""
    data[:] = b""
