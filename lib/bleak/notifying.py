# Notifications switched on and off
# Loaded for that only. `client` is a BleakClient.
from micropython import const

from . import radio
from .exc import BleakError

_DESCRIPTOR_DONE = const(14)


async def start(client, specifier, callback):
    """Do what BleakClient.start_notify() promises."""
    char = client._find(specifier)
    notify = "notify" in char.properties
    if not notify and "indicate" not in char.properties:
        raise BleakError("%s cannot notify" % char.uuid)
    client._callbacks[char.handle] = (char, callback)  # first: some peers send at once
    try:
        await tell(client, char, b"\x01\x00" if notify else b"\x02\x00")
    except BaseException:
        client._callbacks.pop(char.handle, None)
        raise


async def tell(client, char, value):
    """Write `value`, 2 bytes, to what switches the notifications of `char` on and off."""
    async with client.operation:
        found = await client.do(
            _DESCRIPTOR_DONE,
            radio.ble.gattc_discover_descriptors,
            char.handle,
            char.end_handle,
        )
        if not found:
            raise BleakError("%s cannot notify" % char.uuid)
        await client.write(found[0], value, True)
