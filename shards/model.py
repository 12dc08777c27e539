# What is known of battery frames: each column is guessed, and how far off the guess is, coded
# docs/FORMAT.md, "The model", says the same in words; in the subset of viper, numba and Python.
from array import array

import micropython
from micropython import const
from shards.numbers import bits, cut, fixed, grid_bits, limit, rank, rank_bits
from shards.rangecoder import number, start

_SIZE = const(13)

# Rows of 8 counters, by what they serve. Where 8 rows are `shared`, they begin the column.
_CURRENT = const(0)  # shared; 32 sizes of the current before; 9 kinds of last change
_TIME = const(49)  # shared; 32 guesses, current steady or not; 49 pairs of last changes
_CELL_MIN = const(170)  # shared; 32 changes by the current; 28 rests to the mean, intervals
_CELL_MAX = const(238)  # shared; 32 spreads; 56 changes of cell_min and of the current
_VOLTAGE = const(334)  # shared; 8 places in the step; 25 last misses and guessed changes
_SOC = const(375)  # shared, also by all that follow; 32 intervals; 42 charges
_TEMPERATURE = const(457)  # 3 directions; 16 ages
_INDEX = const(476)  # for the lowest and for the highest cell: the 16 cells; and once more
_CONTROL = const(540)  # is it a control frame? and its 13 bytes
_GRID = const(554)  # is the voltage off its grid?
_ROWS = const(555)

# What the model remembers, in one array of ints. The first of them can be negative and are kept
# as so much more than 0: viper knows no signed array.
_ZERO = const(1 << 28)
_I = const(0)  # current as a fixed-point number, see numbers.py
_I_MISS = const(1)
_DT_MISS = const(2)
_MIN_REST = const(3)  # mean of cell_min less the last one, mV/16
_OHM = const(4)  # change of a cell by the current, mV per 1/64 A / 2**14
_V_MISS = const(5)
_V_BIAS = const(6)
_CHARGE = const(7)  # since soc changed
_SIGNED = const(8)
_T = const(8)
_DT = const(9)
_I_RANK = const(10)  # current, see numbers.py
_MIN = const(11)
_MAX = const(12)
_V = const(13)  # half float
_V_GRID = const(14)
_CELLS = const(15)
_SOC_NOW = const(16)
_TEMP = const(17)
_TEMP_WAY = const(18)  # 0 unknown, 1 up, 2 down
_TEMP_AGE = const(19)
_RECENT = const(20)  # for both cell indices the 16 values, the most recent first
_BYTES = const(52)  # of the last control frame
_DTS = const(65)  # last interval by size of the current
_MEMORY = const(65 + 22)


def new(data):
    """Return what `code` works on: coder state, `data` that it writes or reads, counters, memory.

    Call `begin` before the first frame of each block.
    """
    return array("i", range(4)), data, array("H", range(8 * _ROWS)), array("i", range(_MEMORY))


@micropython.viper
def begin(k, at: int, end: int):
    """Forget everything; write from byte `at` on with `end` 0, or read from `at` to `end`."""
    start(k[0], k[1], at, end)
    p = ptr16(k[2])
    for i in range(8 * _ROWS):
        p[i] = 0x8000  # no experience, as likely as not
    m = ptr32(k[3])
    for i in range(_MEMORY):
        m[i] = 0
    for i in range(_SIGNED):
        m[i] = _ZERO
    for i in range(32):
        m[_RECENT + i] = i & 15
    m[_V_GRID] = 10


@micropython.viper
def code(k, frames, first: int, n: int):
    """Write `n` frames of the buffer `frames`, or read them into it; `first` counts from 0."""
    f = ptr8(frames)
    m = ptr32(k[3])
    at = first * _SIZE
    end = at + n * _SIZE
    while at < end:
        control = 1 if f[at + 3] == 0xFE else 0
        if int(number(k, _CONTROL, _CONTROL, _SOC, control)):
            for i in range(_SIZE):
                row = _CONTROL + 1 + i
                x = 0 + m[_BYTES + i]
                x = (x + int(number(k, row, row, _SOC, f[at + i] - x))) & 0xFF
                m[_BYTES + i] = x
                f[at + i] = x
        else:
            before = m[_I] - _ZERO
            x = int(_current(k, f[at + 4] | f[at + 5] << 8))
            f[at + 4] = x & 0xFF
            f[at + 5] = x >> 8
            x = int(_time(k, f[at] | f[at + 1] << 8, before))
            f[at] = x & 0xFF
            f[at + 1] = x >> 8
            last = 0 + m[_MIN]
            x = int(_cell_min(k, f[at + 8] | f[at + 9] << 8, m[_I] - _ZERO - before))
            f[at + 8] = x & 0xFF
            f[at + 9] = x >> 8
            moved = x - last
            x = int(_cell_max(k, f[at + 10] | f[at + 11] << 8, moved, m[_I] - _ZERO - before))
            f[at + 10] = x & 0xFF
            f[at + 11] = x >> 8
            x = int(_voltage(k, f[at + 2] | f[at + 3] << 8))
            f[at + 2] = x & 0xFF
            f[at + 3] = x >> 8
            f[at + 7] = int(_soc(k, 0 + f[at + 7]))
            f[at + 6] = int(_temperature(k, 0 + f[at + 6]))
            x = int(_index(k, 0, f[at + 12] & 15))
            f[at + 12] = int(_index(k, 1, f[at + 12] >> 4)) << 4 | x
        at += _SIZE


