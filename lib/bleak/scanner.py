# Finding a device by what it advertises, straight from the stack
# aioble's scan takes more memory, keeps every neighbour, and waits for ever for a dead stack.
import asyncio
import time
from collections import deque

import bleradio

from micropython import const

from . import radio
from .exc import BleakError
from .gatt import BLEDevice
from .uuids import from_stack

_SCAN_US = const(30000)  # interval and window: listen all the time
_WAITING = const(16)  # advertisements that nobody has looked at yet; the oldest go first
_SEEN = const(16)  # advertisers that are remembered
_LATE_MS = const(500)
_SCAN_DONE = const(6)  # event
_SCAN_RESPONSE = const(4)  # kind of advert


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


class BleakScanner:
    @staticmethod
    async def find_device_by_filter(filterfunc, timeout=10.0):
        """The first device with `filterfunc(device, advertisement_data)`, None after `timeout` s.

        For who has `radio.turn`. The filter is called whenever an advertiser says something new.
        Raises BleakError when the stack refuses to scan.
        """
        timeout_ms = int(timeout * 1000)
        heard = deque((), _WAITING)

        def listen(event, data):  # on the stack's task, whose data do not last
            if event == _SCAN_DONE:
                heard.append(None)
            else:
                kind, addr, adv_type, rssi, payload = data
                heard.append((kind, bytes(addr), adv_type, rssi, bytes(payload)))

        said = {}  # (type of address, address): [advertisement, scan response], either may be None
        radio.listener = listen
        try:
            bleradio.on()
            start_ms = time.ticks_ms()
            radio.ble.gap_scan(timeout_ms, _SCAN_US, _SCAN_US, True)
            # the stack ends it by itself, unless it has died
            while time.ticks_diff(time.ticks_ms(), start_ms) < timeout_ms + _LATE_MS:
                if not await radio.until(lambda: heard, _LATE_MS):
                    continue
                advert = heard.popleft()
                if advert is None:
                    return None
                device = _judge(said, advert, filterfunc)
                if device:
                    return device
                await asyncio.sleep_ms(0)
        except OSError as exc:
            raise BleakError("cannot scan (radio error %d)" % exc.errno)
        finally:
            radio.listener = None
            try:
                radio.ble.gap_scan(None)
            except OSError:
                pass  # switched off


def _judge(said, advert, filterfunc):
    # The device if it passes; most adverts say what the one before said.
    kind, addr, adv_type, rssi, payload = advert
    who = kind, addr
    if who not in said and len(said) >= _SEEN:
        said.clear()
    words = said.setdefault(who, [None, None])
    place = 1 if adv_type == _SCAN_RESPONSE else 0
    if payload == words[place] or words[0] and not payload:  # many answer with nothing
        return None
    words[place] = payload
    adv = AdvertisementData(words, rssi)
    device = BLEDevice(":".join(["%02X" % byte for byte in addr]), adv.local_name, kind)
    return device if filterfunc(device, adv) else None
