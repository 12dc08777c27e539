# What the display says: sample and state in, lines of text out
# Pure functions. Every line is exactly as wide as the glass and every number keeps its columns.
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
_HEART = "\x06"
_DELTA = "\x07"
_WIDE = const(20)
_FULL = const(5)  # the last of the battery glyphs

_PAGE_S = const(4)
_STALE_S = const(15)  # older data are marked
_GONE_S = const(600)  # older data are not shown
_LOW_SOC = const(10)
_REST_A = 0.05  # no time to empty or full below this current


def render(cols, rows, sample, status, tick_s):
    """Return the text of the glass: a tuple of `rows` strings, each `cols` characters long.

    cols, rows: 16 or 20 by 2 or 4. sample: the BMS driver's dict (V, A, W, %, degC, Ah, s) or
    None; missing, absurd or NaN values become dashes. status: link (words), connected,
    age_s (since the sample, or None), message (sentence for the user or ""), frames (stored),
    days_left (until the volume is full, or None), alarm. tick_s: seconds of any clock; pages
    turn and the heart beats with it. Show it with `GLYPHS`.
    """
    slot = tick_s // _PAGE_S
    age_s = status.age_s
    if sample is None or (age_s is not None and age_s > _GONE_S):
        lines = _pages(status.message, cols, rows) + _pages(status.link, cols, rows)
        if age_s is not None:
            lines += _pages("last data %s ago" % _ago(age_s), cols, rows)
        lines = _page(lines, rows, slot)
    else:
        sentence = _pages(status.message, cols, 2)
        pages = len(sentence) // 2
        if sentence and rows == 2:
            # the whole sentence, then two pages of values, other ones each time
            turn = slot // (pages + 2)
            slot %= pages + 2
            if slot < pages:
                lines = _page(sentence, 2, slot)
            else:
                lines = _values(cols, rows, sample, status, tick_s, 2 * turn + slot - pages)
        else:
            lines = _values(cols, rows, sample, status, tick_s, slot)
            if sentence:
                lines[2:] = _page(sentence, 2, slot)
    return tuple(_fit(line, cols) for line in lines)


