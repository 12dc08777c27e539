# What the display says: sample and state in, the characters of the glass out
# Every number keeps its columns; a refresh makes no new text, so it seldom wakes the collector.
import sys

from micropython import const

# Eight custom glyphs of 8 bytes: chr(0)..chr(5) a battery that fills, chr(6) heart, chr(7) delta.
GLYPHS = (
    b"\x0e\x1f\x11\x11\x11\x11\x11\x1f"
    b"\x0e\x1f\x11\x11\x11\x11\x1f\x1f"
    b"\x0e\x1f\x11\x11\x11\x1f\x1f\x1f"
    b"\x0e\x1f\x11\x11\x1f\x1f\x1f\x1f"
    b"\x0e\x1f\x11\x1f\x1f\x1f\x1f\x1f"
    b"\x0e\x1f\x1f\x1f\x1f\x1f\x1f\x1f"
    b"\x00\x0a\x1f\x1f\x0e\x04\x00\x00"
    b"\x00\x04\x04\x0a\x0a\x11\x1f\x00"
)
_HEART = const(6)
_FULL = const(5)  # the last of the battery glyphs
_BLANK = const(32)
_WIDE = const(20)

_PAGE_S = const(4)
_STALE_S = const(15)  # older data are marked
_GONE_S = const(600)  # older data are not shown
_LOW_SOC = const(10)
_DEGREE = const(0xDF)  # in the usual character ROM, A00
_REST_A = 0.05  # no time to empty or full below this current

# What the last line turns through, _PAGE_S for each: Volts and amps, Cells, Which cells, Time
# left, Spread, Log, last Flush. Four rows have the first two above it.
_VOLTS = const(0x56)
_CELLS = const(0x43)
_WHICH = const(0x57)
_SPREAD = const(0x53)
_TIME = const(0x54)
_FLUSH = const(0x46)
_TURNS = {
    (16, 2): b"VCWTVCWSVCWTVCWLVCWTVCWF",
    (20, 2): b"VCWTVCWLVCWTVCWF",
    (16, 4): b"TWSLTWSF",
    (20, 4): b"TWLTWF",
}

# Places in the list of numbers: centivolts, centiamperes, watts, hundreds of watts, %, degrees,
# millivolts and numbers of the lowest and the highest cell, minutes that are left
_CV = const(0)
_CA = const(1)
_W = const(2)
_HW = const(3)
_SOC = const(4)
_DEG = const(5)
_LOW = const(6)
_HIGH = const(7)
_LOW_AT = const(8)
_HIGH_AT = const(9)
_MINUTES = const(10)


