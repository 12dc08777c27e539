# The board's time module on the virtual clock, with the ESP32's habits:
# the epoch is 2000, ticks wrap after 2**30 ms, an unset clock starts at the epoch at power-on.
import utime
import vclock
from micropython import const

_MASK = const((1 << 30) - 1)
_HALF = const(1 << 29)
_EPOCH_2000 = const(946684800)


def ticks_ms():
    return vclock.now - vclock.boot & _MASK


def ticks_us():
    return vclock.uptime_us() & _MASK


ticks_cpu = ticks_us


def ticks_add(ticks, delta):
    return (ticks + delta) & _MASK


def ticks_diff(a, b):
    return ((a - b + _HALF) & _MASK) - _HALF


def sleep_ms(ms):
    vclock.sleep_ms(max(0, ms))


def sleep_us(us):
    vclock.spend_us(max(0, us))


def sleep(s):
    vclock.sleep_ms(int(s * 1000))


def time():
    rtc = vclock.rtc_ms()
    return (vclock.now - vclock.unset) // 1000 if rtc is None else rtc // 1000 - _EPOCH_2000


def time_ns():
    return time() * 1000000000


def gmtime(secs=None):
    return utime.gmtime((time() if secs is None else secs) + _EPOCH_2000)


localtime = gmtime


def mktime(t):
    # the host counts local time from 1970; the board has no time zone
    days = 0
    for year in range(2000, t[0]):
        days += 366 if _leap(year) else 365
    for month in range(1, t[1]):
        days += (31, 29 if _leap(t[0]) else 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)[month - 1]
    return ((days + t[2] - 1) * 24 + t[3]) * 3600 + t[4] * 60 + t[5]


def _leap(year):
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
