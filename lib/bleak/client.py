# BleakClient: one link, its services, and its notifications
# One task owns a link from the attempt to the end, so there is one place that cleans up.
# No asyncio.wait_for in here: cancelled from outside, it cancels its caller a second time.
import asyncio
import errno
import sys

import bluetooth
from micropython import const

from . import radio
from .exc import BleakCharacteristicNotFoundError, BleakError
from .gatt import BleakGATTCharacteristic

_SERVICE_RESULT = const(9)
_CHARACTERISTIC_RESULT = const(11)
_DESCRIPTOR_RESULT = const(13)
_READ_RESULT = const(15)
_READ_DONE = const(16)
_WRITE_DONE = const(17)
_NOTIFY = const(18)
_INDICATE = const(19)
_MTU_EXCHANGED = const(21)

_OPERATION_MS = const(5000)  # longer than the supervision timeout: a vanished peer shows first
_CANCEL_MS = const(1000)
_HANG_UP_MS = const(6000)
_BUSY_MS = const(20)  # until the stack may have buffers again
_TRIES = const(6)
_LATE_MS = const(30)
# A driver may need some passes of the event loop before it waits for the next notification.
_PASSES = const(4)


class BleakClient:
    """A link to one device, until it is lost or `disconnect()`; can be connected again.

    `disconnected_callback(client)` is called once per link, however it ends. `services`: UUIDs
    to which discovery is limited. `timeout`: seconds for a whole connect().
    """

    pair = None  # lib/bleak/pairing.py, when links are to be paired
    refusal = 0  # the last ATT status that was an error

    def __init__(self, device, disconnected_callback=None, services=None, timeout=10.0):
        self.conn_handle = None  # of the link; set and cleared by the stack's events
        self.addr = None  # of the device, as the stack has it, once it is tried
        self._device = device
        self._on_disconnected = disconnected_callback
        self._wanted = services
        self._timeout_ms = int(timeout * 1000)
        self.number = None  # of the link, among all of late
        self.flag = asyncio.ThreadSafeFlag()  # link lost, data
        self._failed = False  # the stack gave up the attempt
        self._error = None
        self._owner = None  # the task that owns the link
        self._closing = False  # and that cleans up now, or has
        self._services = None
        self.mtu = None  # as the stack told it
        self.operation = asyncio.Lock()
        self._awaited = None  # the event that ends the operation
        self._status = None  # with which it ended
        self._found = None  # what it brought
        self._callbacks = {}  # value handle -> (characteristic, callback)

    # on the stack's task

    def on_link(self, conn_handle):
        self.conn_handle = conn_handle
        self._failed = conn_handle is None
        self.flag.set()

    def on_event(self, event, data):
        if event == _NOTIFY or event == _INDICATE:
            self.on_data(data[1], data[2])
        elif event == _MTU_EXCHANGED:
            self.mtu = data[1]
        elif event == self._awaited:
            self._status = data[-1]
        elif event == _SERVICE_RESULT or event == _CHARACTERISTIC_RESULT:
            self._found.append(data[1:-1] + (bytes(data[-1]),))
        elif event == _DESCRIPTOR_RESULT:
            if data[2] == bluetooth.UUID(0x2902):
                self._found.append(data[1])
        elif event == _READ_RESULT:
            self._found.append(bytes(data[2]))

    def on_data(self, value_handle, data):
        if value_handle in self._callbacks:
            radio.ring.put(self.number << 16 | value_handle, data)
            self.flag.set()

    # on ours

    @property
    def is_connected(self):
        return self._services is not None and self.conn_handle is not None

    @property
    def services(self):
        if self._services is None:
            raise BleakError("not connected")
        return self._services

    @property
    def mtu_size(self):
        """ATT MTU in bytes."""
        return self.mtu or 23

    async def connect(self):
        """Connect and discover. Raises BleakError or asyncio.TimeoutError, and leaves nothing
        behind then, nor when it is cancelled."""
        if self.is_connected:
            return
        await self.disconnect()
        turn = radio.turn
        await turn.acquire()  # before what is needed is loaded: not for several at once
        try:
            connecting = load("beginning").connect(self, turn)
        except BaseException:
            turn.release()
            raise
        await connecting

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
            if not await self._gone(_HANG_UP_MS):
                self.on_link(None)
            if await radio.until(owner.done, _CANCEL_MS):
                return
        if not self._closing:  # still connecting, or hanging in a callback
            try:
                await asyncio.sleep_ms(0)  # a task that was never started could not clean up
            finally:
                owner.cancel()
        await radio.until(owner.done, _HANG_UP_MS + _CANCEL_MS)

    def start_notify(self, char_specifier, callback):
        """Have `callback(characteristic, bytearray)`, plain or async, called for each
        notification; to be awaited. Raises BleakError or asyncio.TimeoutError."""
        return load("uuids", "services").start_notify(self, char_specifier, callback)

    async def stop_notify(self, char_specifier):
        """End what start_notify began. Raises BleakError or asyncio.TimeoutError."""
        char = self._find(char_specifier)
        if self._callbacks.pop(char.handle, None):
            await load("uuids", "services").subscribe(self, char, b"\x00\x00")

    async def read_gatt_char(self, char_specifier):
        """The value as a bytearray. Raises BleakError or asyncio.TimeoutError."""
        char = self._find(char_specifier)
        async with self.operation:
            found = await self.do(_READ_DONE, radio.ble.gattc_read, char.handle)
        return bytearray(b"".join(found))

    async def write_gatt_char(self, char_specifier, data, response=None):
        """Write at most `mtu_size` - 3 bytes; with response if asked to, or if None and the
        characteristic can. Raises BleakError or asyncio.TimeoutError."""
        char = self._find(char_specifier)
        answers = "write" in char.properties
        if not answers and "write-without-response" not in char.properties:
            raise BleakError("%s cannot be written" % char.uuid)
        if len(data) > self.mtu_size - 3:
            raise BleakError("%d bytes are too long to write" % len(data))
        async with self.operation:
            await self.write(char.handle, data, answers if response is None else response)

    # operations

    def _find(self, specifier):
        if not self.is_connected:
            raise BleakError("not connected")
        if isinstance(specifier, BleakGATTCharacteristic):
            return specifier
        char = self._services.get_characteristic(specifier)
        if not char:
            raise BleakCharacteristicNotFoundError("no characteristic %s" % specifier)
        return char

    def write(self, handle, data, response):
        awaited = _WRITE_DONE if response else None
        return self.do(awaited, radio.ble.gattc_write, handle, data, 1 if response else 0)

    async def do(self, awaited, start, *args):
        # One operation of the stack, until the event `awaited`; returns what events brought.
        # Whoever may not be alone has the lock `operation`.
        left = _TRIES
        while True:
            if self.conn_handle is None:  # lost while the operation before this one went on
                raise BleakError("link lost")
            self._awaited = awaited
            self._status = None
            self._found = []
            missed = radio.missed
            try:
                start(self.conn_handle, *args)
                break
            except OSError as exc:
                left -= 1
                if not left or exc.errno not in (errno.ENOMEM, errno.EALREADY):
                    raise BleakError(repr(exc))
                await asyncio.sleep_ms(_BUSY_MS)
        if awaited is None:
            return None
        try:
            await radio.until(self._answered, _OPERATION_MS)
        finally:
            unanswered = self._status is None
            # given up: a late answer would be taken for that of the next operation
            lost = unanswered and not self._terminate()
        if lost:
            raise BleakError("link lost")
        if unanswered:
            raise asyncio.TimeoutError
        if self._status:
            self.refusal = self._status
            raise BleakError("ATT status %d" % self._status)
        if missed != radio.missed:
            raise BleakError("no memory for an answer")
        return self._found

    def _answered(self):
        return self._status is not None or self.conn_handle is None

    # the owner of the link

    async def own(self, turn, beginning):
        """Bring up the link by awaiting `beginning`, which gives its services, keep it, and clean
        up when it ends. `turn` is given back once it is up, or over."""
        try:
            radio.enter(self)
            self._services = await beginning
            beginning = radio.attempt = None  # its memory
            turn.release()
            turn = None
            await self._pump()
        except (BleakError, asyncio.TimeoutError) as exc:
            self._error = exc
        except Exception as exc:  # of the stack
            self._error = BleakError(repr(exc))
        finally:
            was_up = self._services is not None
            self._closing = True
            self._callbacks.clear()
            radio.leave(self)  # before, for hanging up may take long
            try:
                await self._hang_up()
            except Exception:
                radio.stop()  # no memory to end it: then the radio has to forget everything
            finally:
                self._forget()
                if turn:
                    turn.release()
            if was_up and self._on_disconnected:
                await self._call(self._on_disconnected, self)

    async def _pump(self):
        # Hands out notifications as long as the link lasts, in turn with other links: what is for
        # one of them comes before what came later for us.
        while True:
            handle = radio.waiting(self)
            if handle is not None:
                data = radio.ring.get()
                entry = self._callbacks.get(handle)
                if entry:
                    await self._call(entry[1], entry[0], data)
                for _ in range(_PASSES):
                    await asyncio.sleep_ms(0)
            elif self.conn_handle is None:
                return
            else:
                await self.flag.wait()

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

    async def _gone(self, timeout_ms):
        return await radio.until(lambda: self.conn_handle is None, timeout_ms)

    async def _hang_up(self):
        # Leave neither an attempt nor a link behind in the stack.
        if radio.attempt is self:
            told = self._failed or self.conn_handle is not None
            self._failed = False
            try:
                radio.ble.gap_connect(None)  # even so: the stack may be making the link anew
                await radio.until(lambda: self._failed, _CANCEL_MS)
            except OSError:  # no attempt, or its success is on its way to us
                if not told:
                    await radio.until(
                        lambda: self._failed or self.conn_handle is not None, _LATE_MS
                    )
            radio.attempt = None
        if self._terminate():
            await self._gone(_HANG_UP_MS)

    def _forget(self):
        self._services = None
        radio.clients = [client for client in radio.clients if client is not self]
        self.conn_handle = None


def load(*names):
    # What a link needs only at its beginning, the last of these modules: its memory is free when
    # that is over. What it needs in turn comes first, not from within: that takes stack.
    for name in names:
        package = __import__("bleak." + name)
    for name in names:
        module = getattr(package, name)
        del sys.modules["bleak." + name]
        delattr(package, name)
    return module
