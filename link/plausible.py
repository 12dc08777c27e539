# What of a sample can be true: each value is judged alone, and becomes unknown alone
# The limits know the battery; docs/LINK.md tells them. A value that stays takes no memory.
from micropython import const

_CELL_MOST_V = 5
_CELL_LEAST_V = 0.5  # in the mean of a pack that still feeds its BMS
_PACK_LEAST_V = 1
_PACK_MOST_V = 1000
_MOST_A = const(2000)
_APART = 0.1  # so far, of the pack's voltage, the sum of its cells may be from it
_ALIKE = 0.25  # cells that differ by less, of their mean, confirm each other
_COLDEST_C = const(-40)  # so cold, or exactly at _EMPTY_C, is a socket without a sensor
_EMPTY_C = const(-30)
_HOTTEST_C = const(150)

# what `CELLS` of a driver says of its cell_voltages; see host/batmon/drivers/cells.py
_STRING = const(1)
EXTREMES = const(2)


class Plausible:
    """Judges the samples of one battery; `driver` is a BMS class, `capacity_ah` 0 if unknown.

    `words` is a sentence about the last sample in which a value was refused, `kind` what this
    value was, "" for a sample without.
    """

    def __init__(self, driver, capacity_ah):
        self.words = ""
        self.kind = ""
        self._cells = getattr(driver, "CELLS", 0)
        self._most_a = min(_MOST_A, 100 + 10 * capacity_ah) if capacity_ah else _MOST_A
        self._agreed = False  # the pack and its cells, ever

    def judge(self, sample):
        """Make unknown in `sample`, aiobmsble's dict, what cannot be true; False if all is.

        Unknown is None, also in `cell_voltages`, so that the other cells keep their places. Added
        are "hottest" and "coldest", of all sensors in degrees C, and "extremes": True where the
        cells are the extremes of more and nobody tells which.
        """
        self.kind = ""
        cells = self._judge_cells(sample)
        told_v = sample.get("voltage")
        volts = self._judge_voltage(sample, told_v, cells)
        if volts is not None and cells and self._cells == _STRING:
            volts = self._judge_sum(sample, volts, cells)
        odd = False
        amps = sample.get("current")
        if amps is not None and not -self._most_a <= amps <= self._most_a:
            self._refuse(sample, "current", "current", amps, "A")
            amps = None
        soc = sample.get("battery_level")
        if soc is not None and not 0 <= soc <= 100:
            if 100 < soc <= 110:
                sample["battery_level"] = soc = 100
                odd = True
            else:
                self._refuse(sample, "battery_level", "SoC", soc, "%")
                soc = None
        if volts is None or amps is None:
            sample["power"] = None
        if amps is None:
            sample["runtime"] = None
        if (odd or self.kind) and not sample.get("problem_code"):
            sample["problem"] = False  # aiobmsble's, for a value that cannot be
        self._judge_temperatures(sample)
        cells = sample.get("cell_voltages")
        if told_v is not None and volts is None:
            return bool(amps or soc or cells)  # a BMS that is asleep tells zeros
        return not (volts is None and amps is None and soc is None and not cells)

    def _refuse(self, sample, key, kind, value, unit):
        if key:
            sample[key] = None
        if not self.kind:
            self.kind = kind
            if value - value == 0:  # neither NaN nor infinite
                self.words = "%s %s %s cannot be" % (kind, _short(value), unit)
            else:
                self.words = kind + " is no number"

    def _judge_cells(self, sample):
        """Return the cells, those unknown None; None if none is known."""
        cells = sample.get("cell_voltages")
        if not cells:
            return None
        told = False
        for i in range(len(cells)):
            volts = cells[i]
            if volts is None or not 0 <= volts < _CELL_MOST_V:
                if volts is not None:
                    self._refuse(sample, None, "cell %d" % (i + 1), volts, "V")
                cells[i] = None
            elif volts:
                told = True
        if self._cells == EXTREMES:
            sample["extremes"] = True  # nobody tells which cells they are
        if told:
            return cells
        sample["cell_voltages"] = None
        return None

    def _judge_voltage(self, sample, volts, cells):
        if volts is None:
            return None
        count = sample.get("cell_count") or 0
        if cells:
            count = len(cells)
        if self._cells != _STRING or not 0 < count <= 255:
            count = 0
        if _PACK_LEAST_V <= volts < _PACK_MOST_V and (
            not count or _CELL_LEAST_V * count <= volts <= _CELL_MOST_V * count
        ):
            return volts
        self._refuse(sample, "voltage", "voltage", volts, "V")
        return None

    def _judge_sum(self, sample, volts, cells):
        """See to it that cells in series and the pack agree; return the pack's voltage or None.

        A cell at 0 V is dead, and not in the pack's voltage, or its wire is off, and it is.
        """
        total = 0
        known = zeros = 0
        low = high = None
        for cell in cells:
            if cell is not None:
                known += 1
                total += cell
                if not cell:
                    zeros += 1
                else:
                    if low is None or cell < low:
                        low = cell
                    if high is None or cell > high:
                        high = cell
        n = len(cells)
        if _agree(total * n, volts, known) or _agree(total * n, volts, known - zeros):
            self._agreed = True
            return volts
        mean = total / (known - zeros)
        odd = low if mean - low > high - mean else high
        rest = known - zeros - 1
        if high - low > _ALIKE * mean and rest and _agree((total - odd) * n, volts, rest):
            i = cells.index(odd)
            self._refuse(sample, None, "cell %d" % (i + 1), odd, "V")
            cells[i] = None
        elif high - low <= _ALIKE * mean and self._agreed:
            self._refuse(sample, "voltage", "voltage", volts, "V")
            return None
        else:
            self._refuse(sample, "cell_voltages", "sum of cells", total, "V")
        return volts

    def _judge_temperatures(self, sample):
        """Add the hottest and the coldest sensor, and leave out of the mean what is none."""
        celsius = sample.get("temperature")
        if celsius is not None and not _is_sensor(celsius):
            sample["temperature"] = celsius = None
        hot = cold = celsius
        total = n = all_n = 0
        for sensor in sample.get("temp_values") or ():
            value = getattr(sensor, "value", sensor)
            all_n += 1
            if _is_sensor(value):
                if n == 0 or value > hot:
                    hot = value
                if n == 0 or value < cold:
                    cold = value
                n += 1
                total += value
        if n < all_n:
            sample["temperature"] = total / n if n else None
        sample["hottest"] = hot
        sample["coldest"] = cold


def _agree(scaled, volts, count):
    """Is `scaled` / `count` the voltage of the pack, as near as cells add up to it?"""
    return abs(scaled - volts * count) <= _APART * volts * count


def _is_sensor(celsius):
    return _COLDEST_C < celsius < _HOTTEST_C and celsius != _EMPTY_C


def _short(value):
    return "%d" % value if value == int(value) else "%.2f" % value
