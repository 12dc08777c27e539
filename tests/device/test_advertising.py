# The board's one advertisement: parts of several features, beside links, after a cycle of the radio
import advertising
import air
import aioble
import bleradio
from app import outputs

_UUID = bytes((17, 7)) + bytes(range(16))
_DATA = b"\x07\x16\xd2\xfc\x40\x00\x01\x02"


class _Off:
    """Nothing is advertised or set up before and after."""

    def __enter__(self):
        self.__exit__()
        bleradio.on()

    def __exit__(self, *_):
        advertising.data = advertising.answer = advertising.name = b""
        bleradio.setup.clear()
        air.radio.links.clear()
        aioble.stop()


def _tell(data=None, answer=None):
    """Tell these in place of what was told; None leaves it."""
    advertising.data = advertising.data if data is None else data
    advertising.answer = advertising.answer if answer is None else answer
    return advertising.go()


def _heard():
    """Return ({type: content} of what is told, the same of what answers, connectable)."""
    _, told, answer, connectable = air.radio.advertising
    assert len(told) <= 31 and len(answer) <= 31
    return _split(told), _split(answer), connectable


def _split(payload):
    parts = {}
    at = 0
    while at < len(payload):
        n = payload[at]
        assert n and at + n < len(payload)
        parts[payload[at + 1]] = payload[at + 2 : at + 1 + n]
        at += 1 + n
    return parts


def test_two_share_one_advertisement():
    with _Off():
        advertising.name = b"\x0b\x09batmon van"
        assert _tell(_DATA)
        assert _heard() == ({1: b"\x06", 0x16: _DATA[2:]}, {9: b"batmon van"}, False)
        assert _tell(answer=_UUID)
        told, answer, connectable = _heard()
        assert told[0x16] == _DATA[2:] and connectable
        assert answer == {7: _UUID[2:], 9: b"batmon van"}
        _tell(b"")
        assert _heard() == ({1: b"\x06"}, {7: _UUID[2:], 9: b"batmon van"}, True)
        _tell(answer=b"")
        assert air.radio.advertising is None


def test_what_is_put_again_takes_the_place_of_what_was_told():
    with _Off():
        _tell(_DATA)
        _tell(_DATA[:-1] + b"\x09")
        assert _heard()[0][0x16] == _DATA[2:-1] + b"\x09"


def test_a_name_is_cut_between_characters():
    for name, alone, beside in (
        ("x" * 11, "x" * 11, "x" * 11),
        ("x" * 29, "x" * 29, "x" * 11),
        ("x" * 30, "x" * 29, "x" * 11),
        ("Küche" * 5, "Küche" * 4 + "Küch", "KücheKüch"),
        ("☀" * 20, "☀" * 9, "☀" * 3),
    ):
        for answer, told in ((b"", alone), (_UUID, beside)):
            with _Off():
                advertising.name = outputs.named(name, 29 - len(answer))
                _tell(_DATA, answer)
                assert _heard()[1][9 if name == told else 8] == told.encode(), name


def test_goes_on_after_a_cycle_and_not_when_dropped():
    with _Off():
        _tell(_DATA)
        aioble.stop()
        assert air.radio.advertising is None
        _tell(_DATA)  # while it is off: told when it is on
        bleradio.on()
        assert _heard()[0][0x16] == _DATA[2:]
        _tell(b"")
        aioble.stop()
        bleradio.on()
        assert air.radio.advertising is None


def test_without_a_place_for_a_phone_the_values_are_told_still():
    with _Off():
        _tell(_DATA)
        air.radio.links.update({n: None for n in range(4)})
        assert _tell(answer=_UUID)
        told, answer, connectable = _heard()
        assert told[0x16] == _DATA[2:] and answer[7] == _UUID[2:] and not connectable
        air.radio.links.clear()
        assert advertising.go() and _heard()[2]


def test_too_much_is_refused_not_raised():
    with _Off():
        assert not _tell(_DATA * 4)
        assert air.radio.advertising is None
