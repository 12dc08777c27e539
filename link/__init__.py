# The link to one BMS: finds it, connects, polls, and starts over after every trouble
# docs/LINK.md says in which words.
import asyncio
import sys
import time

import bleradio
from aiobmsble import BMSConfig
from bleak import BleakError, radio
from link.plausible import Plausible
from micropython import const

_HANG_UP_S = const(10)
_UPDATE_S = const(40)  # with connecting; a driver may try several protocols
_UNANSWERED = const(3)  # polls without a usable answer before the link is dropped
_STALE_MS = const(60_000)  # unchanged for longer although charge must have moved: the BMS hangs
_PATIENCE_MOST = const(6)  # how often that time is doubled for a battery that was only steady
_SETTLED = const(5)  # samples after which a link counts as good
_BACKOFF_MAX_S = const(60)
_ABSENT_MAX_S = const(4)  # listening for one that is not there disturbs nobody

_SEARCH = (("link", "search"), ("bleak", "scanner"), ("bleak", "uuids"))


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
    anything the radio or the BMS does, and starts over after every trouble. What of it cannot be
    true is None, see link/plausible.py; samples of which nothing is left are counted in
    `implausible` and not given. Any number of links may run at once; they share nothing but the
    radio.

    `address` and `called`, if set before the start, are of the battery that was found in an
    earlier life: then another of the same name is not taken for it. `capacity_ah` is its design
    capacity, if known. Links of several batteries are Peers, see link/peers.py.
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
        self.name = name.strip()
        self.address = None  # of the battery, once it was found
        self.called = None  # its name then
        self.found = None  # the address that is tried: it is the battery's after a sample
        self.peers = ()
        self.capacity_ah = 0
        self.widened = 0  # how often the log's bands were doubled to make it last
        self.connected = False
        self.text = "starting"  # what the link is doing, in words
        self.connects = 0
        self.samples = 0
        self.paused = 0  # s that the BMS is left to another app
        self.turns = 0  # grows at least every five minutes while all is well
        self.implausible = 0
        self.refused = {}  # kind of a value that cannot be true: how often
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
        self._plausible = None
        self._lasting = False  # whether it remains the same
        self._given = 0  # samples of this connection
        self._bms = None
        self._due_ms = self._counted_ms = time.ticks_ms()
        self._in_a_row = 0  # failures
        self._unanswered = 0
        self._fingerprint = None  # of the last sample
        self._same_since_ms = 0  # since when it is the same; None: that is believed
        self._suspect = False  # reconnected to see whether it stays the same
        self._patience = 0  # how often _STALE_MS is doubled
        self._grain_ah = 1000  # the finest step seen of the charge that the BMS counts

    def __aiter__(self):
        return self

    async def __anext__(self):
        while True:
            self.turns += 1
            try:
                if self.paused:
                    bms, self._bms = self._bms, None
                    from link import wait

                    await wait.run(self, bms, self._say)
                if self._bms is None:
                    await self._find()
                else:
                    wait_ms = time.ticks_diff(self._due_ms, time.ticks_ms())
                    if wait_ms > 0:
                        await asyncio.sleep_ms(wait_ms)
                self._due_ms = time.ticks_add(time.ticks_ms(), self._poll_ms)
                if self._given and not getattr(self._bms, "is_connected", True):
                    raise BleakError("link lost")  # the driver would dial where nobody is
                sample = await asyncio.wait_for(self._bms.async_update(), _UPDATE_S)
                if self._judge(sample):
                    if not self._stale(sample):
                        self._good()
                        return sample
                    await self._fail("values are frozen")
            except asyncio.TimeoutError:
                await self._unusable("no answer")
            except _NotFound as exc:
                await self._fail("not found", str(exc), _ABSENT_MAX_S)
            except bleradio.Short as exc:
                self._give_up(str(exc))
                await self._fail("no memory", str(exc))
            except (BleakError, OSError, EOFError) as exc:
                kind = "link lost" if self.connected else "connection failed"
                await self._fail(kind, exc)
            except Exception as exc:
                # what the driver could not make sense of, or no memory: a fresh start helps
                await self._fail("unexpected answer")
                if self._on_error:
                    self._on_error(exc)

    def close(self):
        """Switch the radio off, whoever uses it, without waiting for anything."""
        radio.stop()

    async def _find(self):
        bleradio.claim(bleradio.LINK)
        async with radio.turn:  # before what searches is loaded: not for several at once
            from link import search

            for package, module in _SEARCH:
                del sys.modules[package + "." + module]  # when this ends, their memory is free
                delattr(sys.modules[package], module)
            self._say(search.aim(self))
            device, why = await search.find(self)
        if device is None:
            raise _NotFound(why)
        self.found = device.address
        # a random address of which only some bits say that it lasts
        self._lasting = device.details != 1 or device.address >= "C"
        if self._plausible is None:
            self._plausible = Plausible(self.driver, self.capacity_ah)
        self._given = 0
        self._say("connecting to " + self.name)
        self._bms = self.driver(device, self._config)

    def _good(self):
        self._count_time()
        self.samples += 1
        self._given += 1
        self.silent_s = self._unanswered = 0
        if self._given >= _SETTLED:
            self._in_a_row = 0  # one that gives less and hangs up is left alone for longer
        if not self.connected:
            self.connects += 1
            if self._lasting:
                self.address = self.found
                self.called = self.name
            self._say("connected", True)

    async def _unusable(self, why):
        """No answer, or none to be used: a few in a row are forgiven while connected."""
        self._unanswered += 1
        if not self.connected or self._unanswered >= _UNANSWERED:
            await self._fail(why)

    async def _fail(self, kind, why=None, wait_max_s=_BACKOFF_MAX_S):
        """Let go of everything, wait, and leave the next attempt a clean start."""
        from link import trouble

        del sys.modules["link.trouble"], sys.modules["link"].trouble
        wait_ms, cycle, hopeless = trouble.met(self, kind, why, wait_max_s)
        del trouble
        if not await self._let_go() or cycle:
            self._cycle()
        if hopeless:
            self._give_up(hopeless)
        await asyncio.sleep_ms(wait_ms)

    async def _let_go(self):
        """Hang up; return whether the radio heard it: else it is to forget all links."""
        bms, self._bms = self._bms, None
        try:
            if bms:
                await asyncio.wait_for(bms.disconnect(True), _HANG_UP_S)
            return True
        except Exception:
            return False

    def _cycle(self):
        """Switch the radio off and on again at once, before the heap grows into its memory."""
        radio.stop()
        try:
            bleradio.on()
        except bleradio.Short as exc:
            self._give_up(str(exc))
        except OSError:
            pass  # the next search tries again

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

    def _judge(self, sample):
        """Is anything left of the sample that can be true? Tells of what is not, once."""
        judge = self._plausible
        before = judge.kind
        good = judge.judge(sample)
        kind = judge.kind
        if kind:
            self.refused[kind] = self.refused.get(kind, 0) + 1
            if self.refused[kind] == 1 or not good and kind != before:
                self._say(judge.words)
        if not good:
            # it answers: nothing of this is cured by another connection, or by a restart
            self.implausible += 1
            self._count_time()
            self.silent_s = self._unanswered = 0
        return good

    def _stale(self, sample):
        """Do the values stand still although the charge must have moved, by what the BMS tells?

        Those that are the same after a reconnection are believed.
        """
        amps = sample.get("current") or 0
        cells = sample.get("cell_voltages")
        charge_ah = self._charge_ah(sample)
        fingerprint = (
            sample.get("voltage"),
            amps,
            charge_ah,
            sample.get("battery_level"),
            sample.get("temperature"),
            sum([volts or 0 for volts in cells]) if cells else 0,
        )
        now_ms = time.ticks_ms()
        if fingerprint != self._fingerprint or not amps:
            if self._suspect and self._fingerprint:
                self._patience = 0  # it did hang
            self._suspect = False
            self._fingerprint = fingerprint
            self._same_since_ms = now_ms
            return False
        if self._suspect:
            self._suspect = False
            self._same_since_ms = None
            self._patience = min(self._patience + 1, _PATIENCE_MOST)
        elif self._same_since_ms is not None:
            same_ms = time.ticks_diff(now_ms, self._same_since_ms)
            if same_ms > _STALE_MS << self._patience:
                self._suspect = same_ms / 3_600_000 * abs(amps) > 2 * self._grain_ah
        return self._suspect

    def _charge_ah(self, sample):
        """Return the charge that the BMS counts, or None; note the finest step it tells."""
        capacity_ah = sample.get("design_capacity") or self.capacity_ah or 100
        percent = sample.get("battery_level") or 0
        charge_ah = sample.get("cycle_charge")
        if charge_ah is None or abs(charge_ah - capacity_ah * percent / 100) < 0.001:
            grain_ah = _grain(percent, 10) * capacity_ah / 100  # it is made of that
        else:
            grain_ah = _grain(charge_ah, 1000)
        self._grain_ah = min(self._grain_ah, grain_ah)
        return charge_ah


def _grain(value, finest):
    """Return of which power of ten, 1 to 1/`finest`, the value is a multiple."""
    n = 1
    while n < finest and abs(value * n - round(value * n)) > 0.1:
        n *= 10
    return 1 / n
