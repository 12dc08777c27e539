# The error log: what went wrong and when, in two small text files that take turns
# Bounded in size, and in how often it writes: a fault that repeats must not wear out the flash.
import io
import os
import sys
import time

import machine
from app.version import VERSION
from micropython import const

_SIZE = const(4096)  # bytes per file
_ENTRY = const(600)  # characters of an entry; a traceback names the culprit at its end
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
        text = what
        if isinstance(what, Exception):
            out = io.StringIO()
            sys.print_exception(what, out)
            text = out.getvalue().strip()
        if len(text) > _ENTRY:
            text = "..." + text[-_ENTRY:]
        skipped = " (%d not logged)" % self._skipped if self._skipped else ""
        entry = "%s batmon %s boot %d +%d s %s%s: %s\n" % (
            _date(self._clock.unix_s()), VERSION, self.boot, now_s, where, skipped, text
        )  # fmt: skip
        path = self._path + "/errors.txt"
        try:
            full = os.stat(path)[6] + len(entry) > _SIZE
        except OSError:
            full = False  # the first
            try:
                os.mkdir(self._path)
            except OSError:
                pass  # it is there
        if full:
            os.rename(path, self._path + "/errors.old")  # in place of the one before, on FAT too
        with open(path, "a") as f:
            f.write(entry)
        self._skipped = 0


def _date(known):
    if not known:
        return "time unknown,"
    return "%d-%02d-%02d %02d:%02d:%02dZ" % time.gmtime()[:6]
