# What is known of battery frames: each column is guessed, and how far off the guess is, coded
# docs/FORMAT.md, "The model", says the same in words; runs on the board and on the PC.
from array import array

from micropython import const
from rangecoder import number, start

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

# What the model remembers, in one array of ints.
_N = const(0)  # 1 after the first frame
_T = const(1)
_I = const(2)  # current, V, as fixed-point numbers and as ranks, see _fixed and _rank
_I_RANK = const(3)
_I_MISS = const(4)
_I_SWING = const(5)  # running mean of the change of the current
_DT = const(6)
_DT_MISS = const(7)
_MIN = const(8)
_MIN_MISS = const(9)  # the last, the one before
_MAX = const(11)
_MAX_MISS = const(12)
_OHM = const(13)  # change of a cell by the current, mV per 1/64 A / 2**14
_V = const(14)
_V_MISS = const(15)
_V_BIAS = const(16)
_V_GRID = const(17)
_CELLS = const(18)
_SOC_NOW = const(19)
_SOC_WAY = const(20)  # 0 unknown, 1 up, 2 down
_CHARGE = const(21)  # since soc changed, and between its last two changes
_SOC_CHARGE = const(22)
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


def begin(k, at, end=0):
    """Forget everything; write from byte `at` on, or read from `at` to `end`."""
    start(k[0], k[1], at, end)
    p = k[2]
    for i in range(8 * _ROWS):
        p[i] = 0x8000  # no experience, as likely as not
    m = k[3]
    for i in range(_MEMORY):
        m[i] = 0
    for i in range(32):
        m[_RECENT + i] = i & 15
    m[_V_GRID] = 10


def code(k, frames, first, n):
    """Write `n` frames of the buffer `frames`, or read them into it; `first` counts from 0."""
    for at in range(first * _SIZE, (first + n) * _SIZE, _SIZE):
        control = number(k, _CONTROL, _CONTROL, _SOC, 1 if frames[at + 3] == 0xFE else 0)
        if control:
            _control(k, frames, at)
        else:
            _data(k, frames, at)


def _control(k, frames, at):
    m = k[3]
    for i in range(_SIZE):
        row = _CONTROL + 1 + i
        x = m[_BYTES + i] + number(k, row, row, _SOC, frames[at + i] - m[_BYTES + i]) & 0xFF
        m[_BYTES + i] = x
        frames[at + i] = x


