# A small stand-in for aioble's central role, where the real one is not at hand
# Names and faults are the original's, so whoever lives with this one lives with that.
# ruff: noqa: F401
from .core import GattError, config, stop
from .device import Device, DeviceDisconnectedError

try:
    from .central import scan
except:  # noqa: E722 - fault: whatever that is, a lack of memory too, it goes on without
    pass
