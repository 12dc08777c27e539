# An HD44780 LCD behind a PCF8574 I2C backpack, as the bus sees it
# Checks every edge against the data sheets; draws what the eye would see.
import vclock
from micropython import const

_BUS_HZ = const(100000)  # the PCF8574's limit
_POWER_UP_US = const(40000)
_SHORT_US = const(37)
_WRITE_US = const(41)
_LONG_US = const(1520)
_FIRST_INIT_US = const((4100, 100))  # the first two function sets after power-on

_ENODEV = const(19)
_ETIMEDOUT = const(110)
_TIMEOUT_US = const(50000)  # the bus driver's default
_VIOLATIONS_MAX = const(16)
# what the module remembers while the board sleeps: memory, modes, the backpack's pins
_KEPT = (
    "_latch", "_ddram", "_cgram", "_address", "_in_cgram", "_wide", "_high", "_two_lines", "_on",
    "_step", "_shifts", "_scroll", "_inits", "_undefined",
)  # fmt: skip

# masks of RS, RW, E, backlight, shift of D4..D7, level that lights
WIRINGS = {
    "lcm1602": (0x01, 0x02, 0x04, 0x08, 4, 1),
    "mjkdz": (0x40, 0x20, 0x10, 0x80, 0, 0),
}

_LEVELS = const("▁▂▃▅▆▇")
_LOOKS = {
    b"\x00\x0a\x1f\x1f\x0e\x04\x00\x00": "♥",
    b"\x00\x04\x04\x0a\x0a\x11\x1f\x00": "Δ",
}


