# The beginning of a link: connecting, and what the peer offers
# Loaded for that only. `client` is a BleakClient.
import asyncio

from micropython import const

from . import radio
from .exc import BleakError
from .gatt import BleakGATTCharacteristic, BleakGATTService, BleakGATTServiceCollection
from .uuids import from_stack, to_stack

_SERVICE_DONE = const(10)
_CHARACTERISTIC_DONE = const(12)
_MTU_MS = const(1000)
_GO_ON_MS = const(1000)  # so much longer than connect() the stack keeps trying
_PLAIN = const(4)  # peers that are remembered

_PROPERTIES = (
    (0x02, "read"),
    (0x04, "write-without-response"),
    (0x08, "write"),
    (0x10, "notify"),
    (0x20, "indicate"),
)


async def connect(client, turn):
    """Do what BleakClient.connect() promises. `turn` is taken; the link's owner gives it back."""
    client._failed = client._closing = False
    client._error = None
    try:
        client._owner = asyncio.create_task(client.own(turn, _begin(client)))
    except MemoryError:
        turn.release()
        raise
    in_time = False
    try:
        in_time = await radio.until(
            lambda: client._services is not None or client._failed or client._owner.done(),
            client._timeout_ms,
        )
    finally:
        if client._services is None:
            await client.disconnect()
    if not in_time:
        raise asyncio.TimeoutError
    if client._services is None:
        raise client._error or BleakError("connection failed")


async def _begin(client):
    await _link(client)
    if client.pair:
        await client.pair()
    return await _services_of(client, client._wanted)


async def _link(client):
    # always a new Device: a used one may hold a dead connection
    device = radio.aioble().Device(client._device.details or 0, client._device.address)
    client.addr = device.addr
    radio.attempt = client
    connection = await device.connect(None, client._timeout_ms + _GO_ON_MS)
    radio.attempt = None
    connection._event.set()  # for aioble that is the end: the link is ours alone
    radio.let_go()


async def _services_of(client, wanted):
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
