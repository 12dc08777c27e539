# What is known of battery frames: each column is guessed, and how far off the guess is, coded
# docs/FORMAT.md, "The model", says the same in words; in the subset of viper, numba and Python.
from array import array

import micropython
from micropython import const
from rangecoder import number, start
from shardmath import bits, cut, fixed, grid_bits, limit, rank, rank_bits

_SIZE = const(13)

# Rows of 8 counters, by what they serve. Where 8 rows are `shared`, they begin the column.
_CURRENT = const(0)  # shared; 32 sizes of the current before; 9 kinds of last change
_TIME = const(49)  # shared; 32 sizes of the guess; 28 kinds of last miss and of change in current
_CELL_MIN = const(117)  # shared; 32 changes in current; 49 pairs of last misses
_CELL_MAX = const(206)  # shared; 49 misses, this cell_min and last; 56 changes, spreads
_VOLTAGE = const(319)  # shared; 40 places in the step; 15 last misses, changes of the cells
_SOC = const(382)  # shared, also by all that follow; 6 directions; 24 shares of a step
_TEMPERATURE = const(420)  # 3 directions; 16 ages
_INDEX = const(439)  # for the lowest and for the highest cell: 45 kinds of past; 16 cells
_CONTROL = const(561)  # is it a control frame? and its 13 bytes
_GRID = const(575)  # is the voltage off its grid?
_ROWS = const(576)

