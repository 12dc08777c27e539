# Stands in for bleak.BleakClient where memory is measured: a BMS that answers at once
# A module `peer`, made by bench/drivers.py, says what it answers.
import asyncio

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
