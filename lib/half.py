# Half floats (IEEE 754 binary16), exact on every board
# MicroPython's struct.pack('e') halves values that round up to a power of two; this does not.
import struct

NAN = 0x7E00

_buf = bytearray(8)


def encode(x):
    """Return the 16 bits of the half float nearest to `x`, ties to even.

    Too large becomes +-inf, too small becomes +-0, any NaN becomes 0x7E00.
    """
    # the bits of a double hold every float of every board exactly; taken 16 at a time they
    # stay small ints
    struct.pack_into("<d", _buf, 0, x)
    top = _buf[6] | _buf[7] << 8
    sign = top & 0x8000
    exponent = (top >> 4 & 0x7FF) - 1023
    mantissa = (top & 15) << 16 | _buf[5] << 8 | _buf[4]  # its 20 leading bits
    below = 1 if _buf[0] or _buf[1] or _buf[2] or _buf[3] else 0  # anything after them
    if exponent > 15:
        if exponent == 1024 and (mantissa or below):
            return NAN
        return sign | 0x7C00
    if exponent >= -14:
        bits = exponent + 15 << 10 | mantissa >> 10
        cut = 10
    elif exponent >= -25:
        mantissa |= 0x100000  # subnormal: the leading one becomes explicit
        cut = -exponent - 4
        bits = mantissa >> cut
    else:
        return sign
    rest = mantissa & (1 << cut) - 1
    tie = 1 << cut - 1
    if rest > tie or rest == tie and (below or bits & 1):
        bits += 1  # may carry into the exponent, up to inf, which is right
    return sign | bits


def decode(bits):
    """Return the float that the 16 `bits` mean."""
    exponent = bits >> 10 & 31
    mantissa = bits & 0x3FF
    if exponent == 31:
        x = float("nan") if mantissa else float("inf")
    elif exponent:
        x = (1024 + mantissa) * 2.0 ** (exponent - 25)
    else:
        x = mantissa * 2.0**-24
    return -x if bits & 0x8000 else x


def from_milli(n):
    """Return the 16 bits of the half float nearest to `n` / 1000, ties to even.

    In small integers: allocates nothing where floats would. Too large becomes +-inf.
    """
    return from_fraction(n, 1000)


def from_fraction(n, unit):
    """Return the 16 bits of the half float nearest to `n` / `unit`, ties to even.

    Small integers while `unit` is at most 500,000 and the result no subnormal, which it must not
    be unless `n` is 0. Too large becomes +-inf.
    """
    sign = 0
    if n < 0:
        sign = 0x8000
        n = -n
    if n == 0:
        return 0
    if n // unit >= 65520:
        return sign | 0x7C00
    exponent = 25
    while n // unit >= 2048:
        unit <<= 1
        exponent += 1
    while n // unit < 1024:
        n <<= 1
        exponent -= 1
    bits = exponent << 10 | n // unit & 0x3FF
    rest = n % unit * 2
    if rest > unit or rest == unit and bits & 1:
        bits += 1  # may carry into the exponent, which is right
    return sign | bits


def rounded(bits, fraction):
    """Return the 16 `bits` of a half float rounded: to 8 significant bits, or 7 or 6 if small.

    Only of 8 and 7 the last is worth 2**-`fraction` or more. Below 2**-(`fraction` + 4) it is
    one: a power of two.
    """
    exponent = bits >> 10 & 31
    drop = max(3, min(5, 25 - fraction - exponent))
    if exponent <= 10 - fraction:
        drop = 10
    return bits + (1 << drop - 1) & -(1 << drop) & 0xFFFF


def times_milli(bits, n):
    """Return `n` x 1000 x the value of `bits`, rounded; small integers if the result is one.

    `bits` is no NaN, infinity or subnormal but 0; 0 <= n < 65536.
    """
    if bits & 0x7FFF == 0:
        return 0
    x = (1024 | bits & 0x3FF) * n
    shift = 25 - (bits >> 10 & 31)
    if shift > 20:  # below a thousandth: the last bits do not matter
        x >>= shift - 20
        shift = 20
    if shift > 0:
        rest = x & (1 << shift) - 1
        x = (x >> shift) * 1000 + (rest * 1000 + (1 << shift - 1) >> shift)
    else:
        x = (x << -shift) * 1000
    return -x if bits & 0x8000 else x
