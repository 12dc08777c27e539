# By what names an InfluxDB server knows what the board sends, spelled as it reads them
# Loaded for the start and dropped.
from binascii import hexlify

import machine
from micropython import const

_NAME_CHARS = const(64)


def spelled(settings):
    """Return measurement, battery ("": by the name of its log) and board from `settings`."""
    board = settings["influx.board"] or hexlify(machine.unique_id()).decode()
    measurement = settings["influx.measurement"].lstrip("#")  # which would begin a comment
    measurement = _escape(measurement, ", ") or "battery"
    return measurement, _escape(settings["influx.battery"], ", ="), _escape(board, ", =")


def _escape(name, special):
    """Write a name as servers read it, at most 64 characters of it."""
    out = ""
    for c in name[:_NAME_CHARS]:
        if c == "\\":
            c = "/"  # servers do not agree on what a backslash before something means
        elif c < " ":
            c = "\\ "
        elif c in special:
            c = "\\" + c
        out += c
    return out
