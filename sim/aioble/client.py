# GATT client: discovery, reads, writes, subscriptions
import asyncio
from collections import deque

import bluetooth
from micropython import const

from .core import GattError, ble, register_irq_handler
from .device import DeviceConnection

_SERVICE_RESULT = const(9)
_SERVICE_DONE = const(10)
_CHARACTERISTIC_DONE = const(12)
_DESCRIPTOR_DONE = const(14)
_READ_RESULT = const(15)
_READ_DONE = const(16)
_WRITE_DONE = const(17)
_INDICATE = const(19)

_CCCD = const(0x2902)
_FLAG_READ = const(0x02)
_FLAG_WRITE = const(0x08)
_FLAGS_WRITE = const(0x0C)  # the one without response too


class ClientDiscover:
    """Finds services, characteristics or descriptors; the loop over it must run to its end."""

    # fault: there is no timeout
    def __init__(self, connection, kind, parent, *args):
        self._connection = connection
        self._kind = kind
        self._parent = parent
        self._args = args
        self._queue = []
        self._status = None
        self._event = asyncio.ThreadSafeFlag()

    def __aiter__(self):
        return self

    async def __anext__(self):
        connection = self._connection
        if connection._discover is not self:
            if connection._discover:
                raise ValueError("Discovery in progress")
            connection._discover = self
            self._kind._start(self._parent, *self._args)
        while not self._queue:
            # fault: a failure looks like the end
            if self._status is not None:
                connection._discover = None
                raise StopAsyncIteration
            await self._event.wait()
        return self._kind(self._parent, *self._queue.pop())


class ClientService:
    def __init__(self, connection, start_handle, end_handle, uuid):
        self.connection = connection
        self._start_handle = start_handle
        self._end_handle = end_handle
        self.uuid = uuid

    def characteristics(self, uuid=None, timeout_ms=2000):
        return ClientDiscover(self.connection, ClientCharacteristic, self, uuid)

    def _start(connection, uuid=None):
        ble.gattc_discover_services(connection._conn_handle, uuid)


class _Attribute:
    def __init__(self, connection, value_handle, properties, uuid):
        self._connection = connection
        self._value_handle = value_handle
        self.properties = properties
        self.uuid = uuid
        self._event = asyncio.ThreadSafeFlag()  # read done, write done
        self._status = None
        self._data = None

    def _expect(self):
        self._connection._characteristics[self._value_handle] = self
        self._status = None

    async def _done(self, timeout_ms):
        with self._connection.timeout(timeout_ms):
            await self._event.wait()
        if self._status != 0:
            raise GattError(self._status)

    async def read(self, timeout_ms=1000):
        if not self.properties & _FLAG_READ:
            raise ValueError("Unsupported")
        self._expect()
        ble.gattc_read(self._connection._conn_handle, self._value_handle)
        await self._done(timeout_ms)
        return self._data

    async def write(self, data, response=None, timeout_ms=1000):
        if not self.properties & _FLAGS_WRITE:
            raise ValueError("Unsupported")
        if response is None:
            response = self.properties & _FLAGS_WRITE == _FLAG_WRITE
        if response:
            self._expect()
        ble.gattc_write(self._connection._conn_handle, self._value_handle, data, response)
        if response:
            await self._done(timeout_ms)


class ClientCharacteristic(_Attribute):
    def __init__(self, service, end_handle, value_handle, properties, uuid):
        super().__init__(service.connection, value_handle, properties, uuid)
        self._end_handle = end_handle if end_handle > value_handle else value_handle + 2
        # fault: room for one notification; what comes before it was fetched replaces it
        self._queue = deque((), 1)
        self._arrived = asyncio.ThreadSafeFlag()

    async def subscribe(self, notify=True, indicate=False):
        self._expect()
        cccd = None
        async for each in ClientDiscover(self._connection, ClientDescriptor, self):
            if each.uuid == bluetooth.UUID(_CCCD):
                cccd = each
        if not cccd:
            raise ValueError("CCCD not found")
        await cccd.write(bytes((bool(notify) | bool(indicate) << 1, 0)))

    async def notified(self, timeout_ms=None):
        self._expect()
        if len(self._queue) <= 1:
            with self._connection.timeout(timeout_ms):
                await self._arrived.wait()
        return self._queue.popleft()

    def _start(service, uuid=None):
        ble.gattc_discover_characteristics(
            service.connection._conn_handle, service._start_handle, service._end_handle, uuid
        )


class ClientDescriptor(_Attribute):
    def __init__(self, characteristic, handle, uuid):
        super().__init__(characteristic._connection, handle, _FLAG_READ | _FLAG_WRITE, uuid)

    def _start(characteristic):
        ble.gattc_discover_descriptors(
            characteristic._connection._conn_handle,
            characteristic._value_handle,
            characteristic._end_handle,
        )


def _services(connection, uuid=None, timeout_ms=2000):
    return ClientDiscover(connection, ClientService, connection, uuid)


DeviceConnection.services = _services


def _irq(event, data):
    if not _SERVICE_RESULT <= event <= _INDICATE:
        return
    connection = DeviceConnection._connected.get(data[0])
    if not connection:
        return
    if event <= _DESCRIPTOR_DONE:
        discover = connection._discover
        if discover:
            if event in (_SERVICE_DONE, _CHARACTERISTIC_DONE, _DESCRIPTOR_DONE):
                discover._status = data[1]
            else:
                discover._queue.append(data[1:-1] + (bluetooth.UUID(data[-1]),))
            discover._event.set()
        return
    attribute = connection._characteristics.get(data[1])
    if not attribute:
        return
    if event == _READ_RESULT:
        attribute._data = bytes(data[2])
    elif event == _READ_DONE or event == _WRITE_DONE:
        attribute._status = data[2]
        attribute._event.set()
    else:
        # fault: ends all events if this is no characteristic that notifies
        first = not attribute._queue
        attribute._queue.append(bytes(data[2]))
        if first:
            attribute._arrived.set()


register_irq_handler(_irq, None)
