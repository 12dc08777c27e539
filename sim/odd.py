# Batteries and BMSs that people had trouble with, on the air: "odd:NAME" is make_NAME here
# What they tell is fixed, so that a test knows what has to be stored and shown.
import air
import jbd
import jikong
import vclock


class Fixed:
    """Stands in for battery.Battery; `change(battery, t_s)` is called before each answer."""

    problem = 0
    cycles = 12
    charge_out_mas = 0

    def __init__(self, cells_mv, current_ma=-5000, capacity_ah=100, soc=50, change=None):
        self.cells_mv = cells_mv
        self.voltage_mv = sum(cells_mv)
        self.current_ma = current_ma
        self.design_mah = capacity_ah * 1000
        self.remaining_mah = capacity_ah * 10 * soc
        self.soc_milli = soc * 1000
        self.temp_dc = [240, 250]
        self._change = change

    def advance(self, now_ms):
        if self._change:
            self._change(self, now_ms // 1000)


def make(what):
    """Return the peripheral called so, not yet on the air; others may be on it already."""
    return globals()["make_" + what]()


def make_dead_cell():
    """A Jikong, 16 in series; the 13th goes from 420 mV to 0 after two minutes."""

    def change(battery, t_s):
        battery.cells_mv[12] = 420 if t_s < 120 else 0
        battery.voltage_mv = sum(battery.cells_mv)

    cells = [3300 + c % 5 for c in range(16)]
    return jikong.make(Fixed(cells, change=change), "dead")


def make_sense_wire():
    """A JBD, 16 in series; the wire of the 3rd is off, the pack's voltage is not."""
    cells = [3300] * 16
    cells[11], cells[13] = 3290, 3310
    battery = Fixed(cells)
    cells[2] = 0
    return jbd.make(battery, "wire")


def make_night():
    """A Jikong, 16 in series, whose 7th cell is empty first.

    After three minutes it falls from 3.05 to 2.41 V within 40 s; then the BMS switches discharge
    off, until the sun has charged it: nights are short, 20 minutes.
    """
    off_s = 224
    on_s = off_s + 1200

    def change(battery, t_s):
        battery.problem = 0x800 if off_s <= t_s < on_s else 0  # cell under-volt
        battery.discharges = 0 if battery.problem else 1
        if t_s < off_s:
            battery.current_ma = -20000 - t_s % 9 * 50
            low = 3050 - max(0, t_s - off_s + 44) * 16
        else:
            # rests, and is charged in the end
            battery.current_ma = 8000 if t_s > on_s - 300 else 0
            low = 2900 + max(0, t_s - on_s + 300)
        battery.cells_mv[6] = max(2410, min(3250, low))
        battery.voltage_mv = sum(battery.cells_mv)

    return jikong.make(Fixed([3080 + c % 4 for c in range(16)], change=change), "night")


def make_cells20():
    """A JBD, 20 in series: the 8th is the lowest, the 19th the highest."""
    cells = [3300] * 20
    cells[7], cells[18] = 3280, 3320
    return jbd.make(Fixed(cells), "twenty")


def make_cells32():
    """A Jikong, 32 in series: the 14th is the lowest, the 31st the highest."""
    cells = [3300] * 32
    cells[13], cells[30] = 3280, 3320
    return jikong.make(Fixed(cells), "many")


def make_hot():
    """A JBD with one hot sensor of three, and an empty socket."""
    battery = Fixed([3300] * 4)
    battery.temp_dc = [240, 250, 710, -400]
    return jbd.make(battery, "hot")


def make_cold():
    """A JBD that is charged while one sensor is below zero."""
    battery = Fixed([3300] * 4, 5000)
    battery.temp_dc = [40, -15]
    return jbd.make(battery, "cold")


def make_counter():
    """A JBD of 4 cells at -0.35 A of which only the counter moves, by 10 mAh every 103 s."""

    def change(battery, t_s):
        battery.remaining_mah = 50000 - 350 * t_s // 3600

    return jbd.make(Fixed([3300] * 4, -350, change=change), "counter")


def make_soc104():
    """A JBD that counts to 104 % and then to 228 %."""

    def change(battery, t_s):
        battery.soc_milli = 104_000 if t_s < 60 else 228_000

    return jbd.make(Fixed([3300] * 4, change=change), "full")


def make_padded():
    """A JBD whose name is padded."""
    peripheral = jbd.make(Fixed([3300] * 4), "BP01")
    peripheral.scan_rsp = air.adv(name="BP01" + 16 * "\0", flags=False)
    return peripheral


def make_twins():
    """Two JBDs of one name: the one that is not there from the first to the 4th minute, and one
    that comes then."""
    name = "xiaoxiang BMS"
    ours = jbd.make(Fixed([3325] * 4, soc=80), name)
    other = jbd.make(Fixed([3275] * 4, soc=30), name)
    other.addr = b"\xa4\xc1\x37\x99\x99\x99"
    vclock.call_at(60_000, air.remove, ours)
    vclock.call_at(61_000, air.add, other)
    vclock.call_at(240_000, air.add, ours)
    return ours


def make_hostile():
    """Only a neighbour, with the name of an attacker."""
    return jbd.make(Fixed([3300] * 4), "\x1b]0;x\x07a\n7 frames\n")


class _Flapping(jbd.Jbd):
    """Hangs up after each sample."""

    def on_write(self, value_handle, data, response):
        super().on_write(value_handle, data, response)
        if data[2] == 4:
            vclock.call_later(500, self._vanish)


def make_flapping():
    """A JBD that gives one sample and hangs up, always."""
    return _Flapping(Fixed([3300] * 4), "flap")
