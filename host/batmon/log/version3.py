"""Sealed shards of format version 03, which batmon 0.1 wrote: read for ever, written no more.

As docs/FORMAT.md of that version said. Blocks are framed as today, but up to 4480 bytes long, and
each depends on nothing before it.
"""

from array import array
from pathlib import Path

from batmon.log.formats import codec, compile_functions, numbers

VERSION = 3
BLOCK_BYTES = 4480

bits, cut, fixed, limit = numbers.bits, numbers.cut, numbers.fixed, numbers.limit
rank, rank_bits, grid_bits = numbers.rank, numbers.rank_bits, numbers.grid_bits

_BODY = 11  # where the frames begin, after head and method
_SIZE = 13

# Rows of 8 counters, by what they serve. Where 8 rows are `shared`, they begin the column.
_CURRENT = 0  # shared; 32 sizes of the current before; 9 kinds of last change
_TIME = 49  # shared; 32 guesses, current steady or not; 49 pairs of last changes
_CELL_MIN = 170  # shared; 32 changes by the current; 28 rests to the mean, intervals
_CELL_MAX = 238  # shared; 32 spreads; 56 changes of cell_min and of the current
_VOLTAGE = 334  # shared; 8 places in the step; 25 last misses and guessed changes
_SOC = 375  # shared, also by all that follow; 32 intervals; 42 charges
_TEMPERATURE = 457  # 3 directions; 16 ages
_INDEX = 476  # for the lowest and for the highest cell: the 16 cells; and once more
_CONTROL = 540  # is it a control frame? and its 13 bytes
_GRID = 554  # is the voltage off its grid?
_ROWS = 555

# What the model remembers, in one array of ints. The first of them can be negative and are kept
# as so much more than 0: viper knows no signed array.
_ZERO = 1 << 28
_I = 0  # current as a fixed-point number, see numbers.py
_I_MISS = 1
_DT_MISS = 2
_MIN_REST = 3  # mean of cell_min less the last one, mV/16
_OHM = 4  # change of a cell by the current, mV per 1/64 A / 2**14
_V_MISS = 5
_V_BIAS = 6
_CHARGE = 7  # since soc changed
_SIGNED = 8
_T = 8
_DT = 9
_I_RANK = 10  # current, see numbers.py
_MIN = 11
_MAX = 12
_V = 13  # half float
_V_GRID = 14
_CELLS = 15
_SOC_NOW = 16
_TEMP = 17
_TEMP_WAY = 18  # 0 unknown, 1 up, 2 down
_TEMP_AGE = 19
_RECENT = 20  # for both cell indices the 16 values, the most recent first
_BYTES = 52  # of the last control frame
_DTS = 65  # last interval by size of the current
_MEMORY = 65 + 22


