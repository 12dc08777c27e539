# Scanning and connecting
import asyncio
import struct

import bluetooth
from micropython import const

from .core import ble, ensure_active, register_irq_handler
from .device import Device, DeviceConnection, DeviceTimeout

_SCAN_RESULT = const(5)
_SCAN_DONE = const(6)
_CONNECT = const(7)
_DISCONNECT = const(8)

_ADV_IND = const(0)
_ADV_SCAN_IND = const(2)
_ADV_NONCONN_IND = const(3)
_SCAN_RSP = const(4)

_active_scanner = None
_connecting = set()


def _irq(event, data):
    if event == _SCAN_RESULT:
        scanner = _active_scanner
        if scanner:
            addr_type, addr, adv_type, rssi, payload = data
            # fault: it takes as many as come, and memory for each
            scanner._queue.append((addr_type, bytes(addr), adv_type, rssi, bytes(payload)))
            scanner._event.set()
    elif event == _SCAN_DONE:
        if _active_scanner:
            _active_scanner._done = True
            _active_scanner._event.set()
    elif event == _CONNECT:
        conn_handle, addr_type, addr = data
        for device in _connecting:
            if device.addr_type == addr_type and device.addr == addr:
                device._connection._conn_handle = conn_handle
                device._connection._event.set()
                break
    elif event == _DISCONNECT:
        # faults: an attempt that failed with handle 0 ends the link that has it,
        # and one that failed with 0xFFFF is not seen to fail
        connection = DeviceConnection._connected.get(data[0])
        if connection:
            connection._event.set()


def _shutdown():
    global _active_scanner, _connecting
    _active_scanner = None
    # fault: who connects just then trips over it
    _connecting = set()


register_irq_handler(_irq, _shutdown)


async def _cancel_pending():
    if _active_scanner:
        await _active_scanner.cancel()


async def _connect(connection, timeout_ms, scan_duration_ms, min_interval_us, max_interval_us):
    device = connection.device
    if device in _connecting:
        return
    ensure_active()
    await _cancel_pending()
    _connecting.add(device)
    try:
        # fault: giving up does not cancel the attempt in the stack
        with DeviceTimeout(None, timeout_ms):
            ble.gap_connect(
                device.addr_type, device.addr, scan_duration_ms, min_interval_us, max_interval_us
            )
            await connection._event.wait()
            DeviceConnection._connected[connection._conn_handle] = connection
    finally:
        _connecting.remove(device)


async def _connect_device(
    device,
    timeout_ms=10000,
    scan_duration_ms=None,
    min_conn_interval_us=None,
    max_conn_interval_us=None,
):
    # fault: what an earlier attempt left behind counts as a connection, alive or not
    if not device._connection:
        interval_us = min_conn_interval_us, max_conn_interval_us
        connection = DeviceConnection(device)
        await _connect(connection, timeout_ms, scan_duration_ms, *interval_us)
        connection._run_task()
    return device._connection


Device.connect = _connect_device


class ScanResult:
    """What one advertiser says; the same object comes again whenever something is new."""

    def __init__(self, device):
        self.device = device
        self.adv_data = None
        self.resp_data = None
        self.rssi = None
        self.connectable = False

    def _update(self, adv_type, rssi, data):
        """Take over the news; return whether there are any."""
        news = rssi != self.rssi
        self.rssi = rssi
        if adv_type == _ADV_IND or adv_type == _ADV_NONCONN_IND:
            if data != self.adv_data:
                news = True
                self.adv_data = data
                self.connectable = adv_type == _ADV_IND
        elif adv_type == _ADV_SCAN_IND:
            news = news or (data != self.adv_data and self.resp_data is not None)
            self.adv_data = data
        elif adv_type == _SCAN_RSP and data and data != self.resp_data:
            news = True
            self.resp_data = data
        return news

    def __str__(self):
        return "Scan result: %s %s" % (self.device, self.rssi)

    def _fields(self, *kinds):
        for payload in (self.adv_data, self.resp_data):
            i = 0
            while payload and i + 1 < len(payload):
                if payload[i + 1] in kinds:
                    yield payload[i + 2 : i + 1 + payload[i]]
                i += 1 + payload[i]

    def name(self):
        # fault: a name that is not UTF-8 raises
        for data in self._fields(0x09, 0x08):
            return str(data, "utf-8") if data else ""

    def services(self):
        for size in (2, 4, 16):
            kind = (0x02, 0x04, 0, 0, 0x06)[size >> 2]
            for data in self._fields(kind, kind + 1):
                for i in range(0, len(data), size):
                    yield bluetooth.UUID(data[i : i + size])

    def manufacturer(self, filter=None):
        for data in self._fields(0xFF):
            if len(data) >= 2:
                number = struct.unpack("<H", data[:2])[0]
                if filter is None or filter == number:
                    yield number, data[2:]


class scan:
    """`async with scan(…) as s: async for result in s:`"""

    def __init__(self, duration_ms, interval_us=None, window_us=None, active=False):
        self._queue = []
        self._event = asyncio.ThreadSafeFlag()
        self._done = False
        self._results = set()  # fault: keeps every neighbour
        self._duration_ms = duration_ms
        # fault: by default the receiver listens for 0.9 % of the time
        self._interval_us = interval_us or 1280000
        self._window_us = window_us or 11250
        self._active = active

    async def __aenter__(self):
        global _active_scanner
        ensure_active()
        await _cancel_pending()
        _active_scanner = self
        ble.gap_scan(self._duration_ms, self._interval_us, self._window_us, self._active)
        return self

    async def __aexit__(self, exc_type, exc, traceback):
        if _active_scanner == self:
            await self.cancel()

    def __aiter__(self):
        return self

    async def __anext__(self):
        global _active_scanner
        if _active_scanner != self:
            raise StopAsyncIteration  # for who asks; who waits already waits on
        while True:
            while self._queue:
                addr_type, addr, adv_type, rssi, data = self._queue.pop()
                result = self._result(addr_type, addr)
                if result._update(adv_type, rssi, data):
                    return result
            if self._done:
                _active_scanner = None
                raise StopAsyncIteration
            await self._event.wait()

    def _result(self, addr_type, addr):
        for result in self._results:
            if result.device.addr_type == addr_type and result.device.addr == addr:
                return result
        result = ScanResult(Device(addr_type, addr))
        self._results.add(result)
        return result

    async def cancel(self):
        global _active_scanner
        if self._done:
            return
        ble.gap_scan(None)
        # fault: waits for ever when no event comes
        while not self._done:
            await self._event.wait()
        _active_scanner = None
