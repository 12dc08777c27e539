# The radio's events, as far as aioble loses them or does not care, and who may use the radio
# The handler runs on the stack's own task: it copies and flags, nothing else.
import asyncio

from aioble import central, core
from bleradio import on as activate  # the only way, for aioble as well
from micropython import const

_IRQ_SCAN_RESULT = const(5)
_IRQ_SCAN_DONE = const(6)
_IRQ_CONNECT = const(7)
_IRQ_DISCONNECT = const(8)
_IRQ_NOTIFY = const(18)
_IRQ_INDICATE = const(19)
_RING_SIZE = const(2048)
_NO_LINK = const(0xFF)  # address type in the disconnect event of an attempt that failed

ble = core.ble

clients = []  # those that have a link or want one
attempt = None  # the client that is connecting
scan = None  # the scan that is running
turn = asyncio.Lock()  # the stack scans, or connects and discovers, for one at a time
_rings = []  # free ones


class Ring:
    """A queue of byte strings with 16-bit tags, from the stack's task to ours, in one buffer."""

    def __init__(self, size):
        self._buf = bytearray(size)
        self._size = size
        self._r = 0  # moved by the reader only
        self._w = 0  # moved by the writer only, when the data are in
        self.tag = 0  # of the last one read

    def clear(self):
        self._r = self._w

    def put(self, tag, a, b=b""):
        """Append a + b; False, and nothing done, if it does not fit."""
        buf = self._buf
        na = len(a)
        nb = len(b)
        size = na + nb + 4
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
        buf[w] = (na + nb) & 0xFF
        buf[w + 1] = (na + nb) >> 8
        buf[w + 2] = tag & 0xFF
        buf[w + 3] = tag >> 8
        w += 4
        buf[w : w + na] = a
        w += na
        if nb:
            buf[w : w + nb] = b
            w += nb
        self._w = w
        return True

    def get(self):
        """The oldest one as a bytearray, or None."""
        r = self._r
        if r == self._w:
            return None
        buf = self._buf
        if self._size - r < 2 or buf[r + 1] == 0xFF:
            r = 0
        end = r + 4 + (buf[r] | buf[r + 1] << 8)
        self.tag = buf[r + 2] | buf[r + 3] << 8
        data = buf[r + 4 : end]
        self._r = end
        return data


def take_ring():
    """A ring for a scan or a link. Used again and again: after a year of reconnecting the heap
    may have no hole for a new one."""
    ring = _rings.pop() if _rings else Ring(_RING_SIZE)
    ring.clear()
    return ring


def give_back(ring):
    _rings.append(ring)


def _find(conn_handle):
    for client in clients:
        if client.conn_handle == conn_handle:
            return client
    return None


def _irq(event, data):
    try:
        if event == _IRQ_NOTIFY or event == _IRQ_INDICATE:
            client = _find(data[0])
            if client:
                client.on_data(data[1], data[2])
                return True  # spares aioble a copy that nobody reads
        elif event == _IRQ_SCAN_RESULT:
            if scan:
                scan.on_result(data)
        elif event == _IRQ_SCAN_DONE:
            if scan:
                scan.on_done()
        elif event == _IRQ_CONNECT:
            if attempt and attempt.peer == data[2]:
                attempt.on_link(data[0])
        elif event == _IRQ_DISCONNECT:
            client = attempt if data[1] == _NO_LINK else _find(data[0])
            if client:
                client.on_link(None)
    except Exception:
        pass  # would end all events for good


def _shutdown():
    # The radio was switched off: no events tell of what ended with it.
    global clients, attempt, scan, turn
    for client in clients:
        client.on_link(None)
    clients = []
    if scan:
        scan.on_done()
    attempt = scan = None
    turn = asyncio.Lock()


core.register_irq_handler(_irq, _shutdown)
core.ensure_active = central.ensure_active = activate
