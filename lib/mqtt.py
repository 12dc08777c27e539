# MQTT 3.1.1 as far as one who only publishes needs it: publish and ping; lib/mqttopen.py connects
# Sockets never block, as in lib/udpask.py. mqtt_as 0.8.3 takes 15.5 kB and looks names up blocking.
import asyncio

from micropython import const

HEAD = 3  # bytes before a packet's content: kind, and a length up to 16 kB
_LOOK_MS = const(20)  # how often to look whether the socket takes, or gives
_LOOKS = const(500)  # 10 s: then the connection is given up
_PUBACK = const(0x40)
_PINGRESP = const(0xD0)
_ETIMEDOUT = const(110)
_ECONNRESET = const(104)
_WAIT = (11,)  # EAGAIN


class Client:
    """A connection at a time. All but `close` raise OSError when it is lost or silent for 10 s."""

    def __init__(self):
        self.socket = None
        self._id = 0

    async def publish(self, topic, text):
        """Publish, retained, and return when the broker has it (QoS 1); up to 16 kB in all."""
        self._id = self._id % 0xFFFF + 1
        number = bytes((self._id >> 8, self._id & 255))
        packet = bytearray(HEAD)
        put(packet, topic)
        packet.extend(number)
        packet.extend(text.encode())
        if await self.ask(0x33, packet, _PUBACK, 2) != number:
            raise OSError(_ECONNRESET)  # an answer to something else: nothing is sure any more

    async def ping(self):
        """Ask whether the broker is there; needed within a minute of the last packet."""
        await self.ask(0xC0, bytearray(HEAD), _PINGRESP, 0)

    def close(self):
        """End the connection without a goodbye, so that the broker tells the will."""
        if self.socket:
            self.socket.close()
            self.socket = None

    async def ask(self, kind, packet, answer, size, busy=_WAIT):
        """Send a packet, which leaves room for its head; return what is behind the answer's head.

        The answer is to be of that kind and size. Errors in `busy` mean: not ready yet.
        """
        at = 0
        n = len(packet) - HEAD
        if n < 128:  # then the length has one byte
            at = 1
            packet[2] = n
        else:
            packet[1] = n & 127 | 128
            packet[2] = n >> 7
        packet[at] = kind
        got = b""
        for _ in range(_LOOKS):
            try:
                if at < len(packet):
                    # in one piece: for a second TCP would wait until the first is acknowledged
                    at += self.socket.send(memoryview(packet)[at:])
                if at == len(packet):
                    data = self.socket.recv(size + 2 - len(got))
                    got += data
                    if not data or (len(got) > 1 and (got[0] != answer or got[1] != size)):
                        raise OSError(_ECONNRESET)  # it hung up, or speaks something else
                    if len(got) == size + 2:
                        return got[2:]
            except OSError as exc:
                if exc.errno not in busy:
                    raise
            await asyncio.sleep_ms(_LOOK_MS)
        raise OSError(_ETIMEDOUT)


def put(packet, text):
    """Append a text as MQTT has it, with its length before it."""
    data = text.encode()
    packet.append(len(data) >> 8)
    packet.append(len(data) & 255)
    packet.extend(data)
