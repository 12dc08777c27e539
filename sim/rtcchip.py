# A DS3231 as the bus sees it: a clock that goes on without the board, after its data sheet
# What it cannot know without a battery of its own it says by its oscillator-stop flag.
import errno

import utime
import vclock
from micropython import const

_REGISTERS = const(19)
_CONTROL = const(14)
_STATUS = const(15)
_STOPPED = const(0x80)
_FASTEST_HZ = const(400_000)
_UNIX_2000_S = const(946684800)


class RTCChip:
    """`machine.i2c_devices[0x68] = RTCChip(past)` connects one.

    `past` is kept over resets and power cuts: "unix_s" is what it tells at the virtual second 0,
    None if nobody ever set it; the rest is its own. `flip` is {register: bits} that a reader gets
    wrong; `twelve`: it counts to twelve hours. `listen` may be replaced by what fails.
    """

    def __init__(self, past):
        self.present = True
        self.past = past
        self.flip = {}
        self.twelve = False
        self._at = 0
        if "status" not in past:
            known = past["unix_s"] is not None
            past.update({"status": 0x08 if known else 0x88, "control": 0x1C, "century": 0})
            past["ahead_ms"] = (past["unix_s"] if known else _UNIX_2000_S) * 1000

    def unix_s(self):
        """Return what it counts, whether or not it was ever set."""
        return (self.past["ahead_ms"] + vclock.now_ms()) // 1000

    def lose_power(self):
        """Be without supply and battery for a moment."""
        self.past["status"] |= _STOPPED
        self.past["ahead_ms"] = _UNIX_2000_S * 1000 - vclock.now_ms()

    # ---- the bus

    def write(self, buf, freq_hz):
        self.listen(freq_hz)
        if not buf:
            return
        self._at = buf[0] % _REGISTERS
        registers = self._registers()
        for byte in buf[1:]:
            registers[self._at] = byte
            if self._at <= 6:
                self._set(registers)
            elif self._at == _CONTROL:
                self.past["control"] = byte
            elif self._at == _STATUS:  # the flag can only be cleared
                self.past["status"] = byte & (self.past["status"] | ~_STOPPED) & 0x8F
            self._at = (self._at + 1) % _REGISTERS

    def read_into(self, buf, freq_hz):
        self.listen(freq_hz)
        registers = self._registers()
        for i in range(len(buf)):
            buf[i] = registers[self._at] ^ self.flip.get(self._at, 0)
            self._at = (self._at + 1) % _REGISTERS

    def listen(self, freq_hz):
        """Take part in a transfer; raises OSError if it is not there."""
        if not self.present:
            raise OSError(errno.ENODEV)
        assert freq_hz <= _FASTEST_HZ

    def _registers(self):
        now = utime.gmtime(self.unix_s())
        hour = _bcd(now[3])
        if self.twelve:
            hour = 0x40 | (0x20 if now[3] >= 12 else 0) | _bcd((now[3] + 11) % 12 + 1)
        out = bytearray(_REGISTERS)
        out[:7] = bytes(
            (_bcd(now[5]), _bcd(now[4]), hour, now[6] + 1, _bcd(now[2]),
             _bcd(now[1]) | self.past["century"], _bcd(now[0] % 100))
        )  # fmt: skip
        out[_CONTROL] = self.past["control"]
        out[_STATUS] = self.past["status"]
        out[17] = 24  # degrees
        out[18] = 0x40
        return out

    def _set(self, registers):
        self.twelve = bool(registers[2] & 0x40)
        self.past["century"] = registers[5] & 0x80
        hour = registers[2] & 0x3F
        if self.twelve:
            hour = _number(registers[2] & 0x1F) % 12 + (12 if registers[2] & 0x20 else 0)
        else:
            hour = _number(hour)
        date = (2000 + _number(registers[6]), max(1, _number(registers[5] & 0x1F)),
                max(1, _number(registers[4])), hour, _number(registers[1]),
                _number(registers[0]))  # fmt: skip
        days = utime.mktime(date[:3] + (0, 0, 0, 0, 0)) - utime.mktime((2000, 1, 1, 0, 0, 0, 0, 0))
        unix_s = _UNIX_2000_S + round(days / 86400) * 86400 + (hour * 60 + date[4]) * 60 + date[5]
        self.past["ahead_ms"] = unix_s * 1000 - vclock.now_ms()


def _bcd(n):
    return n // 10 << 4 | n % 10


def _number(bcd):
    return (bcd >> 4) * 10 + (bcd & 15)
