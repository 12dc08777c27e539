# The button: the display's next page, an alarm that was seen, or a pause for other apps
# Loaded where button.pin is set.
import asyncio
import time

from machine import Pin
from micropython import const

_LOOK_MS = const(25)  # two looks have to agree: by then no contact bounces any more
_LONG_MS = const(1000)
_VERY_LONG_MS = const(5000)
_PAUSE_S = const(600)
_PAGE_S = const(4)  # that a page stands by itself, see screen/pages.py
_STAY_S = const(20)  # and after the button


class Button:
    """A button from the GPIO of that number to ground, for the batteries of `app`.

    Once it `turns` a display it stands for its pages.Screen and pages.Light.
    """

    def __init__(self, app, number):
        self._app = app
        self._pin = Pin(number, Pin.IN, Pin.PULL_UP)
        self._picture = self._light = None
        self._pressed = 0
        self._page = 0
        self._ahead = 0  # pages
        self._until_s = 0

    async def run(self):
        """Look for ever."""
        down = False
        down_ms = 0
        done = True  # one that is down from the start on is no press: the wires may be wrong
        up = False
        while True:
            await asyncio.sleep_ms(_LOOK_MS)
            before, down = down, not self._pin.value()
            now_ms = time.ticks_ms()
            if down != before:
                continue
            if not down:
                if not done:
                    self._let_go(time.ticks_diff(now_ms, down_ms))
                done = up = True
            elif up:
                down_ms = now_ms
                done = up = False
            elif not done and time.ticks_diff(now_ms, down_ms) >= _VERY_LONG_MS:
                done = True  # while it is down, so that people see when it is enough
                self._pause()

    def _let_go(self, held_ms):
        if held_ms < _LONG_MS:
            self._pressed += 1
            self._until_s = self._app.clock.uptime_s() + _STAY_S
            return
        for battery in self._app.batteries:
            battery.status.seen = battery.status.alarm

    def _pause(self):
        links = [battery.link for battery in self._app.batteries if battery.link]
        paused = [link for link in links if link.paused]
        for link in links:
            link.paused = 0 if paused else _PAUSE_S

    def turns(self, picture, light):
        """Turn the pages of a display from now on."""
        self._picture = picture
        self._light = light

    def lit(self, sample, status, now_s):
        lit = self._light.lit(sample, status, now_s)  # it is to see what is new in any case
        return lit or now_s < self._until_s and self._app.settings["lcd.backlight"] != "off"

    def render(self, sample, status, now_s):
        if now_s < self._until_s:
            self._page += self._pressed
            self._pressed = 0
            self._ahead = self._page - now_s // _PAGE_S
        self._page = now_s // _PAGE_S + self._ahead
        # what blinks goes on
        return self._picture.render(sample, status, self._page * _PAGE_S + now_s % _PAGE_S)
