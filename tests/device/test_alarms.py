# The words for the alarm codes of a BMS: the right ones, and none is swallowed
import sys

from screen import alarms


class Jikong:
    BMS = object()


class Jbd:
    BMS = object()


sys.modules["aiobmsble.bms.jikong_bms"] = Jikong
sys.modules["aiobmsble.bms.jbd_bms"] = Jbd


def test_codes_of_known_makes():
    # as the makers' protocol documents number them
    for driver, code, words in (
        (Jbd.BMS, 0x0001, "cell over-volt"),
        (Jbd.BMS, 0x0010, "charge too hot"),
        (Jbd.BMS, 0x0400, "short circuit"),
        (Jbd.BMS, 0x1002, "cell under-volt, switched off"),
        (Jikong.BMS, 0x0010, "cell over-volt"),
        (Jikong.BMS, 0x0300, "charge too hot, charge too cold"),
        (Jikong.BMS, 0x0840, "overcurrent in, cell under-volt"),
        (Jikong.BMS, 0x000C, "cell count, current sensor"),
    ):
        assert alarms.words(driver, code) == words.replace(", ", "\n"), code


def test_what_is_not_known_is_a_number():
    assert alarms.words(None, 0x804) == "BMS alarm 0x804"
    assert alarms.words(Jbd.BMS, 0x10001) == "cell over-volt\nBMS alarm 0x10000"
    assert alarms.words(object(), (1 << 64) - 1) == "BMS alarm 0xFFFFFFFFFFFFFFFF"


def test_every_code_says_something_that_fits():
    for driver in (Jikong.BMS, Jbd.BMS):
        for bit in range(64):
            text = alarms.words(driver, 1 << bit)
            assert text and all(" " <= c < "~" for c in text)
            assert len(text) <= 16 or text.startswith("BMS alarm 0x")
