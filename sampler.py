# Adaptive-rate sampler: decides which polls become frames
# Pure logic on integers; the same code runs on the board and on the PC.
import frame
import half
from micropython import const

_GAP_MS = const(10_000)  # a longer silence between polls is a gap, not an interval
_SILENCE_MS = const(1_800_000)  # longest time between frames, near zero current
_SILENCE_MIN_MS = const(120_000)  # the same at high current
_CELL_BAND_MV = const(10)
_TURN_MA = const(100)  # less is noise around zero; also not less than 0.05 % of the capacity
_SOC_STEP = const(2)  # half percents
_TEMPERATURE_STEP = const(4)  # half degrees

# where a poll keeps what
_T = const(0)
_V = const(1)
_I = const(2)
_TEMP = const(3)
_SOC = const(4)
_MIN = const(5)
_MAX = const(6)
_INDEX = const(7)


class _Door:
    """Which straight lines from a start value stay within a band of all values since."""

    def __init__(self):
        self.start(0)

    def start(self, value):
        self._v0 = value
        # slopes as fractions of small ints: low and high, per 10 ms
        self._low = self._high = 0
        self._low_dt = self._high_dt = 0  # 0: no limit yet

    def fits(self, dt, value):
        """Does the line to `value`, `dt` (10 ms) after the start, pass all values in between?"""
        rise = value - self._v0
        if self._low_dt and rise * self._low_dt < self._low * dt:
            return False
        return not (self._high_dt and rise * self._high_dt > self._high * dt)

    def narrow(self, dt, value, band):
        """Let later lines pass within `band` of `value` too."""
        low = value - band - self._v0
        high = value + band - self._v0
        if not self._low_dt or low * self._low_dt > self._low * dt:
            self._low = low
            self._low_dt = dt
        if not self._high_dt or high * self._high_dt < self._high * dt:
            self._high = high
            self._high_dt = dt


