# bleak's client API for MicroPython, as far as BMS drivers use it, over aioble
# aioble connects, discovers, reads and writes; everything it gets wrong is handled here.
# ruff: noqa: F401
from .client import (
    BleakClient,
    BleakGATTCharacteristic,
    BleakGATTService,
    BleakGATTServiceCollection,
)
from .exc import BleakCharacteristicNotFoundError, BleakError
from .scanner import AdvertisementData, BleakScanner, BLEDevice
from .uuids import normalize_uuid_str
