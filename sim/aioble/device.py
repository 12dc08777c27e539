# Devices, connections and scanning
import asyncio

from micropython import const

from .core import ble, ensure_active, log_error, register_irq_handler

_SCAN_RESULT = const(5)
_SCAN_DONE = const(6)
_CONNECT = const(7)
_DISCONNECT = const(8)
_MTU_EXCHANGED = const(21)

_SCAN_RSP = const(4)

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
        if connection:
            connection._timeouts.append(self)

    async def _expire(self):
        await asyncio.sleep_ms(self._timeout_ms)
        self._expired = True
        self._task.cancel()

    def __enter__(self):
        if self._timeout_ms:
            self._timer = asyncio.create_task(self._expire())

    def __exit__(self, exc_type, exc, traceback):
        if self._connection:
            self._connection._timeouts.remove(self)
        if self._timer and not self._expired:
            self._timer.cancel()
        if exc_type is asyncio.CancelledError:
            if self._expired:
                raise asyncio.TimeoutError
            if self._connection and not self._connection.is_connected():
                raise DeviceDisconnectedError


class Device:
    """A peer by its address (6 bytes, or text with colons)."""

    def __init__(self, addr_type, addr):
        self.addr_type = addr_type
        self.addr = addr if len(addr) == 6 else bytes.fromhex(addr.replace(":", ""))
        self._connection = None

    def __eq__(self, other):
        return self.addr_type == other.addr_type and self.addr == other.addr

    def __hash__(self):
        return hash(self.addr)

    def addr_hex(self):
        return ":".join("%02x" % b for b in self.addr)

    async def connect(
        self,
        timeout_ms=10000,
        scan_duration_ms=None,
        min_conn_interval_us=None,
        max_conn_interval_us=None,
    ):
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
                ble.gap_connect(
                    self.addr_type,
                    self.addr,
                    scan_duration_ms,
                    min_conn_interval_us,
                    max_conn_interval_us,
                )
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
        self._mtu_event = None
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
        await self.disconnected(timeout_ms, disconnect=True)

    async def disconnected(self, timeout_ms=None, disconnect=False):
        if not self.is_connected():
            return
        if disconnect:
            try:
                ble.gap_disconnect(self._conn_handle)
            except OSError as e:
                log_error("Disconnect", e)
        with DeviceTimeout(None, timeout_ms):
            await self._task

    def services(self, uuid=None, timeout_ms=2000):
        from .client import ClientDiscover, ClientService

        return ClientDiscover(self, ClientService, self, timeout_ms, uuid)

    async def service(self, uuid, timeout_ms=2000):
        found = None
        async for service in self.services(uuid, timeout_ms):
            if not found and service.uuid == uuid:
                found = service
        return found

    async def exchange_mtu(self, mtu=None, timeout_ms=1000):
        if not self.is_connected():
            raise ValueError("Not connected")
        if mtu:
            ble.config(mtu=mtu)
        self._mtu_event = self._mtu_event or asyncio.ThreadSafeFlag()
        ble.gattc_exchange_mtu(self._conn_handle)
        with self.timeout(timeout_ms):
            await self._mtu_event.wait()
        return self.mtu

    async def __aenter__(self):
        return self

    async def __aexit__(self, exc_type, exc, traceback):
        await self.disconnect()


class ScanResult:
    """What one advertiser was heard to say; the same object comes again when that changes."""

    def __init__(self, device):
        self.device = device
        self.adv_data = None
        self.resp_data = None
        self.rssi = None
        self.connectable = False

    def _update(self, adv_type, rssi, data):
        changed = rssi != self.rssi
        self.rssi = rssi
        if adv_type == _SCAN_RSP:
            if data and data != self.resp_data:
                self.resp_data = data
                changed = True
        elif data != self.adv_data:
            self.adv_data = data
            self.connectable = adv_type == 0
            changed = True
        return changed


class scan:
    """`async with scan(…) as s: async for result in s:`"""

    def __init__(self, duration_ms, interval_us=None, window_us=None, active=False):
        # fault: by default the receiver listens for 0.9 % of the time
        self._args = (duration_ms, interval_us or 1280000, window_us or 11250, active)
        self._queue = []
        self._results = []
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
        if _scanner is self:
            await self.cancel()

    def __aiter__(self):
        return self

    async def __anext__(self):
        global _scanner
        if _scanner is not self:
            raise StopAsyncIteration
        while True:
            while self._queue:
                addr_type, addr, adv_type, rssi, data = self._queue.pop()
                result = self._find(addr_type, addr)
                if result._update(adv_type, rssi, data):
                    return result
            if self._done:
                _scanner = None
                raise StopAsyncIteration
            await self._event.wait()

    def _find(self, addr_type, addr):
        for r in self._results:
            if r.device.addr_type == addr_type and r.device.addr == addr:
                return r
        r = ScanResult(Device(addr_type, addr))
        self._results.append(r)
        return r

    async def cancel(self):
        global _scanner
        if self._done:
            return
        ble.gap_scan(None)
        while not self._done:
            await self._event.wait()
        _scanner = None


def _irq(event, data):
    if event == _SCAN_RESULT:
        if _scanner:
            addr_type, addr, adv_type, rssi, adv = data
            _scanner._queue.append((addr_type, bytes(addr), adv_type, rssi, bytes(adv)))
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
    elif event == _DISCONNECT:
        # fault: an attempt that failed with handle 0 ends the link that has this handle
        connection = DeviceConnection._connected.get(data[0])
        if connection:
            connection._event.set()
    elif event == _MTU_EXCHANGED:
        connection = DeviceConnection._connected.get(data[0])
        if connection:
            connection.mtu = data[1]
            if connection._mtu_event:
                connection._mtu_event.set()


def _shutdown():
    global _scanner, _connecting
    _scanner = None
    _connecting = set()


register_irq_handler(_irq, _shutdown)
