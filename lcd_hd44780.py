# HD44780 character LCD behind a PCF8574(A) I2C backpack: sends only what changed.
# Runs under asyncio, survives unplugging and glitches; needs no other file of this project.
"""
Use in any MicroPython project:

    import asyncio
    from machine import I2C, Pin
    from lcd_hd44780 import LCD

    async def main():
        # the PCF8574 stops at 100 kHz, and the port's default is 400 kHz
        lcd = LCD(I2C(0, sda=Pin(21), scl=Pin(22), freq=100_000), cols=16, rows=2)
        await lcd.start()
        n = 0
        while True:
            await lcd.draw(("Hello", "%d seconds" % n))
            await lcd.tick()  # brings back a display that was unplugged
            await asyncio.sleep(1)
            n += 1

    asyncio.run(main())

ESP-IDF prints every failed transfer on the console; esp.osdebug(None) keeps it quiet.

Sizes: 16x2, 20x2, 16x4, 20x4. Characters go out as their codes: chr(0)..chr(7) are the custom
glyphs, chr(0xDF) is the degree sign of the usual character ROM (A00).
"""
import asyncio
import struct
import time
from micropython import const

# Backpack wirings: masks of RS, E and the backlight, shift of D4..D7, level that lights.
LCM1602 = (0x01, 0x04, 0x08, 4, 1)  # nearly every backpack: "LCM1602 IIC", "FC-113", YwRobot
MJKDZ = (0x40, 0x10, 0x80, 0, 0)  # "mjkdz", "GY-IICLCD"

_ENODEV = const(19)
_POWER_UP_MS = const(50)  # the controller needs 40
_RESYNC_MS = const(180_000)
_LOOK_MS = const(1000)  # for each address looked at: an ESP32 prints every missing ACK
_REACH = const(3)  # two unchanged cells cost 8 bytes, a run of its own 7 and a start

_HOME = const(0x02)
_ENTRY = const(0x06)  # to the right, no shift
_CONTROL = const(0x08)
_FUNCTION = const(0x28)  # 4 bits, 2 lines, 5x8 dots
_CGRAM = const(0x40)
_BLANK = const(0x20)
_UNKNOWN = const(0x3F)
_RAW = const(84)
_LINE = const("83s")  # 20 characters of at most 4 bytes; the last byte of the buffer stays 0

# PCF8574 and PCF8574A; the addresses that backpacks are sold with come first
_ADDRESSES = b"\x27\x3f\x20\x21\x22\x23\x24\x25\x26\x38\x39\x3a\x3b\x3c\x3d\x3e"


