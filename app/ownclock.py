# A clock of the board's own, a DS3231: the time is taken from it, and it is set by who knows better
# Loaded at the start; kept where there is one. docs/HARDWARE.md tells how it is wired.
import asyncio
import sys

from micropython import const

_ADDRESS = const(0x68)
_LOOK_S = const(10)
_STEP_S = const(2)  # both count whole seconds
_DRIFT_S = const(60)  # so far the board's clock may have gone wrong by itself
_SLEPT_S = const(600)  # and that in a sleep of an hour


def start(app, must, slept=False):
    """Take the time from a DS3231 on the display's bus, if there is one, and keep that one set.

    `must`: say so if there is none. `slept`: the board's clock went by itself for up to an hour.
    """
    want = app.settings
    from screen import panel

    del sys.modules["screen.panel"], sys.modules["screen"].panel
    try:
        i2c = panel.bus(want)
    except ValueError as exc:
        if must:
            app.say("no DS3231: %s" % exc)
        return
    try:
        i2c.writeto(_ADDRESS, b"")
    except OSError:
        if must:
            pins = want["lcd.sda_pin"], want["lcd.scl_pin"]
            app.say("no DS3231 found on I2C (SDA GPIO%d, SCL GPIO%d)" % pins)
        return
    import ds3231

    chip = ds3231.DS3231(i2c)
    try:
        chip.read()
    except ds3231.Stranger:
        print("what answers at I2C address 0x68 is no DS3231, and left alone")
        del sys.modules["ds3231"]
        return
    except OSError:
        pass  # it may answer the next time
    own = _Own(chip, app.clock, _SLEPT_S if slept else _DRIFT_S)
    own.look()
    asyncio.create_task(app.keep("clock", own.run))


class _Own:
    def __init__(self, chip, clock, drift_s):
        self._chip = chip
        self._drift_s = drift_s
        self._clock = clock
        self._ahead_s = None  # unix time minus uptime when both clocks agreed last

    async def run(self):
        while True:
            await asyncio.sleep(_LOOK_S)
            self.look()

    def look(self):
        """Let both clocks agree; where the bus fails, the next time."""
        unix_s = self._clock.unix_s()
        ahead_s = unix_s - self._clock.uptime_s()
        begins = self._ahead_s is None
        if unix_s and not begins and abs(ahead_s - self._ahead_s) < _STEP_S:
            return
        try:
            told_s = self._chip.read()
            if told_s and (not unix_s or begins and abs(told_s - unix_s) <= self._drift_s):
                if abs(told_s - unix_s) >= _STEP_S:
                    _set_clock(told_s)
            elif unix_s:
                self._chip.write(unix_s)
                print("the DS3231 was set")
            else:
                return  # nobody knows
        except OSError:
            return
        self._ahead_s = self._clock.unix_s() - self._clock.uptime_s()


def _set_clock(unix_s):
    import setclock

    del sys.modules["setclock"]
    setclock.set_clock(unix_s * 1000)