def _values(cols, rows, sample, status, tick_s, slot):
    stale = status.age_s is None or status.age_s > _STALE_S
    problem = sample.get("problem") or sample.get("problem_code")
    if stale:
        mark = "?"
    elif tick_s & 1:
        mark = "!" if problem or status.alarm else " "
    else:
        mark = _HEART
    # a picture that moves would look alive
    head = _head(cols, sample, mark, 0 if stale else tick_s)
    if rows == 2:
        page = slot % 4
        if stale:
            line = _stale(cols, status, slot)
        elif page == 1:
            line = _cells(cols, sample)
        elif page == 2 and problem:
            line = _alarm(sample)
        elif page == 3:
            line = _state(cols, sample, status, slot // 4)
        else:
            line = _volts(cols, sample)
        return [head, line]
    if stale:
        line = _stale(cols, status, slot)
    elif problem and slot & 1:
        line = _alarm(sample)
    else:
        line = _state(cols, sample, status, slot)
    return [head, _volts(cols, sample), _cells(cols, sample), line]


def _head(cols, sample, mark, tick_s):
    soc = sample.get("battery_level")
    temperature = _temperature(sample) if cols >= _WIDE else ""
    return "%s%s%s %% %s%s" % (
        _battery(soc, sample.get("current"), tick_s),
        mark,
        _number(soc, 3),
        temperature,
        _power(sample.get("power")),
    )


def _volts(cols, sample):
    gap = " " * (cols - 15)
    volts = _number(sample.get("voltage"), 5, 2)
    return volts + " V" + gap + _number(sample.get("current"), 6, 2, True) + " A"


def _cells(cols, sample):
    low, high, _, _ = _extremes(sample)
    line = "%s/%s mV" % (_number(low, 4), _number(high, 4))
    if cols < _WIDE:
        return line + _temperature(sample)
    return "%s %s%smV" % (line, _DELTA, _spread(low, high))


def _state(cols, sample, status, turn):
    # the line that turns through what is asked less often
    wide = cols >= _WIDE
    turn %= 3 if wide else 4
    if turn == 2:
        low, _, low_at, high_at = _extremes(sample)
        return "cells unknown" if low is None else "low #%-2d high #%d" % (low_at, high_at)
    days = "log" + _number(status.days_left, 4) + "d"
    if wide:
        log = _frames(status) if status.days_left is None else days
        return "%-11s %s" % (_time_left(sample), log)
    if turn == 0:
        return _time_left(sample)
    if turn == 1:
        low, high, _, _ = _extremes(sample)
        return "spread   " + _spread(low, high) + " mV"
    return days + _frames(status)


def _stale(cols, status, slot):
    lines = _wrap(status.link, cols)
    if status.age_s is not None:
        lines.append("data %s old" % _ago(status.age_s))
    return lines[slot % len(lines)]


def _temperature(sample):
    return _number(sample.get("temperature"), 3) + "C"


def _spread(low, high):
    return _number(None if low is None else high - low, 4)


def _battery(soc, current, tick_s):
    # fills from its level while charging, blinks when low; tick_s = 0 keeps it still
    if not _is_number(soc):
        return " "
    level = max(0, min(_FULL, (int(soc) + 10) // 20))
    if _is_number(current) and current > _REST_A:
        level += tick_s % (_FULL + 1 - level)
    elif soc <= _LOW_SOC and tick_s & 1:
        return " "
    return chr(level)


def _power(power):
    if _is_number(power) and abs(power) >= 99999.5:
        return _number(power / 1000, 5, 0, True) + " kW"
    return _number(power, 6, 0, True) + " W"


def _time_left(sample):
    # at most 11 characters
    current = sample.get("current")
    charge = sample.get("cycle_charge")
    if not _is_number(current):
        return "time  --h--"
    if abs(current) < _REST_A:
        return "at rest"
    if current > 0:
        soc = sample.get("battery_level")
        if _is_number(soc) and soc >= 100:
            return "full"
        capacity = sample.get("design_capacity")
        if _is_number(capacity) and _is_number(charge):
            return "full  " + _hours((capacity - charge) / current)
        return "full  --h--"
    runtime_s = sample.get("runtime")
    if _is_number(runtime_s):
        return "empty " + _hours(runtime_s / 3600)
    if _is_number(charge):
        return "empty " + _hours(charge / -current)
    return "empty --h--"


def _hours(hours):
    # 5 characters
    if not _is_number(hours):
        return "--h--"
    minutes = max(0, int(round(hours * 60)))
    if minutes < 6000:
        return "%2dh%02d" % (minutes // 60, minutes % 60)
    return "%4dd" % min(minutes // 1440, 9999)


def _alarm(sample):
    code = sample.get("problem_code")
    return "alarm 0x%X" % code if isinstance(code, int) and code > 0 else "BMS alarm"


def _extremes(sample):
    # lowest and highest cell in mV and their numbers, counted from 1; all None when unknown
    low = high = low_at = high_at = None
    at = 0
    for cell in sample.get("cell_voltages") or ():
        at += 1
        if _is_number(cell) and 0 <= cell < 9.9995:
            mv = int(round(cell * 1000))
            if low is None or mv < low:
                low, low_at = mv, at
            if high is None or mv > high:
                high, high_at = mv, at
    return low, high, low_at, high_at


def _is_number(value):
    # NaN fails both comparisons
    return isinstance(value, (int, float)) and -1e6 < value < 1e6


def _number(value, width, decimals=0, plus=False):
    # right-aligned, with as many of the decimals as fit; rounded ints, so there is no -0
    if _is_number(value):
        for places in range(decimals, -1, -1):
            n = int(round(abs(value) * 10**places))
            text = str(n)
            if places:
                text = "0" * (places + 1 - len(text)) + text
                text = text[:-places] + "." + text[-places:]
            if n and value < 0:
                text = "-" + text
            elif n and plus:
                text = "+" + text
            if len(text) <= width:
                return " " * (width - len(text)) + text
    text = "--.--" if decimals else "--"
    return " " * (width - len(text)) + text


def _frames(status):
    # 8 characters
    n = status.frames
    text = "%dfr" % n if n < 1000000 else "%dkfr" % (n // 1000)
    return " " * (8 - len(text)) + text


def _ago(seconds):
    if seconds < 120:
        return "%d s" % seconds
    if seconds < 7200:
        return "%d min" % (seconds // 60)
    if seconds < 172800:
        return "%d h" % (seconds // 3600)
    return "%d d" % (seconds // 86400)


def _wrap(text, cols):
    # lines of whole words; what is longer than the glass is broken, what it lacks is a "?"
    lines = []
    line = ""
    for word in text.split():
        word = "".join(c if " " < c < "~" else "?" for c in word)
        if line and len(line) + 1 + len(word) <= cols:
            line += " " + word
            continue
        if line:
            lines.append(line)
        while len(word) > cols:
            lines.append(word[:cols])
            word = word[cols:]
        line = word
    if line or not lines:
        lines.append(line)
    return lines


def _pages(text, cols, rows):
    # the lines of `text`, filled up to whole pages of `rows`; no text, no page
    if not text:
        return []
    lines = _wrap(text, cols)
    return lines + [""] * (-len(lines) % rows)


def _page(lines, rows, slot):
    if not lines:
        return [""] * rows
    at = slot * rows % len(lines)
    return lines[at : at + rows]


def _fit(line, cols):
    return line[:cols] + " " * (cols - len(line))
