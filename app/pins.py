# Alarm output and button: a buzzer or relay, and the next page, "seen", or a pause for other apps
# Loaded where a pin of the settings asks for it. docs/HARDWARE.md shows the wires.
import asyncio
import sys
import time

from machine import Pin
from micropython import const

_LOOK_MS = const(25)  # two looks have to agree: by then no contact bounces any more
_LONG_MS = const(1000)
_VERY_LONG_MS = const(5000)
_PULSE_MS = const(300)
_PULSES_MS = const(2000)  # from one to the next
_PAUSE_S = const(600)
_PAGE_S = const(4)  # that a page stands by itself, see screen/pages.py
_STAY_S = const(20)  # and after the button


def start(app):
    """Return the Pins that the settings of `app` ask for, at work; says which are refused."""
    import boards

    del sys.modules["boards"]  # it takes memory
    want = app.settings
    board = boards.row()
    taken = {}
    if want["lcd.fitted"]:
        sda, scl = boards.pins(board)
        taken[sda if want["lcd.sda_pin"] is None else want["lcd.sda_pin"]] = "lcd.sda_pin"
        taken[scl if want["lcd.scl_pin"] is None else want["lcd.scl_pin"]] = "lcd.scl_pin"
    made = []
    for key in ("alarm.pin", "button.pin"):
        pin = None
        if key in want:
            number = want[key]
            why = boards.refuses(board, number)
            if number in taken:
                why = "it is %s as well" % taken[number]
            taken[number] = key
            try:
                # one that can only be an input has no pull-up either, and says so as an output
                pin = None if why else Pin(number, Pin.OPEN_DRAIN, value=1)
            except ValueError as exc:
                why = exc
            if why:
                app.say("settings.json: %s is %d, but %s; using none" % (key, number, why))
        made.append(pin and number)
    return Pins(app, *made)


class Pins:
    """The GPIOs `output` and `button` of `app`, None for one there is not; a sink, to be closed."""

    def __init__(self, app, output, button):
        self._app = app
        self._output = self._button = None
        self._shown = None
        if output is not None:
            self._on = app.settings["alarm.pin_on"] == "high"
            self._steady = app.settings["alarm.pin_mode"] == "steady"
            self._output = Pin(output, Pin.OUT, value=not self._on)
            app.sinks.append(self)
        if button is not None:
            self._button = Pin(button, Pin.IN, Pin.PULL_UP)
        self._was_down = False
        # one that is down from the start on is no press: the wires may be wrong
        self._down_ms = time.ticks_ms()
        self._done = True
        if output is not None or button is not None:
            asyncio.create_task(app.keep("pins", self._run))

    async def _run(self):
        while True:
            now_ms = time.ticks_ms()
            if self._output:
                loud = self._steady or now_ms % _PULSES_MS < _PULSE_MS
                self._output.value((loud and self._is_alarm()) == self._on)
            if self._button:
                self._look(now_ms)
            await asyncio.sleep_ms(_LOOK_MS)

    def _is_alarm(self):
        for battery in self._app.batteries:
            if battery.status.alarm and battery.status.alarm != battery.status.seen:
                return True
        return False

    # ---- the button

    def _look(self, now_ms):
        down = not self._button.value()
        if down != self._was_down:
            self._was_down = down
        elif not down:
            if not self._done:
                self._let_go(time.ticks_diff(now_ms, self._down_ms))
            self._done = True
            self._down_ms = None
        elif self._down_ms is None:
            self._down_ms = now_ms
            self._done = False
        elif not self._done and time.ticks_diff(now_ms, self._down_ms) >= _VERY_LONG_MS:
            self._done = True  # while it is down, so that people see when it is enough
            self._pause()

    def _let_go(self, held_ms):
        if held_ms < _LONG_MS:
            if self._shown:
                self._shown.turn(self._app.clock.uptime_s())
            return
        for battery in self._app.batteries:
            battery.status.seen = battery.status.alarm

    def _pause(self):
        links = [battery.link for battery in self._app.batteries if battery.link]
        paused = [link for link in links if link.paused]
        for link in links:
            link.paused = 0 if paused else _PAUSE_S

    def shown(self, picture, light):
        """Return what stands for a pages.Screen and a pages.Light, and turns with the button."""
        if not self._button:
            return picture, light
        self._shown = _Shown(picture, light, self._app.settings["lcd.backlight"] != "off")
        return self._shown, self._shown

    # ---- a sink

    def frames(self, battery, buf, n):
        pass

    def sample(self, battery, uptime_ms, sample):
        pass

    def close(self):
        """Be silent, for nobody looks any more."""
        self._output.value(not self._on)


class _Shown:
    """A display whose next page comes by hand, stays a while, and goes on from there."""

    def __init__(self, picture, light, may_light):
        self._picture = picture
        self._light = light
        self._may_light = may_light
        self._pressed = 0
        self._page = 0
        self._ahead = 0  # pages
        self._until_s = 0

    def turn(self, now_s):
        self._pressed += 1
        self._until_s = now_s + _STAY_S

    def lit(self, sample, status, now_s):
        lit = self._light.lit(sample, status, now_s)  # it is to see what is new in any case
        return lit or self._may_light and now_s < self._until_s

    def render(self, sample, status, now_s):
        if now_s < self._until_s:
            self._page += self._pressed
            self._pressed = 0
            self._ahead = self._page - now_s // _PAGE_S
        self._page = now_s // _PAGE_S + self._ahead
        # what blinks goes on
        return self._picture.render(sample, status, self._page * _PAGE_S + now_s % _PAGE_S)
