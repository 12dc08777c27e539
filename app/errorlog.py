# The error log: what went wrong and when, in two small text files that take turns
# Bounded in how often it writes: a fault that repeats must not wear out the flash.
import os
import sys

import machine
from micropython import const

_AT_ONCE = const(12)  # entries that may come together
_REFILL_S = const(600)  # one more after so long


class ErrorLog:
    """Writes `errors.txt` in the folder `path`; when that is full it becomes `errors.old`.

    `clock` has `uptime_s()` and `unix_s()` (0 = unknown). Set `boot` as soon as the boot's
    number is known. Nothing here raises: what cannot be written is lost.
    """

    def __init__(self, path, clock):
        self.boot = 0
        self._path = path
        self._clock = clock
        self._credit = _AT_ONCE
        self._credit_s = clock.uptime_s()
        self._skipped = 0

    def note(self, where, what):
        """Log `what`, an exception or a sentence, that happened in the part `where`."""
        try:
            self._note(where, what)
        except Exception:
            self._skipped += 1  # no memory, or the flash is full or broken

    def restart(self, reason):
        """Reset the board; the next boot's `why()` tells the reason, a sentence."""
        self._credit += 1
        self.note("restart", reason)
        try:
            with open(self._path + "/restart.txt", "w") as f:
                f.write(reason)
        except Exception:
            pass  # then only the reset cause tells
        machine.reset()

    def why(self):
        """The reason of the `restart` that led to this boot, "" if there was none."""
        path = self._path + "/restart.txt"
        try:
            with open(path) as f:
                reason = f.read(80)
            os.remove(path)
        except (OSError, UnicodeError):
            return ""
        return reason

    def _note(self, where, what):
        now_s = self._clock.uptime_s()
        earned = (now_s - self._credit_s) // _REFILL_S
        self._credit_s += earned * _REFILL_S
        self._credit = min(_AT_ONCE, self._credit + earned)
        if self._credit <= 0:
            self._skipped += 1
            return
        self._credit -= 1
        if self._skipped:
            where = "%s (%d not logged)" % (where, self._skipped)
        try:
            from app import errorfile  # here, because it takes memory and is hardly ever wanted

            errorfile.write(self._path, self._clock, self.boot, where, what)
        finally:
            del sys.modules["app.errorfile"], sys.modules["app"].errorfile
        self._skipped = 0
