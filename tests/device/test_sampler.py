# The sampler's stated bounds, at every poll of random days
import random
import struct

import half
import micropython
from sampling.sampler import Sampler
from shards import frame

_CAPACITY_AH = 100


def _day(seed, polls, interval_ms=2000):
    """Yield (uptime_ms, sample): steps, ramps, in-rush, noise, lost polls."""
    random.seed(seed)
    t = 5000
    base = 0.0
    ramp = 0.0
    ah = 60.0
    for k in range(polls):
        if random.getrandbits(8) == 0:
            base = (random.getrandbits(10) - 512) / 8
        if random.getrandbits(9) == 0:
            ramp = (random.getrandbits(8) - 128) / 4000
        base = max(-90, min(90, base + ramp))
        amps = base + (40 if random.getrandbits(10) == 0 else 0) + random.getrandbits(4) / 100
        amps = round(amps, 3)
        ah = max(0, min(100, ah + amps * interval_ms / 3600000))
        cell = 3.2 + ah / 1000 + amps * 0.0008
        cells = [round(cell + j * 0.002 + random.getrandbits(2) / 1000, 3) for j in range(4)]
        yield (
            t,
            {
                "voltage": round(sum(cells), 3),
                "current": amps,
                "battery_level": round(ah),
                "temperature": round(20 + k / 1000, 1),
                "cell_voltages": cells,
            },
        )
        t += interval_ms if random.getrandbits(7) else 2 * interval_ms


def _run(polls):
    """Return (polls as tuples, frames as tuples with the poll index that stored them)."""
    sampler = Sampler(_CAPACITY_AH)
    seen = []
    stored = []
    for t, sample in polls:
        cells = sample["cell_voltages"]
        soc = sample.get("battery_level", 0)
        seen.append((t, sample["voltage"], sample["current"], min(cells), max(cells), soc))
        _take(sampler, sampler.poll(t, sample), stored, len(seen) - 1)
    _take(sampler, sampler.finish(), stored, len(seen) - 1)
    return seen, stored


def _take(sampler, n, stored, k):
    for i in range(n):
        assert frame.kind(sampler.frames, i * frame.SIZE) == 0
        f = struct.unpack_from("<HHHBBHHB", sampler.frames, i * frame.SIZE)
        stored.append((f[0], half.decode(f[1]), half.decode(f[2]), f[5], f[6], f[4], k))


def test_charge_is_exact():
    for seed in range(4):
        seen, stored = _run(_day(seed, 3000))
        polled = sum((b[0] - a[0]) * b[2] for a, b in zip(seen, seen[1:])) / 1000
        kept = sum((b[0] - a[0]) * b[2] for a, b in zip(stored, stored[1:]))
        through = sum((b[0] - a[0]) * abs(b[2]) for a, b in zip(seen, seen[1:])) / 1000
        assert abs(kept - polled) < 2e-4 * through, (seed, kept, polled, through)


def test_charge_of_a_tiny_current_is_not_rounded_away():
    for amps in (0.001, -0.001, 1.003):  # x 1999 ms: no whole mA s
        seen, stored = _run((1999 * k, dict(_steady(amps))) for k in range(3000))
        kept = sum((b[0] - a[0]) * b[2] for a, b in zip(stored, stored[1:]))
        last_s = stored[-1][0] - stored[-2][0]  # its rounding has nobody to carry it on
        assert abs(kept - amps * 2999 * 1.999) < last_s * 0.0006, (amps, kept)


def test_charge_that_remains_is_told_at_rest():
    for amps in (1.234, -0.018, 37.001):
        polls = ((10000 * k, dict(_steady(amps if k < 50 else 0.0))) for k in range(3000))
        seen, stored = _run(polls)
        polled = sum((b[0] - a[0]) * b[2] for a, b in zip(seen, seen[1:])) / 1000
        stored.pop()  # that of `finish` tells all
        kept = sum((b[0] - a[0]) * b[2] for a, b in zip(stored, stored[1:]))
        assert abs(kept - polled) < 0.06, (amps, kept, polled)


