# Finding a device by what it advertises
# aioble.scan() scans; it would keep every neighbour, and wait for ever for a stack that has died.
import asyncio
from collections import deque

from micropython import const

from . import radio
from .exc import BleakError
from .gatt import BLEDevice
from .uuids import from_stack

_SCAN_US = const(30000)  # interval and window: listen all the time
_WAITING = const(16)  # advertisements that nobody has looked at yet; the oldest go first
_SEEN = const(16)  # advertisers that are remembered
_LATE_MS = const(500)


def printable(name):
    """Return a name from the air without blanks at its ends and with "?" for what is no character.

    Whatever a neighbour calls himself, it cannot steer a terminal, break a line or hide itself.
    """
    # what some pad with belongs to no name; the stack's strip() takes only what is space
    end = len(name)
    while end and name[end - 1] <= " ":
        end -= 1
    start = 0
    while start < end and name[start] <= " ":
        start += 1
    return "".join([c if _is_printable(c) else "?" for c in name[start:end]])


def _is_printable(c):
    # no control code of either kind, and nothing that is invisible or turns the writing around;
    # by its number, for each text that is written here would stay in memory for ever
    code = ord(c)
    if code < 0x7F:
        return code >= 0x20
    if 0x2000 <= code < 0x2070 or code in (0xAD, 0x61C, 0xFEFF):
        return False
    return 0xA0 < code < 0xFFF0


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
                self.local_name = printable(str(data, "utf-8"))
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


class _Waiting(deque):
    """A queue for aioble, which would take the last one first."""

    def pop(self):
        return self.popleft()


class BleakScanner:
    @staticmethod
    async def find_device_by_filter(filterfunc, timeout=10.0):
        """The first device with `filterfunc(device, advertisement_data)`, None after `timeout` s.

        It is called whenever an advertiser says something new. Raises BleakError when the
        stack refuses to scan.
        """
        timeout_ms = int(timeout * 1000)
        async with radio.turn:
            aioble = radio.aioble()
            central = aioble.central
            scan = aioble.scan(timeout_ms, _SCAN_US, _SCAN_US, True)
            scan._queue = _Waiting((), _WAITING)
            guard = asyncio.create_task(_end(scan, timeout_ms + _LATE_MS))
            radio.scan = scan
            try:
                await scan.__aenter__()
                async for result in scan:
                    device = _judge(result, filterfunc)
                    if device:
                        return device
                    if len(scan._results) > _SEEN:
                        scan._results = {result}  # it may have more to say
                    await asyncio.sleep_ms(0)
            except OSError as exc:
                raise BleakError("cannot scan (radio error %d)" % exc.errno)
            finally:
                guard.cancel()
                radio.scan = None
                # not `async with`: that waits for an event, which a dead stack does not send
                scan._done = True
                try:
                    radio.ble.gap_scan(None)
                except OSError:
                    pass  # switched off
                if central._active_scanner is scan:
                    central._active_scanner = None  # which would keep it, and this module


async def _end(scan, timeout_ms):
    # The stack ends a scan itself, unless it has died.
    await asyncio.sleep_ms(timeout_ms)
    scan._done = True
    scan._event.set()


def _judge(result, filterfunc):
    # The device if it passes; aioble also tells of those that only sound louder.
    said = result.adv_data, result.resp_data
    if getattr(result, "said", None) == said:
        return None
    result.said = said
    adv = AdvertisementData(said, result.rssi)
    device = BLEDevice(result.device.addr_hex().upper(), adv.local_name, result.device.addr_type)
    return device if filterfunc(device, adv) else None