def _data(k, f, at):
    m = k[3]
    before = m[_I]
    _put(f, at + 4, _current(k, _u16(f, at + 4)))
    swing = m[_I] - before
    _put(f, at, _time(k, _u16(f, at), before))
    moved = _cell_min(k, _u16(f, at + 8), swing)
    _cell_max(k, _u16(f, at + 10), moved)
    _put(f, at + 8, m[_MIN])
    _put(f, at + 10, m[_MAX])
    _put(f, at + 2, _voltage(k, _u16(f, at + 2), moved))
    f[at + 7] = _soc(k, f[at + 7])
    f[at + 6] = _temperature(k, f[at + 6])
    low = _index(k, 0, f[at + 12] & 15, m[_MIN_MISS])
    f[at + 12] = _index(k, 1, f[at + 12] // 16, m[_MAX_MISS]) << 4 | low
    m[_N] = 1


def _u16(f, at):
    return f[at] + 256 * f[at + 1]


def _put(f, at, x):
    f[at] = x & 0xFF
    f[at + 1] = x >> 8


def _near(k, a, b, shared, x, guess):
    """Code the u16 `x` by what it is more or less than `guess`."""
    miss = (x - guess + 0x8000 & 0xFFFF) - 0x8000
    return number(k, a, b, shared, miss)


def _current(k, bits):
    m = k[3]
    size = _bits(abs(m[_I]) >> 3) * 2
    last = m[_I_MISS]
    kind = min(4, (_bits(abs(last)) + 1) // 2)
    row = _CURRENT + 8 + min(31, size)
    other = _CURRENT + 40 + (4 - kind if last < 0 else 4 + kind)
    miss = _near(k, row, other, _CURRENT, _rank(bits), m[_I_RANK])
    m[_I_MISS] = miss
    m[_I_RANK] = m[_I_RANK] + miss & 0xFFFF
    bits = _rank_bits(m[_I_RANK])
    m[_I] = _fixed(bits)
    return bits


def _time(k, t, before):
    m = k[3]
    size = abs(m[_I])
    n = _bits(size)
    place = _DTS + (n * 8 + (size >> n - 4 & 7) if n > 3 else 0)
    guess = m[place]
    known = 1 if guess else 0
    if not known:
        guess = m[_DT]
    jump = 1 if abs(m[_I] - before) * 8 > size + abs(before) else 0
    row = _TIME + 8 + min(15, _bits(guess)) * 2 + known
    miss = m[_DT_MISS]
    other = _TIME + 40 + _clamp(miss, 3) * 4 + jump * 2 + (1 if abs(miss) > 10 else 0)
    miss = _near(k, row, other, _TIME, t - m[_T], guess)
    dt = guess + miss & 0xFFFF
    m[_DT_MISS] = miss
    m[_DT] = dt
    m[place] = dt
    m[_T] = m[_T] + dt & 0xFFFF
    return m[_T]


def _cell_min(k, x, swing):
    """Return by how much it changed."""
    m = k[3]
    step = max(-16000, min(16000, swing >> 4))
    guess = m[_MIN] + (m[_OHM] * step + 8192 >> 14)
    row = _CELL_MIN + 8 + min(15, _bits(abs(swing) >> 6)) * 2 + (1 if swing < 0 else 0)
    other = _CELL_MIN + 40 + _clamp(m[_MIN_MISS], 3) * 7 + _clamp(m[_MIN_MISS + 1], 3)
    miss = _near(k, row, other, _CELL_MIN, x, guess)
    x = guess + miss & 0xFFFF
    moved = x - m[_MIN]
    if abs(step) > 2 and m[_N]:
        error = max(-8000, min(8000, ((moved << 14) - m[_OHM] * step) // step))
        error >>= 2 if abs(swing) > m[_I_SWING] else 4
        m[_OHM] = max(-8000, min(8000, m[_OHM] + error))
    m[_I_SWING] += abs(swing) - m[_I_SWING] >> 3
    m[_MIN] = x
    m[_MIN_MISS + 1] = m[_MIN_MISS]
    m[_MIN_MISS] = miss
    return moved


def _cell_max(k, x, moved):
    m = k[3]
    guess = m[_MAX] + moved
    spread = min(7, _bits(abs(guess - m[_MIN])))
    row = _CELL_MAX + 8 + _clamp(m[_MIN_MISS], 3) * 7 + _clamp(m[_MAX_MISS], 3)
    other = _CELL_MAX + 57 + _clamp(moved, 3) * 8 + spread
    miss = _near(k, row, other, _CELL_MAX, x, guess)
    m[_MAX] = guess + miss & 0xFFFF
    m[_MAX_MISS] = miss


def _voltage(k, bits, moved):
    m = k[3]
    guess = m[_CELLS] * (m[_MIN] + m[_MAX]) * 64 // 125 + (m[_V_BIAS] >> 4)
    guess = max(64, min(0xFFFFF, guess))
    down = max(0, _bits(guess) - 11)
    while m[_V_GRID] <= 100:
        grid = m[_V_GRID]
        x = _fixed(bits) * grid + 512 >> 10
        off = 0 if 0 <= x < 0x10000 and _grid_bits(x, grid) == bits else 1
        if not number(k, _GRID, _GRID, _VOLTAGE, off):
            break
        m[_V_GRID] = grid * 10
    grid = m[_V_GRID]
    if grid <= 100 and 1024 // grid > 1 << down:
        step = 1024 // grid
        near = guess * grid >> 10
        place = guess * grid >> 7 & 7
        x = _fixed(bits) * grid + 512 >> 10
        last = _fixed(m[_V]) * grid + 512 >> 10
    else:
        grid = 0
        step = 1 << down
        near = 0x8000 + (down + 15 << 10) + (guess >> down) - 1024
        place = (guess << 3) >> down & 7
        x = _rank(bits)
        last = _rank(m[_V])
    row = _VOLTAGE + 8 + place * 5 + _clamp(last - near, 2)
    other = _VOLTAGE + 48 + _clamp(m[_V_MISS], 2) * 3 + _clamp(moved, 1)
    miss = _near(k, row, other, _VOLTAGE, x, near)
    m[_V_MISS] = miss
    x = near + miss & 0xFFFF
    bits = _grid_bits(x, grid) if grid else _rank_bits(x)
    error = _fixed(bits) - guess
    if not grid:
        error += step >> 1
    if not m[_N]:
        m[_V_BIAS] = error << 4
    else:
        m[_V_BIAS] += error if abs(error) < step * 3 else error << 2
    m[_V_BIAS] = max(-(1 << 24), min(1 << 24, m[_V_BIAS]))
    cells = m[_MIN] + m[_MAX]
    if not m[_CELLS] and cells:
        m[_CELLS] = min(32, (max(0, _fixed(bits)) * 125 // 64 + cells // 2) // cells)
        m[_V_BIAS] = _fixed(bits) - m[_CELLS] * cells * 64 // 125 << 4
    m[_V] = bits
    return bits


def _soc(k, x):
    m = k[3]
    # the charge that moves soc by one step is about the same every time
    m[_CHARGE] += max(-30000, min(30000, m[_I] >> 4)) * min(m[_DT], 2000)
    m[_CHARGE] = max(-1000000000, min(1000000000, m[_CHARGE]))
    share = 0
    if m[_SOC_CHARGE]:
        share = min(23, (abs(m[_CHARGE]) >> 6) * 16 // ((m[_SOC_CHARGE] >> 6) + 1))
    row = _SOC + 8 + m[_SOC_WAY] * 2 + (1 if m[_CHARGE] < 0 else 0)
    step = number(k, row, _SOC + 14 + share, _SOC, x - m[_SOC_NOW])
    if step:
        way = 1 if step > 0 else 2
        if way == m[_SOC_WAY]:
            m[_SOC_CHARGE] = abs(m[_CHARGE])
        m[_SOC_WAY] = way
        m[_CHARGE] = 0
    m[_SOC_NOW] = m[_SOC_NOW] + step & 0xFF
    return m[_SOC_NOW]


def _temperature(k, x):
    m = k[3]
    m[_TEMP_AGE] = min(0xFFFF, m[_TEMP_AGE] + m[_DT])
    age = min(15, _bits(m[_TEMP_AGE]))
    row = _TEMPERATURE + m[_TEMP_WAY]
    step = number(k, row, _TEMPERATURE + 3 + age, _SOC, x - m[_TEMP])
    if step:
        m[_TEMP_WAY] = 1 if step > 0 else 2
        m[_TEMP_AGE] = 0
    m[_TEMP] = m[_TEMP] + step & 0xFF
    return m[_TEMP]


def _index(k, which, x, miss):
    """Code which cell it is as its rank among the most recent ones."""
    m = k[3]
    recent = _RECENT + 16 * which
    ranks = _RANKS + 2 * which
    rank = 0
    while m[recent + rank] != x:
        rank += 1
    row = _INDEX + 61 * which
    other = row + 45 + m[recent]
    row += (m[ranks] * 3 + m[ranks + 1]) * 5 + _clamp(miss, 2)
    rank = number(k, row, other, _SOC, rank) & 15
    x = m[recent + rank]
    m[ranks + 1] = m[ranks]
    m[ranks] = min(2, rank)
    while rank:
        m[recent + rank] = m[recent + rank - 1]
        rank -= 1
    m[recent] = x
    return x


def _bits(x):
    n = 0
    while x >> n:
        n += 1
    return n


def _clamp(x, most):
    """Return `x` cut to -most..most, counted from 0."""
    return max(0, min(2 * most, x + most))


def _rank(bits):
    """Return the place of a half float among all half floats, 0..65535."""
    return bits ^ 0xFFFF if bits & 0x8000 else bits | 0x8000


def _rank_bits(rank):
    return rank & 0x7FFF if rank & 0x8000 else rank ^ 0xFFFF


def _fixed(bits):
    """Return 1024 times a half float as an integer, at most 2**20 either way."""
    exponent = bits >> 10 & 31
    x = bits & 1023
    if exponent:
        x += 1024
        exponent -= 1
    x = x << exponent - 14 if exponent > 14 else x >> min(14 - exponent, 14)
    x = min(0xFFFFF, x)
    return -x if bits & 0x8000 else x


def _grid_bits(steps, grid):
    """Return the half float nearest to steps / grid, ties to even."""
    if steps == 0:
        return 0
    exponent = 25
    while steps >= grid << 11:
        grid <<= 1
        exponent += 1
    while steps < grid << 10:
        steps <<= 1
        exponent -= 1
    q = steps // grid
    rest = 2 * (steps - q * grid)
    if rest > grid or rest == grid and q & 1:
        q += 1
    return (exponent << 10) + q - 1024
