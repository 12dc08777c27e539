# bleak's client API for MicroPython, as far as BMS drivers use it
# Straight on the stack, whose events come by way of aioble's core.
# ruff: noqa: F401
from .client import BleakClient
from .exc import BleakCharacteristicNotFoundError, BleakError
from .gatt import (
    BleakGATTCharacteristic,
    BleakGATTService,
    BleakGATTServiceCollection,
    BLEDevice,
    normalize_uuid_str,
)


def __getattr__(name):
    """BleakScanner and AdvertisementData, whose module is loaded when they are wanted."""
    if name not in ("BleakScanner", "AdvertisementData"):
        raise AttributeError(name)
    from .scanner import AdvertisementData, BleakScanner

    return BleakScanner if name == "BleakScanner" else AdvertisementData