def test_lines_between_frames_stay_in_their_bands():
    for seed in range(4):
        seen, stored = _run(_day(seed + 10, 3000))
        at = {s[0] // 1000: s for s in seen}
        j = 0
        for t, volts, amps, low, high, soc in seen:
            s = t // 1000
            while stored[j + 1][0] < s and j < len(stored) - 2:
                j += 1
            a, b = stored[j], stored[j + 1]
            share = (s - a[0]) / (b[0] - a[0])
            va, vb = at[a[0]][1], at[b[0]][1]  # half floats round the ends; the band is for polls
            line = va + (vb - va) * share
            assert abs(line - volts) <= volts / 250 + 0.002, (seed, t, line, volts)
            for i, mv in ((3, low * 1000), (4, high * 1000)):
                line = a[i] + (b[i] - a[i]) * share
                assert abs(line - mv) <= 11, (seed, t, i, line, mv)
            assert abs(a[5] / 2 - soc) <= 1 or abs(b[5] / 2 - soc) <= 1, (seed, t)
            assert b[0] - a[0] <= 1802


def test_current_steps_keep_their_time_and_peaks_their_height():
    polls = []
    t = 0
    for k in range(600):
        amps = -30.0 if 300 <= k < 302 else 60.0 if k == 400 else 1.0
        t += 2000
        polls.append((t, {"voltage": 13.2, "current": amps, "cell_voltages": [3.3] * 4}))
    seen, stored = _run(polls)
    assert [f[0] for f in stored] == [2, 600, 604, 800, 802, 1200], stored
    for got, amps in zip(stored, (1, 1, -30, 1, 60, 1)):
        assert abs(got[2] - amps) < 0.1, stored
    assert stored[1][6] == 300  # stored by the poll that saw the step


def _frames(currents, capacity_ah=_CAPACITY_AH, polls=1000, **sample):
    """Return the times in polls at which frames are stored."""
    sampler = Sampler(capacity_ah)
    out = []
    sample["voltage"] = 13.2
    for k in range(polls):
        sample["current"] = currents(k)
        for i in range(sampler.poll(2000 * k, sample)):
            out.append(struct.unpack_from("<H", sampler.frames, i * frame.SIZE)[0] // 2)
    return out


def test_a_change_beyond_five_percent_of_the_capacity_is_a_step_also_when_the_current_is_high():
    assert 499 in _frames(lambda k: -94.0 if k >= 500 else -100.0)
    assert 499 not in _frames(lambda k: -96.0 if k >= 500 else -100.0)
    assert 499 in _frames(lambda k: -4.0 if k >= 500 else -2.0)
    assert 499 not in _frames(lambda k: -2.9 if k >= 500 else -2.0)


def test_what_wobbles_is_no_step():
    """A current that reads 0 at every third poll, and one that jumps up and down."""
    assert len(_frames(lambda k: -45.0 if k % 3 else 0.0)) < 40
    assert len(_frames(lambda k: -20.0 if k & 1 else -10.0)) < 30


def _noisy(name, values, polls=20_000, frames_a_day=0):
    """Return how many frames are stored in each quarter of polls whose `name` is noisy."""
    sampler = Sampler(_CAPACITY_AH)
    sampler.frames_a_day = frames_a_day
    sample = _steady()
    random.seed(5)
    out = [0] * 4
    for k in range(polls):
        sample[name] = values(random.getrandbits(10) / 512 - 1)
        out[4 * k // polls] += sampler.poll(2000 * k, sample)
    return out, sampler.widened


def test_noise_widens_the_band_of_its_own_value():
    for name, values in (
        ("cell_voltages", lambda x: [3.3 + 0.3 * x, 3.302, 3.299, 3.301]),
        ("voltage", lambda x: 13.2 + 0.4 * x),
        ("current", lambda x: -20 + 20 * x),
        ("temperature", lambda x: 20 + 30 * x),
        ("battery_level", lambda x: 50 + 20 * x),
    ):
        quarters, widened = _noisy(name, values)
        assert quarters[3] < 100 and not widened, (name, quarters)


def test_noise_that_is_within_the_bands_changes_nothing():
    quarters, _ = _noisy("cell_voltages", lambda x: [3.3 + 0.004 * x, 3.302, 3.299, 3.301])
    assert max(quarters) < 30, quarters


def test_more_frames_than_a_day_may_have_widen_all_bands_and_fewer_narrow_them_again():
    """Cells that jump at times, too seldom to be noise, for 20 days of 34; a poll every 20 s."""
    sampler = Sampler(_CAPACITY_AH)
    sampler.frames_a_day = 100
    sample = _steady()
    random.seed(6)
    days = [0] * 34
    polled = kept = t0 = widest = 0
    for k in range(4320 * 34):
        day = k // 4320
        jump = random.getrandbits(10) / 20 - 25 if k % 12 == 0 and day < 20 else 0
        sample["cell_voltages"][0] = 3.3 + jump / 1000
        sample["current"] = -5 + jump / 100
        polled += 20 * sample["current"] if k else 0
        for i in range(sampler.poll(20_000 * k, sample)):
            f = struct.unpack_from("<HHH", sampler.frames, i * frame.SIZE)
            kept += half.decode(f[2]) * ((f[0] - t0) & 0xFFFF)
            t0 = f[0]
            days[day] += 1
        widest = max(widest, sampler.widened)
    assert days[0] > 300 and widest, days
    assert sum(days[:20]) < 100 * (20 + 8), days
    assert sampler.widened == 0 and 48 <= days[33] <= 60, days
    assert abs(kept - polled) < 0.001 * abs(polled), (kept, polled)


def test_silence_ends_with_a_frame_and_a_gap_is_told():
    sampler = Sampler(_CAPACITY_AH)
    sample = {"voltage": 13.2, "current": 0.0, "cell_voltages": [3.3] * 4}
    kinds = []
    times = []
    t = 0
    for k in range(4000):
        t += 2000
        if k == 2000:
            t += 3_600_000
        n = sampler.poll(t, sample)
        for i in range(n):
            kinds.append(frame.kind(sampler.frames, i * frame.SIZE))
            times.append((t // 1000, struct.unpack_from("<H", sampler.frames, i * 13)[0]))
    gap = kinds.index(frame.EVENT)
    assert kinds.count(frame.EVENT) == 1
    assert times[gap - 1][1] == 4000  # the last poll before the gap was stored with it
    assert kinds[gap + 1] == 0 and times[gap + 1][0] == 4000 + 3602
    data = [u for (_, u), kind in zip(times, kinds) if kind == 0]
    steps = [b - a for a, b in zip(data, data[1:])]
    assert max(s for s in steps if s != 3602) <= 1800


def test_run_that_was_finished_is_followed_by_a_gap_and_begins_anew():
    sampler = Sampler(_CAPACITY_AH)
    for k in range(40):
        sampler.poll(2000 * k, _steady() if k < 10 else {"voltage": 13.2})
    assert sampler.finish() == 1 and sampler.finish() == 0
    assert sampler.poll(81_000, _steady(7.0)) == 2
    assert frame.kind(sampler.frames, 0) == frame.EVENT
    assert struct.unpack_from("<HHBI", sampler.frames, 0)[2:] == (frame.GAP, 81 - 78)
    assert half.decode(struct.unpack_from("<H", sampler.frames, frame.SIZE + 4)[0]) == 7
    assert sampler.poll(83_000, {"voltage": 13.2}) == 0  # lacks only since now


def test_one_slow_poll_is_not_the_usual_interval():
    sampler = Sampler(_CAPACITY_AH)
    kinds = []
    for s in (0, 2, 4, 13, 43):
        for i in range(sampler.poll(1000 * s, _steady())):
            kinds.append((s, frame.kind(sampler.frames, i * frame.SIZE)))
    assert [s for s, kind in kinds if kind == frame.EVENT] == [43]


def test_silence_is_half_an_hour_at_most_and_18_ah():
    for amps, longest_s in ((0.0, 1800), (-1.0, 1800), (3.0, 1800), (100.0, 672)):
        _, stored = _run((2000 * k, dict(_steady(amps))) for k in range(2000))
        steps = [b[0] - a[0] for a, b in zip(stored, stored[1:])]
        assert max(steps) == longest_s, (amps, steps)


def test_a_charge_that_is_left_over_is_told_however_small():
    """0.9 A s and then nothing: less than half a mA in the mean of the next half hour."""
    _, stored = _run((2000 * k, dict(_steady(0.45 if k == 100 else 0.0))) for k in range(3000))
    kept = sum((b[0] - a[0]) * b[2] for a, b in zip(stored, stored[1:]))
    assert abs(kept - 0.9) < 0.06, (kept, stored)


def test_unknown_values_and_useless_samples():
    sampler = Sampler(_CAPACITY_AH)
    nan = float("nan")
    assert sampler.poll(1000, {}) == 0
    assert sampler.poll(2000, {"voltage": nan}) == 0
    assert sampler.poll(3000, {"voltage": 0}) == 0
    assert sampler.poll(4000, {"voltage": 13.2}) == 1
    f = struct.unpack_from("<HHHBBHHB", sampler.frames, 0)
    assert f[2] == half.NAN and f[3:] == (255, 255, 65535, 65535, 255)
    assert sampler.poll(6000, {"voltage": 13.2, "current": nan}) == 0
    n = sampler.poll(8000, {"voltage": 13.2, "current": 5.0})
    assert n == 1  # a current that becomes known is a step
    assert struct.unpack_from("<H", sampler.frames)[0] == 6
    for celsius in (nan, float("inf"), -float("inf")):  # drivers that read floats may say so
        sampler = Sampler(_CAPACITY_AH)
        assert sampler.poll(0, {"voltage": 13.2, "temperature": celsius}) == 1
        assert sampler.frames[6] == 255
    for celsius, stored in ((-273, 0), (-40, 0), (-39.5, 1), (19.8, 120), (87, 254), (300, 254)):
        sampler = Sampler(_CAPACITY_AH)
        assert sampler.poll(0, {"voltage": 13.2, "temperature": celsius}) == 1
        assert sampler.frames[6] == stored


def test_rounding_of_voltage_does_not_shift_the_lines():
    sampler = Sampler(_CAPACITY_AH)
    told = []
    for k in range(20_000):  # 13.23 V lies between 13.2266 and 13.2344
        if sampler.poll(2000 * k, {"voltage": 13.23, "current": 0.0}):
            told.append(half.decode(struct.unpack_from("<H", sampler.frames, 2)[0]))
    means = [(a + b) / 2 - 13.23 for a, b in zip(told, told[1:])]
    assert max(abs(x - 13.23) for x in told) < 0.0078
    assert len(means) > 20 and abs(sum(means) / len(means)) < 0.001, means


def _steady(amps=-5.0):
    return {
        "voltage": 13.2,
        "current": amps,
        "battery_level": 60,
        "temperature": 20.0,
        "cell_voltages": [3.3, 3.302, 3.299, 3.301],
    }


def _lack(name, polls):
    """Return the frames of 200 polls of which `polls`, by number, lack `name`."""
    sampler = Sampler(_CAPACITY_AH)
    out = []
    for k in range(200):
        sample = _steady()
        if k in polls:
            sample[name] = None
        for i in range(sampler.poll(2000 * k, sample)):
            f = struct.unpack_from("<HHHBBHHB", sampler.frames, i * frame.SIZE)
            out.append(f[:1] + f[2:])
    return out


_FIELDS = ("current", "battery_level", "temperature", "cell_voltages")


def test_what_is_lacking_for_a_few_polls_is_as_before():
    whole = _lack("current", ())
    for name in _FIELDS:
        assert _lack(name, range(1, 200, 3)) == whole, name
        assert _lack(name, range(50, 65)) == whole, name


def test_what_is_lacking_for_long_is_unknown_and_known_again_at_once():
    unknown = {1: half.NAN, 2: 255, 3: 255, 4: 65535, 5: 65535, 6: 255}
    for name, fields in zip(_FIELDS, ((1,), (3,), (2,), (4, 5, 6))):
        frames = {f[0]: f for f in _lack(name, range(50, 100))}
        for s in frames:
            for i in fields:
                assert (frames[s][i] == unknown[i]) == (130 <= s < 200), (name, s, frames[s])
        for s in (130, 200):
            assert s in frames or s - 2 in frames, (name, s)


def test_nothing_is_carried_over_a_gap():
    sampler = Sampler(_CAPACITY_AH)
    for k in range(10):
        sampler.poll(2000 * k, _steady())
    n = sampler.poll(100_000, {"voltage": 13.2})
    f = struct.unpack_from("<HHHBBHHB", sampler.frames, (n - 1) * frame.SIZE)
    assert f[2] == half.NAN and f[3:] == (255, 255, 65535, 65535, 255)


def test_charge_of_lacking_currents_is_that_of_the_poll_before():
    frames = [(f[0], half.decode(f[1])) for f in _lack("current", range(60, 70))]
    assert all(abs(amps + 5) < 0.005 for _, amps in frames), frames
    frames = _lack("current", range(50, 100))
    charge = 0
    for a, b in zip(frames, frames[1:]):
        if b[1] != half.NAN:
            charge += (b[0] - a[0]) * half.decode(b[1])
    # until 15 polls without, then from the first known one on
    known_s = 2 * (49 + 15) + (frames[-1][0] - 198)
    assert abs(charge + 5 * known_s) < 0.01 * known_s, (charge, known_s)


def test_recorded_sample_becomes_the_right_frame():
    cells = [3.31, 3.314, 3.313, 3.312, 3.312, 3.308, 3.312, 3.309]
    cells += [3.309, 3.309, 3.309, 3.312, 3.313, 3.309, 3.31, 3.309]
    sampler = Sampler(280)
    sample = {
        "voltage": 52.971,
        "current": 2.329,
        "battery_level": 56,
        "temperature": 19.833,
        "cell_voltages": cells,
    }
    assert sampler.poll(12_345, sample) == 1
    f = struct.unpack_from("<HHHBBHHB", sampler.frames, 0)
    assert f[0] == 12 and f[3:] == (120, 112, 3308, 3314, 16 * 1 + 5)
    assert abs(half.decode(f[1]) - 52.971) <= 1 / 64  # half a step at 52 V
    assert abs(half.decode(f[2]) - 2.329) <= 1 / 1024


def test_what_is_held_is_what_finish_would_store_and_changes_nothing():
    asked = Sampler(_CAPACITY_AH)
    plain = Sampler(_CAPACITY_AH)
    pending = 0
    for t, sample in _day(7, 1500):
        n = asked.poll(t, sample)
        assert n == plain.poll(t, sample)
        assert asked.frames[: n * frame.SIZE] == plain.frames[: n * frame.SIZE]
        assert asked.provisional() == asked.provisional()
        pending += asked.provisional()
        held = bytes(asked.held) if asked.provisional() else b""
    assert plain.finish() == len(held) // frame.SIZE
    assert plain.frames[: len(held)] == held
    assert pending > 1000


def test_nothing_pending_is_not_held():
    sampler = Sampler(_CAPACITY_AH)
    assert not sampler.provisional()
    sampler.poll(1000, {"voltage": 13.2, "current": 1.0})
    assert not sampler.provisional()  # it is stored
    sampler.poll(3000, {"voltage": 13.2, "current": 1.0})
    assert sampler.provisional()
    assert sampler.finish() == 1
    assert not sampler.provisional()


def test_a_poll_allocates_nothing_but_the_floats_of_its_sample():
    sampler = Sampler(_CAPACITY_AH)
    # whole numbers: what is left of the floats is their conversion, 1 per value
    sample = {
        "voltage": 13,
        "current": 2,
        "temperature": 20,
        "battery_level": 50,
        "cell_voltages": [3, 3, 3, 4],
    }
    sampler.poll(1000, sample)
    sampler.poll(3000, sample)
    micropython.heap_lock()
    try:
        stored = 0
        for k in range(100):
            stored += sampler.poll(5000 + 2000 * k, sample)
            assert sampler.provisional()
        sample["current"] = 40
        stored += sampler.poll(205000, sample)  # frames allocate nothing either
        sampler.frames_a_day = 1
        stored += sampler.poll(207000, sample)
    finally:
        micropython.heap_unlock()
    assert stored == 1
