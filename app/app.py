# Composes batteries, display and sinks, and keeps each of them going
import asyncio
import gc
import sys

import machine
from app.battery import Battery
from app.errorlog import ErrorLog
from clock import Clock
from micropython import const

_DATA = const("/data")
_HOUSEKEEPING_S = const(5)
_WHY_S = const(600)  # the reason of a restart is shown so long
_COUNT_S = const(14400)  # lifetime counters are brought up to date so often, and
_COUNT_AT = const(12)  # a minute after the start, in turns of housekeeping
_PACK_S = const(120)  # of uptime before shards are packed that an earlier boot left
_RESTART_S = const(10)  # a part that failed starts again after so long
_STARVED = const(3)  # times without memory within so long, and the board starts again
_STARVED_S = const(180)
_QUIET_S = const(300)
_I = const(7)  # place of the current in Sampler.last, mA


class App:
    """Everything that runs on the board; `conn` is the user's module, or why it fails.

    `paused` is the boot that goes on after packing, see app/packing.py.
    """

    def __init__(self, conn, paused=None):
        self.conn = conn
        self.paused = paused
        self.common = None  # what logs share, if there are several batteries
        self.clock = Clock(paused["uptime_s"] if paused else 0)
        self.errors = ErrorLog(_DATA, self.clock)
        self.settings, self.sentences = _once("setup").settings()
        why = self.errors.why()
        self._restarted = "restarted: " + why if why else ""
        if why:
            self.say(self._restarted)
        self.button = None
        self.sinks = []  # get what the store gets, see docs/INFLUX.md
        self._telling = False
        self._starved = 0  # times without memory, and when the first of them was
        self._starved_s = 0
        self.batteries = [Battery(self)]
        # app/rest.py: below so many mA, 0 never, for `quiet_s` since `loud_s`, the board may sleep
        self.rest_ma = self.loud_s = 0
        self.quiet_s = _QUIET_S
        self.rested = self.display = None  # what a rest is to go on with; (LCD, what it shows)

    async def run(self):
        """Start everything and run for ever."""
        look = self.paused and "rest" in self.paused
        if look:
            await _once("look").look(self)
        # its task first: what sets it up is gone before what finds the BMS is loaded
        if self.settings["lcd.fitted"]:
            asyncio.create_task(self.keep("display", self.show))
        if not look:
            self.begin()
        await self.keep("housekeeping", self._housekeeping)

    def begin(self):
        """Set the batteries up, and let what uses the radio start."""
        _once("setup").configure(self)
        if "phone" in self.settings:  # first of all that use the radio
            asyncio.create_task(self.keep("phone", self._serve_phone))
        for battery in self.batteries:
            asyncio.create_task(self.keep("link", battery.log))

    def stop(self):
        """Store what is not stored yet and let the radio go; for Ctrl-C."""
        _once("trouble").stop(self)

    def pause(self, minutes=10):
        """Leave the BMS to others for so long, then start again; at the REPL, after Ctrl-C."""
        from app import pause

        pause.pause(self, minutes)

    def hang_up(self):
        for sink in self.sinks:
            sink.close()
        for battery in self.batteries:
            if battery.link:
                battery.link.close()

    def open(self, battery):
        """Know what only the log of a battery tells, which is open now."""
        self.errors.boot = battery.store.boot
        if not self._telling and ("bthome" in self.settings or "wifi.ssid" in self.settings):
            self._telling = True
            asyncio.create_task(self.keep("outputs", self._tell))

    def say(self, sentence):
        """Say on the REPL and on the display what the user should know."""
        print(sentence)
        self.sentences.append(sentence)

    # ---- when something fails

    def on_error(self, exc):
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
            self.restart("memory ran out %d times in %d s" % gone)

    def restart(self, reason):
        print("the board starts again: " + reason)
        try:
            for battery in self.batteries:
                battery.flush()
        finally:  # whatever is broken: RTC memory keeps what is not stored
            self.errors.restart(reason)

    def leave(self):
        """Let go of everything and reset the board, for all that is to be stored is."""
        self.hang_up()  # the BMS learns of it at once, and takes the next link sooner
        machine.reset()  # a soft one would keep what WiFi has taken

    # ---- beside it

    async def show(self):
        """Draw what there is, for ever; True if there is no such display."""
        parts = _once("setup").display(self)
        if not parts:
            return True
        lcd, picture, light, glyphs, missing = parts
        # before the start, so that the glyphs go in slices too
        await self._draw(lcd, picture, light, glyphs)
        await lcd.start()
        if not lcd.present:
            print(missing)
        self.display = lcd, picture
        del parts, missing
        while True:
            await lcd.tick()
            if lcd.present:
                await self._draw(lcd, picture, light, glyphs)
            # with the second, so that what blinks blinks evenly
            await asyncio.sleep_ms(1000 - self.clock.uptime_ms() % 1000)

    async def _draw(self, lcd, picture, light, glyphs):
        battery = self.batteries[0]
        now_s = battery.update()
        lcd.backlight(light.lit(battery.sample, battery.status, now_s))
        await lcd.draw(picture.render(battery.sample, battery.status, now_s), glyphs)

    async def _tell(self):
        _once("outputs").start(self)
        return True

    async def _serve_phone(self):
        from sinks import phone  # here, because it takes memory

        want = self.settings["phone"]
        await phone.run(self.batteries, self.sinks, self.clock, _DATA, want, self.sentences)

    async def _housekeeping(self):
        watchdog_s = self.settings["watchdog_s"]
        watchdog = machine.WDT(timeout=watchdog_s * 1000) if watchdog_s else None
        while True:
            now_s = self.clock.uptime_s()
            alive = True
            for battery in self.batteries:
                alive = battery.tick(now_s) and alive
                store = battery.store
                may_pack = now_s >= _PACK_S
                if now_s % _COUNT_S // _HOUSEKEEPING_S == _COUNT_AT:
                    await _once("counting").count(battery)
                if store and (store.unreadable or store.packing_due and may_pack):
                    await _once("trouble").see_to(self, battery, may_pack)
                if self.rest_ma:
                    ma = battery.sampler.last[_I]
                    if ma is None or abs(ma) >= self.rest_ma:
                        self.loud_s = now_s
                    elif now_s - self.loud_s >= self.quiet_s:
                        _once("rest").rest(self, battery)
            if now_s >= _WHY_S and self._restarted in self.sentences:
                self.sentences.remove(self._restarted)
            if watchdog:
                if not alive:
                    self.restart("the link hangs")
                watchdog.feed()
            await asyncio.sleep(_HOUSEKEEPING_S)

    async def keep(self, name, part, *args):
        """Run `part(*args)` for ever: one that fails, or ends without saying True, starts again."""
        while True:
            try:
                if await part(*args):
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


def _once(name):
    """Return a module of app/ that is loaded for this use only: its memory is free after it."""
    module = getattr(__import__("app." + name), name)
    del sys.modules["app." + name]
    delattr(sys.modules["app"], name)
    return module
