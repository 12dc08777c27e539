# A phone beside the link to the BMS: a whole log comes over while it walks away, and polls go on
import asyncio
import gc
import random
import time

import air
import battery
import jikong
import vclock
from aiobmsble.bms import jikong_bms
from bleak_peer import fresh
from link import BmsLink
from phone_client import PAUSE, Client, Gone
from test_phone import CAMPAIGN, CODE, Battery, Board, connect, log_file

_POLL_MS = 1000
_SHARDS = 45 if CAMPAIGN else 8  # of each battery; of a year, at 70 kB a month
_VANISHES = 50


class _Polling:
    """A real link to a simulated BMS beside the service: when it gave samples."""

    def __init__(self, board):
        self._board = board
        self.longest_ms = 0
        self.samples = 0
        self.said = []

    async def __aenter__(self):
        fresh(jikong.make(battery.make("van", 1)))
        self.link = BmsLink(
            jikong_bms.BMS, "jk-pak01", _POLL_MS, on_change=lambda link: self.said.append(link.text)
        )
        self._board.batteries[0].link = self.link
        self._task = asyncio.create_task(self._poll())
        while self.samples < 3:
            await asyncio.sleep_ms(100)
        self.longest_ms = 0
        return self

    async def __aexit__(self, *_):
        self._task.cancel()
        try:
            await self._task
        except asyncio.CancelledError:
            pass

    async def _poll(self):
        last_ms = None
        async for sample in self.link:
            now_ms = vclock.now_ms()
            if last_ms is not None:
                self.longest_ms = max(self.longest_ms, now_ms - last_ms)
            last_ms = now_ms
            self.samples += 1
            one = self._board.batteries[0]
            one.sample = sample
            for sink in self._board.sinks:
                sink.sample(one, now_ms, sample)


async def test_a_log_of_two_batteries_by_a_phone_that_vanishes_50_times():
    async with Board(batteries=[Battery("van"), Battery("house")]) as board:
        files = {}
        for name in ("van", "house"):
            for n in range(_SHARDS):
                file = "%s-%05d.bts" % (name, 2 * n + len(name) % 2)
                files[file] = log_file(file, 10_000 + random.getrandbits(14))
        async with _Polling(board) as polling:
            client = await connect()
            newcomer = Client(2)
            client.live = True
            client.write(b"\x03\x02")
            kept = {file: 0 for file in files}  # bytes
            vanishes = 0
            used = []
            while True:
                lacking = [file for file in files if kept[file] < len(files[file])]
                if not lacking:
                    break
                file = lacking[0]
                task = asyncio.create_task(client.read(file, kept[file]))
                if vanishes < _VANISHES:
                    await asyncio.sleep_ms(20 + random.getrandbits(8))
                    if not task.done():
                        vanishes += 1
                        (client.vanish, client.vanish, client.disconnect)[vanishes % 3]()
                try:
                    await task
                except Gone:
                    pass
                at = kept[file]
                kept[file] = at + len(client.data)
                assert client.data == files[file][at : kept[file]], file
                task = client.data = None
                client.values.clear()
                if vanishes < _VANISHES:  # what it has of a whole file is this test's
                    gc.collect()
                    used.append(gc.mem_alloc())
                await asyncio.sleep_ms(100)  # a good-bye may be under way
                if client.link is None:
                    if vanishes % 10 == 1:  # while a dead phone holds the place
                        await newcomer.reach()
                        assert (await newcomer.ask(PAUSE, b"\0\0"))[0] == 3
                        newcomer.disconnect()
                        await asyncio.sleep_ms(100)
                    await client.reach()
                    client.write(b"\x03\x02")
                    assert await client.prove(CODE) == 0
            print("longest gap", polling.longest_ms, "ms,", sum(map(len, files.values())), "bytes")
            assert vanishes == _VANISHES, vanishes
            half = len(used) // 2
            print("heap in use", min(used[:half]), "bytes at first,", min(used[half:]), "later")
            assert min(used[half:]) <= min(used[:half]) + 2048
            assert polling.longest_ms <= 2 * _POLL_MS, polling.longest_ms
            assert polling.link.connects == 1
            assert not board.task.done()


async def test_lost_connection_events_cost_time_and_no_poll():
    """Of a bad link: most events lost, and a phone that is out of reach now and then, for less than
    its supervision timeout or for longer."""
    async with Board() as board:
        async with _Polling(board) as polling:
            content = log_file("van-00001.bts", 200_000 if CAMPAIGN else 60_000)
            client = await connect()
            client.lost_percent = 60
            client.live = True
            client.write(b"\x03\x02")
            at = 0
            fades = 0
            while at < len(content):
                task = asyncio.create_task(client.read("van-00001.bts", at))
                while not task.done():
                    await asyncio.sleep_ms(random.getrandbits(11))
                    fades += 1
                    away_ms = (400, 7000, 2000, 4500)[fades % 4]
                    client.fade(away_ms)
                    await asyncio.sleep_ms(away_ms)
                try:
                    await task
                except Gone:
                    pass
                assert client.data == memoryview(content)[at : at + len(client.data)]
                at += len(client.data)
                while client.link is None:
                    try:
                        await client.reach()
                        client.write(b"\x03\x02")
                        assert await client.prove(CODE) == 0
                    except Gone:
                        pass
            print(
                "longest gap", polling.longest_ms, "ms,", fades, "fades,", client.losses, "losses"
            )
            assert client.losses > 0 and polling.samples > 15
            assert polling.longest_ms <= 2 * _POLL_MS, polling.longest_ms
            assert polling.link.connects == 1 and not board.task.done()


async def test_the_bms_is_left_to_another_app_and_taken_up_again():
    async with Board() as board:
        async with _Polling(board) as polling:
            client = await connect()
            assert (await client.ask(PAUSE, b"\x3c\x00"))[0] == 0
            await asyncio.sleep_ms(5000)
            assert not air.peripherals[0].connected
            samples = polling.samples
            await asyncio.sleep_ms(50_000)
            assert polling.samples == samples
            await asyncio.sleep_ms(15_000)
            assert polling.samples > samples and polling.link.connected
            assert "left to another app for 60 s" in polling.said
            assert (await client.ask(PAUSE, b"\x3c\x00"))[0] == 0
            await asyncio.sleep_ms(5000)
            assert (await client.ask(PAUSE, b"\x00\x00"))[0] == 0
            start = time.ticks_ms()
            while not polling.link.connected:
                await asyncio.sleep_ms(100)
            assert time.ticks_diff(time.ticks_ms(), start) < 12_000