class LCD:
    """A display of `cols` x `rows` characters at I2C address `addr`, or wherever it is found.

    i2c: a bus at no more than 100 kHz; only writeto and, where there is one, readfrom_into
    are used. addr: give it when something else sits at 0x20..0x27 or 0x38..0x3F. wiring:
    `LCM1602` or `MJKDZ`. Nothing here raises when the display is absent: `present` tells,
    `addr` is where it was seen last.
    """

    def __init__(self, i2c, addr=None, cols=16, rows=2, wiring=LCM1602):
        self.cols = cols
        self.rows = rows
        self.present = False
        self.addr = addr
        self._places = _ADDRESSES if addr is None else bytes((addr,))
        self._i2c = i2c
        self._read = getattr(i2c, "readfrom_into", None)
        self._pins = bytearray(1)
        self._rs, self._e, self._light, self._shift, self._lit = wiring
        self._idle = self._light if self._lit else 0
        self._control = _CONTROL | 4
        self._busy = False
        self._synced_ms = 0
        self._looked_ms = None
        self._want = bytearray(b" " * (cols * rows))
        self._glass = bytearray(cols * rows)  # what the display was told to show
        self._raw = bytearray(_RAW)  # a line in UTF-8
        self._font = bytearray(64)
        self._cgram = bytearray(64)
        # rows 2 and 3 go on where rows 0 and 1 end
        self._lines = bytes((0x80, 0xC0, 0x80 + cols, 0xC0 + cols))
        # one transaction: RS low, a command in 4 bytes, RS high, 4 bytes for every character
        self._buf = bytearray(6 + 4 * cols)
        view = memoryview(self._buf)
        # of no character, of one, of even numbers of them: each part takes 32 bytes of memory
        self._parts = tuple(view[: 6 + 4 * n] for n in [0, 1] + list(range(2, cols + 1, 2)))
        self._three = view[:3]
        self._one = view[:1]

    async def start(self):
        """Look for the display and set it up, in about 0.1 s; returns `present`."""
        if not self._busy:
            self._busy = True
            self.present = False
            try:
                if await self._find():
                    await self._setup(_POWER_UP_MS)
            finally:
                self._busy = False
            self._flush(0, self.rows)
        return self.present

    async def tick(self):
        """Call every second or so: brings back a lost display, re-synchronises a present one.

        One that was never seen is looked for every 16 s, one that was lost every second.
        A glitch on the bus can slip a nibble without anybody noticing, so every three minutes
        everything is sent again. That does not flicker.
        """
        self._flush(0, self.rows)
        if not self.present:
            pause_ms = _LOOK_MS * len(self._places)
            if self._looked_ms is None or _since(self._looked_ms) >= pause_ms:
                await self.start()
        elif not self._busy and _since(self._synced_ms) >= _RESYNC_MS:
            self._busy = True
            try:
                await self._setup(0)
            finally:
                self._busy = False
            self._flush(0, self.rows)

    def show(self, lines, glyphs=None):
        """Show `lines`, strings of which each is cut or padded to the width.

        lines may also be a bytearray of cols * rows character codes, row by row. glyphs: 8
        bytes for each of up to eight custom glyphs, rows from the top, bit 4 left; None keeps
        what is there. Only what differs is sent: 1 ms for one character, 8 ms for a row, and about
        as long again to find out what. Without a display the text is kept until there is one.
        """
        self._take(lines, glyphs)
        self._flush(0, self.rows)

    async def draw(self, lines, glyphs=None):
        """As `show`, but other tasks run between the rows: four take longer than they may wait."""
        self._take(lines, glyphs)
        for row in range(self.rows):
            self._flush(row, row + 1)
            await asyncio.sleep_ms(0)

    def _take(self, lines, glyphs):
        if isinstance(lines, bytearray):
            # one by one: on MicroPython 1.25 a slice takes memory
            for i in range(len(lines)):
                self._want[i] = lines[i]
        else:
            self._spell(lines)
        if glyphs is not None:
            for i in range(len(glyphs)):
                self._font[i] = glyphs[i]

    def backlight(self, on):
        """Switch the backlight on or off."""
        idle = self._light if bool(on) == bool(self._lit) else 0
        if idle != self._idle:
            self._idle = idle
            if self.present and not self._busy:
                self._buf[0] = idle
                self._try_send(self._one)

    def display(self, on=True, cursor=False, blink=False):
        """Switch the characters off and on (they are kept), show a cursor or let it blink."""
        self._control = _CONTROL | (4 if on else 0) | (2 if cursor else 0) | (1 if blink else 0)
        if self.present and not self._busy:
            self._frame(self._control)
            self._try_send(self._parts[0])

    def _spell(self, lines):
        want = self._want
        raw = self._raw
        size = len(want)
        at = end = 0
        for line in lines:
            if end == size:
                break
            end += self.cols
            # through a buffer: MicroPython keeps every character that a loop over a str meets
            struct.pack_into(_LINE, raw, 0, line)
            i = 0
            for _ in range(min(self.cols, len(line))):
                code = raw[i]
                i += 1
                if code & 0x80:  # UTF-8: two bytes up to 0xFF, more above
                    code = (code & 3) << 6 | raw[i] & 0x3F if code <= 0xC3 else _UNKNOWN
                    while raw[i] & 0xC0 == 0x80:
                        i += 1
                want[at] = code
                at += 1
            while at < end:
                want[at] = _BLANK
                at += 1
        while at < size:
            want[at] = _BLANK
            at += 1

    async def _find(self):
        self._looked_ms = time.ticks_ms()
        for addr in self._places:
            try:
                self._i2c.writeto(addr, b"")
            except OSError:
                await asyncio.sleep_ms(0)
            else:
                self.addr = addr
                self._places = bytes((addr,))
                return True
        return False

    def _check(self):
        # after the shortest loss of power the backpack has all pins high, also E
        if self._read:
            self._read(self.addr, self._pins)
            if self._pins[0] & self._e:
                raise OSError(_ENODEV)

    async def _setup(self, wait_ms):
        # Works from any state, also in the middle of a byte. Nothing is cleared and the display
        # is switched on last, so that it never shows anything but the text. What was switched
        # off and on in one of the waits is left to the next tick.
        # sleep_ms(n) may end up to 1 ms early, hence the odd numbers.
        done = False
        try:
            self._buf[0] = self._idle
            self._send(self._one)
            await asyncio.sleep_ms(wait_ms)
            self._check()
            self._buf[0] = self._idle
            self._nibble(1, 3)
            self._send(self._three)
            await asyncio.sleep_ms(6)
            self._check()
            # Close together, because for a moment the controller may drive one line only; the
            # spare byte after each nibble makes up the 100 us that it needs.
            self._nibble(1, 3)
            self._nibble(4, 3)
            self._nibble(7, 2)
            self._put(10, _FUNCTION, self._idle)
            self._send(self._parts[2])
            self._command(_HOME)
            await asyncio.sleep_ms(4)
            self._check()
            self._command(_ENTRY)
            self._sync(self._font, self._cgram, 0, 64, _CGRAM, True)
            for row in range(self.rows):
                await asyncio.sleep_ms(0)
                self._check()
                self._sync_row(row, True)
            self._command(self._control)
            self._synced_ms = time.ticks_ms()
            done = True
        except OSError:
            pass
        finally:
            self.present = done

    def _flush(self, first, end):
        if self.present and not self._busy:
            try:
                self._check()
                if self._want == self._glass and self._font == self._cgram:
                    return  # as nearly always: a call of `_sync` takes memory for a while
                if not first:
                    self._sync(self._font, self._cgram, 0, 64, _CGRAM, False)
                for row in range(first, end):
                    self._sync_row(row, False)
            except OSError:
                self.present = False

    def _sync_row(self, row, whole):
        self._sync(self._want, self._glass, row * self.cols, self.cols, self._lines[row], whole)

    def _sync(self, want, have, start, count, command, whole):
        # send the runs of want[start:start + count] that differ from `have`, or the whole
        first = -1
        last = 0
        for i in range(count):
            if whole or want[start + i] != have[start + i]:
                if first >= 0 and (i - last > _REACH or i - first >= self.cols):
                    self._run(want, have, start, first, last, command)
                    first = -1
                if first < 0:
                    first = i
                last = i
        if first >= 0:
            self._run(want, have, start, first, last, command)

    def _run(self, want, have, start, first, last, command):
        # one more character if they are three, five and so on; a row has an even number
        if last > first and not last - first & 1:
            if first & 1:
                first -= 1
            else:
                last += 1
        count = last - first + 1
        start += first
        self._frame(command + first)
        idle = self._idle | self._rs
        self._buf[5] = idle  # RS alone, one byte before E rises
        for i in range(count):
            self._put(6 + 4 * i, want[start + i], idle)
        self._send(self._parts[(count >> 1) + 1])
        for i in range(start, start + count):
            have[i] = want[i]

    def _frame(self, command):
        self._buf[0] = self._idle
        self._put(1, command, self._idle)
        self._buf[5] = self._idle

    def _command(self, command):
        self._frame(command)
        self._send(self._parts[0])

    def _nibble(self, at, nibble):
        nibble = nibble << self._shift | self._idle
        self._buf[at] = nibble | self._e
        self._buf[at + 1] = nibble
        self._buf[at + 2] = nibble

    def _put(self, at, byte, idle):
        buf = self._buf
        e = self._e
        nibble = byte >> 4 << self._shift | idle
        buf[at] = nibble | e
        buf[at + 1] = nibble
        nibble = (byte & 15) << self._shift | idle
        buf[at + 2] = nibble | e
        buf[at + 3] = nibble

    def _send(self, part):
        self._i2c.writeto(self.addr, part)

    def _try_send(self, part):
        try:
            self._send(part)
        except OSError:
            self.present = False


def _since(ticks_ms):
    return time.ticks_diff(time.ticks_ms(), ticks_ms)
