# Finding a device by what it advertises
# Not through aioble.scan: that cannot be ended in bounded time, and keeps every neighbour.
import asyncio

from micropython import const

from . import radio
from .exc import BleakError
from .uuids import from_stack

_SCAN_US = const(30000)  # interval and window: listen all the time
_MAX_SEEN = const(24)  # advertisers whose payloads are remembered
_SCAN_RSP = const(4)
_LATE_MS = const(500)


class BLEDevice:
    """A peer: `address` as text, `name` or None, `details`: address type (0 public, 1 random)."""

    def __init__(self, address, name=None, details=None):
        self.address = address
        self.name = name
        self.details = details


class AdvertisementData:
    """What an advertiser says in its advertisement and scan response together.

    `local_name` or None, `manufacturer_data` {id: bytes}, `service_data` {uuid: bytes},
    `service_uuids` [uuid], `rssi` in dBm; UUIDs are 128-bit lower-case text.
    """

    def __init__(self, payloads, rssi):
        self.local_name = None
        self.manufacturer_data = {}
        self.service_data = {}
        self.service_uuids = []
        self.rssi = rssi
        for payload in payloads:  # either may be None
            i = 0
            while payload and i + 1 < len(payload):
                end = i + 1 + payload[i]
                self._field(payload[i + 1], payload[i + 2 : end])
                i = end

    def _field(self, kind, data):
        if kind == 0x09 or (kind == 0x08 and self.local_name is None):
            try:
                self.local_name = str(data, "utf-8")
            except UnicodeError:
                pass  # a neighbour with a broken name is no reason to stop
        elif 0x02 <= kind <= 0x07:
            size = (2, 4, 16)[(kind - 2) // 2]
            for i in range(0, len(data) - size + 1, size):
                self.service_uuids.append(from_stack(data[i : i + size]))
        elif kind == 0xFF and len(data) >= 2:
            self.manufacturer_data[data[0] | data[1] << 8] = data[2:]
        elif kind == 0x16 or kind == 0x20 or kind == 0x21:
            size = {0x16: 2, 0x20: 4, 0x21: 16}[kind]
            if len(data) >= size:
                self.service_data[from_stack(data[:size])] = data[size:]


class BleakScanner:
    @staticmethod
    async def find_device_by_filter(filterfunc, timeout=10.0):
        """The first device with `filterfunc(device, advertisement_data)`, None after `timeout` s.

        It is called whenever an advertiser says something new. Raises BleakError when the
        stack refuses to scan.
        """
        async with radio.turn:
            try:
                return await _Scan(filterfunc).run(int(timeout * 1000))
            except OSError as exc:
                raise BleakError("cannot scan: %r" % exc)


class _Scan:
    def __init__(self, filterfunc):
        self._filter = filterfunc
        self._ring = radio.take_ring()
        self._flag = asyncio.ThreadSafeFlag()
        self._done = False
        self._seen = {}  # address type and address -> [advertisement, scan response]

    # on the stack's task

    def on_result(self, data):
        addr_type, addr, adv_type, rssi, payload = data
        self._ring.put((rssi & 0xFF) << 8 | addr_type << 4 | adv_type, addr, payload)
        self._flag.set()

    def on_done(self):
        self._done = True
        self._flag.set()

    # on ours

    async def run(self, timeout_ms):
        radio.activate()
        radio.scan = self
        guard = asyncio.create_task(self._end(timeout_ms + _LATE_MS))
        try:
            radio.ble.gap_scan(timeout_ms, _SCAN_US, _SCAN_US, True)
            while True:
                data = self._ring.get()
                if data is not None:
                    device = self._judge(self._ring.tag, data)
                    if device:
                        return device
                    await asyncio.sleep_ms(0)
                elif self._done:
                    return None
                else:
                    await self._flag.wait()
        finally:
            radio.scan = None
            radio.give_back(self._ring)
            guard.cancel()
            try:
                radio.ble.gap_scan(None)
            except OSError:
                pass  # not scanning, or switched off

    async def _end(self, timeout_ms):
        # The stack ends a scan itself, unless it has died.
        await asyncio.sleep_ms(timeout_ms)
        self.on_done()

    def _judge(self, tag, data):
        addr_type = tag >> 4 & 0x0F
        key = bytes((addr_type,)) + data[:6]
        payloads = self._seen.get(key)
        if payloads is None:
            if len(self._seen) >= _MAX_SEEN:
                self._seen.clear()
            payloads = self._seen[key] = [None, None]
        part = 1 if tag & 0x0F == _SCAN_RSP else 0
        if data[6:] == payloads[part]:
            return None
        payloads[part] = bytes(data[6:])
        rssi = tag >> 8
        adv = AdvertisementData(payloads, rssi - 256 if rssi > 127 else rssi)
        device = BLEDevice(":".join("%02X" % b for b in data[:6]), adv.local_name, addr_type)
        return device if self._filter(device, adv) else None
