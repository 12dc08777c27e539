# The half of every driver that talks: connect, send and wait, keep alive, disconnect.
# Translated drivers inherit it through aiobmsble.basebms.BaseBMS, which decodes.

import asyncio
from asyncio import TimeoutError

import bleak
from aiobmsble import BMSConfig
from aiobmsble.compat import ConnectionError
from bleak import BleakCharacteristicNotFoundError, BleakError

_DEVICE_INFORMATION = "180a"


class BufferError(ValueError):
    """More bytes than a frame may have."""


class BoundedByteArray(bytearray):
    """A bytearray of at most maxlen bytes; raises BufferError and stays as it is otherwise."""

    def __init__(self, maxlen, initial=b""):
        super().__init__(initial)
        self.maxlen = maxlen

    def clear(self):
        self[:] = b""

    def extend(self, values):
        if len(self) + len(values) > self.maxlen:
            raise BufferError("maximum length is %d" % self.maxlen)
        super().extend(values)

    def _new(self, values):
        return BoundedByteArray(self.maxlen, values)

    def removesuffix(self, suffix):
        return self._new(self[: len(self) - len(suffix)] if self.endswith(suffix) else self)

    def replace(self, old, new):
        return self._new(bytes(self).replace(old, new))

    def rstrip(self, chars):
        return self._new(bytes(self).rstrip(chars))

    def strip(self, chars):
        return self._new(bytes(self).strip(chars))


class _Log:
    """Warnings and errors of a driver go to the REPL, with the name of the BMS."""

    def __init__(self, name):
        self._name = name

    def warning(self, text, *args):
        print(self._name + ":", text % args)

    error = exception = warning


class Connection:
    """One BMS over one BLE link; subclasses say what to send and decode what comes back.

    Everything that waits ends after TIMEOUT or _CONNECT_TIMEOUT seconds (class attributes of
    BaseBMS). Raises asyncio.TimeoutError, bleak.BleakError, ValueError for incomplete data,
    ConnectionError and PermissionError of our runtime (both OSError), EOFError from the link,
    and IndexError, KeyError or AssertionError where a driver trips over short data.
    """

    def __init__(self, ble_device, config=None, logger_name=""):
        self._ble_device = ble_device
        self._cfg = config or BMSConfig()
        self.name = (ble_device.name or "undefined").rstrip()
        self._inv_wr_mode = None  # None: not known yet whether writes need the other mode
        self._log = _Log(self.name)
        self._client = self._new_client()
        self._frame = BoundedByteArray(2 * self.BLE_MAX_ATTR_SIZE)
        self._msg_event = asyncio.Event()
        self._connect_lock = asyncio.Lock()
        self._op_lock = asyncio.Lock()
        self._alive_task = None

    def _new_client(self):
        # Looked up at every call, so that a test can put another client in its place.
        services = list(self.uuid_services()) + [_DEVICE_INFORMATION]
        return bleak.BleakClient(self._ble_device, services=services)

    @property
    def is_connected(self):
        """Whether the link is up."""
        return self._client.is_connected

    async def async_update(self, raw=False):
        """Connect if need be, poll, and return the sample as a dict (see BMSSample upstream).

        raw leaves out values that are calculated from others.
        """
        await self._connect()
        async with self._op_lock:
            data = await self._async_update()
            _unfit(data)
            for pack in data.get("packs", ()):
                _unfit(pack)
            if not raw:
                self._add_missing_values(data, self._raw_values())
            if not self._cfg.keep_alive:
                await self.disconnect()
            return data

    async def device_info(self):
        """Connect if need be and return a dict of text: model, sw_version, serial_number, ..."""
        async with self._op_lock:
            was_connected = self._client.is_connected
            await self._connect()
            info = await self._fetch_device_info()
            if not was_connected:
                await self.disconnect()
            return info

    async def disconnect(self, reset=False):
        """End the link; reset also forgets which write mode the BMS wants."""
        async with self._connect_lock:
            await self._disconnect_impl(reset)

    async def _connect(self):
        async with self._connect_lock:
            if self._client.is_connected:
                return
            try:
                await asyncio.wait_for(self._set_up(), self._CONNECT_TIMEOUT)
            except (TimeoutError, BleakError, EOFError, ConnectionError):
                await self._disconnect_impl()
                raise

    async def _set_up(self):
        await self._end_client()
        self._client = self._new_client()
        await self._client.connect()
        await self._init_connection()
        if self.ALIVE_INTERVAL and (self._alive_task is None or self._alive_task.done()):
            from aiobmsble import keepalive  # here, because few drivers want it

            self._alive_task = asyncio.create_task(
                keepalive.run(self._alive, self.ALIVE_INTERVAL, self._op_lock, self._log)
            )

    async def _init_connection(self, char_notify=None):
        self._frame[:] = b""  # a driver may have put a plain bytearray there
        self._msg_event.clear()
        await self._client.start_notify(
            char_notify or self.uuid_rx(), self._notification_handler
        )

    async def _disconnect_impl(self, reset=False):
        self._msg_event.clear()
        task, self._alive_task = self._alive_task, None
        if task:
            from aiobmsble import keepalive

            await keepalive.end(task)
        try:
            await self._disconnect(reset)  # a driver's goodbye, which a dead link refuses
        finally:
            await self._end_client()
        if reset:
            self._inv_wr_mode = None

    async def _end_client(self):
        try:
            await self._client.disconnect()
        except (BleakError, TimeoutError, EOFError):
            self._log.warning("disconnect failed")

    def _wr_response(self, char):
        found = self._client.services.get_characteristic(char)
        return bool(found and "write" in found.properties)

    async def _send_msg(self, data, max_size, char, inv_wr_mode):
        size = max_size or len(data)
        for start in range(0, len(data), size):
            await self._client.write_gatt_char(
                char, data[start : start + size], response=self._wr_response(char) != inv_wr_mode
            )

    async def _await_msg(self, data, char=None, wait_for_notify=True, max_size=0):
        """Send, and wait until the notification handler has a valid reply.

        Repeats with growing patience, then in the other write mode; TimeoutError at last.
        """
        mode = self._inv_wr_mode
        for inv_wr_mode in (False, True) if mode is None else (mode,):
            try:
                self._msg_event.clear()
                for attempt in range(self.MAX_RETRY):
                    await self._send_msg(data, max_size, char or self.uuid_tx(), inv_wr_mode)
                    if not wait_for_notify:
                        return
                    patience_s = self._RETRY_TIMEOUT * min(
                        1 << attempt, self._MAX_TIMEOUT_FACTOR
                    )
                    try:
                        await asyncio.wait_for(self._wait_event(), patience_s)
                    except TimeoutError:
                        continue
                    self._inv_wr_mode = inv_wr_mode
                    return
            except BleakCharacteristicNotFoundError:
                raise
            except BleakError:
                self._log.error("write failed")
        raise TimeoutError

    async def _wait_event(self):
        await self._msg_event.wait()
        self._msg_event.clear()


def _unfit(data):
    """Take away the cells at 0 V at the end that the BMS does not count: they were never fitted."""
    cells = data.get("cell_voltages")
    while cells and not cells[-1] and len(cells) > data.get("cell_count", 0):
        cells.pop()
