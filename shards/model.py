# What is known of battery frames: each column is guessed, and how far off the guess is, coded
# docs/FORMAT.md, "The model", says the same in words; in the subset of viper, numba and Python.
from array import array

import micropython
from micropython import const
from shards.numbers import bits, cut, fixed, grid_bits, limit, on_grid, on_scale, rank, rank_bits
from shards.numbers import steps, steps_bits
from shards.rangecoder import number

_SIZE = const(13)

# Rows of 8 counters, by what they serve; 128 numbers of rows are a piece of memory. Rows that are
# `shared` by all numbers of a column are 8; what one number is coded with lies in one piece.
_TIME = const(0)  # shared
_TIME_GUESS = const(8)  # 28 guesses, after a jump of the current or not
_TIME_CURRENT = const(64)  # 16 sizes of the current, after a jump or not
_STEPS = const(128)  # shared
_STEPS_SIZE = const(136)  # 16 sizes of the current before
_STEPS_KIND = const(152)  # 9 kinds of last change
_RANK = const(161)  # shared
_RANK_SIZE = const(169)
_RANK_KIND = const(185)
_VOLTAGE = const(194)  # shared
_VOLTAGE_PLACE = const(202)  # 8 places in the step
_VOLTAGE_MISS = const(210)  # 25 last misses and guessed changes
_CELL_MIN = const(256)  # shared
_CELL_MIN_SWING = const(264)  # 32 changes by the current
_CELL_MIN_REST = const(296)  # 28 rests to the mean, intervals
_CELL_MAX = const(384)  # shared
_CELL_MAX_SPREAD = const(392)  # 32 spreads
_CELL_MAX_MOVED = const(424)  # 56 changes of cell_min and of the current
_SOC = const(512)  # shared, also by the temperature
_SOC_TIME = const(520)  # 32 intervals
_SOC_CHARGE = const(552)  # 42 charges
_TEMPERATURE_WAY = const(594)  # 3 directions
_TEMPERATURE_AGE = const(597)  # 16 ages
_REST = const(640)  # shared by what follows
_INDEX = const(648)  # for the lowest and for the highest cell: the 16 cells; and once more
_CONTROL = const(712)  # 13 bytes of a control frame
_KIND = const(725)  # is it a control frame, or is something off?
_GRID = const(726)  # is the voltage off its grid?
_OFF = const(727)  # is the current off its scale?
_ROWS = (96, 107, 68, 96, 101, 88)  # of each piece
# What counters say before they learn, in 64ths from "0" on, as it was for what the sampler stores:
# by column, first its 8 shared rows, then one for each of its kinds of rows.
_LEARNED = (
    b"abZP=8PPPPPaPPM^PDJJOSRONWTLROLGLVGIMIKN7ALDPPPPPPPPPPPPPPPPPP;Pi9mbabdb"
    b"VTO83PPPPPPGPPERHLKPPKTKLTGIKEPPCJO;PB3P8PPPPPPPPPPPPPPPPPPPPPGPkQnljjfc"
    b"ffhff^e]3PPKPPSGIUVZRWUPH[MMIRUUGRXNNIMIJHJRGGKQTLQK_PPPPPPPPPEPoGoomnlm"
    b"]icZOTDPPPP6PP??MBEAFJY;CPJPYPPPPUJHCK?aPHXPDLPPPPPPPPPPPPPPPPMPWK==NQc]"
    b"Vdiii7PPPPPIPPEILCMICBH>AIENDYPYPPPPPPPPPeV8PPPPPPPPPPPPPPPPPPFPaMWOJA<K"
    b"DPPPPPPPPPP@PPAEFCLQ=IAKKKSKHPPPPPPPPPPPPPPPPPPPPPPPPPPPPPPPPPKP]PIA@AE="
    b"D;PPPPPPPPP3PP35PVPVPPPPPPjPOWL>PPPPPPPPPPPPPPPPPPPPPPPPPPPPPPAP:Qm6;hll:NN8Vlll"
    b"PPPPPPPPPPPAPPDJKANJPPPPPPPPPPPPPPPPPPPPPPPPPPPPPPPPPPPPPPPPPPKPY1VFB1PPPPPPPPPPEn2PPPPPA66PPPPPc22PPPPP"
)
# For how many rows in succession each 8 of these serve.
_ALIKE = (
    b"\x01\x01\x01\x01\x01\x01\x01\x01\x58\x01\x01\x01\x01\x01\x01\x01\x01\x19\x01\x01\x01\x01\x01\x01\x01\x01\x19"
    b"\x01\x01\x01\x01\x01\x01\x01\x01\x21\x01\x01\x01\x01\x01\x01\x01\x01\x3c\x01\x01\x01\x01\x01\x01\x01\x01\x58"
    b"\x01\x01\x01\x01\x01\x01\x01\x01\x4a\x13\x01\x01\x01\x01\x01\x01\x01\x01\x40\x0d\x01\x01\x01\x00"
)
_FINEST = const(10)  # scale of currents
_USUAL_FRACTION = const(4)
_SILENCE_S = const(1800)  # after which the sampler stores in any case

