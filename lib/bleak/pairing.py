# Pairing: what some peers want before they answer, by a passkey or without
# Loaded only when it is wanted. Nothing is remembered: each link is paired anew.
import asyncio
import errno
import time

import bleradio
from aioble import core
from micropython import const

from .client import BleakClient
from .exc import BleakError

_ENCRYPTION_UPDATE = const(28)
_KEYBOARD = const(2)  # what we can do for the other side: enter its passkey
_NOTHING = const(3)
_ENTER = const(2)
_LOOK_MS = const(20)
_PAIR_MS = const(5000)

_passkey = None  # a number; None: Just Works
_handle = None  # of the link that is being paired
_encrypted = None  # whether it is, once that is decided


def use(how):
    """Pair every link before anything is asked of the peer: "just works", or six digits.

    Raises ValueError with a sentence when this MicroPython cannot.
    """
    global _passkey
    if not hasattr(bleradio.ble, "gap_pair"):
        raise ValueError("this MicroPython cannot pair")
    _passkey = None if how == "just works" else int(how)
    core.register_irq_handler(_irq, None)
    bleradio.setup.insert(0, _secure)
    if bleradio.ble.active():
        _secure()
    BleakClient.pair = _pair


def _secure():
    # After every activation, which forgets it. With bonds the stack would ask for secrets that
    # nobody keeps, and on an ESP32 it dies of that.
    typed = _passkey is not None
    bleradio.ble.config(
        bond=False, mitm=typed, le_secure=True, io=_KEYBOARD if typed else _NOTHING
    )


def _irq(event, data):
    global _encrypted
    if event == _ENCRYPTION_UPDATE and data[0] == _handle:
        _encrypted = data[1]


async def _pair(client):
    """Pair the link of `client`. Raises BleakError with a sentence for the user."""
    global _handle, _encrypted
    ble = bleradio.ble
    _handle = client.conn_handle
    _encrypted = None
    try:
        ble.gap_pair(_handle)
    except OSError as exc:
        if exc.errno != errno.EALREADY:  # the peer began
            raise BleakError("link lost")
    typed = _passkey is None
    start_ms = time.ticks_ms()
    while _encrypted is None:
        if client.conn_handle is None:
            raise BleakError('it hangs up when paired; "pairing" should be "off"')
        if time.ticks_diff(time.ticks_ms(), start_ms) > _PAIR_MS:
            raise BleakError('it does not pair; "pairing" should be "off"')
        if not typed:
            try:
                # no event tells when it is wanted (micropython#17805)
                ble.gap_passkey(_handle, _ENTER, _passkey)
                typed = True
            except OSError:
                pass  # not yet
        await asyncio.sleep_ms(_LOOK_MS)
    if _encrypted:
        return
    if _passkey is None:
        raise BleakError('it wants a PIN, or no pairing: "pairing" should be that, or "off"')
    if typed:
        raise BleakError('wrong PIN; "pairing" must be its six digits')
    raise BleakError('it refuses to pair; "pairing" should be "off"')
