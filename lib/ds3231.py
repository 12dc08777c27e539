# DS3231: a clock with a battery of its own on an I2C bus, read with suspicion, and set
# The registers are those of its data sheet (Maxim 19-5170). Needs no other file of this project.
import time

from micropython import const

_ADDRESS = const(0x68)
_REGISTERS = const(19)
_CONTROL = const(14)
_STATUS = const(15)
_STOPPED = const(0x80)  # in _CONTROL: it stands still without a supply; in _STATUS: it stood still
_TWELVE = const(0x40)  # in the hours: they are counted to twelve
_AFTERNOON = const(0x20)
# What may be set in each register: others are 0 in a DS3231, unlike in what else has its address.
_BITS = b"\x7f\x7f\x7f\x07\x3f\x9f\xff\xff\xff\xff\xff\xff\xff\xff\xff\x8f\xff\xff\xc0"
_UNIX_2000_S = const(946684800)
_FIRST_YEAR = const(2024)  # it was not set if it tells less; it counts to 2099
_EIO = const(5)


class Stranger(OSError):
    """What answers is no DS3231."""


class DS3231:
    """The clock on `i2c`, of which writeto and readfrom_into are used; 400 kHz at most."""

    def __init__(self, i2c):
        self._i2c = i2c

    def read(self):
        """Return UTC seconds since 1970, 0 if it does not know: nobody set it, or it stood still.

        Raises OSError if the bus fails, Stranger for another device.
        """
        first = self._read()
        second = self._read()  # one that a disturbance spoilt differs
        if not 0 <= second - first <= 1:
            raise OSError(_EIO)
        return second

    def write(self, unix_s):
        """Set it to UTC seconds since 1970, and let it run; raises OSError if that fails."""
        now = time.gmtime(unix_s - _epoch_s())
        date = bytes(
            _bcd(n) for n in (now[5], now[4], now[3], now[6] + 1, now[2], now[1], now[0] % 100)
        )
        status = self._registers()[_STATUS]
        self._i2c.writeto(_ADDRESS, b"\0" + date)
        self._i2c.writeto(_ADDRESS, bytes((_CONTROL, 0x1C)))  # runs, without square wave or alarm
        self._i2c.writeto(_ADDRESS, bytes((_STATUS, status & ~_STOPPED)))
        if not 0 <= self.read() - unix_s <= 1:
            raise OSError(_EIO)

    def _registers(self):
        data = bytearray(_REGISTERS)
        self._i2c.writeto(_ADDRESS, b"\0")
        self._i2c.readfrom_into(_ADDRESS, data)
        return data

    def _read(self):
        data = self._registers()
        for i in range(_REGISTERS):
            if data[i] & ~_BITS[i]:
                raise Stranger
        if (data[_CONTROL] | data[_STATUS]) & _STOPPED:
            return 0
        hours = data[2]
        if hours & _TWELVE:
            hour = _number(hours & 0x1F) % 12 + (12 if hours & _AFTERNOON else 0)
        else:
            hour = _number(hours)
        # the bit for the century (in the month) is set by some and not by others: it is this one
        year, month, day = 2000 + _number(data[6]), _number(data[5] & 0x1F), _number(data[4])
        date = year, month, day, hour, _number(data[1]), _number(data[0])
        seconds = time.mktime(date + (0, 0))
        if year < _FIRST_YEAR or time.gmtime(seconds)[:6] != date:
            return 0  # there is no such day
        return seconds + _epoch_s()


def _bcd(n):
    return n // 10 << 4 | n % 10


def _number(bcd):
    return (bcd >> 4) * 10 + (bcd & 15) if bcd & 15 < 10 else 99


def _epoch_s():
    """Return the unix time from which this port counts: 2000 on boards."""
    return _UNIX_2000_S if time.gmtime(0)[0] == 2000 else 0
