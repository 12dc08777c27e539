# Helpers that only a few drivers need: the translator copies each into the drivers that call it.
# Each does what the CPython construct does that it is put in for. Not a module of the board.

from aiobmsble.compat import ConnectionError


class ConnectionRefusedError(ConnectionError):
    """The BMS rejected the secret or a command."""


class PermissionError(OSError):
    """The BMS rejected the secret."""


def count_of(data, part):
    """bytes.count and str.count; part may be an int, as one byte of bytes."""
    if isinstance(part, int):
        part = bytes((part,))
    return data.count(part)


def decoded_leniently(data, errors):
    """bytes.decode("utf-8", errors) for "ignore" and "replace"."""
    text = ""
    i = 0
    while i < len(data):
        lead = data[i]
        more = (lead > 0xC1) + (lead > 0xDF) + (lead > 0xEF) if lead < 0xF5 else 0
        # The second byte's range is smaller behind some, to exclude what is no character.
        low = {0xE0: 0xA0, 0xF0: 0x90}.get(lead, 0x80)
        high = {0xED: 0x9F, 0xF4: 0x8F}.get(lead, 0xBF)
        end = i + 1
        while end <= i + more and end < len(data) and low <= data[end] <= high:
            low, high = 0x80, 0xBF
            end += 1
        if end == i + 1 + more and (more or lead < 0x80):
            text += str(bytes(data[i:end]), "utf-8")
        elif errors == "replace":
            text += "\ufffd"
        i = end
    return text


def every_nth(values, start, stop, step):
    """values[start:stop:step] for a list, a tuple, text or bytes."""
    picked = list(values)[start:stop:step]
    if isinstance(values, str):
        return "".join(picked)
    return picked if isinstance(values, list) else type(values)(picked)


def int_base(text, base):
    """int(text, base), from a bytearray too."""
    return int(bytes(text) if isinstance(text, bytearray) else text, base)


def is_instance(value, kinds):
    """isinstance with an int among the kinds: in CPython a bool is an int."""
    if value is True or value is False:
        return int in kinds if isinstance(kinds, tuple) else kinds is int
    return isinstance(value, kinds)


def json_loads(data):
    """json.loads of bytes; ValueError for bad JSON or bad UTF-8."""
    import json

    # MicroPython 1.25 takes "{" for "{}"; in text that ends early, the 0 goes astray
    found = json.loads("[%s,0]" % str(bytes(data), "utf-8"))
    if len(found) != 2:
        raise ValueError("bad JSON")
    return found[0]


def translated(data, table):
    """bytes.translate with a table of 256 bytes."""
    return bytes(table[byte] for byte in data)


def unix_time():
    """Seconds since 1970 as int; a single float could not hold them.

    For a BMS that sets its clock by it: ConnectionError with a sentence if ours was never set.
    """
    import time

    if time.gmtime()[0] < 2024:
        raise ConnectionError("the BMS would take our clock, which is not set; batmon pull does")
    since_1970 = 946684800 if time.gmtime(0)[0] == 2000 else 0
    return int(time.time()) + since_1970


def enum_member(value, members):
    """The value if it is one of the enum's values; ValueError otherwise."""
    if value in members:
        return value
    raise ValueError("%r is no member" % (value,))


def bit_count(number):
    """How many ones abs(number) has in binary."""
    return "{:b}".format(abs(number)).count("1")


def encoded(text, encoding):
    """str.encode; UnicodeError for text that is not ascii if ascii is asked for."""
    data = text.encode()
    if encoding.lower() == "ascii" and len(data) != len(text):
        raise UnicodeError("not ascii")
    return data


def without_prefix(data, prefix):
    """The text or bytes without the prefix, if it has it."""
    return data[len(prefix):] if data.startswith(prefix) else data


def clear_bytes(data):
    """bytearray.clear"""
    data[:] = b""


def without_zeros_behind(values):
    """The list without zeros at its end."""
    while values and not values[-1]:
        values.pop()
    return values


def without_suffix(data, suffix):
    """The text or bytes without the suffix, if it has it."""
    return data[: len(data) - len(suffix)] if suffix and data.endswith(suffix) else data


class suppress:
    """Context manager that ends silently on the given exceptions."""

    def __init__(self, *kinds):
        self.kinds = kinds

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        return kind is not None and issubclass(kind, self.kinds)


def takewhile(test, values):
    """The values up to the first that fails the test."""
    for value in values:
        if not test(value):
            return
        yield value


def zip_strict(*values):
    """zip(..., strict=True): ValueError if the lengths differ."""
    if len(set(len(part) for part in values)) > 1:
        raise ValueError("lengths differ")
    return zip(*values)
