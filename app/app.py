# Composes link, sampler, store and screen, and keeps each of them going
import asyncio
import gc
import sys

import machine
from app.errorlog import ErrorLog
from clock import Clock
from micropython import const
from sampling.sampler import Sampler
from screen import pages
from shards import frame
from store import Store

_DATA = const("/data")
_HOUSEKEEPING_S = const(5)
_REPORT_S = const(60)  # between lines on the REPL
_WHY_S = const(600)  # the reason of a restart is shown so long
_PACK_S = const(120)  # of uptime before shards are packed that an earlier boot left
_STUCK_S = const(300)  # without a turn of the link's loop, which has no longer wait
_RESTART_S = const(10)  # a part that failed starts again after so long
_STARVED = const(3)  # times without memory within so long, and the board starts again
_STARVED_S = const(180)
_TELL_MOST = const(20)  # times that a link was found and lost are told at once, then one each
_TELL_S = const(1800)
_DAYS_LEAST = const(200)  # that the volume lasts, at so many bytes for a frame
_FRAME_BYTES = const(4)
_NO_LIMIT_C = const(-40)
_REPL_WATCHDOG_MS = const(3_600_000)


class Status:
    """What the screen shows besides the sample; see pages.Screen.render."""

    link = "starting"
    connected = False
    beats = 0
    age_s = None
    message = ""
    alarm = ""
    frames = 0
    days_stored = None
    days_left = None
    flushed_s = None


