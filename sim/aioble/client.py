# GATT client: discovery, reads, writes, subscriptions
import asyncio
from collections import deque

import bluetooth
from micropython import const

from .core import GattError, ble, register_irq_handler
from .device import DeviceConnection

_SERVICE_RESULT = const(9)
_SERVICE_DONE = const(10)
_CHARACTERISTIC_RESULT = const(11)
_CHARACTERISTIC_DONE = const(12)
_DESCRIPTOR_RESULT = const(13)
_DESCRIPTOR_DONE = const(14)
_READ_RESULT = const(15)
_READ_DONE = const(16)
_WRITE_DONE = const(17)
_NOTIFY = const(18)
_INDICATE = const(19)

_CCCD = const(0x2902)
_FLAG_READ = const(0x02)
_FLAG_WRITE_NO_RESPONSE = const(0x04)
_FLAG_WRITE = const(0x08)
_FLAG_NOTIFY = const(0x10)
_FLAG_INDICATE = const(0x20)


class ClientDiscover:
    """Finds services, characteristics or descriptors; the loop over it must run to its end."""

    def __init__(self, connection, kind, parent, timeout_ms, *args):
        # fault: timeout_ms is ignored
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
        while True:
            if self._queue:
                return self._kind(self._parent, *self._queue.pop())
            if self._status is not None:
                connection._discover = None
                raise StopAsyncIteration
            await self._event.wait()


async def _first(discover, uuid):
    found = None
    async for each in discover:
        if not found and each.uuid == uuid:
            found = each
    return found


class ClientService:
    def __init__(self, connection, start_handle, end_handle, uuid):
        self.connection = connection
        self._start_handle = start_handle
        self._end_handle = end_handle
        self.uuid = uuid

    def characteristics(self, uuid=None, timeout_ms=2000):
        return ClientDiscover(self.connection, ClientCharacteristic, self, timeout_ms, uuid)

    async def characteristic(self, uuid, timeout_ms=2000):
        return await _first(self.characteristics(uuid, timeout_ms), uuid)

    def _start(connection, uuid=None):
        ble.gattc_discover_services(connection._conn_handle, uuid)


class _Attribute:
    def __init__(self, value_handle, properties, uuid):
        self._value_handle = value_handle
        self.properties = properties
        self.uuid = uuid
        self._read_event = None
        self._read_data = None
        self._read_status = None
        self._write_event = None
        self._write_status = None

    def _register(self):
        self._connection()._characteristics[self._value_handle] = self

    def _check(self, flag):
        if not self.properties & flag:
            raise ValueError("Unsupported")

    async def read(self, timeout_ms=1000):
        self._check(_FLAG_READ)
        self._register()
        self._read_status = None
        self._read_event = self._read_event or asyncio.ThreadSafeFlag()
        ble.gattc_read(self._connection()._conn_handle, self._value_handle)
        with self._connection().timeout(timeout_ms):
            while self._read_status is None:
                await self._read_event.wait()
        if self._read_status:
            raise GattError(self._read_status)
        return self._read_data

    async def write(self, data, response=None, timeout_ms=1000):
        self._check(_FLAG_WRITE | _FLAG_WRITE_NO_RESPONSE)
        if response is None:
            p = self.properties
            response = (p & _FLAG_WRITE) and not (p & _FLAG_WRITE_NO_RESPONSE)
        if response:
            self._register()
            self._write_status = None
            self._write_event = self._write_event or asyncio.ThreadSafeFlag()
        ble.gattc_write(self._connection()._conn_handle, self._value_handle, data, response)
        if response:
            with self._connection().timeout(timeout_ms):
                await self._write_event.wait()
            if self._write_status != 0:
                raise GattError(self._write_status)


class ClientCharacteristic(_Attribute):
    def __init__(self, service, end_handle, value_handle, properties, uuid):
        super().__init__(value_handle, properties, uuid)
        self.service = service
        self._end_handle = end_handle if end_handle > value_handle else value_handle + 2
        # fault: room for one notification; what comes before it was fetched replaces it
        self._queue = deque((), 1)
        self._arrived = asyncio.ThreadSafeFlag()

    def _connection(self):
        return self.service.connection

    def descriptors(self, timeout_ms=2000):
        return ClientDiscover(self.service.connection, ClientDescriptor, self, timeout_ms)

    async def descriptor(self, uuid, timeout_ms=2000):
        return await _first(self.descriptors(timeout_ms), uuid)

    async def subscribe(self, notify=True, indicate=False):
        self._register()
        cccd = await self.descriptor(bluetooth.UUID(_CCCD))
        if not cccd:
            raise ValueError("CCCD not found")
        await cccd.write(bytes((bool(notify) | bool(indicate) << 1, 0)))

    async def notified(self, timeout_ms=None):
        self._check(_FLAG_NOTIFY)
        return await self._next(timeout_ms)

    async def indicated(self, timeout_ms=None):
        self._check(_FLAG_INDICATE)
        return await self._next(timeout_ms)

    async def _next(self, timeout_ms):
        self._register()
        if len(self._queue) <= 1:
            with self._connection().timeout(timeout_ms):
                await self._arrived.wait()
        return self._queue.popleft()

    def _start(service, uuid=None):
        ble.gattc_discover_characteristics(
            service.connection._conn_handle, service._start_handle, service._end_handle, uuid
        )


class ClientDescriptor(_Attribute):
    def __init__(self, characteristic, handle, uuid):
        super().__init__(handle, _FLAG_READ | _FLAG_WRITE, uuid)
        self.characteristic = characteristic

    def _connection(self):
        return self.characteristic.service.connection

    def _start(characteristic):
        ble.gattc_discover_descriptors(
            characteristic._connection()._conn_handle,
            characteristic._value_handle,
            characteristic._end_handle,
        )


def _irq(event, data):
    if not _SERVICE_RESULT <= event <= _INDICATE:
        return
    connection = DeviceConnection._connected.get(data[0])
    if not connection:
        return
    if event <= _DESCRIPTOR_DONE:
        discover = connection._discover
        if not discover:
            return
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
        attribute._read_data = bytes(data[2])
        attribute._read_event.set()
    elif event == _READ_DONE:
        attribute._read_status = data[2]
        attribute._read_event.set()
    elif event == _WRITE_DONE:
        attribute._write_status = data[2]
        attribute._write_event.set()
    else:
        first = not attribute._queue
        attribute._queue.append(bytes(data[2]))
        if first:
            attribute._arrived.set()


register_irq_handler(_irq, None)
