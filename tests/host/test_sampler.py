"""The sampler's stated bounds, at every poll of random days and of the logs, through the store."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import seeds

from batmon.firmware import build
from batmon.log import fidelity, polllog
from batmon.log.timeline import kinds
from batmon.virtual import replay

_LOGS = sorted((build.ROOT / "tests/data/logs").glob("*.csv.gz"))
_CAPACITY_AH = {"van4s": 280, "house16s": 280, "ebike16s": 24}


def day(seed: int, polls: int) -> tuple[polllog.PollLog, int]:
    """Return a random day of one of many BMSs: steps, ramps, peaks, noise, gaps, unknown values."""
    rng = np.random.default_rng(seed)
    capacity = int(rng.choice([5, 24, 100, 280, 600]))
    cells = int(rng.choice([4, 8, 13, 16, 24]))
    period = float(rng.choice([1, 2, 2, 2, 5, 60]))
    time_s = np.cumsum(np.full(polls, period))
    amps = np.zeros(polls)
    busy = int(rng.choice([0, 1, 5]))  # a day at rest shows what voltage alone makes stored
    for _ in range(busy * polls // 2000):  # loads that come and go
        a, b = np.sort(rng.integers(0, polls, 2))
        b = min(b, a + int(rng.exponential(polls / 20)))
        amps[a:b] += rng.normal(0, 0.2) * capacity
    for _ in range(busy * polls // 5000):  # ramps
        a, n = int(rng.integers(0, polls)), int(rng.integers(5, 1000))
        n = min(n, polls - a)
        amps[a : a + n] += rng.normal(0, 0.3) * capacity * np.linspace(0, 1, n)
    for a in rng.integers(0, polls - 2, busy * polls // 2000):  # in-rush
        amps[a : a + int(rng.integers(1, 3))] += rng.normal(0, 1) * capacity
    amps = np.clip(amps, -1.5 * capacity, 1.5 * capacity)
    charge_ah = np.cumsum(amps) * period / 3600
    soc = np.clip(60 + 100 * np.clip(charge_ah, -0.5 * capacity, 0.3 * capacity) / capacity, 0, 100)
    noise = float(rng.choice([0, 0.01, 0.1]))
    resolution = float(rng.choice([0.001, 0.01, 0.1]))
    current = _told(amps + rng.normal(0, noise, polls), resolution)
    base = 3.2 + soc / 1000 + amps / capacity * 0.06
    noise_mv = float(rng.choice([0, 0.5, 1.5]))
    spread = rng.normal(0, 0.003, cells) + rng.normal(0, noise_mv / 1000, (polls, cells))
    each_mv = 1000 * (base[:, None] + spread)
    each_mv[:, 0] += _wander(rng, polls, 30)  # one cell on its own, and a meter that drifts
    drift = 1 + _wander(rng, polls, 0.01)
    voltage = _told(cells * base * drift, float(rng.choice([0.001, 0.01, 0.1])))
    each_mv = np.rint(each_mv)
    soc = _told(soc + rng.normal(0, 0.02, polls), float(rng.choice([0.1, 0.5, 1])))
    temperature = _told(20 + 5 * np.sin(np.arange(polls) / polls * 6), 0.1)
    low, high = each_mv.min(axis=1), each_mv.max(axis=1)
    if rng.integers(0, 2):
        for values in (current, soc, temperature, low):
            values[rng.random(polls) < rng.choice([0, 0.01, 0.3])] = np.nan
            for a in rng.integers(0, polls, 2):  # for longer than what is bridged
                values[a : a + int(rng.integers(10, 60))] = np.nan
    high[np.isnan(low)] = np.nan
    there = rng.random(polls) > 0.005  # polls that got no answer
    for a in rng.integers(0, polls, 3):
        there[a : a + int(rng.integers(2, 100))] = False
    there[0] = True
    log = polllog.PollLog(
        time_s, voltage, current, temperature, np.clip(soc, 0, 100),
        low, high, each_mv.argmin(axis=1), each_mv.argmax(axis=1),
        cells, None,
    )  # fmt: skip
    return _part(log, there), capacity


def _wander(rng, polls, most):
    return most * np.sin(np.arange(polls) / rng.integers(20, 800) + rng.random() * 6)


def _told(values, resolution):
    return np.round(np.round(values / resolution) * resolution, 6)


def _part(log, rows):
    fields = {f.name: getattr(log, f.name) for f in dataclasses.fields(log)}
    arrays = {name: x[rows] for name, x in fields.items() if isinstance(x, np.ndarray)}
    return polllog.PollLog(**fields | arrays)


def _bridged(log):
    gap = fidelity.gaps(log)
    names = ("current", "soc", "cell_min_mv", "cell_max_mv")
    known = {name: fidelity.bridged(getattr(log, name), gap) for name in names}
    return dataclasses.replace(log, **known)


def _check(log, capacity, folder):
    """Replay the log and assert what the docstring of sampler.Sampler states."""
    replayed = replay.replay(log, folder, "x", capacity)
    data = kinds(replayed.frames) == 0
    stored = fidelity.kept(log, replayed.frames[data], replayed.uptime_s[data])
    polled, kept, moved = fidelity.charges(log, stored)
    log = _bridged(log)
    seconds = fidelity.seconds_of(log)
    assert (seconds[stored.row] == replayed.uptime_s[data]).all()
    rows = stored.row
    gap = fidelity.gaps(log)
    # a run ends and begins with its own frames, so nothing is drawn across a gap
    for k in np.flatnonzero(gap):
        assert k in rows and k - 1 in rows, f"gap before poll {k}"
    last = np.maximum(np.searchsorted(rows, np.arange(len(log)), "right") - 1, 0)

    step = _half_step(stored.current)
    interval_s = np.diff(seconds[rows], prepend=seconds[rows[0]]) * ~gap[rows]
    runs = np.cumsum(gap[rows])
    rounding = np.zeros(runs[-1] + 1)  # the last frame of each run has nobody to carry it on
    carries = np.isfinite(step)
    most_a = 4 * step + capacity / 6400 + 0.001  # half of the last of 8 bits, or what is small
    rounding[runs[carries]] = (most_a * np.maximum(interval_s, 1))[carries]
    assert abs(kept[-1] - polled[-1]) <= rounding.sum() + 1e-3, "charge"
    assert abs(kept[-1] - polled[-1]) <= 2e-4 * moved[-1] + rounding.sum() + 1e-3

    for k in np.flatnonzero(_steps(log, capacity) & ~gap):
        assert k - 1 in rows, f"step at poll {k}"

    # half of the changes beyond the band are noise, which widens it
    if np.median(abs(np.diff(np.nan_to_num(log.current)))) < capacity / 200:
        _check_minutes(log, capacity, polled, kept, moved, gap)

    half = _half_step(log.voltage)
    coarse = (np.round(log.voltage * 1000) % 100 == 0).mean() > 0.95
    band = np.maximum(log.voltage * 0.004, 0.1 if coarse else 0) + half + 0.002
    error = abs(fidelity.line(log, stored, stored.voltage) - log.voltage)
    assert (error <= band).all(), f"voltage {error.max()}"
    assert (abs(stored.voltage - log.voltage[rows]) <= half[rows] + 0.001).all()
    for name in ("cell_min_mv", "cell_max_mv"):
        told = getattr(log, name)
        error = abs(fidelity.line(log, stored, getattr(stored, name)) - told)
        assert not (error > 10.5).any(), f"{name} {np.nanmax(error)}"
        assert (np.isnan(getattr(stored, name)) == np.isnan(told[rows])).all(), name
    soc = stored.soc[last]
    assert (np.isnan(soc) == np.isnan(log.soc)).all()
    error = np.nan_to_num(abs(soc - log.soc))
    assert ((error <= 0.5 + 1e-9) | (abs(error - 1) < 1e-9)).all(), "state of charge"
    tenths = np.maximum.accumulate(np.nan_to_num(np.rint(log.soc * 10) % 5) > 0)
    fast = pd.Series(abs(np.diff(log.soc, prepend=log.soc[0])) > 0.4)
    calm = fast.rolling(2000, 1).sum().to_numpy() < 50  # else that is noise, which widens
    assert (error[tenths & calm] <= 0.4 + 1e-9).all(), "state of charge in tenths"
    assert (np.diff(seconds[rows]) * ~gap[rows[1:]]).max() <= 1800 + 120


def _steps(log, capacity):
    """Return which polls are steps for sure: of a current that was calm for 300 polls."""
    change = abs(np.diff(np.nan_to_num(log.current), prepend=0))
    known = np.isfinite(log.current)
    before = np.append(known[:1], known[:-1])
    larger = np.fmax(abs(log.current), abs(np.append(log.current[:1], log.current[:-1])))
    calm = pd.Series(change).shift(1).rolling(300, 1).max().to_numpy()
    jitter = 1.25 * calm + 0.01 + capacity * 1e-4  # and what is left of before
    is_step = change > np.minimum(capacity / 100 + 0.15 * larger + jitter, capacity / 20) + 0.001
    return known & before & is_step & (change > 1.5 * jitter) | (known != before)


def _check_minutes(log, capacity, polled, kept, moved, gap):
    """Any minute's mean is within 1 % of the capacity + 15 % of what flowed."""
    t = log.time_s - log.time_s[0]
    starts = np.arange(len(log))
    ends = np.searchsorted(t, t + 60 - 1e-6)
    whole = ends < len(log)
    starts, ends = starts[whole], ends[whole]
    silent = np.cumsum(gap | np.isnan(log.current))
    whole = silent[starts] == silent[ends]
    starts, ends = starts[whole], ends[whole]
    spans = t[ends] - t[starts]
    mean = (polled[ends] - polled[starts]) / spans
    mean_kept = (kept[ends] - kept[starts]) / spans
    flowed = (moved[ends] - moved[starts]) / spans
    bound = capacity / 100 + 0.15 * flowed + 0.001 + abs(mean_kept) / 1024
    worst = (abs(mean_kept - mean) - bound).argmax()
    assert (abs(mean_kept - mean) <= bound).all(), (
        f"minute from poll {starts[worst]}: {mean[worst]} told as {mean_kept[worst]} A"
    )


