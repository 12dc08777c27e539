# Sets the board's clock; loaded for that and dropped
import time

import machine
from micropython import const

_UNIX_2000_S = const(946684800)


def set_clock(unix_ms):
    """Set the board's clock, UTC, to milliseconds since 1970."""
    epoch_s = _UNIX_2000_S if time.gmtime(0)[0] == 2000 else 0
    now = time.gmtime(unix_ms // 1000 - epoch_s)
    us = unix_ms % 1000 * 1000
    machine.RTC().datetime((now[0], now[1], now[2], now[6], now[3], now[4], now[5], us))
