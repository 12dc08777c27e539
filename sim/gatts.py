# What the simulated radio offers to phones: the board's services, and a link from a phone
# The phones are in sim/phone.py.
import errno

import sysmem
import vclock
from airlink import Connection
from micropython import const

_CENTRAL_CONNECT = const(1)
_CENTRAL_DISCONNECT = const(2)
_WRITE = const(3)
_MTU_EXCHANGED = const(21)

_FIRST_HANDLE = const(16)
_BUFFER = const(20)  # bytes of a value that nobody made larger: longer ones are cut in silence


class _Value:
    def __init__(self):
        self.data = b""
        self.size = _BUFFER


class Server:
    """The services of the board; `radio` is sim/bluetooth.py's."""

    def __init__(self, radio):
        self.radio = radio
        self._values = {}
        self.chars = []  # (uuid as bytes, handle of its value)

    def forget(self):
        """The radio was switched off: services are gone, and nobody is told."""
        self._values.clear()
        self.chars.clear()

    def register(self, services):
        """Take the place of what was offered; return the handles of the values."""
        self.forget()
        handles = []
        next_handle = _FIRST_HANDLE
        for _, chars in services:
            row = []
            for char in chars:
                self._values[next_handle] = _Value()
                self.chars.append((bytes(char[0]), next_handle))
                row.append(next_handle)
                next_handle += 3
            handles.append(tuple(row))
        return tuple(handles)

    def value(self, handle):
        if handle not in self._values:
            raise OSError(errno.EINVAL)
        return self._values[handle]

    def connect(self, phone):
        """A phone answers the advertisement: return its link, or None."""
        radio = self.radio
        told = radio.advertising
        if not told or not told[3] or len(radio.links) >= 4 or not sysmem.take("link"):
            return None
        handle = 0
        while handle in radio.links:
            handle += 1
        radio.stop_advertising()
        link = radio.links[handle] = PhoneLink(radio, handle, phone)
        radio.emit(_CENTRAL_CONNECT, (handle, phone.addr_type, memoryview(phone.addr)))
        return link


class PhoneLink(Connection):
    """A connection from a phone. What waits for the air goes both ways in a connection event; one
    that is lost keeps it for the next, in its order, and a board's notification its buffer."""

    def __init__(self, radio, handle, phone):
        super().__init__(radio, handle, phone)
        self._queue = []  # to the phone
        self._writes = []  # from it
        self._event = None
        self._silent_ms = None  # since when all events were lost
        self._procedures = ()  # none of ours: the phone is the client
        self._packets = phone.packets

    def expect(self):
        """Let a connection event come; those that would carry nothing are left out."""
        if not self._event:
            self._event = vclock.call_later(self.interval_ms, self._connection_event)

    def _connection_event(self):
        self._event = None
        if not self.up or self.peer is None:
            return  # what waits keeps its buffers until the link ends
        if not self.peer.hears():
            now_ms = vclock.now_ms()
            if self._silent_ms is None:
                self._silent_ms = now_ms
            if now_ms - self._silent_ms >= self.peer.supervision_ms:
                self.drop()
            else:
                self.expect()
            return
        self._silent_ms = None
        while self._writes:
            self._written(*self._writes.pop(0))
        for _ in range(min(self._packets, len(self._queue))):
            value_handle, data = self._queue.pop(0)
            self.unsent -= 1
            if self.peer:
                self.peer.notified(value_handle, data)
        if self._queue or self._writes:
            self.expect()

    # board to phone

    def notify(self, value_handle, data):
        self.unsent += 1
        self._queue.append((value_handle, data[: self.mtu - 3]))
        self.expect()

    # phone to board

    def exchange_mtu(self, mtu):
        if self.up and self.peer:
            self.mtu = max(23, min(self.radio.config("mtu"), mtu))
            self.radio.emit(_MTU_EXCHANGED, (self.handle, self.mtu))

    def write(self, value_handle, data):
        self._writes.append((value_handle, data))
        self.expect()

    def _written(self, value_handle, data):
        if self.up and self.peer and not self.closing:
            try:
                value = self.radio.server.value(value_handle)
            except OSError:
                return  # the phone remembers services of before
            value.data = data[: value.size]
            self.radio.emit(_WRITE, (self.handle, value_handle))

    # its end

    def drop(self):
        if not self.up:
            return
        self.up = False
        phone, self.peer = self.peer, None
        self._free()
        self.radio.emit(
            _CENTRAL_DISCONNECT, (self.handle, self.addr_type, memoryview(self.addr))
        )
        if phone:
            phone.disconnected()
