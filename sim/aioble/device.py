# Devices and connections
import asyncio
import binascii

from micropython import const

from .core import ble, log_error, register_irq_handler

_MTU_EXCHANGED = const(21)


class DeviceDisconnectedError(Exception):
    """The link went while an operation waited for its answer."""


class DeviceTimeout:
    """Ends the block with TimeoutError in `timeout_ms`, or with DeviceDisconnectedError when
    `connection` goes; either may be None."""

    def __init__(self, connection, timeout_ms):
        self._connection = connection
        self._timeout_ms = timeout_ms
        self._timer = None
        self._task = asyncio.current_task()
        if connection:
            connection._timeouts.append(self)

    async def _expire(self):
        await asyncio.sleep_ms(self._timeout_ms)
        self._timer = None
        self._task.cancel()

    def __enter__(self):
        if self._timeout_ms:
            self._timer = asyncio.create_task(self._expire())

    def __exit__(self, exc_type, exc, traceback):
        connection = self._connection
        if connection:
            connection._timeouts.remove(self)
        if self._timer:
            self._timer.cancel()
        if exc_type is asyncio.CancelledError:
            if self._timeout_ms and self._timer is None:
                raise asyncio.TimeoutError
            # fault: whoever cancels the task just then hears of a lost link instead
            if connection and connection._conn_handle is None:
                raise DeviceDisconnectedError


class Device:
    """A peer by its address, 6 bytes or text with colons."""

    def __init__(self, addr_type, addr):
        self.addr_type = addr_type
        self.addr = addr if len(addr) == 6 else binascii.unhexlify(addr.replace(":", ""))
        self._connection = None

    def __eq__(self, other):
        return self.addr_type == other.addr_type and self.addr == other.addr

    def __hash__(self):
        return hash((self.addr_type, self.addr))

    def __str__(self):
        kind = "RANDOM" if self.addr_type else "PUBLIC"
        state = ", CONNECTED" if self._connection else ""
        return "Device(ADDR_%s, %s%s)" % (kind, self.addr_hex(), state)

    def addr_hex(self):
        return binascii.hexlify(self.addr, ":").decode()

    connect = None  # central.py's, which puts it here


class DeviceConnection:
    """A link, alive while `_conn_handle` is not None."""

    # fault: filled only when connect() goes on; a link that ends before is never seen to end
    _connected = {}

    def __init__(self, device):
        self.device = device
        device._connection = self
        self.encrypted = self.authenticated = self.bonded = self.key_size = False
        self.mtu = None
        self._conn_handle = None
        self._event = asyncio.ThreadSafeFlag()  # link up, later: link down
        self._mtu_event = None
        self._timeouts = []
        self._task = None

    async def device_task(self):
        await self._event.wait()
        del DeviceConnection._connected[self._conn_handle]
        self._conn_handle = None
        self.device._connection = None
        for t in self._timeouts:
            t._task.cancel()

    def _run_task(self):
        self._task = asyncio.create_task(self.device_task())

    def is_connected(self):
        return self._conn_handle is not None

    def timeout(self, timeout_ms):
        return DeviceTimeout(self, timeout_ms)

    async def disconnect(self, timeout_ms=2000):
        await self.disconnected(timeout_ms, True)

    async def disconnected(self, timeout_ms=None, disconnect=False):
        if not self.is_connected():
            return
        if disconnect:
            try:
                ble.gap_disconnect(self._conn_handle)
            except OSError as exc:
                log_error("Disconnect", exc)
        # fault: a timeout cancels the task that would have cleaned up
        with DeviceTimeout(None, timeout_ms):
            await self._task

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


def _irq(event, data):
    if event == _MTU_EXCHANGED:
        connection = DeviceConnection._connected.get(data[0])
        if connection:
            connection.mtu = data[1]
            if connection._mtu_event:
                connection._mtu_event.set()


register_irq_handler(_irq, None)