class App:
    """Everything that runs on the board; `conn` is the user's module, or why it fails.

    `paused` is the boot that goes on after packing, see app/packing.py.
    """

    def __init__(self, conn, paused=None):
        self.conn = conn
        self._paused = paused
        self.clock = Clock(paused["uptime_s"] if paused else 0)
        self.errors = ErrorLog(_DATA, self.clock)
        self.status = Status()
        self.settings, self.sentences = _settings()
        why = self.errors.why()
        self._restarted = "restarted: " + why if why else ""
        if why:
            print(self._restarted)
            self.sentences.append(self._restarted)
        self.sample = None
        self.sample_s = 0
        self.link = None
        self.sampler = None
        self.store = None
        self.sinks = []  # get what the store gets, see docs/INFLUX.md
        self._turns = 0  # of the link, and when they grew last, for the watchdog
        self._turned_s = 0
        self._report_s = 0
        self._starved = 0  # times without memory, and when the first of them was
        self._starved_s = 0
        self._telling = True  # the log of link found and lost
        self._untold_s = -_TELL_MOST * _TELL_S  # when it has told of as many as it may
        self._called = ""  # what the user calls the battery
        self._known = None  # the address that is noted of it
        self._step_a = 1  # of the current that lights the display

    async def run(self):
        """Start everything and run for ever."""
        if self.settings["lcd.fitted"]:
            asyncio.create_task(self._keep("display", self._show))
        self._configure()
        asyncio.create_task(self._keep("housekeeping", self._housekeeping))
        await self._keep("link", self._log)

    def stop(self):
        """Store what is not stored yet and let the radio go; for Ctrl-C."""
        if self.settings["watchdog_s"]:
            # it cannot be switched off, but files can be copied in peace
            machine.WDT(timeout=_REPL_WATCHDOG_MS)
        stored = True
        if self.store:
            self._store(self.sampler.finish())
            stored = self.store.flush()
        for sink in self.sinks:
            sink.close()
        if self.link:
            self.link.close()
        print("stopped, everything is stored" if stored else "stopped: " + self.store.message)

    # ---- start

    def _configure(self):
        """Make link, sampler and store from conn.py and the settings; say what is wrong."""
        want = self.settings
        from app import choice, claim, known  # for the start only

        try:
            claim.claim(_DATA)
            driver, name, capacity = choice.choose(self.conn, want)
            address, called = known.read(_DATA, name)
        except ValueError as exc:
            self._refuse(str(exc))
            return
        finally:
            _forget("app", "choice")
            _forget("app", "claim")
            _forget("app", "known")
        self.sampler = Sampler(max(1, int(capacity)))
        self._step_a = capacity / 100
        if name:
            self._open_store(name)
        poll_ms = int(want["poll_s"] * 1000)
        self.link = self.conn.BmsLink(
            driver,
            name,
            poll_ms,
            want["secret"],
            self._link_changed,
            self._link_tripped,
            self._restart,
        )
        self.link.capacity_ah = capacity
        self.link.address = self._known = address
        self.link.called = called
        self._called = name

    def _open_store(self, name):
        store = Store(_DATA, name, self.clock, machine.RTC(), machine.reset_cause())
        store.open(self._paused)
        self._paused = None
        self.store = store  # not before: one that is half open would be taken for a good one
        try:
            size = store.ask_free()
        except OSError:
            size = 0  # then the log has no limit
        self.sampler.frames_a_day = size // (_DAYS_LEAST * _FRAME_BYTES)
        self.errors.boot = store.boot
        if "influx.host" in self.settings:
            asyncio.create_task(self._keep("influx", self._send_live))

    def _refuse(self, sentence):
        self.sentences.insert(0, sentence)
        self.status.link = "mend it and restart"
        print(sentence)

    # ---- link → sampler → store

    async def _log(self):
        while self.link is None:
            await asyncio.sleep(_REPORT_S)
            print(self.sentences[0])
        async for sample in self.link:
            now_ms = self.clock.uptime_ms()
            self.sample = sample
            self.sample_s = now_ms // 1000
            self._count_cells(sample)
            self._store(self.sampler.poll(now_ms, sample))
            if self.sampler.widened != self.link.widened:
                self.link.widened = self.sampler.widened
                self.store.event(frame.WIDENED, 1 << self.sampler.widened)
            if self.sampler.provisional():
                self.store.hold(self.sampler.held)
            self.status.beats += 1
            self.status.alarm = self._alarm(sample)
            for sink in self.sinks:
                sink.sample(now_ms, sample)
            first = self.store.frames and not self._report_s  # whoever installs waits for it
            if first or self.sample_s - self._report_s >= _REPORT_S:
                self._report_s = self.sample_s
                self._report(sample)

    def _count_cells(self, sample):
        """Note over how many cells the index in frames counts; at once where it needs that."""
        cells = 0 if sample.get("extremes") else len(sample.get("cell_voltages") or ())
        cells = min(255, cells or self.store.cells)
        if cells != self.store.cells:
            self.store.cells = cells
            if cells > 16:
                self.store.anchor()

    def _store(self, n):
        if n:
            self.store.append(self.sampler.frames, n)
            for sink in self.sinks:
                sink.frames(self.sampler.frames, n)

    def _link_changed(self, link):
        if link.connected != self.status.connected:
            self.status.connected = link.connected
            if link.connected:
                if self.store is None:  # whose name nobody knew before
                    self._open_store(link.name)
                if self._may_tell():
                    self.store.event(frame.LINK_FOUND)
                self._remember(link)
            elif self.store:
                if self._telling:  # else the sampler finds out by itself whether much is missing
                    self._store(self.sampler.finish())
                    self.store.event(frame.LINK_LOST)
                self.status.alarm = ""
        self.status.link = link.text
        print(link.text)

    def _may_tell(self):
        """May the log tell that the link was found, and then lost? Not of each if it flaps."""
        now_s = self.clock.uptime_s()
        self._untold_s = max(self._untold_s, now_s - _TELL_MOST * _TELL_S)
        self._telling = self._untold_s <= now_s
        if self._telling:
            self._untold_s += _TELL_S
        return self._telling

    def _remember(self, link):
        """Note where the battery is, if that is news."""
        if link.address and link.address != self._known:
            from app import known

            known.write(_DATA, self._called, link.address, link.called)
            self._known = link.address
            _forget("app", "known")

    def _link_tripped(self, exc):
        if not isinstance(exc, (ValueError, LookupError, AssertionError)):
            sys.print_exception(exc)  # else it is what the BMS said, and no mistake of ours
        self.errors.note("link", exc)
        self._starve(exc)

    def _starve(self, exc):
        """Start the board again when parts fail for want of memory again and again."""
        if not isinstance(exc, MemoryError):
            return
        now_s = self.clock.uptime_s()
        if not self._starved or now_s - self._starved_s > _STARVED_S:
            self._starved = 0
            self._starved_s = now_s
        self._starved += 1
        if self._starved >= _STARVED:
            gone = self._starved, now_s - self._starved_s
            self._restart("memory ran out %d times in %d s" % gone)

    def _restart(self, reason):
        print("the board starts again: " + reason)
        try:
            self._store(self.sampler.finish())
            if self.store:
                self.store.flush()
        finally:  # whatever is broken: RTC memory keeps what is not stored
            self.errors.restart(reason)

    def _pack(self):
        """Pause, for shards are full, and packing them takes the memory; see app/packing.py."""
        self.store.packing_due = False  # tried once for each shard that fills
        self._store(self.sampler.finish())
        if not self.store.flush():
            return  # a volume in trouble has to wait
        from app import packing

        try:
            packing.request(self.store, self.clock)
        except OSError as exc:
            print("the log is packed later: flash error %d" % exc.errno)
            return
        for sink in self.sinks:
            sink.close()
        if self.link:
            self.link.close()  # the BMS learns of it at once, and takes the next link sooner
        machine.reset()  # a soft one would keep what WiFi has taken

    def _report(self, sample):
        cells = sample.get("cell_voltages")
        cells = [volts for volts in cells or () if volts is not None]
        print(
            "%s V  %s A  %s %%  cells %s mV  %s C  %d frames"
            % (
                _number(sample.get("voltage"), 2),
                _number(sample.get("current"), 2),
                _number(sample.get("battery_level"), 0),
                "%d/%d" % (round(min(cells) * 1000), round(max(cells) * 1000)) if cells else "--",
                _number(sample.get("temperature"), 0),
                self.store.frames,
            )
        )

    # ---- beside it

    async def _show(self):
        want = self.settings
        try:
            lcd = _display(want)
        except ValueError as exc:
            print("%s; going on without display" % exc)
            return True
        pins = want["lcd.sda_pin"], want["lcd.scl_pin"]
        picture = pages.Screen(want["lcd.cols"], want["lcd.rows"], want["poll_s"])
        light = pages.Light(want["lcd.backlight"], want["lcd.backlight_s"], self._step_a)
        # before the start, so that the glyphs go in slices too
        await self._draw(lcd, picture, light)
        await lcd.start()
        if not lcd.present:
            print("no display found on I2C (SDA GPIO%d, SCL GPIO%d), going on without" % pins)
        while True:
            await lcd.tick()
            if lcd.present:
                await self._draw(lcd, picture, light)
            # with the second, so that what blinks blinks evenly
            await asyncio.sleep_ms(1000 - self.clock.uptime_ms() % 1000)

    async def _draw(self, lcd, picture, light):
        now_s = self._update_status()
        lcd.backlight(light.lit(self.sample, self.status, now_s))
        await lcd.draw(picture.render(self.sample, self.status, now_s), pages.GLYPHS)

    def _update_status(self):
        now_s = self.clock.uptime_s()
        status = self.status
        store = self.store
        words = store.message if store else ""
        if self.sampler and self.sampler.widened:
            words = words or "values change so much that the log is coarser"
        if self.sentences:
            words = ". ".join(self.sentences + [words] if words else self.sentences)
        status.message = words
        if store:
            status.frames = store.frames
            status.days_stored = store.days_stored
            status.days_left = store.days_left
            status.flushed_s = now_s - store.flushed_s if store.flushes else None
        if self.sample:
            status.age_s = now_s - self.sample_s
        return now_s

    def _alarm(self, sample):
        """Return what is wrong in words; "" at once for a battery without troubles and limits."""
        want = self.settings
        limits = want["alarm.soc"] or want["alarm.cell_low_mv"]
        limits = limits or want["alarm.cell_high_mv"] or want["alarm.temperature_c"]
        limits = limits or want["alarm.temperature_low_c"] != _NO_LIMIT_C
        if not (limits or sample.get("problem_code") or sample.get("problem")):
            return ""
        from screen import alarms

        return alarms.said(self.link and self.link.driver, sample, want)

    async def _send_live(self):
        import bleradio

        try:
            bleradio.claim(bleradio.WIFI)
        except bleradio.Short as exc:
            self.sentences.append("%s; nothing is sent" % exc)
            print(self.sentences[-1])
            return True
        from sinks.influx import run  # here, because it takes memory

        return await run(self.settings, self.sinks, self.clock, self.store)

    async def _housekeeping(self):
        watchdog_s = self.settings["watchdog_s"]
        watchdog = machine.WDT(timeout=watchdog_s * 1000) if watchdog_s else None
        while True:
            now_s = self.clock.uptime_s()
            if self.store:
                self.store.tick()
                if self.store.packing_due and now_s >= _PACK_S:
                    self._pack()
            if now_s >= _WHY_S and self._restarted in self.sentences:
                self.sentences.remove(self._restarted)
            if self.link is None or self.link.turns != self._turns:
                self._turns = self.link and self.link.turns
                self._turned_s = now_s
            if watchdog:
                if now_s - self._turned_s >= _STUCK_S:
                    self._restart("the link hangs")
                watchdog.feed()
            await asyncio.sleep(_HOUSEKEEPING_S)

    async def _keep(self, name, part):
        """Run a part for ever: one that fails, or ends without saying True, starts again."""
        while True:
            try:
                if await part():
                    return
                why = "it ended"
            except Exception as exc:
                gc.collect()  # it may have been the memory
                sys.print_exception(exc)
                why = exc
            self.errors.note(name, why)
            self._starve(why)
            print("%s failed, starts again in %d s" % (name, _RESTART_S))
            await asyncio.sleep(_RESTART_S)


def _settings():
    """Load the settings and forget their table, which takes memory; print what was refused."""
    from app import settings

    loaded, sentences = settings.load()
    for sentence in sentences:
        print(sentence)
    if not loaded["influx.host"]:  # nobody asks for the rest of it
        loaded = {key: loaded[key] for key in loaded if not key.startswith(("influx.", "wifi."))}
    loaded = settings.with_names(loaded)
    _forget("app", "settings")
    return loaded, sentences[:1]


def _display(want):
    """Make the LCD and forget how; ValueError for pins that there are not."""
    from screen import panel

    _forget("screen", "panel")
    return panel.make(want)


def _forget(package, module):
    """Let go of a module: both who imports it anew and its package know of it."""
    del sys.modules[package + "." + module]
    delattr(sys.modules[package], module)


def _number(value, digits):
    return "--" if value is None else "%.*f" % (digits, value)
