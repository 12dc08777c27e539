# BleakClient: one link, its services, and its notifications
# One task owns a link from the attempt to the end, so there is one place that cleans up.
# No asyncio.wait_for in here: cancelled from outside, it cancels its caller a second time.
import asyncio
import errno
import time

import aioble
from micropython import const

from . import radio
from .exc import BleakCharacteristicNotFoundError, BleakError
from .uuids import from_stack, normalize_uuid_str, to_stack

_MTU_MS = const(1000)
_OPERATION_MS = const(5000)  # longer than the supervision timeout: a vanished peer shows first
_CANCEL_MS = const(1000)
_HANG_UP_MS = const(6000)
_RETRY_MS = const(10)
_TRIES = const(6)  # longer than a connection interval
_LATE_MS = const(30)
# A driver may need some passes of the event loop before it waits for the next notification.
_PASSES = const(4)

_PROPERTIES = (
    (0x02, "read"),
    (0x04, "write-without-response"),
    (0x08, "write"),
    (0x10, "notify"),
    (0x20, "indicate"),
)

# what aioble and the stack raise when an operation fails; TypeError: its link has no handle
_FAULTS = (
    OSError,
    ValueError,
    TypeError,
    AssertionError,
    aioble.GattError,
    aioble.DeviceDisconnectedError,
)


class BleakGATTCharacteristic:
    """`uuid`, `handle` (of the value), `properties` (list of names)."""

    def __init__(self, attribute):
        bits = attribute.properties
        self.uuid = from_stack(attribute.uuid)
        self.handle = attribute._value_handle
        self.properties = [name for bit, name in _PROPERTIES if bits & bit]
        self._attribute = attribute  # aioble's

    def __repr__(self):
        return "%s (Handle: %d)" % (self.uuid, self.handle)


class BleakGATTService:
    """`uuid`, `characteristics` in the order of their handles."""

    def __init__(self, uuid, characteristics):
        self.uuid = uuid
        self.characteristics = characteristics


class BleakGATTServiceCollection:
    """The services of a peer; iterable."""

    def __init__(self, services):
        self._services = services

    def __iter__(self):
        return iter(self._services)

    def get_service(self, uuid):
        """The service with this UUID (any length), or None."""
        uuid = normalize_uuid_str(uuid)
        for service in self._services:
            if service.uuid == uuid:
                return service
        return None

    def get_characteristic(self, specifier):
        """By UUID text or value handle, or None; BleakError if several have the UUID."""
        found = None
        if isinstance(specifier, str):
            specifier = normalize_uuid_str(specifier)
        for service in self._services:
            for char in service.characteristics:
                if specifier == char.handle:
                    return char
                if specifier == char.uuid:
                    if found:
                        raise BleakError("several characteristics %s" % specifier)
                    found = char
        return found


