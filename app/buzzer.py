# The alarm output: a buzzer or a relay, on while there is an alarm that nobody has acknowledged
# Loaded where alarm.pin is set.
import asyncio
import time

from machine import Pin
from micropython import const

_TURN_MS = const(100)
_PULSE_MS = const(300)
_PULSES_MS = const(2000)  # from one to the next


class Buzzer:
    """The GPIO of that number, for the batteries of `app`; a sink, to be closed."""

    def __init__(self, app, number):
        self._app = app
        self._on = app.settings["alarm.pin_on"] == "high"
        self._steady = app.settings["alarm.pin_mode"] == "steady"
        self._pin = Pin(number, Pin.OUT, value=not self._on)

    async def run(self):
        while True:
            loud = False
            if self._steady or time.ticks_ms() % _PULSES_MS < _PULSE_MS:
                for battery in self._app.batteries:
                    status = battery.status
                    loud = loud or status.alarm and status.alarm != status.seen
            self._pin.value(bool(loud) == self._on)
            await asyncio.sleep_ms(_TURN_MS)

    def frames(self, battery, buf, n):
        pass

    def sample(self, battery, uptime_ms, sample):
        pass

    def close(self):
        """Be silent, for nobody looks any more."""
        self._pin.value(not self._on)