class Sampler:
    """Turns polls into frames such that what is skipped can be drawn back in.

    `capacity_ah` is the battery's design capacity. `poll` and `finish` return how many
    13-byte frames lie at the start of `frames`, in order, ready for the store.

    Between two data frames of one run (no GAP event, no new boot between them):
    - charge: stored current x stored interval adds up to the polled charge (each poll's current
      held since the poll before); what half floats round off is carried to the next frame;
    - voltage: at every poll the straight line between frames is within 0.4 % of the polled
      value, plus the half-float step of the stored ends;
    - current: every poll is within 1 % of `capacity_ah` (as A) + 10 % of the stored mean, or
      the frame before it is stored and a new mean begins with it;
    - a current that changes its sign to more than 0.05 % of `capacity_ah` and 0.1 A, likewise;
    - cell extremes: within 10 mV of the straight line; SoC within 1 %, temperature within 2 C;
    - never more than 30 min between frames, down to 2 min as the current rises;
    - a step is stored in the poll that sees it, together with the poll before.

    The first frame of a run stands for its own moment: its current is that poll's. A run ends
    with `finish` or when polls are more than 10 s apart; a GAP event then precedes the next.
    """

    def __init__(self, capacity_ah):
        self._band_ma = capacity_ah * 10
        self._rest_ma = capacity_ah * 5
        self._turn_ma = max(_TURN_MA, capacity_ah // 2)
        self.frames = bytearray(3 * frame.SIZE)
        self._n = 0
        self._now = [0] * 8
        self._last = [0] * 8
        self._running = False
        self._seen = False  # any poll yet
        self._t0_ms = 0  # the last stored frame
        self._soc0 = self._temp0 = 0
        self._pending = False  # the last poll is not stored
        self._charge_mas = 0  # since the last stored frame, and what rounding left over
        self._charge_rest = 0  # mA ms, less than one mA s
        self._mean_ma = 0
        self._voltage = _Door()
        self._cell_min = _Door()
        self._cell_max = _Door()

    def poll(self, uptime_ms, sample):
        """Take the aiobmsble sample of time `uptime_ms`; return the number of frames to store."""
        self._n = 0
        now = self._now
        last = self._last
        if not _take(now, uptime_ms, sample):
            return 0
        dt = uptime_ms - last[_T]
        if not self._running or dt > _GAP_MS:
            if self._running:
                self._store_last()
            if self._seen:
                frame.pack_event(
                    self.frames, self._slot(), uptime_ms // 1000, frame.GAP, max(0, dt) // 1000
                )
            self._begin(now)
        else:
            self._follow(now, last, dt)
        self._now = last
        self._last = now
        self._seen = True
        return self._n

    def finish(self):
        """End the run (link lost, stop): return the number of frames to store."""
        self._n = 0
        if self._running:
            self._store_last()
            self._running = False
        return self._n

    def _begin(self, now):
        self._running = True
        self._charge_mas = self._charge_rest = 0
        current = now[_I]
        self._pack(now, half.NAN if current is None else half.encode(current / 1000))
        self._restart(now)

    def _follow(self, now, last, dt):
        band_v = now[_V] // 250
        i = now[_I]
        if i is None or last[_I] is None:
            step = i is not last[_I]
            drift = False
        else:
            tolerance = self._band_ma + abs(self._mean_ma) // 10
            # the first poll after a frame founds the mean: only later ones can leave it
            drift = last[_T] != self._t0_ms and (
                abs(i - self._mean_ma) > tolerance
                # what goes in and what goes out must not cancel in one mean
                or (abs(i) > self._turn_ma and (i > 0) != (self._mean_ma > 0))
            )
            step = abs(i - last[_I]) > tolerance
        step = step or abs(now[_V] - last[_V]) > band_v
        ticks = (now[_T] - self._t0_ms) // 10
        late = now[_T] - self._t0_ms >= self._silence_ms()
        if (
            step
            or drift
            or not self._voltage.fits(ticks, now[_V])
            or not self._cell_min.fits(ticks, now[_MIN])
            or not self._cell_max.fits(ticks, now[_MAX])
        ):
            if self._pending:
                self._store_last()
                self._restart(last)
            ticks = (now[_T] - self._t0_ms) // 10
        self._add_charge(now, dt)
        self._pending = True
        if (
            step
            or late
            or abs(now[_SOC] - self._soc0) >= _SOC_STEP
            or abs(now[_TEMP] - self._temp0) >= _TEMPERATURE_STEP
        ):
            self._store(now)
            self._restart(now)
            return
        if i is not None and ticks:
            self._mean_ma = self._charge_mas * 1000 // (now[_T] - self._t0_ms)
        ticks = max(1, ticks)
        self._voltage.narrow(ticks, now[_V], band_v)
        self._cell_min.narrow(ticks, now[_MIN], _CELL_BAND_MV)
        self._cell_max.narrow(ticks, now[_MAX], _CELL_BAND_MV)

    def _silence_ms(self):
        mean = abs(self._mean_ma)
        if mean <= self._rest_ma:
            return _SILENCE_MS
        return max(_SILENCE_MIN_MS, _SILENCE_MS // (1 + mean // self._rest_ma))

    def _add_charge(self, now, dt):
        if now[_I] is None:
            return
        charge = self._charge_rest + now[_I] * dt
        self._charge_mas += charge // 1000
        self._charge_rest = charge % 1000

    def _restart(self, poll):
        self._t0_ms = poll[_T]
        self._soc0 = poll[_SOC]
        self._temp0 = poll[_TEMP]
        self._pending = False
        self._voltage.start(poll[_V])
        self._cell_min.start(poll[_MIN])
        self._cell_max.start(poll[_MAX])

    def _store_last(self):
        if self._pending:
            self._store(self._last)
            self._pending = False

    def _store(self, poll):
        seconds = poll[_T] // 1000 - self._t0_ms // 1000
        if poll[_I] is None:
            current = half.NAN
        elif seconds:
            current = half.encode(self._charge_mas / seconds / 1000)
            self._charge_mas -= round(half.decode(current) * 1000 * seconds)
        else:  # no stored time to spread charge over: it goes to the next frame
            current = half.encode(poll[_I] / 1000)
        self._pack(poll, current)

    def _pack(self, poll, current):
        frame.pack_data(
            self.frames,
            self._slot(),
            poll[_T] // 1000,
            half.encode(poll[_V] / 1000),
            current,
            poll[_TEMP],
            poll[_SOC],
            poll[_MIN],
            poll[_MAX],
            poll[_INDEX],
        )

    def _slot(self):
        offset = self._n * frame.SIZE
        self._n += 1
        return offset


def _take(poll, uptime_ms, sample):
    """Fill `poll` with the integers of `sample`; False if there is no voltage to store."""
    voltage = sample.get("voltage")
    if voltage is None or not 0 < voltage < 65000:  # also refuses NaN
        return False
    poll[_T] = uptime_ms
    poll[_V] = round(voltage * 1000)
    current = sample.get("current")
    poll[_I] = None if current is None or current != current else round(current * 1000)
    poll[_TEMP] = frame.temperature_u8(sample.get("temperature"))
    poll[_SOC] = frame.soc_u8(sample.get("battery_level"))
    low = high = frame.UNKNOWN_U16
    i_low = i_high = n = 0
    for volts in sample.get("cell_voltages") or ():
        mv = min(65534, round(volts * 1000))
        if n == 0 or mv < low:
            low = mv
            i_low = n
        if n == 0 or mv > high:
            high = mv
            i_high = n
        n += 1
    poll[_MIN] = low
    poll[_MAX] = high
    if n > 16:
        i_low = i_low * 16 // n
        i_high = i_high * 16 // n
    poll[_INDEX] = 16 * i_high + i_low if n else frame.UNKNOWN_U8
    return True
