# The radio: who switches it on, who may use it, and what it tells
# Its handler runs on the stack's own task: it copies and flags, and cannot raise.
import asyncio
import time

import bleradio
from aioble import core
from micropython import const

_SCAN_RESULT = const(5)
_SCAN_DONE = const(6)
_CONNECT = const(7)
_DISCONNECT = const(8)
_GATTC_FIRST = const(9)
_GATTC_LAST = const(21)
_RING_SIZE = const(1792)  # bytes, for all links: 7 notifications of 244, or 21 of 80
_LOOK_MS = const(10)
_NO_LINK = const(0xFF)  # address type in the disconnect event of an attempt that failed

ble = core.ble
stop = core.stop  # switches it off

clients = []  # those that have a link or want one
# The client that begins a link. Until the peer was heard the stack may make the link anew, with
# another handle and without telling that the old one is over (ESP-IDF, on other chips than ESP32).
attempt = None
listener = None  # gets the events of a scan, while there is one
# Peers that did not answer the question for an MTU: the next time they are not asked, because
# some are deaf after it, vanish, or are hung up on by the stack after 30 s.
plain = []
missed = 0  # events for which there was no memory
turn = asyncio.Lock()  # the stack scans, or connects and discovers, for one at a time
_links = 0  # there were, which gives each a number


class Ring:
    """A queue of byte strings with 24-bit tags, from the stack's task to ours, in one buffer."""

    def __init__(self, size):
        self._buf = bytearray(size)
        self._size = size
        self._r = 0  # moved by the reader only
        self._w = 0  # moved by the writer only, when the data are in

    def put(self, tag, data):
        """Append `data`; False, and nothing done, if it does not fit."""
        buf = self._buf
        n = len(data)
        size = n + 5
        w = self._w
        free = self._r - w
        if free <= 0:
            free = self._size - w
            if free <= size:
                # one piece each: the rest of the buffer stays empty, marked by an absurd length
                if free > 1:
                    buf[w + 1] = 0xFF
                w = 0
                free = self._r
        if free <= size:
            return False
        buf[w] = n & 0xFF
        buf[w + 1] = n >> 8
        buf[w + 2] = tag & 0xFF
        buf[w + 3] = tag >> 8 & 0xFF
        buf[w + 4] = tag >> 16
        w += 5
        buf[w : w + n] = data
        self._w = w + n
        return True

    def peek(self):
        """The tag of the oldest one, or None."""
        r = self._r
        if r == self._w:
            return None
        buf = self._buf
        if self._size - r < 2 or buf[r + 1] == 0xFF:
            r = self._r = 0
        return buf[r + 2] | buf[r + 3] << 8 | buf[r + 4] << 16

    def get(self):
        """Take out the oldest one, a bytearray; only after `peek` has told that there is one."""
        buf = self._buf
        r = self._r + 5
        end = r + (buf[r - 5] | buf[r - 4] << 8)
        data = buf[r:end]
        self._r = end
        return data


# Of all links: what peers sent, until its turn comes. Made before anything else, for where the app
# is loaded, let alone after a year of reconnecting, the heap may have no hole for it.
ring = Ring(_RING_SIZE)


def enter(client):
    """Give a client that begins a link its number, under which the ring keeps what comes."""
    global clients, _links
    _links = _links + 1 & 0xFF
    client.number = _links
    clients = clients + [client]  # anew: an event may be going through the list


def leave(client):
    """Let what is in the ring for a link that is over keep nobody waiting."""
    client.number = None
    for each in clients:
        each.flag.set()


def waiting(client):
    """The value handle of what comes next in the ring if that is for `client`, else None.

    If it is for another one, that is woken; if its link is over, it is dropped.
    """
    while True:
        tag = ring.peek()
        if tag is None:
            return None
        for each in clients:
            if each.number == tag >> 16:
                if each is client:
                    return tag & 0xFFFF
                each.flag.set()
                return None
        ring.get()


async def until(condition, timeout_ms):
    # True as soon as the condition holds, False if it does not in time.
    start = time.ticks_ms()
    while not condition():
        if time.ticks_diff(time.ticks_ms(), start) >= timeout_ms:
            return False
        await asyncio.sleep_ms(_LOOK_MS)
    return True


def _irq(event, data):
    # In the place of aioble's handler, which it calls: an exception would end all events.
    global missed
    try:
        if event == _SCAN_RESULT or event == _SCAN_DONE:
            if listener:
                listener(event, data)
        elif event == _CONNECT:
            if attempt and attempt.addr == data[2]:
                attempt.on_link(data[0])
            else:
                ble.gap_disconnect(data[0])  # given up; nobody else could have that peer
        elif _DISCONNECT <= event <= _GATTC_LAST:
            client = _find(event, data)
            if client:
                if event >= _GATTC_FIRST:
                    client.on_event(event, data)
                else:
                    client.on_link(None)
        return core.ble_irq(event, data)
    except Exception:
        if event != _SCAN_RESULT:  # an advert comes again
            missed += 1


def _find(event, data):
    # NimBLE tells that an attempt failed as the end of link 0, or of none
    if event == _DISCONNECT and data[1] == _NO_LINK:
        return attempt
    for client in clients:
        if client.conn_handle == data[0]:
            return client
    return None


def _shutdown():
    # The radio was switched off: no events tell of what ended with it.
    global clients, attempt, turn
    for client in clients:
        client.on_link(None)
    if listener:
        listener(_SCAN_DONE, None)
    clients = []
    attempt = None
    turn = asyncio.Lock()


def _listen():
    ble.irq(_irq)  # the stack lets go of a handler that raised


core.register_irq_handler(None, _shutdown)
core.ensure_active = bleradio.on  # the only way
bleradio.setup.append(_listen)
_listen()
