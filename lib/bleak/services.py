# What a peer offers, once it is connected: an MTU, services, characteristics, notifications
# Loaded for that only. `client` is a BleakClient.
from micropython import const

from . import radio
from .exc import BleakError
from .gatt import BleakGATTCharacteristic, BleakGATTService, BleakGATTServiceCollection
from .uuids import from_stack, to_stack

_SERVICE_DONE = const(10)
_CHARACTERISTIC_DONE = const(12)
_DESCRIPTOR_DONE = const(14)
_MTU_MS = const(1000)
_PLAIN = const(4)  # peers that are remembered

_PROPERTIES = (
    (0x02, "read"),
    (0x04, "write-without-response"),
    (0x08, "write"),
    (0x10, "notify"),
    (0x20, "indicate"),
)


async def of(client, wanted):
    """Return the services of the peer, or those with the UUIDs `wanted`, and their
    characteristics, once an MTU is agreed on."""
    ble = radio.ble
    await _exchange_mtu(client)
    found = []
    for uuid in wanted or (None,):
        uuid = uuid and to_stack(uuid)
        found += await client.do(_SERVICE_DONE, ble.gattc_discover_services, uuid)
    all_ = BleakGATTServiceCollection()
    for start, end, uuid in sorted(found):
        chars = await client.do(
            _CHARACTERISTIC_DONE, ble.gattc_discover_characteristics, start, end
        )
        chars = [_characteristic(*char) for char in sorted(chars)]
        all_.append(BleakGATTService(from_stack(uuid), chars))
    return all_


async def _exchange_mtu(client):
    client.mtu = None
    plain = radio.plain
    addr = client.addr
    if addr in plain:
        plain.remove(addr)
        return
    try:
        radio.ble.gattc_exchange_mtu(client.conn_handle)
        await radio.until(lambda: client.mtu or client.conn_handle is None, _MTU_MS)
        if not client.mtu:
            plain.append(addr)
            del plain[:-_PLAIN]
    except (OSError, ValueError, TypeError):
        pass  # not needed: any size of notification will do


def _characteristic(end_handle, handle, bits, uuid):
    end_handle = max(end_handle, handle + 2)  # some stacks do not tell it
    properties = [name for bit, name in _PROPERTIES if bits & bit]
    return BleakGATTCharacteristic(from_stack(uuid), handle, end_handle, properties)


async def start_notify(client, specifier, callback):
    """Do what BleakClient.start_notify() promises."""
    char = client._find(specifier)
    notify = "notify" in char.properties
    if not notify and "indicate" not in char.properties:
        raise BleakError("%s cannot notify" % char.uuid)
    client._callbacks[char.handle] = (char, callback)  # first: some peers send at once
    try:
        await subscribe(client, char, b"\x01\x00" if notify else b"\x02\x00")
    except BaseException:
        client._callbacks.pop(char.handle, None)
        raise


async def subscribe(client, char, value):
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
