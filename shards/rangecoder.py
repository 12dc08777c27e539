# Adaptive binary range coder: the innermost loop of sealed shards, native code on a board
# docs/FORMAT.md, "Numbers"; in the subset common to viper, numba and plain Python.
import micropython

# Places in the coder's state, an array of ints.
# 0: low end of the interval when writing, the code's distance from it when reading
# 1: width of the interval, 2**16 to 2**24
# 2: position in the data, 3: end of the data when reading, 0 when writing


@micropython.viper
def number(k, a: int, b: int, shared: int, r: int) -> int:
    """Write `r`, a sign and at most 18 bits, or read it and return it; the state in `k` says which.

    `k` is (state, data, pieces, ...). A row is 8 counters; 128 numbers of rows are a piece. `a` and
    `b` are the two rows, `shared` the first of 8 rows, all of one piece, that say how likely each
    bit is; they learn from it.
    """
    s = ptr32(k[0])
    data = ptr8(k[1])
    p = ptr16(k[2][a >> 7])
    low = s[0]
    width = s[1]
    at = s[2]
    end = s[3]
    rest = 0 if end else int(abs(r))  # the magnitude that is written
    size = 0  # its bits
    while (rest >> size) != 0:
        size += 1
    a = (a & 127) << 3
    b = (b & 127) << 3
    shared = (shared & 127) << 3
    magnitude = 0
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
        if end:
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
        else:
            bit = 0
            if asked == 0:
                if r != 0:
                    bit = 1
            elif asked == 1:
                if r < 0:
                    bit = 1
            elif asked < 32:
                if size >= asked:
                    bit = 1
            else:
                bit = (rest >> (asked - 32)) & 1
            if bit:
                width = part
            else:
                low += part
                width -= part
                if low >= 16777216:  # carry into what is written
                    low -= 16777216
                    m = at - 1
                    while data[m] == 255:
                        data[m] = 0
                        m -= 1
                    data[m] = data[m] + 1
            while width < 65536:
                width <<= 8
                data[at] = low >> 16
                at += 1
                low = (low & 65535) << 8

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


def start(state, data, at, end):
    """Set the state to write from byte `at` of `data` on, or to read from there to `end`."""
    state[0] = 0
    state[1] = 0xFFFFFF
    state[2] = at
    state[3] = end
    if end:
        for i in range(at, at + 3):
            state[0] = state[0] * 256 + (data[i] if i < end else 0)
        # What no writer makes, a code outside its interval, would grow beyond 31 bits.
        state[0] = min(state[0], state[1] - 1)
        state[2] = at + 3


def finish(state, data):
    """Write the last byte; return where the data ends."""
    at = state[2]
    low = state[0] + 0xFFFF
    if low >= 0x1000000:
        i = at - 1
        while data[i] == 255:
            data[i] = 0
            i -= 1
        data[i] += 1
    data[at] = low >> 16 & 0xFF
    return at + 1