class LCD:
    """A module of `cols` x `rows` characters; `machine.i2c_devices[addr] = LCD(...)` connects it.

    violations: what a real module might not have understood, one sentence each.
    bytes, transfers: what went over the bus, address bytes included.
    """

    def __init__(self, cols=16, rows=2, wiring="lcm1602"):
        self.cols = cols
        self.rows = rows
        self.present = True
        self.violations = []
        self.stalled = False  # every transfer times out
        self.on_change = None  # called after every transfer
        self.bytes = 0
        self.transfers = 0
        self._rs, self._rw, self._e, self._light, self._shift, self._lit = WIRINGS[wiring]
        self._end_us = 0
        self._break = -1
        self.power_cycle()

    # faults

    def unplug(self):
        """Take the module off its wires; the bus no longer answers."""
        self.present = False

    def plug(self):
        """Put it back; it comes up as after power-on."""
        self.present = True
        self.power_cycle()

    def power_cycle(self):
        """Switch the supply off and on: all is forgotten, the backpack's pins go high."""
        self._latch = 0xFF
        self._undefined = True  # E may be high by itself, until the backpack is written to
        self._ddram = bytearray(b" " * 80)
        self._cgram = bytearray(b"\x15\x0a" * 32)  # whatever the memory wakes up with
        self._address = 0
        self._in_cgram = False
        self._wide = True  # 8-bit interface
        self._high = -1  # the nibble that waits for its other half
        self._two_lines = False
        self._on = False
        self._step = 1
        self._shifts = False
        self._scroll = 0
        self._inits = 0
        self._busy_us = vclock.now_us() + _POWER_UP_US

    def kept(self):
        """Return what it remembers as plain data; its supply is not the board's."""
        out = {}
        for name in _KEPT:
            value = getattr(self, name)
            out[name] = list(value) if isinstance(value, bytearray) else value
        return out

    def take_back(self, kept):
        """Be as `kept` said."""
        for name in kept:
            value = kept[name]
            setattr(self, name, bytearray(value) if isinstance(value, list) else value)
        self._busy_us = self._end_us = 0

    def break_off(self, after):
        """The next transfer ends after `after` of its bytes, with an OSError."""
        self._break = after

    def slip(self):
        """A glitch on E: the controller takes one nibble too many."""
        self._nibble(self._latch >> self._shift & 15, self._latch & self._rs, vclock.now_us())

    # the bus

    def write(self, buf, freq_hz):
        """Take the bytes of one transaction; OSError when the module is not there."""
        self._listen()
        if freq_hz > _BUS_HZ:
            self._violation("%d Hz is too fast for the backpack" % freq_hz)
        broken = self._break >= 0
        if broken:
            buf = bytes(buf)[: self._break]
            self._break = -1
        self.bytes += 1 + len(buf)
        self.transfers += 1
        byte_us = 9000000 // freq_hz
        t_us = max(vclock.now_us(), self._end_us) + byte_us
        latch = self._latch
        e = self._e
        select = self._rs | self._rw
        for byte in buf:
            t_us += byte_us
            if latch & e:
                if (byte ^ latch) & ~(e | self._light) and not self._undefined:
                    self._violation("RS, RW or data changed while E was high")
                if not byte & e:
                    if not latch & self._rw:
                        self._nibble(latch >> self._shift & 15, latch & self._rs, t_us)
                    elif not self._undefined:
                        self._violation("read cycle")
            elif byte & e:
                if (byte ^ latch) & select:
                    self._violation("RS or RW changed together with E rising")
                if t_us < self._busy_us and self._high < 0:
                    self._violation("%d us too early" % (self._busy_us - t_us))
            latch = byte
            self._undefined = False
        self._latch = latch
        self._end_us = t_us
        if broken:
            self._undefined = True
            raise OSError(_ETIMEDOUT)
        if self.on_change:
            self.on_change()

    def _listen(self):
        if not self.present:
            raise OSError(_ENODEV)
        if self.stalled:
            vclock.spend_us(_TIMEOUT_US)
            raise OSError(_ETIMEDOUT)

    def read_into(self, buf, freq_hz):
        """Fill `buf` with what the backpack's pins are at; takes no memory, for it is often."""
        self._listen()
        self.bytes += 1 + len(buf)
        self.transfers += 1
        for i in range(len(buf)):
            buf[i] = self._latch

    def _nibble(self, nibble, rs, t_us):
        if self._wide:
            byte = nibble << 4 | 15  # D0..D3 are not connected and pulled up
        elif self._high < 0:
            self._high = nibble
            return
        else:
            byte = self._high << 4 | nibble
            self._high = -1
        self._busy_us = t_us + (self._data(byte) if rs else self._command(byte))

    def _data(self, byte):
        if self._in_cgram:
            self._cgram[self._address & 63] = byte & 31
            self._address = self._address + self._step & 63
        else:
            self._ddram[self._index(self._address)] = byte
            self._move(self._step)
            if self._shifts:
                self._scroll += self._step
        return _WRITE_US

    def _command(self, byte):
        if byte & 0x80:
            self._in_cgram = False
            self._address = byte & 0x7F
        elif byte & 0x40:
            self._in_cgram = True
            self._address = byte & 0x3F
        elif byte & 0x20:
            self._wide = bool(byte & 0x10)
            self._two_lines = bool(byte & 8)
            self._inits += 1
            if self._inits <= len(_FIRST_INIT_US):
                return _FIRST_INIT_US[self._inits - 1]
        elif byte & 0x10:
            step = 1 if byte & 4 else -1
            if byte & 8:
                self._scroll -= step
            else:
                self._move(step)
        elif byte & 8:
            self._on = bool(byte & 4)
        elif byte & 4:
            self._step = 1 if byte & 2 else -1
            self._shifts = bool(byte & 1)
        elif byte:
            if byte == 1:
                self._ddram[:] = b" " * 80
                self._step = 1
            self._in_cgram = False
            self._address = self._scroll = 0
            return _LONG_US
        return _SHORT_US

    def _move(self, step):
        address = self._address + step
        if not self._two_lines:
            address %= 80
        elif address == 0x28:
            address = 0x40
        elif address == 0x68:
            address = 0
        elif address == 0x3F:
            address = 0x27
        elif address < 0:
            address = 0x67
        self._address = address & 0x7F

    def _index(self, address):
        if not self._two_lines:
            return address % 80
        if address & 0x3F >= 0x28:
            self._violation("no memory at 0x%02x" % address)
        return (40 if address & 0x40 else 0) + (address & 0x3F) % 40

    def _violation(self, sentence):
        if len(self.violations) < _VIOLATIONS_MAX:
            self.violations.append("%s at %d us" % (sentence, vclock.now_us()))

    # the eye

    def _row(self, row):
        line = row & 1
        if not self._on or not self.present or (line and not self._two_lines):
            return b" " * self.cols
        start = self.cols * (row >> 1) + self._scroll
        return bytes(self._ddram[40 * line + (start + i) % 40] for i in range(self.cols))

    def text(self):
        """Return the rows as seen, custom glyphs as characters that resemble them."""
        return ["".join(self._char(code) for code in self._row(r)) for r in range(self.rows)]

    def _char(self, code):
        if code >= 16:
            return chr(code) if code < 0x7F else "·"
        glyph = bytes(self._cgram[8 * (code & 7) : 8 * (code & 7) + 8])
        if glyph in _LOOKS:
            return _LOOKS[glyph]
        # by how many of its inner rows are full: what a battery or a bar looks like
        return _LEVELS[sum(row == 31 for row in glyph[2:7])]

    def snapshot(self):
        """Return what is seen as plain data: {"cols", "rows", "cells", "cgram", "backlight"}.

        cells: a list of character codes for each row; cgram: 64 rows of 5 dots, bit 4 left.
        """
        return {
            "cols": self.cols,
            "rows": self.rows,
            "cells": [list(self._row(r)) for r in range(self.rows)],
            "cgram": list(self._cgram),
            "backlight": self.is_lit(),
        }

    def is_lit(self):
        """Return whether the backlight is on."""
        return self.present and bool(self._latch & self._light) == bool(self._lit)
