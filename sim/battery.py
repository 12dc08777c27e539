# Simulated LiFePO4 batteries: what a van, a house or an e-bike does to its pack, day after day
# Integers only: a seed gives the same battery on every interpreter, and charge is exact.
from array import array
from micropython import const

_DAY_S = const(86400)
_HOUR_S = const(3600)
_START_S = const(6 * 3600)  # time of day when the simulation begins
_TICK_S = const(60)  # temperatures and limits are looked at this often

_FULL = const(60 << 10)  # state of charge as the open-circuit curve counts it; 1 << 10 per knot
_OCV_100UV = (  # open-circuit voltage of a LiFePO4 cell: percent, 0.1 mV
    (0, 27500), (3, 30000), (6, 31200), (10, 31900), (15, 32150), (20, 32430), (27, 32720),
    (35, 32860), (45, 32920), (55, 32960), (62, 33060), (68, 33220), (75, 33270), (90, 33300),
    (95, 33330), (98, 33400), (100, 34200), (107, 37500),
)  # fmt: skip

_FULL_TAPER_S = const(900)  # near full the charge current falls by 1/e in this time
_LOADS_OFF = const(22)  # percent at which the loads are cut
_LOADS_ON = const(28)


def make(kind, seed=1):
    """Return the battery `kind`: "van", "house", "ebike", or the path of a packed poll log.

    Raises OSError when there is no such file and ValueError when it is not a packed poll log.
    """
    if kind == "van":
        return Battery(seed, _van, 4, 280, 60, 250, 860000)
    if kind == "house":
        return Battery(seed, _house, 16, 280, 65, 250, 860000)
    if kind == "ebike":
        return Battery(seed, _ebike, 13, 24, 80, 2500, 12000)
    from logbattery import LogBattery

    return LogBattery(kind)


