"""The least number of frames: against brute force on short logs, and never above the sampler's."""

import itertools

import numpy as np
import pytest
from test_sampler import day

from batmon.log import fidelity
from batmon.log.timeline import kinds
from batmon.virtual import replay
from bench import optimum


def _tells(a, b, arrays):
    """Do frames at polls `a` and `b` alone tell all polls between them? Each is looked at."""
    seconds, columns, now, temperature, soc, coarse, begins, step, jitter, capacity = arrays
    between = range(a + 1, b)
    if any(begins[k] for k in range(a + 1, b + 1)) or any(step[k] for k in range(a + 2, b + 1)):
        return False
    for i in range(4):
        unknown = np.isnan(columns[i, a : b + 1])
        if unknown.any() and not unknown.all() and b > a + 1:
            return False
    for k in between:
        whole, part = seconds[b] - seconds[a], seconds[k] - seconds[a]
        if part >= 1800 or abs(columns[1, k] - columns[1, a]) >= (1 << 26) / 1000:
            return False
        change = abs(soc[k] - np.rint(soc[a] * 2) / 2)
        if np.isnan(soc[k]) != np.isnan(soc[a]):
            return False
        if change > 0.4 + 1e-6 and abs(change - 1) > 1e-6:
            return False
        if np.isnan(temperature[k]) != np.isnan(temperature[a]):
            return False
        if abs(temperature[k] - temperature[a]) > 1.5:
            return False
        if not part:
            continue
        mean = abs(columns[1, k] - columns[1, a]) / part
        usual = (0.003 * capacity + 0.05 * mean) / 1.05 + jitter[k] / 2
        charge = 30 * min(usual, (0.01 * capacity + 0.15 * min(mean, now[k])) / 1.15)
        volts = max(0.004 * columns[0, k], 0.1 * coarse[k])
        for i, band in enumerate((volts, charge, 10, 10)):
            line = columns[i, a] + (columns[i, b] - columns[i, a]) * part / whole
            if abs(line - columns[i, k]) > band * (1 + 1e-9) + 1e-9:
                return False
    return True


def _fewest(arrays):
    """Return how many frames suffice, by trying every pair of polls."""
    n = len(arrays[0])
    frames = [1] + [n] * (n - 1)
    for b in range(1, n):
        for a in range(b):
            if a == b - 1 or _tells(a, b, arrays):
                frames[b] = min(frames[b], frames[a] + 1)
    return frames[-1]


@pytest.mark.parametrize("seed", range(12))
def test_brute_force_finds_no_fewer(seed):
    log, capacity = day(seed, 200)
    arrays = optimum.arrays(log, float(capacity))
    rows = optimum.rows(log, capacity)
    assert rows[0] == 0 and rows[-1] == len(log) - 1
    for a, b in itertools.pairwise(rows):
        assert b == a + 1 or _tells(a, b, arrays), (a, b)
    assert len(rows) == _fewest(arrays)


@pytest.mark.parametrize("seed", range(3))
def test_the_sampler_stores_no_fewer_and_not_many_more(seed, tmp_path):
    log, capacity = day(100 + seed, 4000)
    replayed = replay.replay(log, tmp_path, "x", capacity)
    data = kinds(replayed.frames) == 0
    ours = len(fidelity.kept(log, replayed.frames[data], replayed.uptime_s[data]).row)
    least = len(optimum.rows(log, capacity))
    assert 0.97 * least <= ours <= 1.3 * least, (ours, least)  # slopes are rounded; noise widens
