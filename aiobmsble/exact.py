# Arithmetic with the PC's double precision in integers, for boards whose floats have 24 bits.
# Translated drivers use it wherever a computed float ends in an integer or a comparison.

from math import frexp

# Asked at run time: the compiler on the PC would answer it in double precision.
_SINGLE = float("16777217") == 16777216.0
_DIGITS = 7  # decimals that a single float can tell apart
_KEEP = 24  # quotients remembered because a single float cannot hold them

# |float| -> (numerator, denominator) of quotients with more than 24 significant bits.
_seen = {}


def near(n, d):
    """The double nearest to n/d as a pair (numerator, denominator), ties to even."""
    if n < 0:
        n, d = near(-n, d)
        return -n, d
    if not n:
        return 0, 1
    # Shift so that the quotient has 54 bits or a few more, then round to 53.
    shift = 56 + 4 * (len("%x" % d) - len("%x" % n))
    if shift > 0:
        q, rest = divmod(n << shift, d)
    else:
        q, rest = divmod(n, d << -shift)
    extra = 1
    while q >> extra >= 1 << 53:
        extra += 1
    low = q & ((1 << extra) - 1)
    half = 1 << (extra - 1)
    q >>= extra
    if low > half or low == half and (rest or q & 1):
        q += 1
    shift -= extra
    return (q, 1 << shift) if shift >= 0 else (q << -shift, 1)


def _pair(x):
    """The number as CPython would have it: exact numerator and denominator."""
    if isinstance(x, tuple):
        return x
    if isinstance(x, int):
        return x, 1
    if x is True or x is False:
        return int(x), 1
    if x < 0:
        n, d = _pair(-x)
        return -n, d
    if x != x:
        raise ValueError("not a number")
    if x > 3.4e38 and x * 0 != 0:
        raise OverflowError("infinite")
    if _SINGLE:
        known = _seen.get(x)
        if known:
            return near(known[0], known[1])
        # A value that came from an integer over a power of ten is that decimal.
        scale = 1
        for _ in range(_DIGITS + 1):
            n = round(x * scale)
            if n <= 0xFFFFFF and n / scale == x:
                return near(n, scale)
            scale *= 10
    mantissa, exponent = frexp(x)
    n = int(mantissa * (1 << 53))
    shift = 53 - exponent
    return (n, 1 << shift) if shift >= 0 else (n << -shift, 1)


def _remember(x, n, d):
    if len(_seen) >= _KEEP:
        _seen.clear()
    _seen[abs(x)] = (abs(n), d)


def quotient(n, d):
    """n / d as float; remembers the exact value of an integer that a single float cannot hold."""
    x = n / d
    if _SINGLE and isinstance(n, int) and not -0x1000000 <= n <= 0x1000000:
        _remember(x, n if d > 0 else -n, abs(d))
    return x


def as_float(v):
    """An exact result as int or float; the exact value is found again from that float."""
    if not isinstance(v, tuple):
        return v
    x = v[0] / v[1]
    if _SINGLE:
        n, d = _pair(x)
        if n * v[1] != v[0] * d:
            _remember(x, v[0], v[1])
    return x


def _both_int(a, b):
    return isinstance(a, int) and isinstance(b, int)


def _odd(a, b):
    """Whether one is infinite or not a number: then the processor's arithmetic will do."""
    return (isinstance(a, float) and a - a != 0) or (isinstance(b, float) and b - b != 0)


def exact_add(a, b):
    """a + b as CPython computes it: an int, an exact pair, or infinite or not a number."""
    if _both_int(a, b):
        return a + b
    if _odd(a, b):
        return as_float(a) + as_float(b)
    (an, ad), (bn, bd) = _pair(a), _pair(b)
    return near(an * bd + bn * ad, ad * bd)


def exact_sub(a, b):
    """a - b likewise."""
    if _both_int(a, b):
        return a - b
    if _odd(a, b):
        return as_float(a) - as_float(b)
    (an, ad), (bn, bd) = _pair(a), _pair(b)
    return near(an * bd - bn * ad, ad * bd)


def exact_mul(a, b):
    """a * b likewise."""
    if _both_int(a, b):
        return a * b
    if _odd(a, b):
        return as_float(a) * as_float(b)
    (an, ad), (bn, bd) = _pair(a), _pair(b)
    return near(an * bn, ad * bd)


def exact_div(a, b):
    """a / b likewise, never an int. Raises ZeroDivisionError."""
    if _odd(a, b):
        return as_float(a) / as_float(b)
    (an, ad), (bn, bd) = _pair(a), _pair(b)
    if not bn:
        raise ZeroDivisionError("division by zero")
    return near(an * bd, ad * bn) if bn > 0 else near(-an * bd, ad * -bn)


def exact_sum(values):
    """Sum of ints and floats, rounded once."""
    n, d, ints = 0, 1, True
    for value in values:
        if _odd(value, n):
            return value + sum(values)  # of a list or of what is left: the same in this case
        ints = ints and isinstance(value, int)
        vn, vd = _pair(value)
        n, d = n * vd + vn * d, d * vd
    return n if ints else as_float(near(n, d))


def exact_mean(values):
    """Mean of numbers or temperature sensors as float. Raises ValueError for none."""
    if not values:
        raise ValueError("mean of nothing")
    total = exact_sum([float(value) for value in values])
    return as_float(exact_div(total, len(values)))


def _half_even(n, d):
    q, rest = divmod(n, d)
    if 2 * rest > d or 2 * rest == d and q & 1:
        q += 1
    return q


def exact_round(x, digits):
    """round(x, digits) as CPython does it, exact at halves; an int if digits is None."""
    if isinstance(x, float) and (x != x or x > 3.4e38 or x < -3.4e38) and digits is not None:
        return x
    n, d = _pair(x)
    if digits is None:
        return _half_even(n, d)
    if digits < 0:
        scale = 10 ** -digits
        q = _half_even(n, d * scale) * scale
        return q if isinstance(x, int) else float(q)
    return x if isinstance(x, int) else quotient(_half_even(n * 10 ** digits, d), 10 ** digits)


def trunc(x):
    """int(x) of an exact value: cut toward zero."""
    n, d = _pair(x)
    return n // d if n >= 0 else -(-n // d)


def div10(x):
    """x / 10"""
    return quotient(x, 10)


def div100(x):
    """x / 100"""
    return quotient(x, 100)


def div1000(x):
    """x / 1000"""
    return quotient(x, 1000)


def int10(x):
    """x // 10"""
    return x // 10


def int100(x):
    """x // 100"""
    return x // 100


def int1000(x):
    """x // 1000"""
    return x // 1000
