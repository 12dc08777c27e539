# Helpers that only a few translated drivers need; apart, so that the others do not load them.
# Each does what the CPython construct does that it is put in for.

import json
import time

_UNIX_2000_S = const(946684800)


def count_of(data, part):
    """bytes.count and str.count; part may be an int, as one byte of bytes."""
    if isinstance(part, int):
        part = bytes((part,))
    return data.count(part)


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
    return json.loads(str(bytes(data), "utf-8"))


def translated(data, table):
    """bytes.translate with a table of 256 bytes."""
    return bytes(table[byte] for byte in data)


def without_suffix(data, suffix):
    """The text or bytes without the suffix, if it has it."""
    return data[: len(data) - len(suffix)] if suffix and data.endswith(suffix) else data


def zip_strict(*values):
    """zip(..., strict=True): ValueError if the lengths differ."""
    if len(set(len(part) for part in values)) > 1:
        raise ValueError("lengths differ")
    return zip(*values)


def unix_time():
    """Seconds since 1970 as int; a single float could not hold them."""
    offset = _UNIX_2000_S if time.gmtime(0)[0] == 2000 else 0
    return int(time.time()) + offset