class Battery:
    """A pack of LiFePO4 cells in series, with what charges and discharges it.

    Bring it to a time with `advance`, then read: `current_ma` (mean of the last 1000 ms,
    positive = charging), `voltage_mv`, `cells_mv` (one list, reused), `temp_dc` (list of
    0.1 degC: MOSFET, two sensors), `soc_milli` (1/1000 %), `remaining_mah`, `design_mah`,
    `cycles`, `problem` (code, settable). `charge_in_mas` and `charge_out_mas` are the exact
    sums of `current_ma` at all full seconds since the start.
    """

    def __init__(self, seed, parts, cells, design_ah, soc, r_uohm, heat):
        """`soc` percent at the start, `r_uohm` of one cell with its links, `heat` see _warm."""
        rnd = _Random(seed)
        self.design_mah = design_ah * 1000
        self.problem = 0
        self.current_ma = self._last_ma = self._next_ma = 0
        self.charge_in_mas = self.charge_out_mas = 0
        self._full_mas = design_ah * 3600000
        self._charge_mas = self._full_mas // 100 * (soc + rnd(-8, 8))
        self._t_s = self._until_s = self._warmed_s = 0
        self._cycles = rnd(3, 150)

        # a part is [second of its next change, its current now, generator of (seconds, current)]
        self._parts = [[-_START_S, 0, part] for part in parts(rnd)]
        self._cut = False
        self._goal_ma = self._flow_ma = self._ripple_ma = 0
        self._ripple = rnd(1, 65536)

        self._r_uohm = [r_uohm * rnd(92, 112) // 100 for _ in range(cells)]
        self._size = [rnd(1006, 1042) for _ in range(cells)]  # 1024 / capacity
        self._offset = [rnd(-250, 250) for _ in range(cells)]
        self._r_fast_uohm = r_uohm * 7 // 10
        self._r_slow_uohm = r_uohm * 12 // 10
        self._fast_nv = self._slow_nv = 0
        self._ocv_100uv = _knots()
        self._ocv_uv = [0] * cells
        self._ocv_at = -1
        self._cells_mv = [0] * cells
        self._measured = False

        self._heat = heat
        self._weather_mk = rnd(10, 20) * 1000
        self._warm_mk = self._mos_mk = self._weather_mk
        self._random = rnd

    def advance(self, t_ms):
        """Bring the battery to `t_ms` since the start of the simulation; never backwards."""
        end_s = t_ms // 1000
        while self._t_s < end_s:
            if self._t_s >= self._until_s:
                self._replan()
            self._run(min(end_s, self._until_s) - self._t_s)
        step = (self._next_ma - self._last_ma) * (t_ms % 1000)
        self.current_ma = self._last_ma + (step + 500) // 1000
        self._measured = False

    def _run(self, seconds):
        # The hot loop: everything in locals. The current approaches its goal by a quarter each
        # second and is known one second ahead, so that readings between seconds can be drawn.
        goal = self._goal_ma
        ripple_ma = self._ripple_ma
        flow = self._flow_ma
        noise = self._ripple
        charge = self._charge_mas
        taken_in = self.charge_in_mas
        taken_out = self.charge_out_mas
        fast = self._fast_nv
        slow = self._slow_nv
        r_fast = self._r_fast_uohm
        r_slow = self._r_slow_uohm
        current = 0
        coming = self._next_ma
        for _ in range(seconds):
            current = coming
            charge += current
            if current > 0:
                taken_in += current
            else:
                taken_out -= current
            fast += (current * r_fast - fast) // 45
            slow += (current * r_slow - slow) // 1500
            flow += (goal - flow) >> 2 or goal - flow
            noise = noise * 75 % 65537
            coming = flow + (((noise & 255) - 128) * ripple_ma >> 8)
        self._last_ma = current
        self._next_ma = coming
        self._flow_ma = flow
        self._ripple = noise
        self._charge_mas = charge
        self.charge_in_mas = taken_in
        self.charge_out_mas = taken_out
        self._fast_nv = fast
        self._slow_nv = slow
        self._t_s += seconds

    def _replan(self):
        now = self._t_s
        until = now - now % _TICK_S + _TICK_S
        sources = loads = 0
        for part in self._parts:
            while part[0] <= now:
                seconds, part[1] = next(part[2])
                part[0] += seconds
            until = min(until, part[0])
            if part[1] > 0:
                sources += part[1]
            else:
                loads -= part[1]
        percent = self._charge_mas // (self._full_mas // 100)
        if percent < (_LOADS_ON if self._cut else _LOADS_OFF):
            self._cut = True
            loads = 0
        else:
            self._cut = False
        room = max(0, self._full_mas - self._charge_mas) // _FULL_TAPER_S
        self._goal_ma = min(sources - loads, room)
        self._ripple_ma = sources + loads >> 7
        self._warm(now)
        self._until_s = until

    def _warm(self, now):
        # `heat` = 100 * heat capacity (J/mK) / resistance: current squared to mK per second
        seconds = now - self._warmed_s
        self._warmed_s = now
        clock = now + _START_S
        if clock % _DAY_S < seconds:
            self._weather_mk += self._random(-2500, 2500) + (15000 - self._weather_mk) // 8
        x = (clock - 9 * _HOUR_S) % _DAY_S  # half waves: warmest at 15 h, coldest at 3 h
        sign = 1 if x < _DAY_S // 2 else -1
        x %= _DAY_S // 2
        air_mk = self._weather_mk + sign * (x // 60 * (720 - x // 60) // 32)
        squared = (self._flow_ma // 100) ** 2
        self._warm_mk += (air_mk - self._warm_mk) * seconds // 14400
        self._warm_mk += squared * seconds // self._heat
        target = self._warm_mk + 800 + squared // 60
        self._mos_mk += (target - self._mos_mk) * min(seconds, 240) // 240

    @property
    def cells_mv(self):
        if not self._measured:
            self._measure()
        return self._cells_mv

    @property
    def voltage_mv(self):
        return sum(self.cells_mv)

    def _measure(self):
        # the curve is read again only when the charge has moved by 1/7680 of the capacity
        soc = self._charge_mas // (self._full_mas // _FULL)
        if self._ocv_at != soc >> 3:
            self._ocv_at = soc >> 3
            knots = self._ocv_100uv
            for c in range(len(self._ocv_uv)):
                x = _FULL - ((_FULL - soc) * self._size[c] >> 10) + self._offset[c]
                v = knots[x >> 10]
                self._ocv_uv[c] = 100 * v + ((knots[(x >> 10) + 1] - v) * (x & 1023) * 25 >> 8)
        # + 500 to round, - 640 because the converter's noise below is 0 to 1280
        common_uv = (self._fast_nv + self._slow_nv) // 1000 + 500 - 640
        current = self.current_ma
        ocv_uv = self._ocv_uv
        r_uohm = self._r_uohm
        cells = self._cells_mv
        noise = (self._t_s * 40503 & 0xFFFF) + 1
        noise = (noise ^ noise >> 7) * 25173 & 0xFFFF
        for c in range(len(cells)):
            noise = (noise * 25173 + 13849) & 0xFFFF
            noise_uv = (noise >> 6) * 5 >> 2
            ohmic_uv = current * r_uohm[c] // 1000
            cells[c] = (ocv_uv[c] + ohmic_uv + common_uv + noise_uv) // 1000
        self._measured = True

    @property
    def soc_milli(self):
        return min(100000, self._charge_mas // (self._full_mas // 100000))

    @property
    def remaining_mah(self):
        return min(self.design_mah, self._charge_mas // 3600)

    @property
    def cycles(self):
        return self._cycles + self.charge_out_mas // self._full_mas

    @property
    def temp_dc(self):
        warm = (self._warm_mk + 50) // 100
        return [(self._mos_mk + 50) // 100, warm, warm + 4]


class _Random:
    """Uniform integers, the same from a seed on every interpreter."""

    def __init__(self, seed):
        self._state = seed
        for _ in range(4):
            self(0, 1)

    def __call__(self, least, most):
        self._state = (self._state * 1103515245 + 12345) & 0x7FFFFFFF
        return least + (self._state >> 8) % (most - least + 1)


def _knots():
    # the open-circuit curve at equal distances of 1/60 of the capacity, in 0.1 mV
    knots = array("H")
    i = 0
    for k in range(65):
        while _OCV_100UV[i + 1][0] * 60 < k * 100:
            i += 1
        p0, v0 = _OCV_100UV[i]
        p1, v1 = _OCV_100UV[i + 1]
        knots.append(v0 + (v1 - v0) * (k * 100 - p0 * 60) // ((p1 - p0) * 60))
    return knots


# Sources and loads: generators of (seconds, current in mA), from midnight on, for ever.


def _van(rnd):
    return (
        _steady(-450),
        _solar(rnd, 16000, 7, 19),
        _daily(rnd, 35, 8, 16, 1800, 7200, 32000),  # alternator
        _compressor(rnd, 4600, 1400),
        _daily(rnd, 50, 17, 20, 1800, 6000, -31000),  # induction hob, slow cooker
        _daily(rnd, 100, 18, 20, 7200, 13000, -1600),  # lights
        _daily(rnd, 70, 16, 20, 3600, 9000, -4200),  # laptop
        _kettle(rnd, 84000),
    )


def _house(rnd):
    return (
        _steady(-4300),
        _solar(rnd, 72000, 6, 20),
        _compressor(rnd, 2200, 2000),
        _daily(rnd, 60, 8, 14, 1200, 1800, -38000),  # washing machine heating
        _hob(rnd, 11, 45000),
        _hob(rnd, 18, 52000),
        _kettle(rnd, 39000),
        _daily(rnd, 100, 17, 19, 9000, 14000, -4500),  # lights and television
    )


def _ebike(rnd):
    return (
        _rides(rnd),
        _daily(rnd, 75, 19, 20, 5400, 12600, 5000),  # charger
    )


def _steady(ma):
    while True:
        yield _DAY_S, ma


def _daily(rnd, chance, from_h, to_h, least_s, most_s, ma):
    # once a day, on `chance` percent of the days
    while True:
        start = rnd(from_h * _HOUR_S, to_h * _HOUR_S)
        seconds = rnd(least_s, most_s)
        yield start, 0
        yield seconds, ma if rnd(0, 99) < chance else 0
        yield _DAY_S - start - seconds, 0


def _compressor(rnd, ma, rest_s):
    while True:
        yield 3, -2 * ma
        yield rnd(300, 720), -ma
        yield rnd(rest_s // 2, rest_s), 0


def _kettle(rnd, ma):
    # with the in-rush of its inverter, and the inverter's own use for a while after
    while True:
        t = 0
        for hour in (7, 12, 17):
            start = hour * _HOUR_S + rnd(0, 7200)
            seconds = rnd(140, 290)
            yield start - t, 0
            yield 4, -ma * 3 // 2
            yield seconds, -ma
            yield 300, -1100
            t = start + 304 + seconds
        yield _DAY_S - t, 0


def _hob(rnd, hour, ma):
    # a thermostat: full power, nothing, full power
    while True:
        t = hour * _HOUR_S + rnd(0, 5400)
        end = t + rnd(900, 2700)
        yield t, 0
        while t < end:
            on, off = rnd(12, 60), rnd(8, 40)
            yield on, -ma
            yield off, 0
            t += on + off
        yield _DAY_S - t, 0


def _solar(rnd, ma, rise_h, set_h):
    # a parabola, dimmed for the day as a whole and by clouds that come and go
    half = (set_h - rise_h) * _HOUR_S // 2
    weather = rnd(0, 4)
    while True:
        t = rise_h * _HOUR_S
        weather = min(4, max(0, weather + rnd(-2, 2)))
        sky, clouds = ((100, 10), (90, 50), (70, 60), (45, 30), (28, 20))[weather]
        yield t, 0
        while t < set_h * _HOUR_S:
            seconds = rnd(20, 240)
            x = (t - rise_h * _HOUR_S - half) * 100 // half
            share = (10000 - x * x) // 100 * sky // 100
            if rnd(0, 99) < clouds:
                share = share * rnd(20, 80) // 100
            yield seconds, ma * share // 100
            t += seconds
        yield _DAY_S - t, 0


def _rides(rnd):
    # to work and back: starting, riding, rolling, braking (charges), waiting
    while True:
        t = 0
        for hour in (7, 16):
            start = hour * _HOUR_S + rnd(0, 5400)
            yield start - t, 0
            t = start
            end = start + rnd(1200, 3000)
            while t < end:
                for least_s, most_s, least_ma, most_ma in (
                    (3, 8, -28000, -14000),
                    (15, 70, -12000, -3000),
                    (2, 9, 0, 0),
                    (2, 6, 1500, 8000),
                    (1, 25, -150, -100),
                ):
                    seconds = rnd(least_s, most_s)
                    yield seconds, rnd(least_ma, most_ma)
                    t += seconds
        yield _DAY_S - t, 0
