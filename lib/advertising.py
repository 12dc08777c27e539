# The board's one advertisement: what BTHome and the phone's service have to tell share it
# Imported when the first of them is on. After a cycle of the radio it goes on by itself.
import bleradio
from micropython import const

_INTERVAL_US = const(500_000)
_FLAGS = b"\x02\x01\x06"  # to be discovered by all, no classic Bluetooth

# AD structures: length, type, content. `data`, 28 bytes at most, is told to all; `answer` and
# `name`, together 31, to scanners that ask. The board can be connected to while there is an
# `answer`. Whoever sets one calls go().
data = answer = name = b""


def go():
    """Be on the air, or off it if there is nothing to tell; False if the radio would not.

    A connection to the board ends what is connectable: call it again then.
    """
    if go not in bleradio.setup:
        bleradio.setup.append(go)  # behind the services, which the stack takes before only
    interval_us = _INTERVAL_US if data or answer else None
    connectable = bool(answer)
    while True:
        try:
            bleradio.ble.gap_advertise(
                interval_us, _FLAGS + data, resp_data=answer + name, connectable=connectable
            )
            return True
        except OSError:
            if not connectable:
                return False
            # all places for connections are taken: who only listens gets its data still
            connectable = False
