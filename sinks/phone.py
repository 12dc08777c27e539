# A phone on the radio beside the BMS: live values, and files of the log in pieces, docs/PHONE.md
# Straight on `bluetooth`: aioble's server takes twice the memory, and dies when nobody awaits.
import asyncio
import errno
import struct
import time
from binascii import crc32

import advertising
import bleradio
from aioble import core
from micropython import const
from sinks.once import once

_CONNECT = const(1)  # events of the stack
_DISCONNECT = const(2)
_WRITTEN = const(3)
_MTU_EXCHANGED = const(21)
_ANSWER = b"\x11\x07\xa8\xb4\xd7\xc0\x61\x2e\x57\x9b\x0a\x4f\x3c\x8d\x01\x00\xf4\xa6"  # to scanners
_NAME = b"\x07\x09batmon"  # where nobody told another one
_MTU_MOST = const(247)  # one packet on the air

_LIVE = const(3)  # requests that are only taken note of, see sinks/phoneask.py for the others
_CREDITS = const(6)
_STOP = const(7)
_VALUES = const(0xC0)  # what comes without being an answer
_WORDS = const(0xC1)
_END = const(0xC2)

# On their way to the phone at most: pieces of a file, live values and words, and an answer. The
# stack has 12 buffers; should the phone vanish, those are taken, and the BMS needs the others.
_WINDOW = const(6)
_LIVE_MOST = const(2)
_LIVE_MS = const(5000)  # without a sample
_SHOWN_S = const(600)
_IDLE_MS = const(600_000)  # without a request: the phone has been forgotten
_AWAY_MS = const(500)  # between two looks whether one has come
_LOOK_MS = const(20)
_SENDING_MS = const(5)
_BUSY_MS = const(30)  # until the stack may have buffers again
_RETRY_MS = const(10_000)

_UNKNOWN_U8 = const(255)
_UNKNOWN_U16 = const(65535)

_phone = None  # for ever: the stack has its handler


async def run(batteries, sinks, clock, folder, code, sentences):
    """Let phones in, for ever, and let them read the log in `folder`.

    `code`: six digits; other words let the board make some. Until it is used it is among the
    `sentences` that the display shows, for ten minutes after a start.

    `batteries` are the App's: name, sample, sample_s, status, link, store. Begin before anything
    scans or connects: the stack takes services before only.
    """
    global _phone
    if _phone is None:
        _phone = Phone(batteries, clock, folder)
        core.register_irq_handler(_phone.on_event, _phone.on_shutdown)
        bleradio.setup.append(_phone.register)
        _phone.register()
    once("phoneask").lock(_phone, code)
    words = "phone: the code is " + _phone.code
    print(words)
    if _phone.fresh:
        sentences.append(words)
    sinks.append(_phone)
    try:
        await _phone.serve(sentences, words)
    finally:
        sinks.remove(_phone)