class BleakClient:
    """A link to one device, until it is lost or `disconnect()`; can be connected again.

    `disconnected_callback(client)` is called once per link, however it ends. `services`: UUIDs
    to which discovery is limited. `timeout`: seconds for a whole connect().
    """

    def __init__(self, device, disconnected_callback=None, services=None, timeout=10.0):
        self.peer = bytes(int(x, 16) for x in device.address.split(":"))
        self.conn_handle = None  # of the link; set and cleared by the stack's events
        self._addr_type = device.details or 0
        self._on_disconnected = disconnected_callback
        self._wanted = services
        self._timeout = timeout
        self._flag = asyncio.ThreadSafeFlag()  # link up, link lost, attempt over, data
        self._failed = False  # the stack gave up the attempt
        self._ready = False  # the attempt has ended, one way or the other
        self._error = None
        self._owner = None  # the task that owns the link
        self._closing = False  # and that cleans up now, or has
        self._connection = None  # aioble's
        self._services = None
        self._operation = asyncio.Lock()
        self._callbacks = {}  # value handle -> (characteristic, callback)
        self._ring = None

    # on the stack's task

    def on_data(self, value_handle, data):
        if self._ring and value_handle in self._callbacks:
            self._ring.put(value_handle, data)
            self._flag.set()

    def on_link(self, conn_handle):
        self.conn_handle = conn_handle
        self._failed = conn_handle is None
        self._flag.set()

    # on ours

    @property
    def is_connected(self):
        connection = self._connection
        return (
            self._services is not None
            and self.conn_handle is not None
            and connection.is_connected()
        )

    @property
    def services(self):
        if self._services is None:
            raise BleakError("not connected")
        return self._services

    @property
    def mtu_size(self):
        """ATT MTU in bytes."""
        return (self._connection and self._connection.mtu) or 23

    async def connect(self):
        """Connect and discover. Raises BleakError or asyncio.TimeoutError, and leaves nothing
        behind then, nor when it is cancelled."""
        if self.is_connected:
            return
        await self.disconnect()
        turn = radio.turn
        await turn.acquire()  # the owner gives it back
        self._ready = False
        self._closing = False
        self._error = None
        try:
            self._owner = asyncio.create_task(self._own(turn))
        except MemoryError:
            turn.release()
            raise
        in_time = False
        try:
            in_time = await _until(lambda: self._ready, int(self._timeout * 1000))
        finally:
            if self._services is None:
                await self.disconnect()
        if not in_time:
            raise asyncio.TimeoutError
        if self._services is None:
            raise self._error or BleakError("link lost")

    async def disconnect(self):
        """End the link, if there is one. Takes up to 7 s when the peer has vanished."""
        owner = self._owner
        if owner is None or owner.done():
            return
        if owner is asyncio.current_task():
            self._terminate()  # in a callback; the rest comes after it
            return
        if self._services is not None:
            self._terminate()
            if not await _until(lambda: self.conn_handle is None, _HANG_UP_MS):
                self.on_link(None)
            if await _until(owner.done, _CANCEL_MS):
                return
        if not self._closing:  # still connecting, or hanging in a callback
            try:
                await asyncio.sleep_ms(0)  # a task that was never started could not clean up
            finally:
                owner.cancel()
        await _until(owner.done, _HANG_UP_MS + _CANCEL_MS)

    async def start_notify(self, char_specifier, callback):
        """Have `callback(characteristic, bytearray)`, plain or async, called for each
        notification. Raises BleakError or asyncio.TimeoutError."""
        char = self._find(char_specifier)
        notify = "notify" in char.properties
        if not notify and "indicate" not in char.properties:
            raise BleakError("%s cannot notify" % char)
        if self._ring is None:
            self._ring = radio.take_ring()
        self._callbacks[char.handle] = (char, callback)  # first: some peers send at once
        try:
            await self._subscribe(char, notify, not notify)
        except BaseException:
            self._callbacks.pop(char.handle, None)
            raise

    async def stop_notify(self, char_specifier):
        """End what start_notify began. Raises BleakError or asyncio.TimeoutError."""
        char = self._find(char_specifier)
        if self._callbacks.pop(char.handle, None):
            await self._subscribe(char, False, False)

    async def read_gatt_char(self, char_specifier):
        """The value as a bytearray. Raises BleakError or asyncio.TimeoutError."""
        char = self._find(char_specifier)
        async with self._operation:
            return bytearray(await self._do(char._attribute.read(_OPERATION_MS)))

    async def write_gatt_char(self, char_specifier, data, response=None):
        """Write at most `mtu_size` - 3 bytes; with response if asked to, or if None and the
        characteristic can. Raises BleakError or asyncio.TimeoutError."""
        char = self._find(char_specifier)
        if response is None:
            response = "write" in char.properties
        if len(data) > self.mtu_size - 3:
            raise BleakError("%d bytes are too long to write" % len(data))
        write = char._attribute.write
        async with self._operation:
            for _ in range(_TRIES - 1):
                try:
                    return await self._do(write(data, response, _OPERATION_MS))
                except _Busy:
                    await asyncio.sleep_ms(_RETRY_MS)
            await self._do(write(data, response, _OPERATION_MS))

    # operations

    def _find(self, specifier):
        if not self.is_connected:
            raise BleakError("not connected")
        if isinstance(specifier, BleakGATTCharacteristic):
            return specifier
        char = self._services.get_characteristic(specifier)
        if not char:
            raise BleakCharacteristicNotFoundError(specifier)
        return char

    async def _subscribe(self, char, notify, indicate):
        async with self._operation:
            await self._do(self._set_descriptor(char, notify, indicate))

    async def _set_descriptor(self, char, notify, indicate):
        with self._connection.timeout(_OPERATION_MS):  # aioble looks for it without one
            await char._attribute.subscribe(notify, indicate)

    async def _do(self, operation):
        # One operation of aioble, with bleak's errors.
        if not self.is_connected:  # lost while the operation before this one went on
            raise BleakError("link lost")
        try:
            return await operation
        except _FAULTS as exc:
            raise self._translated(exc)
        except BaseException:
            # Given up while aioble waits for an answer, which it would take for that of the
            # next operation when it comes late: so the link goes.
            self._terminate()
            raise

    def _translated(self, exc):
        if isinstance(exc, BleakError):
            return exc
        if isinstance(exc, aioble.GattError):
            return BleakError("ATT status %s" % exc._status)
        if self._services is not None and self.conn_handle is None:
            return BleakError("link lost")
        if isinstance(exc, OSError) and exc.errno in (errno.ENOMEM, errno.EALREADY):
            return _Busy(repr(exc))
        return BleakError(repr(exc))

    # the owner of the link

    async def _own(self, turn):
        try:
            await self._establish()
            turn.release()
            turn = None
            self._ready = True
            await self._pump()
        except Exception as exc:
            self._error = self._translated(exc)
        finally:
            was_up = self._services is not None
            try:
                await self._hang_up()
            finally:
                ring, self._ring = self._ring, None
                if ring:
                    radio.give_back(ring)
                if turn:
                    turn.release()
                self._ready = True
            if was_up and self._on_disconnected:
                await self._call(self._on_disconnected, self)

    async def _establish(self):
        self._failed = False
        self._flag.clear()
        radio.clients = radio.clients + [self]  # anew: an event may be going through the list
        radio.attempt = self
        # always a new Device: a used one may hold a dead connection
        dial = asyncio.create_task(self._dial(aioble.Device(self._addr_type, self.peer)))
        try:
            while not (dial.done() or self._failed):
                await self._flag.wait()
        finally:
            if not dial.done():
                await _end(dial)
        if self._error:
            raise self._error
        if self._failed:
            raise BleakError("connection failed")
        radio.attempt = None
        try:
            await self._connection.exchange_mtu(timeout_ms=_MTU_MS)
        except (asyncio.TimeoutError, OSError, ValueError):
            pass  # not needed: any size of notification will do
        self._services = await self._discover()

    async def _dial(self, device):
        try:
            # connect() keeps the time, the stack goes on a bit longer
            scan_ms = int(self._timeout * 1000) + _CANCEL_MS
            self._connection = await device.connect(timeout_ms=None, scan_duration_ms=scan_ms)
        except Exception as exc:
            self._error = self._translated(exc)
        self._flag.set()

    async def _discover(self):
        found = []
        for uuid in self._wanted or (None,):
            await _collect(self._connection.services(uuid and to_stack(uuid)), found)
        found.sort(key=lambda service: service._start_handle)
        services = []
        for service in found:
            attributes = await _collect(service.characteristics(), [])
            attributes.sort(key=lambda attribute: attribute._value_handle)
            chars = [BleakGATTCharacteristic(a) for a in attributes]
            services.append(BleakGATTService(from_stack(service.uuid), chars))
        return BleakGATTServiceCollection(services)

    async def _pump(self):
        # Hands out notifications as long as the link lasts.
        while True:
            data = self._ring.get() if self._ring else None
            if data is not None:
                entry = self._callbacks.get(self._ring.tag)
                if entry:
                    await self._call(entry[1], entry[0], data)
                for _ in range(_PASSES):
                    await asyncio.sleep_ms(0)
            elif self.conn_handle is None:
                return
            else:
                await self._flag.wait()

    async def _call(self, callback, *args):
        try:
            result = callback(*args)
            if hasattr(result, "send"):
                await result
        except Exception as exc:
            context = {
                "message": "callback failed",
                "exception": exc,
                "future": asyncio.current_task(),
            }
            asyncio.get_event_loop().call_exception_handler(context)

    def _terminate(self):
        # Tell the stack to end the link; True if an event will say when it has.
        if self.conn_handle is None:
            return False
        try:
            if not radio.ble.gap_disconnect(self.conn_handle):
                self.on_link(None)
                return False
        except OSError:
            pass  # is doing so already
        return True

    async def _hang_up(self):
        # Leave neither an attempt nor a link behind, in the stack or in aioble.
        self._closing = True
        try:
            await self._end_in_stack()
        except Exception:
            aioble.stop()  # no memory to end it: then the radio has to forget everything
        self._services = None
        self._callbacks.clear()
        radio.clients = [client for client in radio.clients if client is not self]
        self.conn_handle = None
        connection, self._connection = self._connection, None
        if connection and connection.is_connected():
            connection._event.set()  # aioble has missed the end, or is about to see it

    async def _end_in_stack(self):
        if radio.attempt is self:
            if self.conn_handle is None and not self._failed:
                wait_ms = _LATE_MS
                try:
                    radio.ble.gap_connect(None)
                    wait_ms = _CANCEL_MS
                except OSError:
                    pass  # no attempt, or its success is on its way to us
                await _until(lambda: self._failed or self.conn_handle is not None, wait_ms)
            radio.attempt = None
        if self._terminate():
            await _until(lambda: self.conn_handle is None, _HANG_UP_MS)


class _Busy(BleakError):
    """The stack has no memory left or does something else: worth another try."""


async def _until(condition, timeout_ms):
    # True as soon as the condition holds, False if it does not in time.
    start = time.ticks_ms()
    while not condition():
        if time.ticks_diff(time.ticks_ms(), start) >= timeout_ms:
            return False
        await asyncio.sleep_ms(_RETRY_MS)
    return True


async def _collect(discovery, into):
    async for each in discovery:
        into.append(each)
    # aioble ends the loop without a word when the discovery failed
    if discovery._status:
        raise BleakError("discovery failed, status %s" % discovery._status)
    return into


async def _end(task):
    task.cancel()
    try:
        await task
    except (asyncio.CancelledError, Exception):
        pass
