# Adaptive-rate sampler: decides which polls become frames
# Pure logic on small integers; the same code runs on the board and on the PC.
import half
from micropython import const
from shards import frame

_USUAL_MS = const(2500)  # polls are expected at least so often, until they come slower
_SILENCE_S = const(1800)  # longest time between frames
_CHARGE_MAX_MAS = const(1 << 26)  # most charge in one frame: 18 Ah
_FINE_MA = const(16)  # less is told in sixteenths of a mA
_STEP_PERCENT = const(5)  # of the capacity: more is a step of the current in any case
_JITTER_PERCENT = const(100)  # of the capacity: more is no jitter
_CELL_BAND_MV = const(10)
_COARSE_MV = const(100)  # resolution of the coarsest BMS
_COARSE_POLLS = const(60)
_BRIDGED_POLLS = const(15)
_TEMPERATURE_BAND = const(3)  # half degrees
_SOC_BAND = const(4)  # tenths of a percent
_SOC_HALF = const(5)  # what frames tell, and some BMSs
_SOC_STEP = const(10)  # tenths: what a BMS changes by that tells whole percents
_SOC_UNKNOWN = const(1275)  # so that 255 is stored
_BAND_MOST = const(1 << 15)  # so that slopes stay small integers
_NOISE_LEAST = const(1024)  # one band
_NOISE_USUAL = const(1280)  # a ride is not much
_NOISE_MOST = const(1 << 16)
_WIDEST = const(5)
_HOUR_S = const(3600)
_WEEK_H = const(168)
_DAY_H = const(24)

# where a poll keeps what; the first four have doors, the five but charge have noise
_V = const(0)
_MIN = const(1)
_MAX = const(2)
_Q = const(3)  # charge since the last stored frame, mA s
_TEMP = const(4)
_SOC = const(5)  # tenths
_T = const(6)  # s
_I = const(7)
_INDEX = const(8)
_AREA = const(9)  # twice what voltage was above the last stored frame's poll, summed: 2 mV s

# what a poll may lack, and how that is told
_LACKABLE = (
    (_V, 0),
    (_MIN, frame.UNKNOWN_U16),
    (_MAX, frame.UNKNOWN_U16),
    (_I, None),
    (_TEMP, frame.UNKNOWN_U8),
    (_SOC, _SOC_UNKNOWN),
)
_DOORS = const(4)
_OPEN = const(0x3FFFFFFF)
_SHIFTS = const(b"\x0a\x0a\x0a\x03")  # fraction bits of slopes: 1/1024 mV/s, 1/8 mA


