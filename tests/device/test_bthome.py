# When BTHome is on the air: while the values are fresh, and through cycles of the radio
import asyncio

import advertising
import air
import aioble
import bleradio
from clock import Clock
from sinks import bthome


class _Status:
    alarm = ""


class _Battery:
    sample = None
    sample_s = 0
    status = _Status

    def poll(self, clock, volts=13.2):
        self.sample = {"voltage": volts, "current": 1.5, "battery_level": 50}
        self.sample_s = clock.uptime_s()


class _Board:
    """Batteries whose values are broadcast."""

    def __init__(self, n=1, poll_s=2):
        bleradio.setup.clear()
        aioble.stop()
        bleradio.on()
        self.clock = Clock()
        self.batteries = [_Battery() for _ in range(n)]
        self.task = asyncio.create_task(bthome.run(self.batteries, self.clock, poll_s, b""))

    async def poll(self, seconds, every_s=2):
        """Poll all batteries for a while; return whether it was on the air all along."""
        always = True
        for _ in range(0, seconds, every_s):
            for battery in self.batteries:
                battery.poll(self.clock)
            await asyncio.sleep(every_s)
            always = always and self.on_air()
        return always

    def on_air(self):
        told = air.radio.advertising
        assert told is None or not told[3]  # nobody is to connect to it
        return bool(told)

    async def end(self):
        self.task.cancel()
        await asyncio.sleep_ms(0)
        advertising.data = b""
        advertising.go()
        bleradio.setup.clear()


async def test_nothing_is_told_before_the_first_sample():
    board = _Board()
    await asyncio.sleep(60)
    assert not board.on_air()
    await board.poll(4)
    assert board.on_air()
    await board.end()


async def test_stops_within_15_s_of_the_last_sample_and_comes_back():
    for _ in range(3):
        board = _Board()
        assert await board.poll(60)
        for battery in board.batteries:
            battery.poll(board.clock)
        await asyncio.sleep(9)
        assert board.on_air()  # one that is a little late is not gone
        await asyncio.sleep(6)
        assert not board.on_air()
        await asyncio.sleep(7)
        await board.poll(4)
        assert board.on_air()
        await board.end()


async def test_rare_polls_are_not_taken_for_a_lost_battery():
    board = _Board(poll_s=60)
    await board.poll(60, 60)
    assert await board.poll(1200, 60)
    await asyncio.sleep(40)
    assert not board.on_air()
    await board.end()


async def test_a_bank_is_told_only_while_all_of_it_is_known():
    board = _Board(2)
    board.batteries[0].poll(board.clock)
    await asyncio.sleep(4)
    assert not board.on_air()
    for battery in board.batteries:
        battery.link = type("Link", (), {"capacity_ah": 100})
    assert await board.poll(20)
    for _ in range(8):
        board.batteries[0].poll(board.clock)
        await asyncio.sleep(2)
    assert not board.on_air()
    await board.end()


async def test_goes_on_through_a_cycle_of_the_radio_and_one_that_refuses():
    board = _Board()
    assert await board.poll(10)
    aioble.stop()
    await board.poll(10)
    assert not board.on_air()
    bleradio.on()
    assert board.on_air()
    aioble.stop()
    await asyncio.sleep(30)  # old, so nothing is to be told when it is on again
    bleradio.on()
    assert not board.on_air()
    await board.end()
