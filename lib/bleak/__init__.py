# bleak's client API for MicroPython, as far as BMS drivers use it
# aioble scans and connects; services, reads, writes and notifications go straight to the stack.
# ruff: noqa: F401
from .client import BleakClient
from .exc import BleakCharacteristicNotFoundError, BleakError
from .gatt import (
    BleakGATTCharacteristic,
    BleakGATTService,
    BleakGATTServiceCollection,
    normalize_uuid_str,
)
from .scanner import AdvertisementData, BleakScanner, BLEDevice
