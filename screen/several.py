# The display of several batteries: their pages in turn, under the first letters that differ, and
# before them one of sums. Loaded only where there are several.
from micropython import const
from screen import pages

_SHOWN_S = const(12)  # of a battery, or of two of them on four rows: three pages
_SUMS_S = const(8)
_GONE_S = const(600)  # older data count for nothing
_PERCENT_AT = const(6)  # in the line that begins with the state of charge
_PERCENT = const(0x25)
_LETTERS = const(2)
_NUMBERS = "#1#2#3#4#5#6#7#8"  # in one, for short texts take a place in the table of names


class Several:
    """Text and light of a glass of `cols` x `rows` for `batteries`, of app/battery.py.

    Stands for a pages.Screen and a pages.Light.
    """

    def __init__(self, cols, rows, want, batteries):
        self._batteries = batteries
        self._cols = cols
        self._at_once = rows // 2
        self._screens = [pages.Screen(cols, 2, want["poll_s"]) for _ in range(self._at_once)]
        self._lights = []
        for battery in batteries:
            step_a = battery.link.capacity_ah / 100
            light = pages.Light(want["lcd.backlight"], want["lcd.backlight_s"], step_a)
            self._lights.append(light)
        self.text = bytearray(cols * rows)

    def lit(self, sample, status, now_s):
        """Is it for one of them? The first two arguments are not used."""
        lit = False
        for i in range(len(self._batteries)):
            battery = self._batteries[i]
            battery.update()
            # each is to see what is new
            lit = self._lights[i].lit(battery.sample, battery.status, now_s) or lit
        return lit

    def render(self, sample, status, tick_s):
        """Return `text` for second `tick_s`. The first two arguments are not used."""
        text = self.text
        for i in range(len(text)):
            text[i] = 0x20
        count = len(self._batteries)
        groups = (count + self._at_once - 1) // self._at_once
        turn_s = _SUMS_S + groups * _SHOWN_S
        at_s = tick_s % turn_s - _SUMS_S
        if at_s < 0:
            self._sums(tick_s)
            return text
        first = at_s // _SHOWN_S * self._at_once
        # its own clock, so that it goes through all of its pages
        own_s = tick_s // turn_s * _SHOWN_S + at_s % _SHOWN_S
        labels = _labels([battery.name for battery in self._batteries])
        at = 0
        for i in range(first, min(count, first + self._at_once)):
            battery = self._batteries[i]
            lines = self._screens[i - first].render(battery.sample, battery.status, own_s)
            if lines[_PERCENT_AT] == _PERCENT:  # else it says it in words
                for j in range(_LETTERS):
                    lines[j] = ord(labels[i][j])
            text[at : at + len(lines)] = lines
            at += len(lines)
        return text

    def _sums(self, tick_s):
        """Power, charge by capacity, then the worst alarm and the widest spread of cells."""
        watts = charge_ah = capacity_ah = spread_mv = 0
        there = []
        alarms = []
        spread_of = None
        labels = _labels([battery.name for battery in self._batteries])
        for i in range(len(self._batteries)):
            battery = self._batteries[i]
            sample = battery.sample
            for line in battery.status.alarm.split("\n") if battery.status.alarm else ():
                alarms.append("%s: %s" % (labels[i].strip(), line))
            age_s = battery.status.age_s
            if sample is None or (age_s is not None and age_s > _GONE_S):
                continue
            there.append(i)
            watts += sample.get("power") or 0
            if sample.get("battery_level") is not None:
                capacity_ah += battery.link.capacity_ah
                charge_ah += sample["battery_level"] / 100 * battery.link.capacity_ah
            cells = [volts for volts in sample.get("cell_voltages") or () if volts is not None]
            if cells and (max(cells) - min(cells)) * 1000 >= spread_mv:
                spread_mv = (max(cells) - min(cells)) * 1000
                spread_of = labels[i].strip()
        percent = round(100 * charge_ah / capacity_ah) if capacity_ah else "--"
        power = "%+d" % round(watts) if there else "--"
        blank = " " * (self._cols - 16)
        self._put(0, "%dx%3s %% %s%6s W" % (len(there), percent, blank, power))
        spread = "spread %d mV %s" % (round(spread_mv), spread_of) if spread_of else ""
        lines = alarms + [spread]
        rows = 2 * self._at_once - 1
        if rows == 1:
            self._put(1, lines[tick_s // 4 % len(lines)])
            return
        for row in range(min(rows, len(lines))):
            self._put(row + 1, lines[row])

    def _put(self, row, words):
        at = row * self._cols
        for letter in words[: self._cols]:
            self.text[at] = ord(letter)
            at += 1


def _labels(names):
    """Return two letters for each name, from the first on that differs; else its number."""
    same = 0
    first = names[0]
    while same < min([len(name) for name in names]) and not [
        name for name in names if name[same] != first[same]
    ]:
        same += 1
    labels = [(name[same:] + _LETTERS * " ")[:_LETTERS] for name in names]
    if len(set(labels)) < len(names) or _LETTERS * " " in labels:
        return [_NUMBERS[i : i + _LETTERS] for i in range(0, _LETTERS * len(names), _LETTERS)]
    return labels
