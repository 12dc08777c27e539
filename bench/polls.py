# Polls one driver on the interpreter and prints what it took: run by bench/drivers.py
# A module `peer`, made by it, says what the BMS answers; bleak is reduced to what drivers name.
import asyncio
import gc

import bleak
import peer


class Client:
    """bleak.BleakClient whose BMS answers at once, from peer.REPLIES."""

    def __init__(self, device, disconnected_callback=None, services=None, timeout=10.0):
        self.is_connected = False
        self.services = peer.Services()

    async def connect(self):
        self.is_connected = True

    async def disconnect(self):
        self.is_connected = False

    async def start_notify(self, char, callback):
        self._callback = callback
        self.answer(b"start")

    async def stop_notify(self, char):
        pass

    async def read_gatt_char(self, char):
        return bytearray()

    async def write_gatt_char(self, char, data, response=None):
        self.answer(bytes(data))

    def answer(self, key):
        """Send what the BMS says to a write, or of itself."""
        if key in peer.REPLIES:
            self._task = asyncio.create_task(self._notify(peer.REPLIES[key]))

    async def _notify(self, replies):
        for sender, data in replies:
            for _ in range(4):
                await asyncio.sleep_ms(0)
            result = self._callback(sender, bytearray(data))
            if hasattr(result, "send"):
                await result


def used():
    """Bytes in use on the heap."""
    gc.collect()
    return gc.mem_alloc()


async def main():
    for name in ("Event", "Lock", "sleep", "wait_for"):
        getattr(asyncio, name)  # loads it: asyncio is not what is measured
    before = used()
    driver = __import__("aiobmsble.bms." + peer.MODULE, None, None, ("BMS",)).BMS
    imported = used() - before
    bms = driver(bleak.BLEDevice("C8:47:80:00:00:01", "x", None))
    early = 0
    for poll in range(peer.POLLS):
        if bms.is_connected:
            bms._client.answer(b"poll")
        await bms.async_update()
        if poll == 9:
            early = used()
    print(imported, used() - early)


bleak.BleakClient = Client
asyncio.run(main())
