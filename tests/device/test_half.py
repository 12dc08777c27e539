# Half floats against the definition: every pattern, and the midpoints between them
import half


def _is_nan(bits):
    return bits & 0x7C00 == 0x7C00 and bits & 0x3FF


def test_every_pattern_survives():
    for bits in range(65536):
        if _is_nan(bits):
            assert half.encode(half.decode(bits)) == half.NAN, bits
        else:
            assert half.encode(half.decode(bits)) == bits, bits


def test_midpoints_go_to_the_even_neighbour_and_their_neighbours_to_the_nearer():
    for bits in range(0x7BFF):
        low = half.decode(bits)
        high = half.decode(bits + 1)
        middle = (low + high) / 2
        even = bits if bits % 2 == 0 else bits + 1
        quarter = (high - low) / 4
        for sign, mask in ((1, 0), (-1, 0x8000)):
            assert half.encode(sign * middle) == even | mask, bits
            assert half.encode(sign * (middle - quarter)) == bits | mask, bits
            assert half.encode(sign * (middle + quarter)) == bits + 1 | mask, bits


def test_what_struct_gets_wrong():
    assert half.decode(half.encode(31.995)) == 32.0
    assert half.decode(half.encode(7.9985)) == 8.0


def test_edges():
    assert half.encode(65519.0) == 0x7BFF
    assert half.encode(65520.0) == 0x7C00
    assert half.encode(-1e30) == 0xFC00
    assert half.encode(float("inf")) == 0x7C00
    assert half.encode(float("nan")) == half.NAN
    assert half.encode(0.0) == 0 and half.encode(-0.0) == 0x8000
    assert half.encode(2.0**-25) == 0  # a tie with zero, which is even
    assert half.encode(2.0**-25 * 1.001) == 1
    assert half.encode(1e-30) == 0


def test_thousandths_that_are_ties_go_to_the_even_neighbour():
    for n in (2049000, 2051000, 4098000, 4102000, 40976000, 41008000):
        assert half.from_milli(n) == half.encode(n / 1000), n


def test_thousandths_in_integers_agree_with_floats():
    n = 1
    while n < 66000000:
        for k in (n - 1, n, n + 1):
            bits = half.from_milli(k)
            assert bits == half.encode(k / 1000), k
            assert half.from_milli(-k) == (bits | 0x8000 if k else 0), k
            if bits < 0x7C00:
                for times in (0, 1, 2, 299, 1800):
                    exact = half.decode(bits) * 1000 * times
                    most = 0.5 + times / 16384 + exact / 2**23  # the float's own, on a chip
                    assert abs(half.times_milli(bits, times) - exact) <= most, k
                    assert half.times_milli(bits | 0x8000, times) == -half.times_milli(bits, times)
        n += n // 7 + 1


def test_rounded_keeps_the_bits_that_are_worth_something():
    for fraction in (0, 4, 10):
        for bits in range(0, 0x7BF0, 7):
            x = half.decode(bits)
            r = half.rounded(bits, fraction)
            assert half.rounded(bits | 0x8000, fraction) == r | 0x8000
            unit = 2.0 ** (max(bits >> 10, 1) - 15)  # of the leading bit
            step = max(unit / 128, min(unit / 32, 2.0**-fraction))
            if bits >> 10 <= 10 - fraction:
                step = unit
            y = half.decode(r)
            assert abs(y - x) <= step / 2 and y == step * round(y / step), (x, y, fraction)
            assert half.rounded(r, fraction) == r
