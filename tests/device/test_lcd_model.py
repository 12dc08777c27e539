# The model of the LCD module itself: it must see what a careless driver does wrong
import lcd
import vclock

_RS, _RW, _E, _LIGHT = 1, 2, 4, 8
_HZ = 100_000


def send(glass, data, freq_hz=_HZ):
    glass.write(data, freq_hz)
    vclock.spend_us((len(data) + 1) * 9_000_000 // freq_hz)


def nibbles(*values, rs=0):
    """The bytes that clock `values` in, with RS set one byte ahead."""
    out = [rs | _LIGHT]
    for value in values:
        idle = value << 4 | rs | _LIGHT
        out += [idle | _E, idle]
    return bytes(out)


def started(cols=16, rows=2):
    glass = lcd.LCD(cols, rows)
    vclock.spend_us(50_000)
    send(glass, nibbles(3))
    vclock.spend_us(5_000)
    for values in ((3,), (3,), (2,), (2, 8), (0, 12), (0, 6)):
        send(glass, nibbles(*values))
        vclock.spend_us(1_000)
    return glass


def text(glass, string):
    for char in string:
        send(glass, nibbles(ord(char) >> 4, ord(char) & 15, rs=_RS))


def go(glass, address):
    send(glass, nibbles(8 | address >> 4, address & 15))


def test_a_careful_driver_is_understood():
    glass = started()
    text(glass, "Hi")
    assert glass.text() == ["Hi" + " " * 14, " " * 16]
    assert glass.violations == []
    assert glass.snapshot()["backlight"]


def test_rows_lie_where_the_controllers_have_them():
    for cols, rows in ((16, 2), (20, 2), (16, 4), (20, 4)):
        glass = started(cols, rows)
        for row, address in enumerate((0, 0x40, cols, 0x40 + cols)[:rows]):
            go(glass, address)
            text(glass, "%d" % row * cols)
        assert glass.text() == ["%d" % row * cols for row in range(rows)]
        # line 1 goes on in line 2 and back
        go(glass, 0x27)
        text(glass, "XY")
        assert glass.text()[1][0] == "Y"
        go(glass, 0x67)
        text(glass, "XY")
        assert glass.text()[0][0] == "Y"
        assert glass.violations == []


def test_clear_home_and_scroll():
    glass = started()
    text(glass, "abc")
    send(glass, nibbles(1, 8))
    assert glass.text()[0].startswith("bc ")
    send(glass, nibbles(0, 2))
    vclock.spend_us(2_000)
    text(glass, "x")
    assert glass.text()[0].startswith("xbc ")
    send(glass, nibbles(0, 1))
    vclock.spend_us(2_000)
    assert glass.text() == [" " * 16] * 2
    assert glass.violations == []


def test_custom_glyphs():
    glass = started()
    send(glass, nibbles(4, 8))
    text(glass, "".join(chr(0xE0 | i) for i in range(8)))
    go(glass, 0)
    text(glass, "\x01")
    assert glass.snapshot()["cgram"][8:16] == list(range(8))
    assert glass.snapshot()["cells"][0][0] == 1
    assert glass.violations == []


def violations_of(action, make=started):
    glass = make()
    assert glass.violations == []
    action(glass)
    return " ".join(glass.violations)


def test_carelessness_is_reported():
    def rs_with_e(glass):
        send(glass, bytes((0x40 | _RS | _E, 0x40 | _RS)))

    def data_during_e(glass):
        send(glass, bytes((0, 0x40 | _E, 0x50 | _E, 0x50)))

    def read(glass):
        send(glass, bytes((_RW, _RW | _E, _RW)))

    def no_wait_after_clear(glass):
        send(glass, nibbles(0, 1) + nibbles(4, 1, rs=_RS))

    def no_memory(glass):
        go(glass, 0x30)
        text(glass, "x")

    assert "together with E" in violations_of(rs_with_e)
    assert "while E was high" in violations_of(data_during_e)
    assert "read cycle" in violations_of(read)
    assert "too early" in violations_of(no_wait_after_clear)
    assert "no memory" in violations_of(no_memory)
    assert "too fast" in violations_of(lambda glass: send(glass, nibbles(0, 12), 400_000))
    assert "too early" in violations_of(lambda glass: send(glass, nibbles(3)), lcd.LCD)

    def no_wait_in_the_init(glass):
        vclock.spend_us(50_000)
        send(glass, nibbles(3, 3, 3, 2))

    assert "too early" in violations_of(no_wait_in_the_init, lcd.LCD)


def test_faults():
    glass = started()
    text(glass, "ab")
    glass.slip()
    text(glass, "cd")
    assert not glass.text()[0].startswith("abcd")

    glass = started()
    glass.break_off(3)
    try:
        text(glass, "ab")
        raise AssertionError("no OSError")
    except OSError:
        pass

    glass = started()
    text(glass, "ab")
    glass.unplug()
    assert not glass.present and glass.text() == [" " * 16] * 2
    try:
        text(glass, "ab")
        raise AssertionError("no OSError")
    except OSError:
        pass
    glass.plug()
    assert glass.present and glass.text() == [" " * 16] * 2
