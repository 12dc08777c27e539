# The beginning of a link: connecting
# Loaded for that only; what follows is in services.py. `client` is a BleakClient.
import asyncio
from binascii import unhexlify

import bleradio
from micropython import const

from . import radio
from .client import load
from .exc import BleakError

_GO_ON_MS = const(1000)  # so much longer than connect() the stack keeps trying


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
    return await load("uuids", "services").of(client, client._wanted)


async def _link(client):
    device = client._device
    client.addr = unhexlify(device.address.replace(":", ""))
    timeout_ms = client._timeout_ms + _GO_ON_MS
    bleradio.on()
    radio.attempt = client
    radio.ble.gap_connect(device.details or 0, client.addr, timeout_ms)
    await radio.until(lambda: client.conn_handle is not None or client._failed, timeout_ms)
    if client.conn_handle is None:
        raise BleakError("connection failed")