class Phone:
    """The one phone that is connected, if any: `conn` is not None. `proven`: it knows the code."""

    def __init__(self, batteries, clock, folder):
        self.batteries = batteries
        self.clock = clock
        self.folder = folder
        self.code = None  # six digits; `fresh` until they were used once
        self.fresh = True
        self.wrong = 0  # codes in a row, and the uptime at which proofs are looked at again
        self.open_s = 0
        self.session = 0  # grows when a phone comes or goes
        self.proven = False
        self.nonce = None
        self.stopped = False
        self.reading = False
        self._buf = bytearray(_MTU_MOST - 3)
        self.conn = None
        self._mtu = 23
        self._ask = self._answer = None  # handles of the values
        self._request = None  # waits for the loop
        self._granted = self._spent = 0  # pieces that may be sent, and were; each has one writer
        self._live = 0  # values that may be sent
        self._live_ms = self._heard_ms = time.ticks_ms()
        self._told = {}  # by battery: the words sent last

    # ---- on the stack's task, by lib/bleak/radio.py, which catches what is raised

    def on_event(self, event, data):
        if event == _CONNECT:
            if self.conn is not None:
                bleradio.ble.gap_disconnect(data[0])  # there is a place for one
                return
            self.on_shutdown()
            self.conn = data[0]
        elif event == _DISCONNECT:
            if data[0] == self.conn:
                self.on_shutdown()
        elif event == _MTU_EXCHANGED:
            if data[0] == self.conn:
                self._mtu = min(data[1], _MTU_MOST)
        elif event == _WRITTEN and data[0] == self.conn and data[1] == self._ask:
            self._take(bleradio.ble.gatts_read(self._ask))

    def on_shutdown(self):
        """Forget the phone."""
        self.conn = self._request = self.nonce = None
        self.session += 1
        self.proven = False
        self.stopped = True  # what is being sent
        self._mtu = 23
        self._live = 0
        self._told.clear()
        self._heard_ms = time.ticks_ms()
        self._live_ms = self._heard_ms - _LIVE_MS

    def _take(self, request):
        self._heard_ms = time.ticks_ms()
        op = request[0] if request else 0
        if op == _CREDITS and len(request) == 2:
            self._granted = min(self._granted + request[1], self._spent + _WINDOW)
        elif op == _LIVE and len(request) == 2:
            self._live = min(request[1], _LIVE_MOST)
        elif op == _STOP:
            self.stopped = True
            self._request = request
        elif self._request is None:  # else a phone that does not wait for answers
            self._request = request

    # ---- the loop

    def register(self):
        """Offer the service; again after each activation of the radio."""
        self._ask, self._answer = once("phoneservice").register()

    async def serve(self, sentences, words):
        """Be on the air while no phone is connected, else do what it asks."""
        there = None  # the session that the radio was told of
        told_ms = None
        while True:
            now_ms = time.ticks_ms()
            if self.session != there or told_ms and time.ticks_diff(now_ms, told_ms) > _RETRY_MS:
                there = self.session
                told_ms = None if self._invite() else now_ms
            if words in sentences and (not self.fresh or self.clock.uptime_s() > _SHOWN_S):
                sentences.remove(words)
            if self.conn is None:
                await asyncio.sleep_ms(_AWAY_MS)
                continue
            self._look(now_ms)
            if self._request:
                await self._do()
            await asyncio.sleep_ms(_LOOK_MS)

    def _invite(self):
        """Advertise unless a phone is there; False if the radio would not."""
        advertising.name = advertising.name or _NAME
        if self.conn is None and self._ask is not None:
            advertising.answer = _ANSWER
            return advertising.go()
        advertising.answer = b""
        advertising.go()
        return self._ask is not None

    def _look(self, now_ms):
        if time.ticks_diff(now_ms, self._heard_ms) > _IDLE_MS:
            self._heard_ms = now_ms
            try:
                bleradio.ble.gap_disconnect(self.conn)
            except OSError:
                pass  # it is going
        if self._live > 0 and time.ticks_diff(now_ms, self._live_ms) >= _LIVE_MS:
            for battery in self.batteries:
                if self._live > 0:
                    self._send_live(battery)

    async def _do(self):
        request, self._request = self._request, None
        session = self.session
        ask = once("phoneask")
        said, source, n, credits = ask.answer(self, request)
        try:
            if source:
                self.reading = True
                if credits is None:
                    said = await ask.checked(self, session, said, source, n, self._buf)
                else:
                    self.stopped = False
            del ask  # its memory is for what is sent now
            if said and await self.notify(said, session) and source and credits is not None:
                await self._send(source, n, credits, session)
        except OSError:
            pass  # of the flash: without an end the phone knows that something is missing
        finally:
            if source:
                source.close()
                self.reading = False

    # ---- sending

    async def notify(self, data, session):
        """Send one notification; False if the phone of that session has gone."""
        while self.session == session and self.conn is not None:
            try:
                bleradio.ble.gatts_notify(self.conn, self._answer, data)
                return True
            except OSError as exc:
                if exc.errno != errno.ENOMEM:
                    return False
            await asyncio.sleep_ms(_BUSY_MS)
        return False

    async def _send(self, source, n, credits, session):
        """Send at most `n` bytes of `source`, which has readinto, as the phone gives credits."""
        self._spent = 0
        self._granted = min(credits, _WINDOW)
        view = memoryview(self._buf)
        crc = sent = sequence = 0
        while sent < n:
            while self._granted <= self._spent:
                if self.stopped:
                    return
                self._look(time.ticks_ms())
                await asyncio.sleep_ms(_SENDING_MS)
                if self._request and not self.stopped:
                    await self._do()
            self._spent += 1
            size = source.readinto(view[1 : 1 + min(self._mtu - 4, n - sent)])
            if not size or self.stopped:
                break
            self._buf[0] = sequence
            sequence = sequence + 1 & 127
            crc = crc32(view[1 : 1 + size], crc)
            sent += size
            if not await self.notify(view[: 1 + size], session):
                return
            await asyncio.sleep_ms(0)
        if not self.stopped:
            await self.notify(struct.pack("<BII", _END, sent, crc), session)

    # ---- the sink: what the store gets, and every sample

    def frames(self, battery, buf, n):
        pass

    def sample(self, battery, now_ms, sample):
        """Show a sample on the phone."""
        if self._live > 0:
            self._send_live(battery)

    def close(self):
        pass

    def _send_live(self, battery):
        i = self.batteries.index(battery)
        status = battery.status
        self._live_ms = time.ticks_ms()
        words = status.alarm
        if not words:
            words = "" if status.connected else status.link
        elif words != status.seen:
            words = "!" + words
        try:
            if self._told.get(i, "") != words:
                text = words.encode()[: self._mtu - 5]
                bleradio.ble.gatts_notify(self.conn, self._answer, bytes((_WORDS, i)) + text)
                self._told[i] = words
                self._live -= 1
            if self._live > 0:
                bleradio.ble.gatts_notify(self.conn, self._answer, self._values(i, battery))
                self._live -= 1
        except OSError:
            pass  # no buffer, or the phone has gone: the next one comes soon

    def _values(self, i, battery):
        sample = battery.sample or {}
        low = high = None
        low_at = high_at = at = 0
        for volts in sample.get("cell_voltages") or ():
            at += 1
            if volts is None:
                continue
            if low is None or volts < low:
                low = volts
                low_at = at
            if high is None or volts > high:
                high = volts
                high_at = at
        if sample.get("extremes"):
            low_at = high_at = 0
        age_s = self.clock.uptime_s() - battery.sample_s if battery.sample else _UNKNOWN_U16
        amps = sample.get("current")
        return struct.pack(
            "<BBBBHiBBHHBBH",
            _VALUES,
            i,
            len(self.batteries),
            1 if battery.status.connected else 0,
            _scaled(sample.get("voltage"), 100, 0, _UNKNOWN_U16),
            round(amps * 1000) if amps is not None and abs(amps) <= 2e6 else -0x80000000,
            _scaled(sample.get("battery_level"), 2, 0, _UNKNOWN_U8),
            _scaled(sample.get("temperature"), 2, 80, _UNKNOWN_U8),
            _scaled(low, 1000, 0, _UNKNOWN_U16),
            _scaled(high, 1000, 0, _UNKNOWN_U16),
            min(low_at, 255),
            min(high_at, 255),
            min(age_s, _UNKNOWN_U16),
        )


def _scaled(x, times, offset, unknown):
    """Return x * times + offset as a whole number below `unknown`, or that if it cannot be."""
    if x is None or x != x or abs(x) > 1e6:
        return unknown
    return max(0, min(unknown - 1, round(x * times) + offset))
