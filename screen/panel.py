# The display that the settings describe, made; loaded for the start only
import sys

import machine
from lcd_hd44780 import LCD, LCM1602, MJKDZ

# The pins at which the flash is, by chip
_FLASH = (("ESP32S3", 26, 32), ("ESP32C3", 11, 17), ("ESP32C", 24, 30), ("", 6, 11))


def make(want):
    """Return the LCD, not started; `want` are the settings. Raises ValueError for bad pins."""
    sda, scl = _pin(want["lcd.sda_pin"]), _pin(want["lcd.scl_pin"])
    if want["lcd.sda_pin"] == want["lcd.scl_pin"]:
        raise ValueError("they must be two")  # for which MicroPython crashes
    # 100 kHz is the PCF8574's limit; the port's default is 400. A row takes 8 ms, so that a
    # stuck bus need not hold up the rest for longer than 20
    i2c = machine.I2C(0, scl=scl, sda=sda, freq=100_000, timeout=20_000)
    wiring = MJKDZ if want["lcd.wiring"] == "other" else LCM1602
    return LCD(i2c, want["lcd.address"] or None, want["lcd.cols"], want["lcd.rows"], wiring)


def _pin(number):
    # a pin of the flash may not even be looked at: the chip would crash at every start
    machine_name = getattr(sys.implementation, "_machine", "").replace("-", "").upper()
    for chip, first, last in _FLASH:
        if chip in machine_name:
            break
    if first <= number <= last:
        raise ValueError("GPIO%d to %d are for the flash" % (first, last))
    # one that can only be an input says so as an output, while I2C crashes
    return machine.Pin(number, machine.Pin.OPEN_DRAIN, value=1)