class Screen:
    """The text of a glass of `cols` x `rows` characters, 16 or 20 by 2 or 4.

    With a BMS that is asked every `poll_s`, data of the last two polls are not marked as old.
    It depends on what `render` is given and nothing else; what is kept is kept to save work.
    """

    def __init__(self, cols, rows, poll_s=2):
        self.cols = cols
        self.rows = rows
        self._stale_s = max(_STALE_S, int(2 * poll_s))
        self.text = bytearray(cols * rows)
        self._at = 0
        self._turns = _TURNS[cols, rows]
        self._sample = None  # whose numbers these are
        self._n = [None] * 11
        self._goal = b"time     "
        self._said = ["", "", ""]  # message, link and alarm, and the lines they make
        self._lines = [(), (), ()]

    def render(self, sample, status, tick_s):
        """Return `text`, character codes row by row, for `LCD.show(text, GLYPHS)`.

        sample: the BMS driver's dict (V, A, W, %, degC, Ah, s) or None, a new one for new
        data; missing, absurd or NaN values become dashes. status: link (words), beats
        (samples so far), age_s (of the sample, or None), message (sentence for the user or
        ""), alarm (words, a line for each, or ""), seen (the alarm that was acknowledged: it
        does not blink), past (words of a fault that is over),
        frames (stored), days_stored, days_left, flushed_s (since the last flush; these three
        may be None). tick_s: seconds of any clock; pages turn with it.
        """
        text = self.text
        for i in range(len(text)):
            text[i] = _BLANK
        slot = tick_s // _PAGE_S
        message = self._wrapped(0, status.message)
        age_s = status.age_s
        if sample is None or (age_s is not None and age_s > _GONE_S):
            self._words_only(message, status, slot)
            return text
        if sample is not self._sample:
            self._take(sample)
        pages = (len(message) + 1) // 2
        # the whole sentence, then two pages of values, other ones each time
        turn = slot // (pages + 2)
        place = slot % (pages + 2)
        if place >= pages:
            turn = 2 * turn + place - pages
        said = place < pages
        if not said or self.rows > 2:
            self._values(status, tick_s, turn)
        if said:
            start = (self.rows - 2) * self.cols
            for i in range(start, len(text)):
                text[i] = _BLANK
            self._page(message, place, 2)
        return text

    def _words_only(self, message, status, slot):
        rows = self.rows
        link = self._wrapped(1, status.link)
        pages = (len(message) + rows - 1) // rows
        total = pages + (len(link) + rows - 1) // rows
        slot %= max(1, total + (status.age_s is not None))
        if slot < pages:
            self._page(message, slot, rows)
        elif slot < total:
            self._page(link, slot - pages, rows)
        elif status.age_s is not None:
            self._at = 0
            self._put(b"last data")
            self._at = self.cols
            self._ago(status.age_s)
            self._put(b" ago")

    def _page(self, lines, page, rows):
        # onto the lowest `rows` of the glass
        at = (self.rows - rows) * self.cols
        for i in range(page * rows, min(len(lines), page * rows + rows)):
            self._at = at
            self._put(lines[i])
            at += self.cols

    def _values(self, status, tick_s, turn):
        stale = status.age_s is None or status.age_s > self._stale_s
        alarm = self._wrapped(2, status.alarm or status.past)
        # a picture that moves would look alive
        self._head(status.beats, status.alarm and status.alarm != status.seen, stale, tick_s)
        if self.rows > 2:
            self._line(1, _VOLTS, status)
            self._line(2, _CELLS, status)
        last = self.rows - 1
        self._at = last * self.cols
        if stale:
            link = self._wrapped(1, status.link)
            count = len(link) + (status.age_s is not None)
            turn %= max(1, count)
            if turn < len(link):
                self._put(link[turn])
            elif count:
                self._put(b"data ")
                self._ago(status.age_s)
                self._put(b" old")
        elif alarm and turn & 1:
            self._put(alarm[(turn >> 1) % len(alarm)])
        else:
            if alarm:
                turn >>= 1
            self._line(last, self._turns[turn % len(self._turns)], status)

    def _head(self, beats, alarm, stale, tick_s):
        n = self._n
        text = self.text
        soc = n[_SOC]
        if soc is not None:
            level = max(0, min(_FULL, (soc + 10) // 20))
            if stale:
                text[0] = level
            elif n[_CA] is not None and n[_CA] > 5:
                text[0] = level + tick_s % (_FULL + 1 - level)  # fills while charging
            elif soc > _LOW_SOC or not tick_s & 1:
                text[0] = level  # blinks when low
        if stale:
            text[1] = 0x3F
        elif beats & 1:
            text[1] = _HEART
        elif alarm:
            text[1] = 0x21
        self._at = 2
        self._number(soc, 3)
        self._put(b" % ")
        if self.cols >= _WIDE:
            self._number(n[_DEG], 3)
            self._sign(_DEGREE)
        if n[_W] is not None and abs(n[_W]) > 9999:
            self._number(n[_HW], 6, 1, True)
            self._put(b"kW")
        else:
            self._number(n[_W], 6, 0, True)
            self._unit(0x57)  # W

    def _line(self, row, page, status):
        n = self._n
        wide = self.cols >= _WIDE
        self._at = row * self.cols
        if page == _VOLTS:
            self._number(n[_CV], 5, 2)
            self._unit(0x56)  # V
            self._at += self.cols - 15
            self._number(n[_CA], 6, 2, True)
            self._unit(0x41)  # A
        elif page == _CELLS:
            self._number(n[_LOW], 4)
            self._sign(0x2F)  # /
            self._number(n[_HIGH], 4)
            self._put(b"mV  \x07" if wide else b"mV ")
            if wide:
                self._spread(b"mV")
            else:
                self._number(n[_DEG], 3)
                self._sign(_DEGREE)
        elif page == _WHICH:
            if n[_LOW_AT] is None:
                self._put(b"cells unknown" if n[_LOW] is None else b"which: not told")
                return
            self._put(b"low #")
            self._left(n[_LOW_AT])
            self._put(b" high #")
            self._left(n[_HIGH_AT])
        elif page == _SPREAD:
            self._put(b"spread   ")
            self._spread(b" mV")
        elif page == _TIME:
            self._time_left()
        elif page == _FLUSH:
            self._put(b"saved ")
            self._ago(status.flushed_s)
            self._put(b" ago")
        elif status.days_left is None and status.days_stored is None:
            self._put(b"log ")
            self._frames(status.frames)
        elif wide:
            self._put(b"log")
            self._number(status.days_stored, 5)
            self._put(b"d room")
            self._number(status.days_left, 5)
            self._sign(0x64)  # d
        else:
            self._put(b"room for")
            self._number(status.days_left, 5)
            self._unit(0x64)  # d

    def _spread(self, unit):
        n = self._n
        self._number(None if n[_LOW] is None else n[_HIGH] - n[_LOW], 4)
        self._put(unit)

    def _time_left(self):
        # 14 characters
        minutes = self._n[_MINUTES]
        self._put(self._goal)
        if self._goal[-1] != _BLANK:
            return
        if minutes is None:
            self._put(b"--h--")
        elif minutes < 6000:
            self._number(minutes // 60, 2)
            self._sign(0x68)  # h
            self._number(minutes % 60 // 10, 1)
            self._number(minutes % 10, 1)
        else:
            self._number(min(minutes // 1440, 9999), 4)
            self._sign(0x64)  # d

    def _frames(self, frames):
        # 8 characters
        if frames < 1000000:
            self._number(frames, 6)
            self._put(b"fr")
        else:
            self._number(frames // 1000, 5)
            self._put(b"kfr")

    def _ago(self, seconds):
        # 4 to 8 characters, 6 at most up to 99 days
        if seconds is None:
            self._put(b"-- min")
        elif seconds < 100:
            self._number(seconds, 2)
            self._unit(0x73)  # s
        elif seconds < 6000:
            self._number(seconds // 60, 2)
            self._put(b" min")
        elif seconds < 360000:
            self._number(seconds // 3600, 2)
            self._unit(0x68)  # h
        else:
            days = seconds // 86400
            self._number(days, 2 if days < 100 else 4)
            self._unit(0x64)  # d

    def _left(self, n):
        # left-aligned in two columns
        self._number(n, 1 if n < 10 else 2)
        self._at += n < 10

    def _number(self, n, width, places=0, plus=False):
        # `n` without its decimal point, right-aligned, with as many of its `places` as fit
        text = self.text
        at = self._at = self._at + width
        if n is not None:
            sign = 0x2D if n < 0 else 0x2B if plus and n else 0
            room = width - 1 if sign else width
            n = abs(n)
            while places and n >= 10 ** (room - 1):
                n = (n + 5) // 10
                places -= 1
            if n < 10**room:
                while True:
                    at -= 1
                    text[at] = 0x30 + n % 10
                    n //= 10
                    if places:
                        places -= 1
                        if not places:
                            at -= 1
                            text[at] = 0x2E
                    elif not n:
                        break
                if sign:
                    text[at - 1] = sign
                return
        dashes = b"--.--" if places else b"--" if width > 1 else b""
        self._at = at - len(dashes)
        self._put(dashes)

    def _unit(self, code):
        # behind a blank
        self._at += 1
        self._sign(code)

    def _sign(self, code):
        # a text of one character would take 32 bytes of memory
        self.text[self._at] = code
        self._at += 1

    def _put(self, words):
        # one by one: on MicroPython 1.25 a slice takes memory
        text = self.text
        at = self._at
        for code in words:
            text[at] = code
            at += 1
        self._at = at

    def _wrapped(self, i, words):
        # the lines of `words`, made when they change
        if words != self._said[i]:
            self._said[i] = words
            from screen import wrap  # they hardly ever do

            del sys.modules["screen.wrap"], sys.modules["screen"].wrap
            self._lines[i] = wrap.wrap(words, self.cols)
        return self._lines[i]

    def _take(self, sample):
        # turn the sample into whole numbers, once
        self._sample = sample
        n = self._n
        n[_CV] = _scaled(sample.get("voltage"), 100)
        n[_CA] = _scaled(sample.get("current"), 100)
        n[_W] = _scaled(sample.get("power"), 1)
        n[_HW] = _scaled(sample.get("power"), 0.01)
        n[_SOC] = _scaled(sample.get("battery_level"), 1)
        n[_DEG] = _scaled(sample.get("temperature"), 1)
        low = high = None
        at = 0
        for cell in sample.get("cell_voltages") or ():
            at += 1
            if _is_number(cell) and 0 <= cell < 9.9995:
                if low is None or cell < low:
                    low = cell
                    n[_LOW_AT] = at
                if high is None or cell > high:
                    high = cell
                    n[_HIGH_AT] = at
        if low is None or sample.get("extremes"):
            n[_LOW_AT] = n[_HIGH_AT] = None
        n[_LOW] = _scaled(low, 1000)
        n[_HIGH] = _scaled(high, 1000)
        n[_MINUTES] = None
        current = sample.get("current")
        charge = sample.get("cycle_charge")
        if not _is_number(current):
            self._goal = b"time     "
        elif abs(current) < _REST_A:
            self._goal = b"at rest"
        elif current > 0:
            self._goal = b"full in  "
            capacity = sample.get("design_capacity")
            if n[_SOC] is not None and n[_SOC] >= 100:
                self._goal = b"full"
            elif _is_number(capacity) and _is_number(charge):
                n[_MINUTES] = _minutes((capacity - charge) / current)
        else:
            self._goal = b"empty in "
            runtime_s = sample.get("runtime")
            if _is_number(runtime_s):
                n[_MINUTES] = _minutes(runtime_s / 3600)
            elif _is_number(charge):
                n[_MINUTES] = _minutes(charge / -current)


class Light:
    """When the backlight is lit: `mode` "on", "off", or "auto": for `after_s` after activity.

    Activity is an alarm that nobody has acknowledged, a new message, the link found or lost, or a
    current that has changed by `step_a` since the last activity. At a state of charge of
    `dark_soc` % and below it never is.
    """

    def __init__(self, mode="auto", after_s=120, step_a=1, dark_soc=-1):
        self._mode = mode
        self._dark_soc = dark_soc
        self._after_s = after_s
        self._step_a = step_a
        self._since_s = None
        self._sample = None
        self._current = 0
        self._connected = False
        self._message = ""

    def lit(self, sample, status, now_s):
        """Return whether it is, at second `now_s` of a clock that only goes forward."""
        active = self._since_s is None or status.alarm and status.alarm != status.seen
        if sample is not self._sample:
            self._sample = sample
            current = sample.get("current")
            if _is_number(current) and abs(current - self._current) >= self._step_a:
                self._current = current
                active = True
        if status.connected != self._connected or status.message != self._message:
            self._connected = status.connected
            self._message = status.message
            active = True
        if active:
            self._since_s = now_s
        soc = sample and sample.get("battery_level")
        if soc is not None and soc <= self._dark_soc:
            return False
        if self._mode == "auto":
            return now_s - self._since_s < self._after_s
        return self._mode == "on"


def _is_number(value):
    # NaN fails both comparisons
    return (isinstance(value, float) or isinstance(value, int)) and -1e6 < value < 1e6


def _scaled(value, scale):
    # rounded, so that there is no -0
    return int(round(value * scale)) if _is_number(value) else None


def _minutes(hours):
    return max(0, int(round(hours * 60))) if _is_number(hours) else None
