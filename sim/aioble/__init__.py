# A small stand-in for aioble's central role, where the real one is not at hand
# Same names, and the same faults: what lives with this one lives with the original.
from .core import GattError, config, log_error, log_info, log_warn, stop
from .device import Device, DeviceDisconnectedError, scan

ADDR_PUBLIC = 0
ADDR_RANDOM = 1

__all__ = (
    "ADDR_PUBLIC",
    "ADDR_RANDOM",
    "Device",
    "DeviceDisconnectedError",
    "GattError",
    "config",
    "log_error",
    "log_info",
    "log_warn",
    "scan",
    "stop",
)
