# The board's two clocks: uptime, which only grows, and UTC, which may be unknown
import time

from micropython import const

_UNIX_2000_S = const(946684800)
_KNOWN_S = const(1704067200)  # 2024: an earlier date is a clock nobody has set


class Clock:
    """Uptime, which is `uptime_s` when this object is made, and unix time."""

    def __init__(self, uptime_s=0):
        self._ticks = time.ticks_ms()
        # apart from the milliseconds, which would outgrow a small int in 12 days
        self._s = uptime_s
        self._ms = 0
        # boards count from 2000, the unix port from 1970
        self._epoch_s = _UNIX_2000_S if time.gmtime(0)[0] == 2000 else 0

    def uptime_ms(self):
        """Return milliseconds; must be called at least every 6 days (ticks wrap after 12)."""
        return self.uptime_s() * 1000 + self._ms

    def uptime_s(self):
        """Return whole seconds; the same holds."""
        ticks = time.ticks_ms()
        passed = time.ticks_diff(ticks, self._ticks) + self._ms
        self._ticks = ticks
        self._s += passed // 1000
        self._ms = passed % 1000
        return self._s

    def unix_s(self):
        """Return UTC seconds since 1970, or 0 while nobody has set the clock."""
        now_s = time.time() + self._epoch_s
        return now_s if now_s >= _KNOWN_S else 0