class Sampler:
    """Turns polls into frames such that what is skipped can be drawn back in.

    `capacity_ah` is the battery's design capacity. `poll` and `finish` return how many
    13-byte frames lie at the start of `frames`, in order, ready for the store.

    Between two data frames of one run (no GAP event, no new boot between them), times in
    whole seconds as in frames:
    - charge: stored current x stored interval adds up to the polled charge (each poll's current
      held since the poll before). Currents are rounded to 8 significant bits, of which 1 or 2 are
      left out where they are worth less than 1/32 % of `capacity_ah`, that is by 0.4 % or, small
      ones, 1.6 % at most; below 1/512 % of it as A to a power of two. What this leaves goes to the
      next frames, to each no more than 3 % of its own charge; what `finish` returns tells all
      (if the last poll is stored already, that frame's rounding stays);
    - current: at every poll the charge drawn as a line between frames is within 30 s x (0.3 % of
      `capacity_ah` as A + 5 % of the mean + half the jitter) of the polled one, and within 30 s x
      (1 % + 15 %), so that any minute's mean is within 1 % of `capacity_ah` + 15 % of what flowed
      in it, either way (a load that wobbled and ends may leave a tenth more to the minute after);
    - a step: between two polls more than 1 % of `capacity_ah` + 15 % of the larger + the jitter,
      or more than 5 % of `capacity_ah`; but what is less than 1.5 x the jitter is none, it
      wobbles. The poll before it is stored when it is seen, so that its time is exact, and so is
      the height of a peak of one poll. So is one where a current becomes known or unknown;
    - voltage: at every poll the line between frames is within 0.4 % of the polled value plus the
      half-float step of the ends, which are rounded such that the line has the polled mean;
      within 0.1 V when the BMS tells no more than tenths of a volt;
    - cell extremes: within 10 mV of the line;
    - state of charge and temperature: no line is drawn, the frame before holds. The first within
      0.4 % of it if the BMS tells tenths, else within half a percent, or one percent if that is
      the BMS's step; the other within 2 degrees;
    - never more than 30 min or 18 Ah between frames.
    The jitter is what eight of nine changes of current between polls stay below, lately.

    Noise widens the band of its own value: when half of all changes between polls are beyond it
    for half an hour or more (a sense wire that rattles), it grows to six times the noise. And
    `frames_a_day`, unless 0, is how many frames are stored at most in the mean of a week: beyond,
    all bands but the 5 % of a step are doubled, `widened` times, at most once an hour; and halved
    when there is room again. The charge stays exact.

    What a poll lacks counts as in the poll before, for 15 polls in a row; from the next on it is
    unknown, and an unknown current adds no charge. Nothing is carried over from before a gap.

    The first frame of a run stands for its own moment: its current is that poll's. A run ends
    with `finish` or when polls are missing: four times the usual interval without one, and at
    least 10 s, or `timeout_ms`, where links take turns. A GAP event then precedes the next.

    `provisional` writes to `held` what `finish` would store, after every poll, for the store to
    keep where a reset does not reach. `last` is the last poll, whole numbers in the places above.
    """

    def __init__(self, capacity_ah):
        self.frames_a_day = 0
        self.widened = 0
        self.timeout_ms = 0
        self._percent_ma = max(1, int(capacity_ah * 10))
        self._fraction_bits = 0  # of stored currents: at most 1/32 % of the capacity
        while 32000 >> self._fraction_bits > self._percent_ma and self._fraction_bits < 10:
            self._fraction_bits += 1
        self.frames = bytearray(3 * frame.SIZE)
        self.held = bytearray(frame.SIZE)
        self._n = 0
        self._now = [0] * 10
        self.last = [0] * 10
        self._running = False
        self._seen = False  # any poll yet
        self._pending = False  # the last poll is not stored
        self._uptime_ms = 0
        self._usual_ms = _USUAL_MS
        self._rest_mams = 0  # charge, mA ms: less than one mA s
        self._carry_mas = 0  # charge that frames did not tell yet, for they are rounded
        self._jitter_ma = 0
        self._noise = [_NOISE_LEAST] * 8  # of a value: what half of its changes stay below
        self._hour_s = 0  # begin of the hour whose frames are counted
        self._hour_frames = 0
        self._debt = 0  # frames beyond `frames_a_day`, times 24
        self._coarse = 0  # polls in a row that told tenths of a volt
        self._soc_fine = False  # does the BMS tell less than half percents?
        self._lacked = bytearray(9)  # for how many polls, of each value
        # the last stored frame
        self._start = [0] * _DOORS
        self._told_mv = 0
        self._t0_s = 0
        self._temp0 = 0
        self._soc0 = self._soc_before = 0  # of the frame, and of the one before
        # slopes of the lines from there that are within the bands of all polls since
        self._low = [0] * _DOORS
        self._high = [0] * _DOORS

    def poll(self, uptime_ms, sample):
        """Take the aiobmsble sample of time `uptime_ms`; return the number of frames to store."""
        self._n = 0
        now = self._now
        last = self.last
        if not _take(now, sample):
            return 0
        now[_T] = uptime_ms // 1000
        if now[_T] - self._hour_s >= _HOUR_S:
            self._budget((now[_T] - self._hour_s) // _HOUR_S)
        dt_ms = uptime_ms - self._uptime_ms
        self._uptime_ms = uptime_ms
        gap = dt_ms > max(4 * self._usual_ms, self.timeout_ms)
        self._usual_ms = max(_USUAL_MS, min(dt_ms, 2 * self._usual_ms))
        if not self._running or gap:
            if self._pending:
                self._store(last)
            if self._seen:
                gap_s = max(0, now[_T] - last[_T])
                frame.pack_event(self.frames, self._slot(), now[_T], frame.GAP, gap_s)
            self._begin(now)
        else:
            self._bridge(now, last)
            self._follow(now, last, dt_ms)
        self._now = last
        self.last = now
        self._seen = True
        return self._n

    def finish(self):
        """End the run (link lost, stop): return the number of frames to store."""
        self._n = 0
        if self._pending:
            self._store(self.last, True)
        self._running = False
        return self._n

    def provisional(self):
        """Write to `held` the frame that would end the run now; False if nothing is pending."""
        if self._pending:
            last = self.last
            self._pack(self.held, 0, last, self._voltage(last), self._current(last, True))
        return self._pending

    def _begin(self, now):
        self._running = True
        for i in range(len(self._lacked)):
            self._lacked[i] = 0
        self._rest_mams = now[_Q] = 0
        self._t0_s = now[_T]
        self._soc_before = now[_SOC]
        self._store(now)

    def _bridge(self, now, last):
        """Let what `now` lacks be as in `last`, unless it has been lacking for long."""
        for i, unknown in _LACKABLE:
            if now[i] != unknown:
                self._lacked[i] = 0
            elif self._lacked[i] < _BRIDGED_POLLS:
                self._lacked[i] += 1
                now[i] = last[i]
                if i == _MIN:
                    now[_INDEX] = last[_INDEX]

    def _follow(self, now, last, dt_ms):
        i = now[_I]
        i0 = last[_I]
        now[_Q] = last[_Q]
        if i is None or i0 is None:
            step = i is not i0
        else:
            step = self._is_step(abs(i - i0), max(abs(i), abs(i0)))
        if i is not None:
            # in two parts: 1000 A x 60 s are too much for a small int when counted in mA ms
            rest = i % 1000 * dt_ms + self._rest_mams
            now[_Q] += i // 1000 * dt_ms + rest // 1000
            self._rest_mams = rest % 1000
        if self._pending and i is not None and not step and self._fades(abs(i), abs(i0)):
            dt_s = last[_T] - self._t0_s
            if dt_s:  # a minute may lie in what comes after
                self._narrow(last, dt_s, _Q, self._band_mas(abs(i), abs(i)))
        if self._pending and (step or not self._fits(now)):
            charge = last[_Q]
            self._store(last)
            now[_Q] -= charge
        above_mv = now[_V] + last[_V] - 2 * self._start[_V]
        now[_AREA] = last[_AREA] + above_mv * (now[_T] - last[_T])
        self._pending = True
        self._follow_noise(now, last)
        dt_s = now[_T] - self._t0_s
        if (
            self._soc_is_news(now[_SOC])
            or abs(now[_TEMP] - self._temp0) > self._band(_TEMP, _TEMPERATURE_BAND)
            or abs(now[_Q]) >= _CHARGE_MAX_MAS
            or dt_s >= _SILENCE_S
        ):
            self._store(now)
        elif dt_s:
            self._narrow(now, dt_s, _V, self._band(_V, self._usual_band_mv(now[_V])))
            self._narrow(now, dt_s, _MIN, self._band(_MIN, _CELL_BAND_MV))
            self._narrow(now, dt_s, _MAX, self._band(_MAX, _CELL_BAND_MV))
            larger_ma = max(abs(now[_I] or 0), abs(last[_I] or 0))
            self._narrow(now, dt_s, _Q, self._band_mas(abs(now[_Q]) // dt_s, larger_ma))

    def _is_step(self, change, larger):
        """Is a change of current, with `larger` the larger of the two, a step? Follows jitter."""
        percent = self._percent_ma
        jitter = self._jitter_ma
        usual = percent + 3 * larger // 20 + jitter << self.widened
        if change > jitter:
            self._jitter_ma = min(jitter + jitter // 4 + 8, _JITTER_PERCENT * percent)
        else:
            self._jitter_ma = jitter - (jitter + 31) // 32
        return change > max(min(usual, _STEP_PERCENT * percent), 3 * jitter // 2)

    def _fades(self, now, before):
        """Is less flowing than before, as no step, nor as a wobble that comes back?"""
        return self._percent_ma < before - now < 3 * self._jitter_ma // 4

    def _usual_band_mv(self, mv):
        return max(mv // 250, _COARSE_MV if self._coarse == _COARSE_POLLS else 0)

    def _follow_noise(self, now, last):
        if now[_V] % _COARSE_MV:
            self._coarse = 0
        elif self._coarse < _COARSE_POLLS:
            self._coarse += 1
        self._follow_one(_V, abs(now[_V] - last[_V]), self._usual_band_mv(now[_V]))
        self._follow_one(_MIN, abs(now[_MIN] - last[_MIN]), _CELL_BAND_MV)
        self._follow_one(_MAX, abs(now[_MAX] - last[_MAX]), _CELL_BAND_MV)
        self._follow_one(_TEMP, abs(now[_TEMP] - last[_TEMP]), _TEMPERATURE_BAND)
        self._follow_one(_SOC, abs(now[_SOC] - last[_SOC]), _SOC_BAND)
        i = now[_I]
        i0 = last[_I]
        if i is not None and i0 is not None:
            self._follow_one(_I, abs(i - i0) // 16, (self._percent_ma + 3 * abs(i) // 20) // 16)

    def _follow_one(self, i, change, band):
        """Move the noise of value `i` towards what half of its changes stay below."""
        noise = self._noise[i]
        if change * _NOISE_LEAST > noise * band:
            noise += (noise >> 9) + 1
        else:
            noise -= (noise >> 9) + 1
        self._noise[i] = max(_NOISE_LEAST, min(_NOISE_MOST, noise))

    def _band(self, i, usual):
        """Return the band of value `i`, which is `usual` unless it is noisy or all are widened."""
        excess = max(0, self._noise[i] - _NOISE_USUAL)
        return min(usual + (usual * (6 * excess // 64) // 16) << self.widened, _BAND_MOST)

    def _band_mas(self, mean_ma, larger_ma):
        percent = self._percent_ma
        least_ma = min(mean_ma, larger_ma)  # a minute may lie in what comes after a load
        # the bound speaks of the minute's own mean, which may be the smaller: 1/1.15 of the stored
        most_ma = 16 * self._band(_I, (percent + 3 * least_ma // 20) // 16)
        usual = (60 * percent + 10 * mean_ma) // 7 + 15 * self._jitter_ma
        return min(usual << self.widened, 600 * most_ma // 23)

    def _soc_is_news(self, soc):
        if soc % _SOC_HALF:
            self._soc_fine = True
        change = abs(soc - self._soc0)
        if change <= self._band(_SOC, _SOC_BAND):
            return False
        if self._soc_fine or change > _SOC_STEP:
            return True
        return change < _SOC_STEP and soc != self._soc_before  # else it flickers

    def _budget(self, hours):
        """Widen or narrow all bands by the frames of the last `hours`, of which one had any."""
        most = self.frames_a_day
        self._debt = max(0, self._debt + _DAY_H * self._hour_frames - hours * most)
        self._hour_s += _HOUR_S * hours
        self._hour_frames = 0
        if not most:
            self._debt = self.widened = 0
        elif self._debt > _WEEK_H * most and self.widened < _WIDEST:
            self.widened += 1
            self._debt -= _DAY_H * most
        elif self._debt < _WEEK_H * most // 2 and self.widened:
            self.widened -= 1
            self._debt += _DAY_H * most

    def _fits(self, now):
        """Does the line to `now` pass all polls since the last stored frame?"""
        dt_s = now[_T] - self._t0_s
        if dt_s == 0:
            return True
        for i in range(_DOORS):
            rise = now[i] - self._start[i] << _SHIFTS[i]
            if rise // dt_s < self._low[i] or -(-rise // dt_s) > self._high[i]:
                return False
        return True

    def _narrow(self, now, dt_s, i, band):
        """Let later lines pass within `band` of `now` too."""
        rise = now[i] - self._start[i]
        shift = _SHIFTS[i]
        self._low[i] = max(self._low[i], -(-(rise - band << shift) // dt_s))
        self._high[i] = min(self._high[i], (rise + band << shift) // dt_s)

    def _store(self, poll, ends=False):
        """Store `poll`, after which nothing may come, and start the doors there."""
        voltage = self._voltage(poll)
        current = self._current(poll, ends)
        self._pack(self.frames, self._slot(), poll, voltage, current)
        if current != half.NAN:
            self._carry_mas += poll[_Q] - half.times_milli(current, poll[_T] - self._t0_s)
        self._pending = False
        self._t0_s = poll[_T]
        soc = (poll[_SOC] + 2) // 5 * 5  # as the frame has it
        if soc != self._soc0:
            self._soc_before = self._soc0
            self._soc0 = soc
        self._temp0 = poll[_TEMP]
        for i in range(_DOORS):
            self._start[i] = poll[i]
            self._low[i] = -_OPEN
            self._high[i] = _OPEN
        self._start[_Q] = poll[_Q] = poll[_AREA] = 0
        self._told_mv = 0 if voltage == half.NAN else half.times_milli(voltage, 1)

    def _voltage(self, poll):
        """Return `poll`'s half float, or the next if its line has a mean more like the polled."""
        mv = poll[_V]
        if mv == 0:
            return half.NAN
        nearest = half.from_milli(mv)
        dt_s = poll[_T] - self._t0_s
        if dt_s == 0 or self._coarse == _COARSE_POLLS:
            return nearest
        wanted_mv = 2 * self._start[_V] - self._told_mv + poll[_AREA] // dt_s
        step_mv = half.times_milli(nearest + 1, 1) - half.times_milli(nearest, 1)
        slack_mv = step_mv // 2
        return half.from_milli(max(mv - slack_mv, min(mv + slack_mv, wanted_mv)))

    def _current(self, poll, ends):
        """Return the half float of the mean current from the last stored frame to `poll`.

        Rounded to what a frame needs, unless nothing comes after it and it has to tell all charge.
        """
        if poll[_I] is None:
            return half.NAN
        charge = poll[_Q]
        dt_s = poll[_T] - self._t0_s
        if dt_s == 0:  # no stored time to spread charge over: it goes to the next frame
            return half.from_milli(poll[_I])
        if ends:
            charge += self._carry_mas
        else:  # a long silence leaves more than a short peak may take
            most = abs(charge) // 32 + dt_s
            charge += max(-most, min(most, self._carry_mas))
        mean_ma = (2 * charge + dt_s) // (2 * dt_s)
        if -_FINE_MA < mean_ma < _FINE_MA:
            # else what is left would be told as 1 mA, then taken back, for ever; a sixteenth of
            # that is no subnormal yet
            bits = half.from_fraction((32 * charge + dt_s) // (2 * dt_s), 16000)
        else:
            bits = half.from_milli(mean_ma)
        return bits if ends else half.rounded(bits, self._fraction_bits)

    def _pack(self, buf, offset, poll, voltage, current):
        frame.pack_data(
            buf,
            offset,
            poll[_T],
            voltage,
            current,
            poll[_TEMP],
            (poll[_SOC] + 2) // 5,
            poll[_MIN],
            poll[_MAX],
            poll[_INDEX],
        )

    def _slot(self):
        offset = self._n * frame.SIZE
        self._n += 1
        self._hour_frames += 1
        return offset


def _take(poll, sample):
    """Fill `poll` with the integers of `sample`; False if there is nothing to store."""
    voltage = sample.get("voltage")
    if voltage is None or not 0 < voltage < 1000:  # also refuses NaN
        voltage = 0
    poll[_V] = round(voltage * 1000)
    current = sample.get("current")
    poll[_I] = None if current is None or current != current else round(current * 1000)
    poll[_TEMP] = frame.temperature_u8(sample.get("temperature"))
    soc = sample.get("battery_level")
    poll[_SOC] = _SOC_UNKNOWN if soc is None else max(0, min(1000, round(soc * 10)))
    low = high = None
    i_low = i_high = n = 0
    for volts in sample.get("cell_voltages") or ():
        if volts is not None:
            if low is None or volts < low:
                low = volts
                i_low = n
            if high is None or volts > high:
                high = volts
                i_high = n
        n += 1
    if low is None:
        poll[_MIN] = poll[_MAX] = frame.UNKNOWN_U16
        poll[_INDEX] = frame.UNKNOWN_U8
        return bool(voltage or current is not None or soc is not None)
    poll[_MIN] = min(65534, round(low * 1000))
    poll[_MAX] = min(65534, round(high * 1000))
    if n > 16:
        i_low = i_low * 16 // n
        i_high = i_high * 16 // n
    poll[_INDEX] = frame.UNKNOWN_U8 if sample.get("extremes") else 16 * i_high + i_low
    return True
