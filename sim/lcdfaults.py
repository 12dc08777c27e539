# Faults of the display and its wires, at random, and a judge of what is on the glass after them
import sys

import vclock
from micropython import const

_HEAL_MS = const(5_000)  # from the end of the cause until the glass is right
_RESYNC_MS = const(190_000)  # the same for what nobody can notice
_WRONG_MAX = const(16)


class Faults:
    """Disturbs `module` every `mean_s` on average, for ever; `seed` decides how.

    It is unplugged for `out_s` at times; everything else is shorter.

    counts: how often each kind has been judged. wrong: a sentence for each time that the glass
    did not show what the driver was asked to show.
    """

    def __init__(self, module, seed, mean_s, out_s):
        self.counts = {}
        self.wrong = []
        self._module = module
        self._state = seed
        self._mean_ms = mean_s * 1000
        self._out_ms = out_s * 1000
        self._spied = False
        self._asked = None  # the text, None while it is drawn
        self._kind = None
        self._bad = False  # the fault is there, or was there a moment ago
        self._later(self._random(2 * self._mean_ms))

    def _random(self, n):
        self._state = (self._state * 1103515245 + 12345) & 0x7FFFFFFF
        return (self._state >> 8) % n

    def _later(self, wait_ms):
        vclock.call_later(wait_ms, self._begin)

    def _begin(self):
        if not self._spied:
            if "lcd_hd44780" not in sys.modules:  # the board is still starting
                self._later(self._mean_ms)
                return
            self._spied = True
            self._spy()
        self._judge("before the next fault")  # what is right must stay right
        module = self._module
        self._kind = kind = ("nack", "timeout", "torn", "slip", "power", "out")[self._random(6)]
        self._bad = True
        # mostly short: the shortest are over before anybody looks
        long_ms = 1 + self._random(1 << 2 * self._random(8))
        heal_ms = _HEAL_MS
        if kind == "nack":
            module.present = False
        elif kind == "timeout":
            module.stalled = True
        elif kind == "torn":
            long_ms = 1
            module.break_off(self._random(40))
        elif kind == "slip":
            long_ms = 1
            heal_ms = _RESYNC_MS
            module.slip()
        elif kind == "power":
            module.unplug()
        else:
            module.unplug()
            long_ms = self._out_ms
        vclock.call_later(long_ms, self._end, heal_ms)

    def _end(self, heal_ms):
        module = self._module
        if self._kind in ("power", "out"):
            module.plug()
        module.present = True
        module.stalled = False
        vclock.call_later(heal_ms, self._healed)

    def _healed(self):
        if self._kind == "slip":
            self._module.violations.clear()
        self._bad = False
        self.counts[self._kind] = self.counts.get(self._kind, 0) + 1
        self._judge("after")
        self._later(self._random(2 * self._mean_ms))

    def violations(self):
        """Return the module's; but a slipped controller may be told anything."""
        return [] if self._kind == "slip" and self._bad else self._module.violations

    def _judge(self, when):
        seen = b"".join(bytes(row) for row in self._module.snapshot()["cells"])
        if self._kind and self._asked not in (None, seen) and len(self.wrong) < _WRONG_MAX:
            self.wrong.append("%s %s: %s at %d ms" % (when, self._kind, seen, vclock.now))
        if self._module.violations and len(self.wrong) < _WRONG_MAX:
            self.wrong.append("%s %s: %s" % (when, self._kind, self._module.violations))

    def _spy(self):
        # note what the driver is asked to show
        driver = sys.modules["lcd_hd44780"].LCD
        draw = driver.draw

        async def noting(self_, lines, glyphs=None):
            self._asked = None
            await draw(self_, lines, glyphs)
            self._asked = bytes(lines)

        driver.draw = noting
