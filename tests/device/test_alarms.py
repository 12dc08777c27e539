# The words for the alarm codes of a BMS: the right ones, and none is swallowed
import sys

from screen import alarms


class Daly:
    BMS = object()


class Jikong:
    BMS = object()


class Jbd:
    BMS = object()


sys.modules["aiobmsble.bms.jikong_bms"] = Jikong
sys.modules["aiobmsble.bms.jbd_bms"] = Jbd
sys.modules["aiobmsble.bms.daly_bms"] = Daly

_NO_LIMITS = {
    "alarm.soc": 0, "alarm.cell_low_mv": 0, "alarm.cell_high_mv": 0, "alarm.temperature_c": 0,
    "alarm.temperature_low_c": alarms.NO_LIMIT_C, "alarm.current_a": 0,
}  # fmt: skip


def _words(driver, code):
    return alarms.words(alarms._name_of(driver), code)


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
        (Daly.BMS, 0x0004 << 48, "cell under-volt"),
        (Daly.BMS, 0x000C << 48 | 0x0004 << 32, "overcurrent out, cell under-volt"),
        (Daly.BMS, 0x8100 << 48, "charge too hot, load too cold"),
        (Daly.BMS, 0x0100 << 32, "cells apart"),
        (Jikong.BMS, 0x000C, "cell count, current sensor"),
    ):
        assert _words(driver, code) == words.replace(", ", "\n"), code


def test_what_is_not_known_is_a_number():
    assert _words(None, 0x804) == "BMS alarm 0x804"
    assert _words(Jbd.BMS, 0x10001) == "cell over-volt\nBMS alarm 0x10000"
    assert _words(Daly.BMS, 0x20) == "BMS alarm 0x20"  # its other protocol, or a register without
    assert _words(object(), (1 << 64) - 1) == "BMS alarm 0xFFFFFFFFFFFFFFFF"


def test_every_code_says_something_that_fits():
    for driver in (Jikong.BMS, Jbd.BMS, Daly.BMS):
        for bit in range(64):
            text = _words(driver, 1 << bit)
            assert text and all(" " <= c < "~" for c in text)
            assert len(text) <= 16 or text.startswith("BMS alarm 0x")


def test_a_battery_that_is_switched_off_says_so():
    assert alarms.said(Jikong.BMS, {"dischrg_mosfet": False}, _NO_LIMITS) == "discharge is off"
    for value in (None, True, 1):
        assert alarms.said(Jikong.BMS, {"dischrg_mosfet": value}, _NO_LIMITS) == ""


def test_limits_are_found_again_in_the_words():
    want = dict(_NO_LIMITS)
    want.update({"alarm.soc": 20, "alarm.cell_low_mv": 2800})
    sample = {"battery_level": 15, "cell_voltages": [3.0, 2.7], "problem_code": 0x40}
    text = alarms.said(Daly.BMS, sample, want)  # whose own words are some of the same
    assert text == "BMS alarm 0x40\ncharge low\ncell low" and alarms.limit(text) == 3
    assert alarms.limit("") == 0
    assert all(len(words) <= 16 for words in alarms.LIMITS)


def test_the_current_may_be_limited_both_ways():
    want = dict(_NO_LIMITS)
    want["alarm.current_a"] = 150
    for amps, words in ((150, ""), (-150, ""), (151, "too much current"), (None, ""),
                        (-151.5, "too much current"), (float("nan"), "")):  # fmt: skip
        assert alarms.said(Daly.BMS, {"current": amps}, want) == words, amps
    assert alarms.limit("too much current") == 32
