# The link to one BMS: finds it, connects, polls, and starts over after every trouble
# docs/LINK.md says in which words.
import asyncio
import random
import sys
import time

import aioble
import bleradio
from aiobmsble import BMSConfig
from bleak import BleakError
from micropython import const

_HANG_UP_S = const(10)
_UPDATE_S = const(40)  # with connecting; a driver may try several protocols
_UNANSWERED = const(3)  # polls without a usable answer before the link is dropped
_STALE_MS = const(60_000)  # unchanged so long although current flows: the BMS hangs
_BACKOFF_MAX_S = const(60)
_ABSENT_MAX_S = const(4)  # listening for one that is not there disturbs nobody
_RADIO_CYCLE = const(3)  # failures in a row, and twice, four times as many: radio off and on
_HOPELESS_S = const(7200)  # without a sample after there were some: only a reset is left
_HOPELESS_NEVER_S = const(86_400)  # the same if this boot has never seen one

_SEARCH = (("link", "search"), ("bleak", "scanner"))


class _NotFound(BleakError):
    pass


class BmsLink:
    """An endless asynchronous iterator of samples from one BMS.

    `driver` is a BMS class of aiobmsble, or None to tell it by the advertisement; `name` the
    Bluetooth name to look for, or "" for the strongest of all that are a BMS (`name` is then
    what was found); `secret` the BMS's password or "". `on_change(link)` is called when
    `connected` or `text` changes, `on_error(exc)` for what no radio explains, and
    `on_hopeless(reason)` when only a reset of the board is left to try.

    `async for sample in link:` gives aiobmsble's dict about every `poll_ms`, never raises for
    anything the radio or the BMS does, and starts over after every trouble. Samples that
    cannot be true are counted in `implausible` and not given. Any number of links may run at
    once; they share nothing but the radio.
    """

    def __init__(
        self,
        driver,
        name,
        poll_ms=2000,
        secret="",
        on_change=None,
        on_error=None,
        on_hopeless=None,
    ):
        self.name = name
        self.connected = False
        self.text = "starting"  # what the link is doing, in words
        self.connects = 0
        self.samples = 0
        self.turns = 0  # grows at least every five minutes while all is well
        self.implausible = 0
        self.failures = {}  # kind: how often
        self.connected_s = 0
        self.silent_s = 0  # since the last sample
        self.longest_gap_s = 0  # without a sample
        self.rssi = None  # dBm, when it was found last
        self.driver = driver  # what is known of the BMS's make
        self._config = BMSConfig(True, secret)
        self._poll_ms = poll_ms
        self._on_change = on_change
        self._on_error = on_error
        self._on_hopeless = on_hopeless
        self._address = None  # of the last one found: some advertise their name only at times
        self._bms = None
        self._due_ms = self._counted_ms = time.ticks_ms()
        self._in_a_row = 0  # failures
        self._unanswered = 0
        self._fingerprint = None  # of the last sample, and since when it is the same
        self._same_since_ms = 0

    def __aiter__(self):
        return self

    async def __anext__(self):
        while True:
            self.turns += 1
            try:
                if self._bms is None:
                    await self._find()
                else:
                    wait_ms = time.ticks_diff(self._due_ms, time.ticks_ms())
                    if wait_ms > 0:
                        await asyncio.sleep_ms(wait_ms)
                self._due_ms = time.ticks_add(time.ticks_ms(), self._poll_ms)
                sample = await asyncio.wait_for(self._bms.async_update(), _UPDATE_S)
                if self._stale(sample):
                    await self._fail("values are frozen")
                elif self._plausible(sample):
                    self._good()
                    return sample
                else:
                    self.implausible += 1
                    await self._unusable("implausible values")
            except asyncio.TimeoutError:
                await self._unusable("no answer")
            except _NotFound as exc:
                await self._fail("not found", str(exc), _ABSENT_MAX_S)
            except bleradio.Short as exc:
                self._give_up(str(exc))
                await self._fail("no memory", str(exc))
            except (BleakError, OSError, EOFError) as exc:
                kind = "link lost" if self.connected else "connection failed"
                await self._fail(kind, str(exc) or type(exc).__name__)
            except Exception as exc:
                # what the driver could not make sense of, or no memory: a fresh start helps
                await self._fail("unexpected answer", "unexpected answer (%r)" % exc)
                if self._on_error:
                    self._on_error(exc)

    def close(self):
        """Switch the radio off, whoever uses it, without waiting for anything."""
        aioble.stop()

    async def _find(self):
        bleradio.claim(bleradio.LINK)
        named = self.driver and self.name
        what = self.name if named else "a BMS" + (" named " + self.name if self.name else "")
        self._say("looking for " + what)
        from link import search

        for package, module in _SEARCH:
            del sys.modules[package + "." + module]  # when this ends, their memory is free
            delattr(sys.modules[package], module)
        find = search.by_name if named else search.any_bms
        device, why = await find(self, self._address)
        if device is None:
            raise _NotFound(why)
        self._address = device.address
        self._say("connecting to " + self.name)
        self._bms = self.driver(device, self._config)

    def _good(self):
        self._count_time()
        self.samples += 1
        self.silent_s = self._unanswered = self._in_a_row = 0
        if not self.connected:
            self.connects += 1
            self._say("connected", True)

    async def _unusable(self, why):
        """No answer, or none to be used: a few in a row are forgiven while connected."""
        self._unanswered += 1
        if not self.connected or self._unanswered >= _UNANSWERED:
            await self._fail(why)

    async def _fail(self, kind, text=None, wait_max_s=_BACKOFF_MAX_S):
        """Let go of everything, wait, and leave the next attempt a clean start."""
        self.failures[kind] = self.failures.get(kind, 0) + 1
        self._in_a_row += 1
        if kind != "values are frozen":  # else they count as frozen until they change
            self._fingerprint = None
        wait_ms = min(wait_max_s, 1 << min(6, self._in_a_row - 1)) * 1000
        wait_ms += random.getrandbits(10) * wait_ms >> 12  # up to a quarter of jitter
        text = text or kind
        if self._bms and not self.connected:
            text = self._advised(text)
        self._say(
            "%s, retry %d in %d s" % (text, self._in_a_row, (wait_ms + 500) // 1000),
            False,
        )
        bms, self._bms = self._bms, None  # not before: whoever listens may fail
        rounds = self._in_a_row // _RADIO_CYCLE
        cycle = rounds and self._in_a_row % _RADIO_CYCLE == 0 and not rounds & (rounds - 1)
        if bms:
            try:
                await asyncio.wait_for(bms.disconnect(True), _HANG_UP_S)
            except Exception:
                cycle = True  # the radio forgets the link whatever state it is in
        if cycle:
            self._cycle()
        hopeless_s = _HOPELESS_S if self.samples else _HOPELESS_NEVER_S
        if self.silent_s >= hopeless_s:
            self._give_up("no data for %d h (%s)" % (self.silent_s // 3600, text))
        await asyncio.sleep_ms(wait_ms)

    def _advised(self, words):
        """Return the words, or for a BMS that wants more than it gets a sentence that says so."""
        try:
            from link import advice

            words = advice.of(self._bms, words)
            del sys.modules["link.advice"]
            delattr(sys.modules["link"], "advice")
        except MemoryError:
            pass  # it is only advice
        return words

    def _cycle(self):
        """Switch the radio off and on again at once, before the heap grows into its memory."""
        aioble.stop()
        try:
            bleradio.on()
        except bleradio.Short as exc:
            self._give_up(str(exc))

    def _give_up(self, reason):
        if self._on_hopeless:
            self._on_hopeless(reason)

    def _say(self, text, connected=None):
        self._count_time()
        if connected is not None:
            self.connected = connected
        self.text = text
        if self._on_change:
            self._on_change(self)

    def _count_time(self):
        s = time.ticks_diff(time.ticks_ms(), self._counted_ms) // 1000
        self._counted_ms = time.ticks_add(self._counted_ms, s * 1000)
        if self.connected:
            self.connected_s += s
        self.silent_s += s
        self.longest_gap_s = max(self.longest_gap_s, self.silent_s)

    def _stale(self, sample):
        cells = sample.get("cell_voltages")
        fingerprint = (
            sample.get("voltage"),
            sample.get("current"),
            sample.get("cycle_charge"),
            sum(cells) if cells else 0,
        )
        now_ms = time.ticks_ms()
        if fingerprint != self._fingerprint or not sample.get("current"):
            self._fingerprint = fingerprint
            self._same_since_ms = now_ms
        return time.ticks_diff(now_ms, self._same_since_ms) > _STALE_MS

    def _plausible(self, sample):
        voltage = sample.get("voltage")
        current = sample.get("current")
        soc = sample.get("battery_level")
        cells = sample.get("cell_voltages")
        good = voltage is not None and 0 < voltage < 1000  # NaN fails both
        good = good and (current is None or -10_000 < current < 10_000)
        good = good and (soc is None or 0 <= soc <= 100)
        if good and cells:
            good = abs(sum(cells) - voltage) <= 0.1 * voltage and min(cells) > 0
        return good
