# The DS3231: read and set on every date, doubted where it should be; and the app that uses it
import asyncio
import random
import time

import ds3231
import machine
import rtcchip
import vclock
from app import clockwatch, ownclock
from clock import Clock
from screen import panel

_NOW = 1_780_272_000  # 2026-06-01
_LAST = 2_145_916_799  # the end of 2037; the 32-bit interpreter on a PC counts no further


def _chip(unix_s=_NOW):
    chip = rtcchip.RTCChip({"unix_s": None if unix_s is None else unix_s - vclock.now_ms() // 1000})
    machine.i2c_devices[0x68] = chip
    return chip


def _bus():
    return machine.I2C(0, freq=100_000)


def _ours():
    return ds3231.DS3231(_bus())


def test_every_date_comes_back():
    chip = _chip()
    ours = _ours()
    dates = [1_709_164_800, 1_709_251_199, _LAST - 1, 1_735_689_599]  # ends of February, year
    for unix_s in dates + [random.randrange(1_704_067_200, _LAST) for _ in range(200)]:
        ours.write(unix_s)
        assert chip.unix_s() == unix_s
        for twelve in (False, True):
            chip.twelve = twelve
            chip.past["century"] = 0x80 if twelve else 0
            assert ours.read() == unix_s, (unix_s, twelve)
    time.sleep(3)
    assert ours.read() == unix_s + 3


def test_it_does_not_know_what_nobody_set():
    chip = _chip(None)
    ours = _ours()
    assert ours.read() == 0
    ours.write(_NOW)
    assert ours.read() == _NOW
    chip.lose_power()
    assert ours.read() == 0
    chip.past["status"] = 8  # and an old date is none either
    assert ours.read() == 0


def test_dates_that_there_are_not():
    chip = _chip(1_772_236_800)  # 2026-02-28
    for flip in ({4: 0x28 ^ 0x30}, {5: 0x02 ^ 0x13}, {1: 0x75}, {2: 0x29}, {4: 0x28}, {0: 0x0F}):
        chip.flip = flip
        assert _ours().read() == 0, flip


def test_others_at_its_address_are_left_alone():
    chip = _chip()
    for flip in ({0: 0x80}, {3: 0x08}, {15: 0x20}, {18: 0x01}):
        chip.flip = flip
        try:
            _ours().read()
            raise AssertionError(flip)
        except ds3231.Stranger:
            pass


def test_whatever_transfer_fails_is_told():
    for at in range(12):
        chip = _chip(_NOW - 1000)
        ours = _ours()
        listen = chip.listen
        calls = [0]

        def fails(freq_hz):
            calls[0] += 1
            if calls[0] == at + 1:
                raise OSError(5)
            listen(freq_hz)

        chip.listen = fails
        try:
            ours.write(_NOW)
        except OSError:
            continue
        chip.listen = listen
        assert calls[0] <= at and chip.unix_s() == _NOW and ours.read() == _NOW
        assert at > 5, at  # there are so many at least


# ---- the app


class _App:
    def __init__(self):
        self.settings = {"lcd.sda_pin": None, "lcd.scl_pin": None}
        self.clock = Clock()
        self.said = []

    def say(self, sentence):
        self.said.append(sentence)


def _look(app, must=False):
    """Do what app/setup.py does."""
    i2c = panel.find_clock(app, must)
    if i2c and ownclock.is_there(i2c):
        ahead_s = ownclock.agree(app.clock, i2c, None)
        asyncio.create_task(clockwatch.run(app.clock, i2c, ahead_s))


def _start(unix_s, own_s, must=False):
    """Start a board whose clock is at `unix_s`, None for not set; return (app, the chip)."""
    vclock.set_rtc(None if unix_s is None else unix_s * 1000)
    chip = _chip(own_s) if own_s != "none" else machine.i2c_devices.pop(0x68, None)
    app = _App()
    _look(app, must)
    return app, chip


async def test_a_board_that_does_not_know_the_time_takes_it():
    app, _ = _start(None, _NOW)
    assert app.clock.unix_s() == _NOW and app.said == []


async def test_whoever_sets_the_board_sets_it():
    app, chip = _start(None, None)
    await asyncio.sleep(60)
    assert app.clock.unix_s() == 0 and chip.past["status"] & 0x80
    vclock.set_rtc(_NOW * 1000)  # NTP, a PC or a phone
    await asyncio.sleep(20)
    assert abs(chip.unix_s() - app.clock.unix_s()) <= 1 and not chip.past["status"] & 0x80
    vclock.set_rtc(vclock.rtc_ms() - 500_000)
    await asyncio.sleep(20)
    assert abs(chip.unix_s() - app.clock.unix_s()) <= 1
    chip.present = False  # its battery holds
    vclock.set_rtc(vclock.rtc_ms() + 3000)
    await asyncio.sleep(60)
    chip.present = True
    await asyncio.sleep(20)
    assert abs(chip.unix_s() - app.clock.unix_s()) <= 1


async def test_of_two_clocks_that_drifted_apart_it_is_the_better_one():
    app, chip = _start(_NOW + 40, _NOW)
    assert app.clock.unix_s() == chip.unix_s() == _NOW
    app, chip = _start(_NOW + 400, _NOW)  # somebody has set the board, right before a reset
    assert app.clock.unix_s() == chip.unix_s() == _NOW + 400


async def test_a_bus_that_fails_at_the_start_costs_a_minute():
    vclock.set_rtc(None)
    chip = _chip(_NOW)
    app = _App()
    listen = chip.listen
    broken = [False]

    def fails(freq_hz):
        if broken[0]:
            raise OSError(5)
        broken[0] = True  # from the second transfer on
        listen(freq_hz)

    chip.listen = fails
    _look(app)
    assert app.clock.unix_s() == 0
    chip.listen = listen
    await asyncio.sleep(61)
    assert abs(app.clock.unix_s() - chip.unix_s()) <= 1


async def test_without_one_nothing_is_loaded_and_nothing_said():
    import sys

    sys.modules.pop("ds3231", None)
    app, _ = _start(None, "none")
    assert app.said == [] and "ds3231" not in sys.modules
    app, _ = _start(None, "none", must=True)
    assert app.said == ["no DS3231: nothing answers on I2C (SDA GPIO21, SCL GPIO22)"]
    vclock.set_rtc(None)
    chip = _chip()
    chip.flip = {3: 0x80}  # a gyroscope, for one
    app = _App()
    _look(app)
    vclock.set_rtc(_NOW * 1000)
    before = dict(chip.past)
    await asyncio.sleep(60)
    assert chip.past == before and "ds3231" not in sys.modules