@micropython.viper
def _current(k, half: int) -> int:
    m = ptr32(k[3])
    row = 2 * int(bits(int(abs(m[_I] - _ZERO)) >> 3))
    if row > 31:
        row = 31
    last = m[_I_MISS] - _ZERO
    kind = (int(bits(int(abs(last)))) + 1) >> 1
    if kind > 4:
        kind = 4
    if last < 0:
        kind = 0 - kind
    guess = 0 + m[_I_RANK]
    miss = ((int(rank(half)) - guess + 0x8000) & 0xFFFF) - 0x8000
    miss = int(number(k, _CURRENT + 8 + row, _CURRENT + 44 + kind, _CURRENT, miss))
    x = (guess + miss) & 0xFFFF
    m[_I_MISS] = miss + _ZERO
    m[_I_RANK] = x
    half = int(rank_bits(x))
    m[_I] = int(fixed(half)) + _ZERO
    return half


@micropython.viper
def _time(k, t: int, before: int) -> int:
    m = ptr32(k[3])
    now = m[_I] - _ZERO
    size = int(abs(now))
    place = _DTS + int(bits(size))
    guess = 0 + m[place]
    if guess == 0:
        guess = 0 + m[_DT]
    row = 2 * guess
    if row > 62:
        row = 62
    if 8 * int(abs(now - before)) > size + int(abs(before)):
        row += 1
    other = 7 * int(cut(guess - m[_DT], 3)) + int(cut(m[_DT_MISS] - _ZERO, 3))
    miss = ((t - m[_T] - guess + 0x8000) & 0xFFFF) - 0x8000
    miss = int(number(k, _TIME + 8 + row, _TIME + 72 + other, _TIME, miss))
    dt = (guess + miss) & 0xFFFF
    m[_DT_MISS] = miss + _ZERO
    m[_DT] = dt
    m[place] = dt
    t = (m[_T] + dt) & 0xFFFF
    m[_T] = t
    return t