# What the model remembers, in one array of ints. The first of them can be negative and are kept
# as so much more than 0: viper knows no signed array.
_ZERO = const(1 << 28)
_I = const(0)  # current as a fixed-point number, see shardmath
_I_MISS = const(1)
_DT_MISS = const(2)
_MIN_MISS = const(3)  # the last, the one before
_MAX_MISS = const(5)
_OHM = const(6)  # change of a cell by the current, mV per 1/64 A / 2**14
_V_MISS = const(7)
_V_BIAS = const(8)
_CHARGE = const(9)  # since soc changed
_SIGNED = const(10)
_N = const(10)  # 1 after the first frame
_T = const(11)
_DT = const(12)
_I_RANK = const(13)  # current, see shardmath
_I_SWING = const(14)  # running mean of the change of the current
_MIN = const(15)
_MAX = const(16)
_V = const(17)  # half float
_V_GRID = const(18)
_CELLS = const(19)
_SOC_NOW = const(20)
_SOC_WAY = const(21)  # 0 unknown, 1 up, 2 down
_SOC_CHARGE = const(22)  # between the last two changes of soc
_TEMP = const(23)
_TEMP_WAY = const(24)
_TEMP_AGE = const(25)
_RANKS = const(26)  # for both cell indices: rank of the last and of the one before
_RECENT = const(30)  # and the 16 indices, the most recent first
_BYTES = const(62)  # of the last control frame
_DTS = const(75)  # last interval by size of the current
_MEMORY = const(75 + 176)


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
            x = int(_cell_max(k, f[at + 10] | f[at + 11] << 8, moved))
            f[at + 10] = x & 0xFF
            f[at + 11] = x >> 8
            x = int(_voltage(k, f[at + 2] | f[at + 3] << 8, moved))
            f[at + 2] = x & 0xFF
            f[at + 3] = x >> 8
            f[at + 7] = int(_soc(k, 0 + f[at + 7]))
            f[at + 6] = int(_temperature(k, 0 + f[at + 6]))
            x = int(_index(k, 0, f[at + 12] & 15, m[_MIN_MISS] - _ZERO))
            f[at + 12] = int(_index(k, 1, f[at + 12] >> 4, m[_MAX_MISS] - _ZERO)) << 4 | x
            m[_N] = 1
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
    n = int(bits(size))
    place = _DTS
    if n > 3:
        place += 8 * n + ((size >> (n - 4)) & 7)
    guess = 0 + m[place]
    known = 1
    if guess == 0:
        known = 0
        guess = 0 + m[_DT]
    row = int(bits(guess))
    if row > 15:
        row = 15
    row = _TIME + 8 + 2 * row + known
    miss = m[_DT_MISS] - _ZERO
    other = _TIME + 40 + 4 * int(cut(miss, 3))
    if 8 * int(abs(now - before)) > size + int(abs(before)):
        other += 2
    if int(abs(miss)) > 10:
        other += 1
    miss = ((t - m[_T] - guess + 0x8000) & 0xFFFF) - 0x8000
    miss = int(number(k, row, other, _TIME, miss))
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
    size = int(abs(swing))
    row = int(bits(size >> 6))
    if row > 15:
        row = 15
    row = _CELL_MIN + 8 + 2 * row
    if swing < 0:
        row += 1
    miss = m[_MIN_MISS] - _ZERO
    other = int(cut(miss, 3)) * 7 + int(cut(m[_MIN_MISS + 1] - _ZERO, 3))
    m[_MIN_MISS + 1] = miss + _ZERO
    miss = ((x - guess + 0x8000) & 0xFFFF) - 0x8000
    miss = int(number(k, row, _CELL_MIN + 40 + other, _CELL_MIN, miss))
    m[_MIN_MISS] = miss + _ZERO
    x = (guess + miss) & 0xFFFF
    m[_MIN] = x
    usual = 0 + m[_I_SWING]
    if int(abs(step)) > 2 and m[_N]:
        error = int(limit((((x - last) << 14) - ohm * step) // step, 8000))
        if size > usual:
            error >>= 2
        else:
            error >>= 4
        m[_OHM] = int(limit(ohm + error, 8000)) + _ZERO
    m[_I_SWING] = usual + ((size - usual) >> 3)
    return x


@micropython.viper
def _cell_max(k, x: int, moved: int) -> int:
    m = ptr32(k[3])
    guess = m[_MAX] + moved
    spread = int(bits(int(abs(guess - m[_MIN]))))
    if spread > 7:
        spread = 7
    row = _CELL_MAX + 8 + int(cut(m[_MIN_MISS] - _ZERO, 3)) * 7
    row += int(cut(m[_MAX_MISS] - _ZERO, 3))
    other = _CELL_MAX + 57 + int(cut(moved, 3)) * 8 + spread
    miss = ((x - guess + 0x8000) & 0xFFFF) - 0x8000
    miss = int(number(k, row, other, _CELL_MAX, miss))
    x = (guess + miss) & 0xFFFF
    m[_MAX_MISS] = miss + _ZERO
    m[_MAX] = x
    return x


@micropython.viper
def _voltage(k, half: int, moved: int) -> int:
    m = ptr32(k[3])
    cells = m[_MIN] + m[_MAX]
    bias = m[_V_BIAS] - _ZERO
    guess = m[_CELLS] * cells * 64 // 125 + (bias >> 4)
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
    row = _VOLTAGE + 8 + place * 5 + int(cut(last - near, 2))
    other = _VOLTAGE + 48 + int(cut(m[_V_MISS] - _ZERO, 2)) * 3 + int(cut(moved, 1))
    miss = ((x - near + 0x8000) & 0xFFFF) - 0x8000
    miss = int(number(k, row, other, _VOLTAGE, miss))
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
    if m[_N] == 0:
        bias = error << 4
    elif int(abs(error)) < 3 * step:
        bias += error
    else:
        bias += error << 2
    bias = int(limit(bias, 1 << 24))
    if m[_CELLS] == 0 and cells:
        if volts > 0:
            x = (volts * 125 // 64 + (cells >> 1)) // cells
            m[_CELLS] = x if x < 32 else 32
        bias = (volts - m[_CELLS] * cells * 64 // 125) << 4
    m[_V_BIAS] = bias + _ZERO
    return half


@micropython.viper
def _soc(k, x: int) -> int:
    m = ptr32(k[3])
    # the charge that moves soc by one step is about the same every time
    dt = 0 + m[_DT]
    if dt > 2000:
        dt = 2000
    charge = m[_CHARGE] - _ZERO + int(limit((m[_I] - _ZERO) >> 4, 30000)) * dt
    charge = int(limit(charge, 200000000))
    size = int(abs(charge))
    share = 0
    if m[_SOC_CHARGE]:
        share = (size >> 6) * 16 // ((m[_SOC_CHARGE] >> 6) + 1)
        if share > 23:
            share = 23
    last = 0 + m[_SOC_NOW]
    way = 0 + m[_SOC_WAY]
    row = _SOC + 8 + 2 * way
    if charge < 0:
        row += 1
    step = int(number(k, row, _SOC + 14 + share, _SOC, x - last))
    if step:
        m[_SOC_WAY] = 1 if step > 0 else 2
        if m[_SOC_WAY] == way:
            m[_SOC_CHARGE] = size
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
def _index(k, which: int, x: int, miss: int) -> int:
    """Code which cell it is as its rank among the most recent ones."""
    m = ptr32(k[3])
    recent = _RECENT + 16 * which
    ranks = _RANKS + 2 * which
    place = 0
    while m[recent + place] != x:
        place += 1
    row = _INDEX + 61 * which
    other = row + 45 + m[recent]
    row += (m[ranks] * 3 + m[ranks + 1]) * 5 + int(cut(miss, 2))
    place = int(number(k, row, other, _SOC, place)) & 15
    x = 0 + m[recent + place]
    m[ranks + 1] = m[ranks]
    m[ranks] = place if place < 2 else 2
    while place:
        m[recent + place] = m[recent + place - 1]
        place -= 1
    m[recent] = x
    return x
