# MQTT 3.1.1 as far as one who only publishes needs it: connect with a last will, publish, ping
# Sockets never block, as in lib/udpask.py. mqtt_as 0.8.3 takes 15.5 kB and looks names up blocking.
import asyncio
import socket

from micropython import const

_KEEP_ALIVE_S = const(60)  # after one and a half of it without a word the broker tells the will
_LOOK_MS = const(20)  # how often to look whether the socket takes, or gives
_LOOKS = const(500)  # 10 s: then the connection is given up
_PACKET_BYTES = const(1024)
_QOS1 = const(0x02)
_RETAIN = const(0x01)
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
        self._buf = bytearray(_PACKET_BYTES)
        self._n = 0
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
        self._begin(0x10)
        self._put_text("MQTT")
        flags = 0x26  # a clean session, and a will with QoS 0 that is retained
        if self._user:
            flags |= 0xC0
        self._put(bytes((4, flags, 0, _KEEP_ALIVE_S)))
        for text in (self._name, self._will, "offline"):
            self._put_text(text)
        if self._user:
            self._put_text(self._user)
            self._put_text(self._password)
        await self._send(_CONNECTING)
        answer = await self._receive(_CONNACK, 2)
        if answer[1]:
            raise Refused(_REFUSALS[min(answer[1], len(_REFUSALS)) - 1])

    async def publish(self, topic, text, retain=False):
        """Publish, and return when the broker has it (QoS 1); both together have 1000 bytes."""
        self._begin(0x30 | _QOS1 | (_RETAIN if retain else 0))
        self._put_text(topic)
        self._id = self._id % 0xFFFF + 1
        self._put(bytes((self._id >> 8, self._id & 255)))
        self._put(text.encode())
        await self._send()
        answer = await self._receive(_PUBACK, 2)
        if answer[0] << 8 | answer[1] != self._id:
            raise OSError(_ECONNRESET)  # an answer to something else: nothing is sure any more

    async def ping(self):
        """Ask whether the broker is there; needed within a minute of the last packet."""
        self._begin(0xC0)
        await self._send()
        await self._receive(_PINGRESP, 0)

    def close(self):
        """End the connection without a goodbye, so that the broker tells the will."""
        if self._socket:
            self._socket.close()
            self._socket = None

    # ---- a packet

    def _begin(self, kind):
        self._buf[0] = kind
        self._n = 3  # two bytes of length do for 16 kB

    def _put(self, data):
        if self._n + len(data) > _PACKET_BYTES:
            raise OSError(_ECONNRESET)
        self._buf[self._n : self._n + len(data)] = data
        self._n += len(data)

    def _put_text(self, text):
        data = text.encode()
        self._put(bytes((len(data) >> 8, len(data) & 255)))
        self._put(data)

    async def _send(self, busy=(_EAGAIN,)):
        """Send the packet; errors in `busy` mean that the socket is not yet ready."""
        size = self._n - 3
        view = memoryview(self._buf)
        if size < 128:  # the length takes one byte
            self._buf[1] = self._buf[0]
            self._buf[2] = size
            view = view[1:]
        else:
            self._buf[1] = size & 127 | 128
            self._buf[2] = size >> 7
        view = view[: size + (2 if size < 128 else 3)]
        sent = 0
        for _ in range(_LOOKS):
            try:
                sent += self._socket.send(view[sent:])
                if sent == len(view):
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
