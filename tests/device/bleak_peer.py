# A peer for the tests of the bleak shim: sends what it is asked for, remembers what it was told
# Its value handles differ from those on the air where the two cannot agree.
import asyncio
import gc

import aioble
import air
import vclock
from bleak import BleakClient, BleakScanner, radio

NOTIFY, NOTIFY_2, COMMAND, INFO, REQUEST = 2, 3, 20, 30, 31
LONG = "6e400001-b5a3-f393-e0a9-e50e24dcca9e"
LONG_COMMAND = "6e400002-b5a3-f393-e0a9-e50e24dcca9e"
SERVICES = [
    [
        "0000ffe0-0000-1000-8000-00805f9b34fb",
        [
            ["0000ffe1-0000-1000-8000-00805f9b34fb", NOTIFY, ["notify"], False],
            ["ffe2", NOTIFY_2, ["notify", "indicate"], False],
        ],
    ],
    [LONG, [[LONG_COMMAND, COMMAND, ["write", "write-without-response"], False]]],
    ["180a", [["2a29", INFO, ["read"], False], ["2a2a", REQUEST, ["write"], False]]],
]
EMPTY = ["0000180f-0000-1000-8000-00805f9b34fb", []]


class Peer(air.Peripheral):
    """Answers a write of b"B" + count + size + handle with that many notifications."""

    def __init__(self, name="jk-pak01", last=1, services=SERVICES, **kwargs):
        super().__init__(name, b"\xc8\x47\x80\x00\x00" + bytes((last,)), services, **kwargs)
        self.written = []
        self.subscriptions = []
        self.seen = [0, 0]  # links up, links down

    def on_connect(self):
        self.seen[0] += 1

    def on_disconnect(self):
        self.seen[1] += 1

    def on_subscribe(self, value_handle, on):
        self.subscriptions.append((value_handle, on))

    def on_write(self, value_handle, data, response):
        self.written.append((value_handle, bytes(data), response))
        if data[:1] == b"B":
            self.burst(data[1], data[2], data[3])

    def burst(self, count, size, handle=NOTIFY):
        self.chunk = size
        self.notify(handle, pattern(count, size))

    def on_read(self, value_handle):
        return b"maker %d" % value_handle


def pattern(count, size):
    """`count` blocks of `size` bytes, each different from its neighbours."""
    return bytes((i // size * 37 + i * 11) & 0xFF for i in range(count * size))


def fresh(*peers):
    """A radio that knows nothing, and only these peers in the air; returns the first one."""
    aioble.stop()
    air.reset()
    for peer in peers:
        air.add(peer)
    return peers[0] if peers else None


async def find(name="jk-pak01", timeout=10.0):
    async with radio.turn:
        return await BleakScanner.find_device_by_filter(lambda d, adv: d.name == name, timeout)


async def link_to(peer, **kwargs):
    """A connected client."""
    client = BleakClient(await find(peer.name), **kwargs)
    await client.connect()
    return client


async def raises(kinds, awaitable, within_ms):
    """The exception of the awaitable, which must come in bounded virtual time."""
    start_ms = vclock.now_ms()
    try:
        await awaitable
    except kinds as exc:
        took_ms = vclock.now_ms() - start_ms
        assert took_ms <= within_ms, "%d ms" % took_ms
        return exc
    raise AssertionError("nothing raised")


async def until(condition, timeout_ms=20000):
    """Wait for something to become true, False if it does not."""
    for _ in range(timeout_ms // 10):
        if condition():
            return True
        await asyncio.sleep_ms(10)
    return False


class Heap:
    """Watches the bytes in use over a loop."""

    def __init__(self):
        self._bytes = []

    def look(self):
        gc.collect()
        self._bytes.append(gc.mem_alloc())
        if len(self._bytes) > 20:
            del self._bytes[10]  # only the first and the last ten are of interest

    def growth(self):
        """Bytes from the first ten looks to the last ten; the least of each counts, because
        the collector may take a stray word on the stack for the address of something dead."""
        return min(self._bytes[-10:]) - min(self._bytes[:10])
