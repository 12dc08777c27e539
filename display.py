# The display that the settings describe, made; loaded for the start only
import machine
from lcd_hd44780 import LCD, LCM1602, MJKDZ


def make(want):
    """Return the LCD, not started; `want` are the settings. Raises ValueError for bad pins."""
    sda, scl = machine.Pin(want["lcd.sda_pin"]), machine.Pin(want["lcd.scl_pin"])
    # 100 kHz is the PCF8574's limit; the port's default is 400. A row takes 8 ms, so that a
    # stuck bus need not hold up the rest for longer than 20
    i2c = machine.I2C(0, scl=scl, sda=sda, freq=100_000, timeout=20_000)
    wiring = MJKDZ if want["lcd.wiring"] == "other" else LCM1602
    return LCD(i2c, want["lcd.address"] or None, want["lcd.cols"], want["lcd.rows"], wiring)
