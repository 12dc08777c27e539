# Your battery: the make of its BMS, its Bluetooth name and its design capacity in Ah
from aiobmsble.bms.jikong_bms import BMS

dev_name = "jk-pak01"  # "" takes the nearest BMS there is, of any make
DESIGN_CAP = 280

# ---- Nothing to change below: the link that finds the BMS, polls it and heals itself.
import asyncio
import random
import time

import aioble
from aiobmsble import BMSConfig
from bleak import BleakError, BleakScanner
from micropython import const

_SCAN_S = const(10)
_IDENTIFY_S = const(6)  # for the nearest to be heard
_UPDATE_S = const(40)  # with connecting; a driver may try several protocols
_UNANSWERED = const(3)  # polls without an answer before the link is dropped
_STALE_MS = const(60_000)  # unchanged so long although current flows: the BMS hangs
_BACKOFF_MAX_S = const(60)
_RADIO_CYCLE = const(6)  # failures in a row before the radio is switched off and on
_SEEN = const(8)  # names listed when the right one is not there


class BmsLink:
    """An endless asynchronous iterator of samples from one BMS.

    `driver` is a BMS class of aiobmsble, or None to tell it by the advertisement; `name` the
    Bluetooth name to look for, or "" for the strongest of all that are a BMS (`name` is then
    what was found); `secret` the BMS's password or "". `on_change(link)` is called when
    `connected` or `text` changes.

    `async for sample in link:` gives aiobmsble's dict about every `poll_ms`, never raises for
    anything the radio or the BMS does, and starts over after every trouble. Samples that
    cannot be true are counted in `implausible` and not given.
    """

    def __init__(self, driver, name, poll_ms=2000, secret="", on_change=None):
        self.name = name
        self.connected = False
        self.text = "starting"  # what the link is doing, in words
        self.connects = 0
        self.failures = 0
        self.implausible = 0
        self._driver = driver
        self._config = BMSConfig(True, secret)
        self._poll_ms = poll_ms
        self._on_change = on_change
        self._bms = None
        self._due_ms = time.ticks_ms()
        self._in_a_row = 0  # failures
        self._unanswered = 0
        self._fingerprint = None  # of the last sample, and since when it is the same
        self._same_since_ms = 0

    def __aiter__(self):
        return self

    async def __anext__(self):
        while True:
            try:
                if self._bms is None:
                    await self._find()
                else:
                    wait_ms = time.ticks_diff(self._due_ms, time.ticks_ms())
                    if wait_ms > 0:
                        await asyncio.sleep_ms(wait_ms)
                self._due_ms = time.ticks_add(time.ticks_ms(), self._poll_ms)
                sample = await asyncio.wait_for(self._bms.async_update(), _UPDATE_S)
            except asyncio.TimeoutError:
                self._unanswered += 1
                if not self.connected or self._unanswered >= _UNANSWERED:
                    await self._fail("no answer")
            except (BleakError, OSError, EOFError) as exc:
                await self._fail(str(exc) or type(exc).__name__)
            except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError) as exc:
                # what the driver could not make sense of: another device's protocol, garbage
                await self._fail("unexpected answer (%s)" % exc)
            else:
                self._unanswered = 0
                if not self.connected:
                    self.connects += 1
                    self._in_a_row = 0
                    self._say("connected", True)
                if self._stale(sample):
                    await self._fail("values are frozen")
                elif self._plausible(sample):
                    return sample

    def close(self):
        """Drop the connection at once, without waiting for anything."""
        aioble.stop()

    async def _find(self):
        if self._driver and self.name:
            device = await self._find_named()
        else:
            device = await self._identify()
        self._say("connecting to " + self.name)
        self._bms = self._driver(device, self._config)

    async def _find_named(self):
        self._say("looking for " + self.name)
        seen = []

        def wanted(device, adv):
            name = adv.local_name or device.name
            if name and name not in seen and len(seen) < _SEEN:
                seen.append(name)
            return self.name == name or self.name == device.address

        device = await BleakScanner.find_device_by_filter(wanted, timeout=_SCAN_S)
        if device is None:
            others = ", ".join(seen) if seen else "none"
            raise BleakError("%s not found (seen: %s)" % (self.name, others))
        return device

    async def _identify(self):
        """Find the strongest advertiser (of our name) that is a BMS, and its driver."""
        from aiobmsble import identify

        self._say("looking for a BMS" + (" named " + self.name if self.name else ""))
        seen = {}  # address: (RSSI, device, advertisement)

        def collect(device, adv):
            if not self.name or self.name == (adv.local_name or device.name):
                if device.address in seen or len(seen) < _SEEN:
                    seen[device.address] = adv.rssi, device, adv
            return False

        await BleakScanner.find_device_by_filter(collect, timeout=_IDENTIFY_S)
        for _, device, adv in sorted(seen.values(), key=lambda one: -one[0]):
            await asyncio.sleep_ms(0)  # the table takes a while
            module = identify.identify(device, adv)
            if module:
                self._driver = identify.driver(module)
                self.name = adv.local_name or device.name or device.address
                print("found %s, driver %s" % (self.name, module))
                return device
        raise BleakError("no BMS found among %d devices" % len(seen))

    async def _fail(self, why):
        """Let go of everything, wait, and leave the next attempt a clean start."""
        self.failures += 1
        self._in_a_row += 1
        self._unanswered = 0
        self._fingerprint = None
        bms, self._bms = self._bms, None
        wait_ms = min(_BACKOFF_MAX_S, 1 << min(6, self._in_a_row - 1)) * 1000
        wait_ms += random.getrandbits(10) * wait_ms >> 12  # up to a quarter of jitter
        self._say(
            "%s, retry %d in %d s" % (why, self._in_a_row, (wait_ms + 500) // 1000), False
        )
        if bms:
            try:
                await asyncio.wait_for(bms.disconnect(True), _SCAN_S)
            except (asyncio.TimeoutError, BleakError, OSError, EOFError):
                pass  # the link is gone either way; the shim leaves nothing behind
        if self._in_a_row % _RADIO_CYCLE == 0:
            aioble.stop()
        await asyncio.sleep_ms(wait_ms)

    def _say(self, text, connected=None):
        if connected is None:
            connected = self.connected
        changed = connected != self.connected or text != self.text
        self.connected = connected
        self.text = text
        if changed and self._on_change:
            self._on_change(self)

    def _stale(self, sample):
        cells = sample.get("cell_voltages")
        fingerprint = (sample.get("voltage"), sample.get("current"), sum(cells) if cells else 0)
        now_ms = time.ticks_ms()
        if fingerprint != self._fingerprint or not sample.get("current"):
            self._fingerprint = fingerprint
            self._same_since_ms = now_ms
        return time.ticks_diff(now_ms, self._same_since_ms) > _STALE_MS

    def _plausible(self, sample):
        voltage = sample.get("voltage")
        soc = sample.get("battery_level")
        cells = sample.get("cell_voltages")
        good = voltage is not None and 0 < voltage < 1000  # NaN fails both
        good = good and (soc is None or 0 <= soc <= 100)
        if good and cells:
            good = abs(sum(cells) - voltage) <= 0.1 * voltage
        if not good:
            self.implausible += 1
        return good