# What the model remembers, in one array of ints. The first of them can be negative and are kept
# as so much more than 0: viper knows no signed array.
_ZERO = const(1 << 28)
_I = const(0)  # current as a fixed-point number, see shards/numbers.py
_I_MISS = const(1)
_I_STEPS = const(2)  # the same as a place on its scale
_MIN_REST = const(3)  # mean of cell_min less the last one, mV/16
_OHM = const(4)  # change of a cell by the current, mV per 1/64 A / 2**14
_V_MISS = const(5)
_V_BIAS = const(6)
_CHARGE = const(7)  # since soc changed
_SIGNED = const(8)
_T = const(8)
_DT = const(9)
_I_HALF = const(10)  # half float
_STRAYS = const(11)  # is the current off its scale, or the voltage off its grid? -1 for yes
_JUMP = const(12)  # did the current change much?
_MIN = const(13)
_MAX = const(14)
_V = const(15)  # half float
_V_GRID = const(16)
_CELLS = const(17)
_SOC_NOW = const(18)
_TEMP = const(19)
_TEMP_WAY = const(20)  # 0 unknown, 1 up, 2 down
_TEMP_AGE = const(21)
_RECENT = const(22)  # for both cell indices the 16 values, the most recent first
_BYTES = const(54)  # of the last control frame
_DTS = const(67)  # last interval by size of the current
_FRACTION = const(89)  # the scale of currents: steps of 2**-this A
_STRAY = const(90)  # up by 1 for each current off it, down by 3 for one on it; 31 for good
_UNIT = const(91)  # of intervals, s
_ODD = const(92)  # up by 4 for each interval that is no multiple of it, down by 1 for others
_READY = const(93)  # may it go on?
_MEMORY = const(94)


def new(data):
    """Return what `code` works on: coder state, `data` that it writes or reads, counters, memory.

    Call `begin` before the first frame. No piece is larger than 1.7 kB.
    """
    pieces = tuple(array("H", range(8 * rows)) for rows in _ROWS)
    memory = array("i", range(_MEMORY))
    memory[_READY] = 0
    return array("i", range(4)), data, pieces, memory


@micropython.viper
def begin(k):
    """Forget what was learned since."""
    learned = ptr8(_LEARNED)
    alike = ptr8(_ALIKE)
    row = 0
    left = 0 + alike[0]
    for piece in k[2]:
        p = ptr16(piece)
        for i in range(int(len(piece))):
            p[i] = (learned[8 * row + (i & 7)] - 48) << 10 | 1  # little experience
            if i & 7 == 7:
                left -= 1
                if left == 0:
                    row += 1
                    left = 0 + alike[row]
    m = ptr32(k[3])
    for i in range(_MEMORY):
        m[i] = 0
    for i in range(_SIGNED):
        m[i] = _ZERO
    for i in range(32):
        m[_RECENT + i] = i & 15
    m[_V_GRID] = 10
    m[_UNIT] = 60
    m[_FRACTION] = _USUAL_FRACTION


