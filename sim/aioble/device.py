# Devices, connections and scanning
import asyncio

from micropython import const

from .core import ble, ensure_active, register_irq_handler

_SCAN_RESULT = const(5)
_SCAN_DONE = const(6)
_CONNECT = const(7)
_DISCONNECT = const(8)
_MTU_EXCHANGED = const(21)

_scanner = None
_connecting = set()


class DeviceDisconnectedError(Exception):
    """The link went while an operation waited for its answer."""


class DeviceTimeout:
    """Ends the block with TimeoutError in `timeout_ms`, or with DeviceDisconnectedError when
    `connection` goes; either may be None."""

    def __init__(self, connection, timeout_ms):
        self._connection = connection
        self._timeout_ms = timeout_ms
        self._timer = None
        self._expired = False
        self._task = asyncio.current_task()

    async def _expire(self):
        await asyncio.sleep_ms(self._timeout_ms)
        self._expired = True
        self._task.cancel()

    def __enter__(self):
        if self._connection:
            self._connection._timeouts.append(self)
        if self._timeout_ms:
            self._timer = asyncio.create_task(self._expire())

    def __exit__(self, exc_type, exc, traceback):
        connection = self._connection
        if connection:
            connection._timeouts.remove(self)
        if self._timer and not self._expired:
            self._timer.cancel()
        if exc_type is asyncio.CancelledError:
            if self._expired:
                raise asyncio.TimeoutError
            if connection and not connection.is_connected():
                raise DeviceDisconnectedError


class Device:
    """A peer by its address, 6 bytes."""

    def __init__(self, addr_type, addr):
        self.addr_type = addr_type
        self.addr = addr
        self._connection = None

    async def connect(self, timeout_ms=10000, scan_duration_ms=None):
        # fault: what an earlier attempt left behind counts as a connection, alive or not
        if self._connection:
            return self._connection
        ensure_active()
        if _scanner:
            await _scanner.cancel()
        connection = self._connection = DeviceConnection(self)
        _connecting.add(self)
        try:
            # fault: giving up does not cancel the attempt in the stack
            with DeviceTimeout(None, timeout_ms):
                ble.gap_connect(self.addr_type, self.addr, scan_duration_ms)
                await connection._event.wait()
                DeviceConnection._connected[connection._conn_handle] = connection
        finally:
            _connecting.remove(self)
        connection._task = asyncio.create_task(connection._watch())
        return connection


class DeviceConnection:
    """A link, alive while `_conn_handle` is not None."""

    _connected = {}

    def __init__(self, device):
        self.device = device
        self.mtu = None
        self._conn_handle = None
        self._event = asyncio.ThreadSafeFlag()  # link up, later: link down
        self._mtu_event = asyncio.ThreadSafeFlag()
        self._discover = None
        self._characteristics = {}
        self._timeouts = []
        self._task = None

    async def _watch(self):
        await self._event.wait()
        del DeviceConnection._connected[self._conn_handle]
        self._conn_handle = None
        self.device._connection = None
        for t in self._timeouts:
            t._task.cancel()

    def is_connected(self):
        return self._conn_handle is not None

    def timeout(self, timeout_ms):
        return DeviceTimeout(self, timeout_ms)

    async def disconnect(self, timeout_ms=2000):
        if self.is_connected():
            ble.gap_disconnect(self._conn_handle)
            with DeviceTimeout(None, timeout_ms):
                await self._task

    def services(self, uuid=None, timeout_ms=2000):
        from .client import ClientDiscover, ClientService

        return ClientDiscover(self, ClientService, self, uuid)

    async def exchange_mtu(self, mtu=None, timeout_ms=1000):
        if not self.is_connected():
            raise ValueError("Not connected")
        ble.gattc_exchange_mtu(self._conn_handle)
        with self.timeout(timeout_ms):
            await self._mtu_event.wait()
        return self.mtu


class ScanResult:
    """One advertisement, or one scan response."""

    def __init__(self, addr_type, addr, adv_type, rssi, data):
        self.device = Device(addr_type, bytes(addr))
        self.rssi = rssi
        self.adv_data = bytes(data)


class scan:
    """`async with scan(…) as s: async for result in s:`"""

    def __init__(self, duration_ms, interval_us=None, window_us=None, active=False):
        # fault: by default the receiver listens for 0.9 % of the time
        self._args = (duration_ms, interval_us or 1280000, window_us or 11250, active)
        self._queue = []
        self._event = asyncio.ThreadSafeFlag()
        self._done = False

    async def __aenter__(self):
        global _scanner
        ensure_active()
        if _scanner:
            await _scanner.cancel()
        _scanner = self
        ble.gap_scan(*self._args)
        return self

    async def __aexit__(self, exc_type, exc, traceback):
        await self.cancel()

    def __aiter__(self):
        return self

    async def __anext__(self):
        while not self._queue:
            if self._done:
                raise StopAsyncIteration
            await self._event.wait()
        return self._queue.pop()

    async def cancel(self):
        global _scanner
        # fault: waits for ever when no event comes
        if not self._done:
            ble.gap_scan(None)
            while not self._done:
                await self._event.wait()
        _scanner = None


def _irq(event, data):
    if event == _SCAN_RESULT:
        if _scanner:
            _scanner._queue.append(ScanResult(*data))
            _scanner._event.set()
    elif event == _SCAN_DONE:
        if _scanner:
            _scanner._done = True
            _scanner._event.set()
    elif event == _CONNECT:
        conn_handle, addr_type, addr = data
        for device in _connecting:
            if device.addr_type == addr_type and device.addr == addr:
                device._connection._conn_handle = conn_handle
                device._connection._event.set()
                break
    elif event == _DISCONNECT or event == _MTU_EXCHANGED:
        connection = DeviceConnection._connected.get(data[0])
        if connection:
            if event == _DISCONNECT:
                # fault: an attempt that failed with handle 0 ends the link that has it
                connection._event.set()
            else:
                connection.mtu = data[1]
                connection._mtu_event.set()


def _shutdown():
    global _scanner, _connecting
    _scanner = None
    _connecting = set()


register_irq_handler(_irq, _shutdown)
