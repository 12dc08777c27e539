# Errors of the bleak API
# A timeout is asyncio.TimeoutError, everything else is a BleakError.


class BleakError(Exception):
    """The link is gone, or the stack or the peer refused."""


class BleakCharacteristicNotFoundError(BleakError):
    """The peer has no such characteristic."""