def _number(k, a, b, shared):
    """Read a number, -65535..65535.

    `k` is (state, data, counters, ...). `a` and `b` are the two rows of 8 counters, `shared` the
    first of 8 rows, that say how likely each bit is; they learn from it.
    """
    s = k[0]
    data = k[1]
    p = k[2]
    low = s[0]
    width = s[1]
    at = s[2]
    end = s[3]
    a = a << 3
    b = b << 3
    shared = shared << 3
    size = magnitude = 0
    # what is asked: 0 is it other than zero? 1 negative? 2.. more than `asked - 1` bits long?
    # from 32 on, less 32: the bit of that weight of the magnitude
    asked = 0
    negative = 0
    while True:
        # i, j: places of the counters that say how likely a one is, of 4096
        if asked < 8:
            i = a + asked
            j = b + asked
            x = (0 + p[i]) >> 4  # a sum is signed for every compiler
            y = (0 + p[j]) >> 4
            # the two guesses, each weighted by how unsure the other is
            n = 128 + ((y * (4096 - y)) >> 12)
            m = 128 + ((x * (4096 - x)) >> 12)
            one = (x * n + y * m) // (n + m)
        else:
            i = 0 - 1  # none: as likely as a zero
            one = 2048
            if asked < 32:
                i = shared + asked - 8
            elif magnitude < 4:  # of the bits after the leading one, two are modelled
                i = shared + 4 + 3 * size + magnitude
            elif asked == 32:  # and the last: times are even where polls come every two seconds
                i = shared + 62
            if i >= 0:
                one = (0 + p[i]) >> 4
            j = i
        if one < 1:
            one = 1

        part = (width >> 6) * one >> 6
        if low < part:
            bit = 1
            width = part
        else:
            bit = 0
            low -= part
            width -= part
        while width < 65536:
            width <<= 8
            low <<= 8
            if at < end:
                low += data[at]
            at += 1

        if i >= 0:  # the counters learn: 12 bits of probability, 4 bits of experience
            while True:
                x = 0 + p[i]
                n = x & 15
                x >>= 4
                m = 4 * n + 10
                if bit:
                    x += ((4095 - x) * 5 + m - 1) // m
                else:
                    x -= (x * 5 + m - 1) // m
                if n < 15:
                    n += 1
                p[i] = (x << 4) | n
                if i == j:
                    break
                i = j

        if asked == 0:
            if bit == 0:
                break
            asked = 1
        elif asked == 1:
            negative = bit
            asked = 2
        elif asked < 32:
            if bit:
                asked += 1
                if asked < 19:
                    continue
            size = asked - 1
            magnitude = 1
            if size == 1:
                break
            asked = 30 + size
        else:
            magnitude = (magnitude << 1) | bit
            if asked == 32:
                break
            asked -= 1

    s[0] = low
    s[1] = width
    s[2] = at
    if negative:
        return 0 - magnitude
    return magnitude


def _begin(k, at, end):
    """Forget everything; read from byte `at` to `end`."""
    state = k[0]
    state[0] = 0
    state[1] = 0xFFFFFF
    state[2] = at + 3
    state[3] = end
    for i in range(at, at + 3):
        state[0] = state[0] * 256 + (k[1][i] if i < end else 0)
    # What no writer makes, a code outside its interval, would grow beyond 31 bits.
    state[0] = min(state[0], state[1] - 1)
    state[0] = min(state[0], state[1] - 1)  # as in rangecoder.py
    p = k[2]
    for i in range(8 * _ROWS):
        p[i] = 0x8000  # no experience, as likely as not
    m = k[3]
    for i in range(_MEMORY):
        m[i] = 0
    for i in range(_SIGNED):
        m[i] = _ZERO
    for i in range(32):
        m[_RECENT + i] = i & 15
    m[_V_GRID] = 10


def _read(k, f, n):
    """Read `n` frames into the buffer `f`."""
    m = k[3]
    for at in range(0, n * _SIZE, _SIZE):
        if _number(k, _CONTROL, _CONTROL, _SOC):
            for i in range(_SIZE):
                row = _CONTROL + 1 + i
                x = (m[_BYTES + i] + _number(k, row, row, _SOC)) & 0xFF
                m[_BYTES + i] = x
                f[at + i] = x
            continue
        before = m[_I] - _ZERO
        current = _current(k)
        time = _time(k, before)
        last = m[_MIN]
        swing = m[_I] - _ZERO - before
        low = _cell_min(k, swing)
        high = _cell_max(k, low - last, swing)
        volts = _voltage(k)
        f[at] = time & 0xFF
        f[at + 1] = time >> 8
        f[at + 2] = volts & 0xFF
        f[at + 3] = volts >> 8
        f[at + 4] = current & 0xFF
        f[at + 5] = current >> 8
        f[at + 8] = low & 0xFF
        f[at + 9] = low >> 8
        f[at + 10] = high & 0xFF
        f[at + 11] = high >> 8
        f[at + 7] = _soc(k)
        f[at + 6] = _temperature(k)
        lowest = _index(k, 0)
        f[at + 12] = _index(k, 1) << 4 | lowest


