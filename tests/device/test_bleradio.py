# Bluetooth's one owner: on only while there is memory, set up in order, and what becomes of a link
import asyncio

import air
import aioble
import battery
import bleradio
import jikong
import machine
import sysmem
from aiobmsble.bms import jikong_bms
from app import start
from bleak_peer import fresh
from link import BmsLink


def _leave(free):
    """Let something else take all the system's memory but so much."""
    sysmem.hog = 0
    sysmem.hog = sysmem.free() - free


def _off():
    sysmem.hog = 0
    aioble.stop()


def test_what_was_set_up_is_set_up_again_in_order():
    done = []
    _off()
    for name in ("security", "services", "advertising"):
        bleradio.setup.append(lambda name=name: done.append((name, bleradio.ble.active())))
    try:
        bleradio.on()
        bleradio.on()
        assert done == [("security", True), ("services", True), ("advertising", True)]
        aioble.stop()
        aioble.core.ensure_active()  # aioble goes the same way
        assert len(done) == 6
    finally:
        bleradio.setup.clear()


def test_too_little_memory_is_a_sentence_and_no_panic():
    _off()
    _leave(44_000)
    try:
        bleradio.on()
        raise AssertionError("it had too little")
    except bleradio.Short as exc:
        words = "Bluetooth needs 45 kB of system memory, there are 44 (29 in one block)"
        assert str(exc) == words, exc
    assert not bleradio.ble.active()
    _leave(47_500)
    bleradio.on()
    assert bleradio.ble.active()


async def test_a_link_without_memory_asks_for_a_reset_once_a_turn():
    _off()
    fresh(jikong.make(battery.make("van", 1)))
    bleradio.on()
    _leave(7000)
    asked = []
    link = BmsLink(jikong_bms.BMS, "jk-pak01", 2000, on_hopeless=asked.append)

    async def poll():
        async for _ in link:
            raise AssertionError("there is no memory to connect")

    task = asyncio.create_task(poll())
    await asyncio.sleep(2)
    assert 1 <= len(asked) <= 2
    assert asked[0].startswith("a Bluetooth connection needs 8 kB of system memory, there are 7 ")
    task.cancel()
    sysmem.hog = 0
    assert not air.radio.links


async def test_a_cycled_radio_is_on_again_at_once():
    _off()
    bleradio.on()
    link = BmsLink(jikong_bms.BMS, "nobody", 2000)
    link._cycle()
    assert bleradio.ble.active()
    asked = []
    link._on_hopeless = asked.append
    _leave(3000)  # 43 kB when it is off
    link._cycle()
    assert not bleradio.ble.active() and asked[0].startswith("Bluetooth needs 45 kB")
    sysmem.hog = 0


def _start():
    """Return how Bluetooth's start ends: "on", or the cause of the reset."""
    try:
        start._bluetooth_first()
        return "on"
    except machine.Reset as reset:
        return reset.args[0]


def test_the_start_resets_when_a_soft_reset_left_too_little():
    _off()
    cause = machine._cause
    try:
        for machine._cause in (machine.PWRON_RESET, machine.HARD_RESET, machine.SOFT_RESET):
            assert _start() == "on"
            _off()
        sysmem.take("wifi")
        assert _start() == machine.HARD_RESET  # which gives it back
        machine._cause = machine.HARD_RESET
        assert _start() == "on"  # less than a start should have, but no reset will give more
    finally:
        machine._cause = cause
        sysmem.give("wifi")
