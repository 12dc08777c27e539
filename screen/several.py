# The display of several batteries: their pages in turn, under the first letters that differ, and
# before them one of sums and alarms. Loaded only where there are several.
from micropython import const
from screen import pages

_SHOWN_S = const(12)  # of a battery, or of two of them on four rows: three pages
_SUMS_S = const(8)
_ALARM_S = const(4)  # of these, if there is one
_GONE_S = const(600)  # older data count for nothing, nor data that are older than a turn on the
_TURN_S = const(150)  # radio, or two polls
_MOST_W = const(1_000_000)
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
        self._gone_s = min(_GONE_S, max(_TURN_S, int(2 * want["poll_s"])))
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
        turn = tick_s // turn_s
        at_s = tick_s % turn_s - _SUMS_S
        if at_s < 0:
            self._first(turn, at_s >= -_ALARM_S)
            return text
        first = at_s // _SHOWN_S * self._at_once
        # its own clock, so that it goes through all of its pages
        own_s = turn * _SHOWN_S + at_s % _SHOWN_S
        labels = _labels(self._batteries)
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

    def _first(self, turn, late):
        """The sums; and then, on the lowest two rows, an alarm, another one in each turn."""
        alarms = []
        for battery in self._batteries:
            if battery.status.alarm:
                alarms += [(battery.name, line) for line in battery.status.alarm.split("\n")]
        if self._at_once > 1 or not (alarms and late):
            self._sums()
        if alarms and (self._at_once > 1 or late):
            i = turn if self._at_once == 1 else 2 * turn + late
            name, words = alarms[i % len(alarms)]
            self._put(2 * self._at_once - 2, _shown(name)[: self._cols - 1] + ":")
            self._put(2 * self._at_once - 1, words)

    def _sums(self):
        """Power, charge by capacity, then the widest spread of cells."""
        watts = charge_ah = capacity_ah = spread_mv = count = 0
        spread = ""
        for battery in self._batteries:
            sample = battery.sample
            age_s = battery.status.age_s
            if sample is None or (age_s is not None and age_s > self._gone_s):
                continue
            count += 1
            # of what one does not tell nobody knows the sum
            power = sample.get("power")
            known = power is not None and abs(power) < _MOST_W  # NaN is not
            watts = watts + power if known and watts is not None else None
            percent = sample.get("battery_level")
            capacity_ah += battery.link.capacity_ah
            if percent is None or charge_ah is None:
                charge_ah = None
            else:
                charge_ah += percent / 100 * battery.link.capacity_ah
            cells = [volts for volts in sample.get("cell_voltages") or () if volts is not None]
            if cells and (max(cells) - min(cells)) * 1000 >= spread_mv:
                spread_mv = (max(cells) - min(cells)) * 1000
                label = _labels(self._batteries)[self._batteries.index(battery)]
                spread = "%s spread %dmV" % (label.strip(), round(spread_mv))
        percent = round(100 * charge_ah / capacity_ah) if count and charge_ah is not None else "--"
        power = "%+d" % round(watts) if count and watts is not None else "--"
        blank = " " * (self._cols - 16)
        self._put(0, "%dx%3s %% %s%6s W" % (count, percent, blank, power))
        self._put(1, spread)

    def _put(self, row, words):
        at = row * self._cols
        for letter in words[: self._cols]:
            self.text[at] = ord(letter)
            at += 1


def _labels(batteries):
    """Return two letters of each's name, from the first on that differs; else its number."""
    names = [_shown(battery.name) for battery in batteries]
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


def _shown(name):
    """Return a name in letters that every display has."""
    return "".join([c if " " <= c < "~" else "?" for c in name])
