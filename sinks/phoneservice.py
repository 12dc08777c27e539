# What the radio offers to phones: the service of docs/PHONE.md
# Loaded for each activation of the radio and dropped.
import bleradio
import bluetooth
from micropython import const

_UUID = b"\xa8\xb4\xd7\xc0\x61\x2e\x57\x9b\x0a\x4f\x3c\x8d%c\x00\xf4\xa6"
_NOTIFIES = const(0x10)  # properties of characteristics
_WRITABLE = const(0x0C)
_REQUEST_MOST = const(64)  # bytes; the stack cuts longer ones


def register():
    """Register the service; return the handles of what is asked and answered, None if it failed."""
    uuids = [bluetooth.UUID(_UUID % n) for n in (1, 2, 3)]
    service = uuids[0], ((uuids[1], _WRITABLE), (uuids[2], _NOTIFIES))
    try:
        bleradio.ble.gap_advertise(None)
        ((ask, answer),) = bleradio.ble.gatts_register_services((service,))
        bleradio.ble.gatts_set_buffer(ask, _REQUEST_MOST)
        return ask, answer
    except OSError as exc:
        print("phone: the radio is busy (error %d); later" % exc.errno)
        return None, None
