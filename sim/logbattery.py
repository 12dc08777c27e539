# A battery that lives a recorded life: plays a poll log packed by host/batmon/log/polllog.py
# Rows are held until the next one; currents between rows that are near are drawn as lines.
import struct

from micropython import const

# The packed poll log, little endian. Header: magic, cells in series, 1 if every cell is given,
# design capacity in Ah, rows, unix time of the first row.
_HEADER = "<4sBBHII"
_MAGIC = b"BPL1"
# Each row: seconds since the first row (rising), mV, mA (positive = charging), 0.1 degC,
# 1/100 %; then u16 mV of every cell, or of the lowest and highest with their u8 indices.
_ROW = "<IIihH"
_EXTREMES = "<HHBB"

_DRAWN_S = const(10)


class LogBattery:
    """The pack of the log, with the attributes of battery.Battery.

    After the last row its values stay, at rest: the current is 0.
    Raises OSError and ValueError as battery.make.
    """

    problem = 0
    cycles = 0

    def __init__(self, path):
        self._file = open(path, "rb")
        header = self._file.read(struct.calcsize(_HEADER))
        if len(header) < struct.calcsize(_HEADER) or header[:4] != _MAGIC:
            raise ValueError("%s is not a packed poll log" % path)
        _, cells, every_cell, design_ah, self._left, _ = struct.unpack(_HEADER, header)
        self._cells_format = "<%dH" % cells if every_cell else _EXTREMES
        self._cells_at = struct.calcsize(_ROW)
        self._row = bytearray(self._cells_at + struct.calcsize(self._cells_format))
        self._cells_mv = [0] * cells
        self.design_mah = design_ah * 1000
        self.charge_in_mas = self.charge_out_mas = 0
        self._t_s = 0
        self._read()
        self._turn()

    def advance(self, t_ms):
        """Bring the battery to `t_ms` since the start of the simulation; never backwards."""
        end_s = t_ms // 1000
        while self._t_s < end_s:
            self._t_s += 1
            if self._coming and self._coming[0] <= self._t_s:
                self._turn()
            current = self._current_at(self._t_s * 1000)
            if current > 0:
                self.charge_in_mas += current
            else:
                self.charge_out_mas -= current
        self.current_ma = self._current_at(t_ms)

    @property
    def cells_mv(self):
        if self._cells_format != _EXTREMES:
            return self._cells
        # the others share what is left of the pack's voltage
        low, high, at_low, at_high = self._cells
        cells = self._cells_mv
        rest = (self.voltage_mv - low - high) // max(1, len(cells) - 2)
        for c in range(len(cells)):
            cells[c] = min(high, max(low, rest))
        cells[at_high] = high
        cells[at_low] = low
        return cells

    @property
    def remaining_mah(self):
        return self.design_mah * self.soc_milli // 100000

    def _current_at(self, t_ms):
        if not self._coming:
            return self._ma if t_ms == self._start_s * 1000 else 0
        gap_s = self._coming[0] - self._start_s
        if gap_s > _DRAWN_S:
            return self._ma
        step = (self._coming[2] - self._ma) * (t_ms - self._start_s * 1000)
        return self._ma + (step + gap_s * 500) // (gap_s * 1000)

    def _turn(self):
        # the coming row becomes the present one
        self._start_s, self.voltage_mv, self._ma, dc, soc = self._coming
        self._cells = self._coming_cells
        self.current_ma = self._ma
        self.temp_dc = [dc]
        self.soc_milli = soc * 10
        self._read()

    def _read(self):
        self._coming = None
        if self._left and self._file.readinto(self._row) == len(self._row):
            self._left -= 1
            self._coming = struct.unpack(_ROW, self._row)
            self._coming_cells = list(
                struct.unpack_from(self._cells_format, self._row, self._cells_at)
            )