def _current(k):
    m = k[3]
    row = 2 * bits(abs(m[_I] - _ZERO) >> 3)
    if row > 31:
        row = 31
    last = m[_I_MISS] - _ZERO
    kind = (bits(abs(last)) + 1) >> 1
    if kind > 4:
        kind = 4
    if last < 0:
        kind = 0 - kind
    guess = 0 + m[_I_RANK]
    miss = _number(k, _CURRENT + 8 + row, _CURRENT + 44 + kind, _CURRENT)
    x = (guess + miss) & 0xFFFF
    m[_I_MISS] = miss + _ZERO
    m[_I_RANK] = x
    half = rank_bits(x)
    m[_I] = fixed(half) + _ZERO
    return half


def _time(k, before):
    m = k[3]
    now = m[_I] - _ZERO
    size = abs(now)
    place = _DTS + bits(size)
    guess = 0 + m[place]
    if guess == 0:
        guess = 0 + m[_DT]
    row = 2 * guess
    if row > 62:
        row = 62
    if 8 * abs(now - before) > size + abs(before):
        row += 1
    other = 7 * cut(guess - m[_DT], 3) + cut(m[_DT_MISS] - _ZERO, 3)
    miss = _number(k, _TIME + 8 + row, _TIME + 72 + other, _TIME)
    dt = (guess + miss) & 0xFFFF
    m[_DT_MISS] = miss + _ZERO
    m[_DT] = dt
    m[place] = dt
    t = (m[_T] + dt) & 0xFFFF
    m[_T] = t
    return t


