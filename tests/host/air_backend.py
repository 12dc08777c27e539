"""Backends of bleak that reach the virtual board: behind its public interface, as an adapter is."""

import asyncio

from airphone import AirPhone
from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.backends.client import BaseBleakClient
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData, BaseBleakScanner
from bleak.backends.service import BleakGATTService, BleakGATTServiceCollection
from bleak.exc import BleakError

_UUID = "a6f4000{}-8d3c-4f0a-9b57-2e61c0d7b4a8"
_ADDRESS = "24:0A:C4:00:00:01"
phone: AirPhone | None = None  # the adapter
vanish_after = 0  # notifications; then the phone walks away, once


def _fields(payload: bytes) -> dict[int, bytes]:
    found, at = {}, 0
    while at < len(payload) and payload[at]:
        found[payload[at + 1]] = payload[at + 2 : at + 1 + payload[at]]
        at += 1 + payload[at]
    return found


class Scanner(BaseBleakScanner):
    def __init__(self, detection_callback, service_uuids, scanning_mode, **kwargs):
        super().__init__(detection_callback, service_uuids)

    async def start(self):
        self._task = asyncio.create_task(self._look())

    async def _look(self):
        while True:
            if phone.answer:
                fields = _fields(phone.answer)
                name = (fields.get(8) or fields.get(9) or b"").decode()
                uuids = [_UUID.format(1)] if 7 in fields else []
                about = AdvertisementData(name, {}, {}, uuids, None, -60, ())
                device = self.create_or_update_device(_ADDRESS, _ADDRESS, name, None, about)
                self.call_detection_callbacks(device, about)
            await asyncio.sleep(0.1)

    async def stop(self):
        self._task.cancel()


class Client(BaseBleakClient):
    def __init__(self, address_or_ble_device, **kwargs):
        super().__init__(address_or_ble_device, **kwargs)
        assert isinstance(address_or_ble_device, BLEDevice)
        self._up = False
        self._callback = None

    @property
    def name(self) -> str:
        return "batmon"

    @property
    def mtu_size(self) -> int:
        return phone.mtu

    @property
    def is_connected(self) -> bool:
        return self._up

    async def connect(self, pair: bool, **kwargs):
        self._loop = asyncio.get_running_loop()
        if not await asyncio.to_thread(phone.connect):
            raise BleakError("failed to connect")
        self._up = True
        phone.heard = self._heard
        phone.gone = lambda: self._loop.call_soon_threadsafe(self._lost)
        self.services = services = BleakGATTServiceCollection()
        service = BleakGATTService(None, 1, _UUID.format(1))
        services.add_service(service)
        for n, kinds in ((2, ["write", "write-without-response"]), (3, ["notify"])):
            uuid = _UUID.format(n)
            services.add_characteristic(
                BleakGATTCharacteristic(None, n, uuid, kinds, lambda: phone.mtu - 3, service)
            )

    def _heard(self, data: bytes):
        global vanish_after
        if vanish_after:
            vanish_after -= 1
            if not vanish_after:
                phone.vanish()
                self._loop.call_soon_threadsafe(self._lost)
                return
        if self._callback:
            self._loop.call_soon_threadsafe(self._callback, bytearray(data))

    def _lost(self):
        if self._up:
            self._up = False
            if self._disconnected_callback:
                self._disconnected_callback()

    async def disconnect(self):
        if self._up:
            phone.disconnect()
            self._up = False
            await asyncio.sleep(0.2)

    async def start_notify(self, characteristic, callback, **kwargs):
        self._callback = callback

    async def stop_notify(self, characteristic):
        self._callback = None

    async def write_gatt_char(self, characteristic, data, response):
        if not self._up:
            raise BleakError("not connected")
        phone.write(bytes(data))

    async def pair(self, *args, **kwargs):
        raise NotImplementedError

    async def unpair(self):
        raise NotImplementedError

    async def read_gatt_char(self, characteristic, **kwargs):
        raise NotImplementedError

    async def read_gatt_descriptor(self, descriptor, **kwargs):
        raise NotImplementedError

    async def write_gatt_descriptor(self, descriptor, data):
        raise NotImplementedError
