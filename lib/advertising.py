# The board's one advertisement: who has something to tell adds a part to it
# Imported when the first of them is on. After a cycle of the radio it goes on by itself.
import bleradio
from micropython import const

_INTERVAL_US = const(500_000)
_MOST = const(31)  # bytes of an advertisement, and of what answers a scanner
_FLAGS = b"\x02\x01\x06"  # to be discovered by all, no classic Bluetooth
_NAME = const(0x09)  # types of what is told (Bluetooth's assigned numbers)
_NAME_CUT = const(0x08)

name = ""  # by which a scanner knows the board, cut to what is left for it
_parts = {}  # who: (data, answer, connectable)


def put(who, data=b"", answer=b"", connectable=False):
    """Let `who` tell `data` to all and `answer` to scanners that ask, in place of what it told.

    Both are AD structures: length, type, content. All data together have 28 bytes, all answers
    31, of which the name takes what is left. The board can be connected to while any part is
    `connectable`. Returns False if the radio would not; then nothing is told before the next call.
    """
    _parts[who] = data, answer, connectable
    if go not in bleradio.setup:
        bleradio.setup.append(go)  # behind the services, which the stack takes before only
    return go()


def drop(who):
    """Tell nothing more of `who`."""
    if _parts.pop(who, None):
        go()


def go():
    """Be on the air with all parts, or off it if there is none; False if the radio would not.

    A connection to the board ends what is connectable: call it again then.
    """
    data = _FLAGS
    answer = b""
    connectable = False
    for part in _parts.values():
        data += part[0]
        answer += part[1]
        connectable = connectable or part[2]
    text = name.encode()
    room = _MOST - 2 - len(answer)
    kind = _NAME
    if len(text) > room:
        kind = _NAME_CUT
        while room > 0 and text[room] & 0xC0 == 0x80:  # not within a character
            room -= 1
    if text and room > 0:
        text = text[:room]
        answer += bytes((len(text) + 1, kind)) + text
    while True:
        try:
            interval_us = _INTERVAL_US if _parts else None
            bleradio.ble.gap_advertise(
                interval_us, data, resp_data=answer, connectable=connectable
            )
            return True
        except OSError:
            if not connectable:
                return False
            # all places for connections are taken: who only listens gets its data still
            connectable = False
