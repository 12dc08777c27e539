# The phone's side of docs/PHONE.md for tests: requests and answers, credits, the CRC at the end
import asyncio
import struct
import time
from binascii import crc32

import phone as air_phone
from sinks import phoneask

HELLO, PROVE, LIVE, CHECK, READ, CREDITS, STOP, CLOCK, PAUSE, ACKNOWLEDGE = range(1, 11)


class Gone(Exception):
    """The connection has ended, or no answer comes."""


class Client(air_phone.Phone):
    """A phone with a program. `values` and `words` are what came while it was live."""

    def __init__(self, n=1, window=6):
        air_phone.Phone.__init__(self, n)
        self.window = window
        self.live = False  # ask for more values whenever some came
        self.values = []
        self.words = []
        self.data = bytearray()
        self.odd = []
        self._answers = []
        self._sequence = 0
        self._since = 0
        self._end = None

    def heard(self, data):
        kind = data[0]
        if kind < 0x80:
            if kind != self._sequence:
                self.odd.append(data)
                return
            self._sequence = self._sequence + 1 & 127
            self.data += data[1:]
            self._since += 1
            if self._since >= self.window // 2:
                self.write(bytes((CREDITS, self._since)))
                self._since = 0
        elif kind == 0xC0:
            self.values.append(data)
            if self.live:
                self.write(bytes((LIVE, 2)))
        elif kind == 0xC1:
            self.words.append(data[2:])
        elif kind == 0xC2:
            self._end = struct.unpack("<II", data[1:])
        else:
            self._answers.append(data)

    async def reach(self, timeout_ms=60_000):
        """Connect, as soon as the board can be."""
        start = time.ticks_ms()
        while not self.connect():
            if time.ticks_diff(time.ticks_ms(), start) > timeout_ms:
                raise Gone("no advertisement")
            await asyncio.sleep_ms(100)
        await asyncio.sleep_ms(200)

    async def ask(self, op, body=b"", timeout_ms=10_000):
        """Return (status, rest of the answer)."""
        self._answers.clear()
        self.write(bytes((op,)) + body)
        start = time.ticks_ms()
        while True:
            for data in self._answers:
                if data[0] == op | 0x80:
                    return data[1], data[2:]
            if self.link is None or time.ticks_diff(time.ticks_ms(), start) > timeout_ms:
                raise Gone("no answer to %d" % op)
            await asyncio.sleep_ms(10)

    async def prove(self, code):
        """Return the status."""
        _, hello = await self.ask(HELLO)
        return (await self.ask(PROVE, phoneask.prove(code, hello[3:])))[0]

    async def read(self, name, offset=0, n=0xFFFFFFFF, timeout_ms=20_000):
        """Return (status, data); `data` stays in self.data when it breaks off with Gone."""
        self.data = bytearray()
        self._sequence = self._since = 0
        self._end = None
        request = struct.pack("<IIB", offset, n, self.window) + name.encode()
        status, _ = await self.ask(READ, request)
        if status:
            return status, None
        size = 0
        heard = time.ticks_ms()
        while self._end is None:
            if len(self.data) > size:
                size = len(self.data)
                heard = time.ticks_ms()
            if self.link is None or time.ticks_diff(time.ticks_ms(), heard) > timeout_ms:
                raise Gone("broke off at %d" % size)
            await asyncio.sleep_ms(10)
        if self._end != (len(self.data), crc32(self.data)):
            raise Gone("not intact")
        return 0, bytes(self.data)