def ready(k, may=None):
    """Return whether `k` may go on where it ended, after setting that to `may` unless None."""
    if may is not None:
        k[3][_READY] = may
    return k[3][_READY]


@micropython.viper
def code(k, frames, first: int, n: int):
    """Write `n` frames of the buffer `frames`, or read them into it; `first` counts from 0."""
    f = ptr8(frames)
    m = ptr32(k[3])
    at = first * _SIZE
    end = at + n * _SIZE
    while at < end:
        kind = 1
        if f[at + 3] != 0xFE:
            kind = 0 - int(_strays(k, f[at + 2] | f[at + 3] << 8, f[at + 4] | f[at + 5] << 8))
        kind = int(number(k, _KIND, _KIND, _REST, kind))
        m[_STRAYS] = kind
        if kind > 0:
            for i in range(_SIZE):
                row = _CONTROL + i
                x = 0 + m[_BYTES + i]
                x = (x + int(number(k, row, row, _REST, f[at + i] - x))) & 0xFF
                m[_BYTES + i] = x
                f[at + i] = x
        else:
            x = int(_time(k, f[at] | f[at + 1] << 8))
            f[at] = x & 0xFF
            f[at + 1] = x >> 8
            before = m[_I] - _ZERO
            x = int(_current(k, f[at + 4] | f[at + 5] << 8))
            f[at + 4] = x & 0xFF
            f[at + 5] = x >> 8
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
def _strays(k, voltage: int, current: int) -> int:
    """Is either off the grid or scale that it is expected on?"""
    m = ptr32(k[3])
    if m[_STRAY] < 16 and int(on_scale(current, 0 + m[_FRACTION])) == 0:
        return 1
    if m[_V_GRID] <= 100 and int(on_grid(voltage, 0 + m[_V_GRID])) == 0:
        return 1
    return 0


@micropython.viper
def _time(k, t: int) -> int:
    """Code the interval, in units or beyond a silence, unless it is the last of such a current."""
    m = ptr32(k[3])
    size = int(bits(int(abs(m[_I] - _ZERO))))
    place = _DTS + size
    guess = 0 + m[place]
    if guess == 0:
        guess = 0 + m[_DT]
    unit = 0 + m[_UNIT]
    row = guess // unit
    if row > 15:
        row = 11 + int(bits(row))
    row = 2 * row + m[_JUMP]
    size -= 3
    if size < 0:
        size = 0
    if size > 15:
        size = 15
    dt = (t - m[_T]) & 0xFFFF
    x = 0
    if dt != guess:
        if dt >= _SILENCE_S:  # the first poll from then on
            x = 2 * _SILENCE_S - 1 - 2 * dt
        elif dt % unit:
            x = 0 - 2 * dt - 2
        else:
            x = dt // unit + 1
    x = int(number(k, _TIME_GUESS + row, _TIME_CURRENT + 2 * size + m[_JUMP], _TIME, x))
    if x > 0:
        dt = (x - 1) * unit
    elif x < 0:
        dt = (0 - x) >> 1
        if x & 1:
            dt += _SILENCE_S
        else:
            dt -= 1
    else:
        dt = guess
    dt &= 0xFFFF  # what damage may exceed
    m[_DT] = dt
    m[place] = dt
    if dt % unit and dt < _SILENCE_S:
        m[_ODD] += 4
        if m[_ODD] > 8:
            m[_ODD] = 0
            x = dt
            while x:
                size = unit % x
                unit = x
                x = size
            m[_UNIT] = unit
    elif m[_ODD]:
        m[_ODD] -= 1
    t = (m[_T] + dt) & 0xFFFF
    m[_T] = t
    return t


