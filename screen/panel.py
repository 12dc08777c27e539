# The display that the settings describe, made, and its bus; loaded for the start only
import sys

import machine
from micropython import const

_CLOCK_AT = const(0x68)


def make(want):
    """Return the LCD, not started; `want` are the settings. Raises ValueError for bad pins."""
    from lcd_hd44780 import LCD, LCM1602, MJKDZ

    wiring = MJKDZ if want["lcd.wiring"] == "other" else LCM1602
    size = want["lcd.cols"], want["lcd.rows"]
    return LCD(make_bus(want), want["lcd.address"] or None, *size, wiring)


def find_clock(app, must):
    """Return the bus if a DS3231 answers on it, or what has its address, else None.

    `must`: say so if there is none.
    """
    want = app.settings
    try:
        i2c = make_bus(want)
        i2c.writeto(_CLOCK_AT, b"")
        return i2c
    except ValueError as exc:
        why = exc
    except OSError:
        pins = want["lcd.sda_pin"], want["lcd.scl_pin"]
        why = "nothing answers on I2C (SDA GPIO%d, SCL GPIO%d)" % pins
    if must:
        app.say("no DS3231: %s" % why)
    return None


def make_bus(want):
    """Return the I2C bus; `want` gets the pins that the chip decides. ValueError: bad ones.

    It may be called again: it is the same bus.
    """
    import boards

    del sys.modules["boards"]  # it takes memory
    board = boards.row()
    sda, scl = boards.pins(board)
    if want["lcd.sda_pin"] is None:
        want["lcd.sda_pin"] = sda
    if want["lcd.scl_pin"] is None:
        want["lcd.scl_pin"] = scl
    sda, scl = want["lcd.sda_pin"], want["lcd.scl_pin"]
    if sda == scl:
        raise _bad(want, "they must be two")  # else MicroPython crashes
    for first, last in boards.flash_pins(board):
        # not even to be looked at: the chip would crash at every start
        if first <= sda <= last or first <= scl <= last:
            raise _bad(want, "GPIO%d to %d are for the flash" % (first, last))
    # 100 kHz is the PCF8574's limit; the port's default is 400. A row takes 8 ms, so that a
    # stuck bus need not hold up the rest for longer than 20
    try:
        return machine.I2C(0, scl=_pin(scl), sda=_pin(sda), freq=100_000, timeout=20_000)
    except ValueError as exc:
        raise _bad(want, exc)


def _bad(want, why):
    pins = want["lcd.sda_pin"], want["lcd.scl_pin"]
    return ValueError("sda_pin %d, scl_pin %d: %s" % (pins + (why,)))


def _pin(number):
    # one that can only be an input says so as an output, while I2C crashes
    return machine.Pin(number, machine.Pin.OPEN_DRAIN, value=1)