def _half_step(values):
    known = np.nan_to_num(abs(values), nan=1)
    return np.where(np.isnan(values), np.nan, np.spacing(known.astype(np.float16)))


def test_bounds_hold_on_random_days(tmp_path):
    seed = seeds.new()
    for k in range(3):
        print(f"day {k + 1}")
        folder = tmp_path / str(k)
        folder.mkdir()
        _check(*day(seed + k, 6000), folder)


@pytest.mark.campaign
@pytest.mark.parametrize("seed", range(200))
def test_bounds_hold_on_two_hundred_days(tmp_path, seed):
    _check(*day(seed, 43200), tmp_path)


@pytest.mark.parametrize("path", _LOGS, ids=lambda path: path.name.partition(".")[0])
def test_bounds_hold_on_the_start_of_each_log(tmp_path, path):
    log = _part(polllog.read(path), slice(0, 9000))
    _check(log, _CAPACITY_AH.get(path.name.partition(".")[0], 100), tmp_path)


def test_a_minute_after_a_load_that_fades_is_told_as_its_own(tmp_path):
    path = build.ROOT / "tests/data/logs/ebike16s.csv.gz"  # where a ride wobbled too much for steps
    _check(_part(polllog.read(path), slice(98800, 99500)), 24, tmp_path)


@pytest.mark.campaign
@pytest.mark.parametrize("path", _LOGS, ids=lambda path: path.name.partition(".")[0])
def test_bounds_hold_on_each_log(tmp_path, path):
    log = polllog.read(path)
    _check(log, _CAPACITY_AH.get(path.name.partition(".")[0], 100), tmp_path)
