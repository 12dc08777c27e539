# MQTT 3.1.1 as far as one who only publishes needs it: connect with a last will, publish, ping
# Sockets never block, as in lib/udpask.py. mqtt_as 0.8.3 takes 15.5 kB and looks names up blocking.
import asyncio
import socket

from micropython import const

_KEEP_ALIVE_S = const(60)  # after one and a half of it without a word the broker tells the will
_LOOK_MS = const(20)  # how often to look whether the socket takes, or gives
_HEAD = const(3)  # bytes: kind, and a length up to 16 kB
_LOOKS = const(500)  # 10 s: then the connection is given up
_CONNACK = const(0x20)
_PUBACK = const(0x40)
_PINGRESP = const(0xD0)
_EAGAIN = const(11)
_ETIMEDOUT = const(110)
_ECONNRESET = const(104)
# in progress, already, not connected: a socket that is connecting, on boards (lwIP) and PCs
_CONNECTING = (_EAGAIN, 119, 120, 128, 115, 114, 107)
_REFUSALS = (
    "speaks no MQTT 3.1.1",
    "does not take this client's name",
    "is not ready",
    "does not let the board in, check user and password",
    "does not let the board in, check user and password",
)


class Refused(Exception):
    """The broker does not want us; the text goes on where its name ends."""


class Client:
    """One connection at a time. All but `close` raise OSError when it is lost or silent for 10 s.

    `name` tells this client from others; `will` is a topic that the broker sets to "offline",
    retained, when the connection ends.
    """

    def __init__(self, name, user, password, will):
        self._name = name
        self._user = user
        self._password = password
        self._will = will
        self._socket = None
        self._id = 0

    async def connect(self, address):
        """Connect to `address`, as sockets take it; raises Refused too."""
        self.close()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._socket.setblocking(False)
        try:
            self._socket.connect(address)
        except OSError as exc:
            if exc.errno not in _CONNECTING:
                raise
        packet = bytearray(_HEAD)
        packet.extend(b"\x00\x04MQTT\x04\x26\x00")  # a clean session, a will that is retained
        packet.append(_KEEP_ALIVE_S)
        texts = [self._name, self._will, "offline"]
        if self._user:
            packet[_HEAD + 7] |= 0xC0
            texts += [self._user, self._password]
        for text in texts:
            _put(packet, text)
        await self._send(0x10, packet, _CONNECTING)
        answer = await self._receive(_CONNACK, 2)
        if answer[1]:
            raise Refused(_REFUSALS[min(answer[1], len(_REFUSALS)) - 1])

    async def publish(self, topic, text, retain=False):
        """Publish, and return when the broker has it (QoS 1); up to 16 kB in all."""
        self._id = self._id % 0xFFFF + 1
        number = bytes((self._id >> 8, self._id & 255))
        packet = bytearray(_HEAD)
        _put(packet, topic)
        packet.extend(number)
        packet.extend(text.encode())
        await self._send(0x33 if retain else 0x32, packet)
        if await self._receive(_PUBACK, 2) != number:
            raise OSError(_ECONNRESET)  # an answer to something else: nothing is sure any more

    async def ping(self):
        """Ask whether the broker is there; needed within a minute of the last packet."""
        await self._send(0xC0, bytearray(_HEAD))
        await self._receive(_PINGRESP, 0)

    def close(self):
        """End the connection without a goodbye, so that the broker tells the will."""
        if self._socket:
            self._socket.close()
            self._socket = None

    async def _send(self, kind, packet, busy=(_EAGAIN,)):
        """Send a packet, which leaves room for its head; errors in `busy` mean: not ready yet.

        In one piece: for a second one TCP would wait until the first is acknowledged.
        """
        size = len(packet) - _HEAD
        at = 0
        if size < 128:  # then the length has one byte
            at = 1
            packet[2] = size
        else:
            packet[1] = size & 127 | 128
            packet[2] = size >> 7
        packet[at] = kind
        for _ in range(_LOOKS):
            try:
                at += self._socket.send(memoryview(packet)[at:])
                if at == len(packet):
                    return
            except OSError as exc:
                if exc.errno not in busy:
                    raise
            await asyncio.sleep_ms(_LOOK_MS)
        raise OSError(_ETIMEDOUT)

    async def _receive(self, kind, size):
        """Wait for a packet of that kind and size; return what is behind its head."""
        got = b""
        for _ in range(_LOOKS):
            try:
                data = self._socket.recv(size + 2 - len(got))
                if not data:
                    raise OSError(_ECONNRESET)  # it hung up
                got += data
                if len(got) == size + 2:
                    if got[0] != kind or got[1] != size:
                        raise OSError(_ECONNRESET)
                    return got[2:]
            except OSError as exc:
                if exc.errno != _EAGAIN:
                    raise
            await asyncio.sleep_ms(_LOOK_MS)
        raise OSError(_ETIMEDOUT)


def _put(packet, text):
    """Append a text as MQTT has it, with its length before it."""
    data = text.encode()
    packet.append(len(data) >> 8)
    packet.append(len(data) & 255)
    packet.extend(data)
