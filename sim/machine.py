# The board's machine module: I2C bus, pins, RTC memory, watchdog, resets
# What survives a reset (RTC memory, the reason) is kept in a file; see `keep`.
import sys

import sysmem
import vclock
from micropython import const

PWRON_RESET = 1
HARD_RESET = 2
WDT_RESET = 3
DEEPSLEEP_RESET = 4
SOFT_RESET = 5

EXT0_WAKE = 2  # what ended a deep sleep
TIMER_WAKE = 4

_ENODEV = const(19)
_RTC_BYTES = const(2048)

i2c_devices = {}  # address -> object with write(buf, freq_hz)
driven = {}  # GPIO -> level that somebody outside gives it: a button
outputs = {}  # GPIO -> level, of those that are outputs
changes = []  # of outputs, as long as the board runs: (ms, GPIO, level)
_memory = bytearray(_RTC_BYTES)
_used = 0  # bytes of it that were written
_cause = PWRON_RESET
woken_by = 0  # see `wake_reason`


class Reset(BaseException):
    """The board resets; nothing may catch it but the virtual board."""


class Pin:
    """A pin of the chip; one of its flash's is the end."""

    IN = 1
    OUT = 3
    OPEN_DRAIN = 7
    PULL_UP = 2

    def __init__(self, number, mode=None, pull=None, value=None):
        chip = sysmem.chip
        if not chip["pins"][0] <= number <= chip["pins"][1]:
            raise ValueError("invalid pin")
        if chip["flash"][0] <= number <= chip["flash"][1]:
            _reset(WDT_RESET)
        self.input_only = chip["inputs"][0] <= number <= chip["inputs"][1]
        if self.input_only and mode is not None:
            raise ValueError("pin can only be input")
        self.number = number
        self._pull = pull
        self._output = mode in (self.OUT, self.OPEN_DRAIN)
        if self._output:
            self.value(value or 0)
        else:
            outputs.pop(number, None)

    def value(self, level=None):
        if level is None:
            level = outputs.get(self.number)
            if level is None or self.number in driven:
                level = driven.get(self.number, 1 if self._pull == self.PULL_UP else 0)
            return level
        if self._output and outputs.get(self.number) != (1 if level else 0):
            outputs[self.number] = 1 if level else 0
            changes.append((vclock.now_ms(), self.number, outputs[self.number]))


def drive(number, level):
    """Give the pin of that number a level from outside, None to let go of it."""
    if level is None:
        driven.pop(number, None)
    else:
        driven[number] = level


class I2C:
    """A bus whose transfers take the time they take: nine clocks a byte."""

    def __init__(self, bus=0, *, scl=None, sda=None, freq=400000, timeout=50000):
        self._freq_hz = freq
        if scl and (scl.input_only or sda.input_only or scl.number == sda.number):
            _reset(HARD_RESET)  # as the newer driver does

    def scan(self):
        vclock.spend_us(112 * 18 * 1000000 // self._freq_hz)
        return sorted(a for a in i2c_devices if i2c_devices[a].present)

    def writeto(self, addr, buf, stop=True):
        device = i2c_devices.get(addr)
        if device is None or not device.present:
            vclock.spend_us(9 * 1000000 // self._freq_hz)
            raise OSError(_ENODEV)
        device.write(buf, self._freq_hz)
        vclock.spend_us((len(buf) + 1) * 9 * 1000000 // self._freq_hz)
        return len(buf)

    def readfrom_into(self, addr, buf, stop=True):
        device = i2c_devices.get(addr)
        if device is None or not device.present:
            vclock.spend_us(9 * 1000000 // self._freq_hz)
            raise OSError(_ENODEV)
        device.read_into(buf, self._freq_hz)
        vclock.spend_us((len(buf) + 1) * 9 * 1000000 // self._freq_hz)


class RTC:
    def memory(self, data=None):
        global _used
        if data is None:
            return bytes(memoryview(_memory)[:_used])
        if len(data) > _RTC_BYTES:
            raise ValueError("buffer too long")
        _used = len(data)
        _memory[:_used] = data

    def datetime(self, value=None):
        import time

        if value is None:
            t = time.gmtime()
            return (t[0], t[1], t[2], t[6], t[3], t[4], t[5], 0)
        y, mo, d, _, h, mi, s, us = value
        unix_s = time.mktime((y, mo, d, h, mi, s, 0, 0)) + 946684800
        vclock.set_rtc(unix_s * 1000 + us // 1000)


class WDT:
    """Resets the board when it is not fed in time; there is one, and making it again resets it."""

    _bite = None
    _timeout_ms = 0

    def __init__(self, id=0, timeout=5000):
        WDT._timeout_ms = timeout
        self.feed()

    def feed(self):
        if WDT._bite:
            vclock.cancel(WDT._bite)
        WDT._bite = vclock.call_later(WDT._timeout_ms, _reset, WDT_RESET)


def reset():
    _reset(HARD_RESET)


def soft_reset():
    _reset(SOFT_RESET)


def deepsleep(time_ms=0):
    """Switch all off but the slow clock and RTC memory, until that time by this clock is over.

    Or until somebody presses the button, if esp32.wake_on_ext0 asked for it.
    """
    reset = Reset(DEEPSLEEP_RESET)
    reset.sleep_ms = time_ms
    raise reset


def wake_reason():
    return woken_by if _cause == DEEPSLEEP_RESET else 0


def panic(words):
    """The system gives up; the chip restarts, and says that it was a hard reset."""
    print("Guru Meditation Error:", words)
    raise Reset(HARD_RESET, words)


def unique_id():
    return b"\x24\x6f\x28\x00\x00\x01"


def reset_cause():
    return _cause


def power_on(path):
    """Start from what the file `path` kept over the last reset; no file means power-on.

    So does an empty one, left by a board that was killed as it wrote it.
    """
    global _used, _cause
    try:
        with open(path, "rb") as f:
            cause = f.read(1)
            if cause:
                _cause = cause[0]
                _used = f.readinto(_memory)
    except OSError:
        pass


def _reset(cause):
    raise Reset(cause)


def strike(cause):
    """Reset the board from outside: its power is cut, or it hangs."""
    _reset(cause)


def keep(path, reset):
    """Write to the file `path` what outlives the Reset `reset`: with the power all is gone, and
    the reset button (EN) is the same to the chip."""
    cause = reset.args[0]
    with open(path, "wb") as f:
        f.write(bytes((cause,)))
        if cause != PWRON_RESET:
            f.write(memoryview(_memory)[:_used])


class _Implementation:
    name = "micropython"
    _mpy = sys.implementation._mpy


class _Sys:
    """The module sys of a board; what is not about the board is the interpreter's."""

    platform = "esp32"
    implementation = _Implementation

    def __getattr__(self, name):
        return getattr(sys, name)


def pretend(machine, version):
    """Be the board `machine`, as MicroPython names it, with MicroPython `version`."""
    _Implementation._machine = machine
    _Implementation.version = tuple(version)
    sys.modules["sys"] = _Sys()