@micropython.viper
def _cell_min(k, x: int, swing: int) -> int:
    m = ptr32(k[3])
    last = 0 + m[_MIN]
    ohm = m[_OHM] - _ZERO
    step = int(limit(swing >> 4, 16000))
    guess = last + ((ohm * step + 8192) >> 14)
    row = 2 * int(bits(int(abs(ohm * step)) >> 12))
    if swing < 0:
        row += 1
    age = int(bits(m[_DT] >> 3)) >> 1
    if age > 3:
        age = 3
    rest = m[_MIN_REST] - _ZERO
    other = 4 * int(cut((rest + 4) >> 3, 3)) + age
    miss = ((x - guess + 0x8000) & 0xFFFF) - 0x8000
    miss = int(number(k, _CELL_MIN + 8 + row, _CELL_MIN + 40 + other, _CELL_MIN, miss))
    rest -= 16 * miss
    m[_MIN_REST] = int(limit(rest - (rest >> 3), 48)) + _ZERO
    x = (guess + miss) & 0xFFFF
    m[_MIN] = x
    if step and last:  # the more the current changed, the more is learned
        error = ((x - last) << 14) - ohm * step
        if step > 0:
            step += 512
        else:
            step -= 512
        m[_OHM] = int(limit(ohm + (int(limit(error // step, 8000)) >> 2), 8000)) + _ZERO
    return x


@micropython.viper
def _cell_max(k, x: int, moved: int, swing: int) -> int:
    m = ptr32(k[3])
    guess = m[_MAX] + moved
    spread = guess - m[_MIN]
    if spread < 0:
        spread = 0
    if spread > 31:
        spread = 31
    other = 8 * int(cut(moved, 3)) + (int(bits(int(abs(swing)) >> 6)) >> 1)
    miss = ((x - guess + 0x8000) & 0xFFFF) - 0x8000
    miss = int(number(k, _CELL_MAX + 8 + spread, _CELL_MAX + 40 + other, _CELL_MAX, miss))
    x = (guess + miss) & 0xFFFF
    m[_MAX] = x
    return x


@micropython.viper
def _voltage(k, half: int) -> int:
    m = ptr32(k[3])
    cells = m[_MIN] + m[_MAX]
    bias = m[_V_BIAS] - _ZERO
    guess = m[_CELLS] * cells * 64 // 125 + (bias >> 3)
    if guess < 64:
        guess = 64
    if guess > 0xFFFFF:
        guess = 0xFFFFF
    down = int(bits(guess)) - 11
    if down < 0:
        down = 0
    volts = int(fixed(half))
    grid = 0 + m[_V_GRID]
    while grid <= 100:
        x = (volts * grid + 512) >> 10
        off = 1
        if x >= 0 and x < 0x10000 and int(grid_bits(x, grid)) == half:
            off = 0
        if int(number(k, _GRID, _GRID, _VOLTAGE, off)) == 0:
            break
        grid *= 10
        m[_V_GRID] = grid
    last = 0 + m[_V]
    if grid <= 100 and 1024 // grid > 1 << down:
        step = 1024 // grid
        near = guess * grid >> 10
        place = (guess * grid >> 7) & 7
        x = (volts * grid + 512) >> 10
        last = (int(fixed(last)) * grid + 512) >> 10
    else:
        grid = 0
        step = 1 << down
        near = 0x8000 + ((down + 15) << 10) + (guess >> down) - 1024
        place = ((guess << 3) >> down) & 7
        x = int(rank(half))
        last = int(rank(last))
    other = 5 * int(cut(m[_V_MISS] - _ZERO, 2)) + int(cut(last - near, 2))
    miss = ((x - near + 0x8000) & 0xFFFF) - 0x8000
    miss = int(number(k, _VOLTAGE + 8 + place, _VOLTAGE + 16 + other, _VOLTAGE, miss))
    m[_V_MISS] = miss + _ZERO
    x = (near + miss) & 0xFFFF
    if grid:
        half = int(grid_bits(x, grid))
    else:
        half = int(rank_bits(x))
    m[_V] = half
    volts = int(fixed(half))
    error = volts - guess
    if grid == 0:
        error += step >> 1
    if int(abs(error)) < 2 * step:
        bias += error
    else:
        bias += error << 3
    bias = int(limit(bias, 1 << 24))
    if m[_CELLS] == 0 and cells:
        if volts > 0:
            x = (volts * 125 // 64 + (cells >> 1)) // cells
            m[_CELLS] = x if x < 32 else 32
        bias = (volts - m[_CELLS] * cells * 64 // 125) << 3
    m[_V_BIAS] = bias + _ZERO
    return half


@micropython.viper
def _soc(k, x: int) -> int:
    m = ptr32(k[3])
    # the charge that moves soc by one step is about the same every time
    dt = 0 + m[_DT]
    row = 2 * int(bits(dt))
    if row > 30:
        row = 30
    if dt > 2000:
        dt = 2000
    charge = m[_CHARGE] - _ZERO + int(limit((m[_I] - _ZERO) >> 4, 30000)) * dt
    charge = int(limit(charge, 200000000))
    if charge < 0:
        row += 1
    size = int(abs(charge)) >> 8
    n = int(bits(size))
    if n > 1:
        n = 2 * n + ((size >> (n - 2)) & 1)
    last = 0 + m[_SOC_NOW]
    step = int(number(k, _SOC + 8 + row, _SOC + 40 + n, _SOC, x - last))
    if step:
        charge = 0
    m[_CHARGE] = charge + _ZERO
    x = (last + step) & 0xFF
    m[_SOC_NOW] = x
    return x


@micropython.viper
def _temperature(k, x: int) -> int:
    m = ptr32(k[3])
    last = 0 + m[_TEMP]
    age = m[_TEMP_AGE] + m[_DT]
    if age > 0xFFFF:
        age = 0xFFFF
    row = int(bits(age))
    if row > 15:
        row = 15
    step = int(number(k, _TEMPERATURE + m[_TEMP_WAY], _TEMPERATURE + 3 + row, _SOC, x - last))
    if step:
        m[_TEMP_WAY] = 1 if step > 0 else 2
        age = 0
    m[_TEMP_AGE] = age
    x = (last + step) & 0xFF
    m[_TEMP] = x
    return x


@micropython.viper
def _index(k, which: int, x: int) -> int:
    """Code which cell it is as its place among the most recent ones."""
    m = ptr32(k[3])
    recent = _RECENT + 16 * which
    place = 0
    while m[recent + place] != x:
        place += 1
    row = _INDEX + 32 * which
    place = int(number(k, row + m[recent], row + 16 + m[recent + 1], _SOC, place)) & 15
    x = 0 + m[recent + place]
    while place:
        m[recent + place] = m[recent + place - 1]
        place -= 1
    m[recent] = x
    return x
