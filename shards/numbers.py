# Whole numbers of the shard model: sizes, limits, and half floats taken as integers
# docs/FORMAT.md, "The model"; in the subset common to viper, numba and plain Python.
import micropython


@micropython.viper
def bits(x: int) -> int:
    """Return the least n with x < 2**n, for x >= 0."""
    n = 0
    while x >> n:
        n += 1
    return n


@micropython.viper
def limit(x: int, most: int) -> int:
    """Return `x` cut to -most..most."""
    if x > most:
        return most
    if x < 0 - most:
        return 0 - most
    return x


@micropython.viper
def cut(x: int, most: int) -> int:
    """Return `x` cut to -most..most, counted from 0."""
    x += most
    if x < 0:
        return 0
    if x > 2 * most:
        return 2 * most
    return x


@micropython.viper
def rank(half: int) -> int:
    """Return the place of a half float among all half floats, 0..65535."""
    if half & 0x8000:
        return half ^ 0xFFFF
    return half | 0x8000


@micropython.viper
def rank_bits(place: int) -> int:
    """Return the half float at a place, see `rank`."""
    if place & 0x8000:
        return place & 0x7FFF
    return place ^ 0xFFFF


@micropython.viper
def fixed(half: int) -> int:
    """Return 1024 times a half float as an integer, at most 2**20 either way."""
    exponent = (half >> 10) & 31
    x = half & 1023
    if exponent:
        x += 1024
        exponent -= 1
    if exponent > 14:
        x <<= exponent - 14
    else:
        x >>= 14 - exponent
    if x > 0xFFFFF:
        x = 0xFFFFF
    if half & 0x8000:
        return 0 - x
    return x


@micropython.viper
def grid_bits(steps: int, grid: int) -> int:
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
    if rest > grid or (rest == grid and q & 1):
        q += 1
    return (exponent << 10) + q - 1024


@micropython.viper
def steps(half: int, fraction: int) -> int:
    """Return the place of a half float on a coarse scale, cut towards 0; 0 is 0.

    On the scale are numbers of 8 significant bits, of which only 7 or 6 count where the last is
    worth less than 2**-fraction, and only one below 2**-(fraction + 4).
    """
    size = half & 0x7FFF
    least = 11 - fraction
    if size < (least << 10):
        size >>= 10
    else:
        size -= least << 10
        if size < 10 << 10:
            size = (size >> 5) + least
        elif size < 11 << 10:
            size = 320 + ((size - (10 << 10)) >> 4) + least
        else:
            size = 384 + ((size - (11 << 10)) >> 3) + least
    if half & 0x8000:
        return 0 - size
    return size


@micropython.viper
def steps_bits(place: int, fraction: int) -> int:
    """Return the half float at a place, see `steps`."""
    size = int(abs(place))
    least = 11 - fraction
    if size < least:
        size <<= 10
    else:
        size -= least
        if size < 320:
            size <<= 5
        elif size < 384:
            size = (10 << 10) + ((size - 320) << 4)
        else:
            size = (11 << 10) + ((size - 384) << 3)
        size = (size + (least << 10)) & 0x7FFF
    if place < 0:
        return size | 0x8000
    return size


@micropython.viper
def on_scale(half: int, fraction: int) -> int:
    """Return 1 if a half float is on the scale of `steps`, else 0."""
    if half == 0x8000:
        return 0
    size = (half & 0x7FFF) - ((11 - fraction) << 10)
    if size < 0:
        size &= 1023
    elif size < 10 << 10:
        size &= 31
    elif size < 11 << 10:
        size &= 15
    else:
        size &= 7
    return 0 if size else 1


@micropython.viper
def on_grid(half: int, grid: int) -> int:
    """Return 1 if a half float is the one nearest to a multiple of 1 / grid, else 0."""
    x = (int(fixed(half)) * grid + 512) >> 10
    if x < 0 or x > 0xFFFF or int(grid_bits(x, grid)) != half:
        return 0
    return 1