@micropython.viper
def _current(k, half: int) -> int:
    m = ptr32(k[3])
    before = m[_I] - _ZERO
    size = int(bits(int(abs(before)) >> 3))
    if size > 15:
        size = 15
    last = m[_I_MISS] - _ZERO
    kind = (int(bits(int(abs(last)))) + 1) >> 1
    if kind > 4:
        kind = 4
    if last < 0:
        kind = 0 - kind
    fraction = 0 + m[_FRACTION]
    off = 1
    if m[_STRAY] < 16:
        off = 0
        if m[_STRAYS]:
            off = 1 - int(on_scale(half, fraction))
            off = int(number(k, _OFF, _OFF, _REST, off)) & 1
    if off:
        guess = int(rank(0 + m[_I_HALF]))
        miss = ((int(rank(half)) - guess + 0x8000) & 0xFFFF) - 0x8000
        miss = int(number(k, _RANK_SIZE + size, _RANK_KIND + 4 + kind, _RANK, miss))
        half = int(rank_bits((guess + miss) & 0xFFFF))
        if m[_STRAY] < 31:
            _follow_scale(k, half)
    else:
        guess = m[_I_STEPS] - _ZERO
        miss = int(steps(half, fraction)) - guess
        miss = int(number(k, _STEPS_SIZE + size, _STEPS_KIND + 4 + kind, _STEPS, miss))
        x = int(limit(guess + miss, 4095))
        half = int(steps_bits(x, fraction))
        m[_I_STEPS] = x + _ZERO
        if m[_STRAY]:
            m[_STRAY] = m[_STRAY] - 3 if m[_STRAY] > 3 else 0
    m[_I_MISS] = miss + _ZERO
    m[_I_HALF] = half
    now = int(fixed(half))
    m[_I] = now + _ZERO
    m[_JUMP] = 1 if 8 * int(abs(now - before)) > int(abs(now)) + int(abs(before)) else 0
    return half


@micropython.viper
def _follow_scale(k, half: int):
    """Count currents off the scale; when there are many, take the coarsest that this one is on."""
    m = ptr32(k[3])
    fraction = 0 + m[_FRACTION]
    stray = 0 + m[_STRAY]
    if int(on_scale(half, fraction)):  # by chance
        m[_STRAY] = stray - 3 if stray > 3 else 0
    elif stray < 2:
        m[_STRAY] = stray + 1
    else:
        m[_STRAY] = stray + 1
        while fraction < _FINEST:
            fraction += 1
            if int(on_scale(half, fraction)):
                m[_FRACTION] = fraction
                m[_STRAY] = 0
                break
    if m[_STRAY] < 17:
        m[_I_STEPS] = int(steps(half, 0 + m[_FRACTION])) + _ZERO


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
    miss = int(number(k, _CELL_MIN_SWING + row, _CELL_MIN_REST + other, _CELL_MIN, miss))
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
    miss = int(number(k, _CELL_MAX_SPREAD + spread, _CELL_MAX_MOVED + other, _CELL_MAX, miss))
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
    grid = 0 + m[_V_GRID]
    while grid <= 100 and m[_STRAYS]:
        off = 1 - int(on_grid(half, grid))
        if int(number(k, _GRID, _GRID, _REST, off)) == 0:
            break
        grid *= 10
        m[_V_GRID] = grid
    last = 0 + m[_V]
    if grid <= 100 and 1024 // grid > 1 << down:
        step = 1024 // grid
        near = guess * grid >> 10
        place = (guess * grid >> 7) & 7
        x = (int(fixed(half)) * grid + 512) >> 10
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
    miss = int(number(k, _VOLTAGE_PLACE + place, _VOLTAGE_MISS + other, _VOLTAGE, miss))
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
    step = int(number(k, _SOC_TIME + row, _SOC_CHARGE + n, _SOC, x - last))
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
    step = int(number(k, _TEMPERATURE_WAY + m[_TEMP_WAY], _TEMPERATURE_AGE + row, _SOC, x - last))
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
    place = int(number(k, row + m[recent], row + 16 + m[recent + 1], _REST, place)) & 15
    x = 0 + m[recent + place]
    while place:
        m[recent + place] = m[recent + place - 1]
        place -= 1
    m[recent] = x
    return x