def _cell_min(k, swing):
    m = k[3]
    last = 0 + m[_MIN]
    ohm = m[_OHM] - _ZERO
    step = limit(swing >> 4, 16000)
    guess = last + ((ohm * step + 8192) >> 14)
    row = 2 * bits(abs(ohm * step) >> 12)
    if swing < 0:
        row += 1
    age = bits(m[_DT] >> 3) >> 1
    if age > 3:
        age = 3
    rest = m[_MIN_REST] - _ZERO
    other = 4 * cut((rest + 4) >> 3, 3) + age
    miss = _number(k, _CELL_MIN + 8 + row, _CELL_MIN + 40 + other, _CELL_MIN)
    rest -= 16 * miss
    m[_MIN_REST] = limit(rest - (rest >> 3), 48) + _ZERO
    x = (guess + miss) & 0xFFFF
    m[_MIN] = x
    if step and last:  # the more the current changed, the more is learned
        error = ((x - last) << 14) - ohm * step
        if step > 0:
            step += 512
        else:
            step -= 512
        m[_OHM] = limit(ohm + (limit(error // step, 8000) >> 2), 8000) + _ZERO
    return x


def _cell_max(k, moved, swing):
    m = k[3]
    guess = m[_MAX] + moved
    spread = guess - m[_MIN]
    if spread < 0:
        spread = 0
    if spread > 31:
        spread = 31
    other = 8 * cut(moved, 3) + (bits(abs(swing) >> 6) >> 1)
    miss = _number(k, _CELL_MAX + 8 + spread, _CELL_MAX + 40 + other, _CELL_MAX)
    x = (guess + miss) & 0xFFFF
    m[_MAX] = x
    return x


def _voltage(k):
    m = k[3]
    cells = m[_MIN] + m[_MAX]
    bias = m[_V_BIAS] - _ZERO
    guess = m[_CELLS] * cells * 64 // 125 + (bias >> 3)
    if guess < 64:
        guess = 64
    if guess > 0xFFFFF:
        guess = 0xFFFFF
    down = bits(guess) - 11
    if down < 0:
        down = 0
    grid = 0 + m[_V_GRID]
    while grid <= 100:
        if _number(k, _GRID, _GRID, _VOLTAGE) == 0:
            break
        grid *= 10
        m[_V_GRID] = grid
    last = 0 + m[_V]
    if grid <= 100 and 1024 // grid > 1 << down:
        step = 1024 // grid
        near = guess * grid >> 10
        place = (guess * grid >> 7) & 7
        last = (fixed(last) * grid + 512) >> 10
    else:
        grid = 0
        step = 1 << down
        near = 0x8000 + ((down + 15) << 10) + (guess >> down) - 1024
        place = ((guess << 3) >> down) & 7
        last = rank(last)
    other = 5 * cut(m[_V_MISS] - _ZERO, 2) + cut(last - near, 2)
    miss = _number(k, _VOLTAGE + 8 + place, _VOLTAGE + 16 + other, _VOLTAGE)
    m[_V_MISS] = miss + _ZERO
    x = (near + miss) & 0xFFFF
    half = grid_bits(x, grid) if grid else rank_bits(x)
    m[_V] = half
    volts = fixed(half)
    error = volts - guess
    if grid == 0:
        error += step >> 1
    if abs(error) < 2 * step:
        bias += error
    else:
        bias += error << 3
    bias = limit(bias, 1 << 24)
    if m[_CELLS] == 0 and cells:
        if volts > 0:
            x = (volts * 125 // 64 + (cells >> 1)) // cells
            m[_CELLS] = x if x < 32 else 32
        bias = (volts - m[_CELLS] * cells * 64 // 125) << 3
    m[_V_BIAS] = bias + _ZERO
    return half


def _soc(k):
    m = k[3]
    # the charge that moves soc by one step is about the same every time
    dt = 0 + m[_DT]
    row = 2 * bits(dt)
    if row > 30:
        row = 30
    if dt > 2000:
        dt = 2000
    charge = m[_CHARGE] - _ZERO + limit((m[_I] - _ZERO) >> 4, 30000) * dt
    charge = limit(charge, 200000000)
    if charge < 0:
        row += 1
    size = abs(charge) >> 8
    n = bits(size)
    if n > 1:
        n = 2 * n + ((size >> (n - 2)) & 1)
    last = 0 + m[_SOC_NOW]
    step = _number(k, _SOC + 8 + row, _SOC + 40 + n, _SOC)
    if step:
        charge = 0
    m[_CHARGE] = charge + _ZERO
    x = (last + step) & 0xFF
    m[_SOC_NOW] = x
    return x


def _temperature(k):
    m = k[3]
    last = 0 + m[_TEMP]
    age = m[_TEMP_AGE] + m[_DT]
    if age > 0xFFFF:
        age = 0xFFFF
    row = bits(age)
    if row > 15:
        row = 15
    step = _number(k, _TEMPERATURE + m[_TEMP_WAY], _TEMPERATURE + 3 + row, _SOC)
    if step:
        m[_TEMP_WAY] = 1 if step > 0 else 2
        age = 0
    m[_TEMP_AGE] = age
    x = (last + step) & 0xFF
    m[_TEMP] = x
    return x


def _index(k, which):
    """Read which cell it is as its place among the most recent ones."""
    m = k[3]
    recent = _RECENT + 16 * which
    row = _INDEX + 32 * which
    place = _number(k, row + m[recent], row + 16 + m[recent + 1], _SOC) & 15
    x = 0 + m[recent + place]
    while place:
        m[recent + place] = m[recent + place - 1]
        place -= 1
    m[recent] = x
    return x


_compiled = False


def decode(block: bytes, out: bytearray):
    """Decode one block into `out`, which has room for all its frames; raises codec.ShardError."""
    n = codec.check(block)
    method = block[codec.HEAD_BYTES]
    if n > codec.BLOCK_FRAMES or method > 1:
        raise codec.ShardError(f"block of unknown method {method}")
    if method == 0:
        if len(block) != _BODY + n * _SIZE:
            raise codec.ShardError("stored block of the wrong length")
        out[:] = block[_BODY:]
        return
    _compile()
    counters, memory = array("H", range(8 * _ROWS)), array("i", range(_MEMORY))
    k = array("i", range(4)), bytearray(block), counters, memory
    _begin(k, _BODY, len(block))
    _read(k, out, n)
    if k[0][2] != len(block) + 2:
        raise codec.ShardError("block of the wrong length")


def _compile():
    """Compile what is above when it is first wanted, if numba is there."""
    global _compiled
    if not _compiled:
        _compiled = True
        plain = ("decode", "_compile", "compile_functions")
        compile_functions([globals()], [Path(__file__), Path(numbers.__file__)], plain)
