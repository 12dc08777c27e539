# The phone service over the simulated radio: live values, files, the code, garbage, lost phones
import asyncio
import json
import os
import random
import struct
import time
from binascii import crc32

import advertising
import air
import aioble
import bleradio
import vfs
from clock import Clock
from phone_client import (
    ACKNOWLEDGE,
    CHECK,
    CLOCK,
    CREDITS,
    HELLO,
    LIVE,
    PAUSE,
    PROVE,
    READ,
    STOP,
    Client,
    Gone,
)
from sinks import phone, phoneask

CAMPAIGN = bool(os.getenv("CAMPAIGN"))
_BLOCKS = 512 if CAMPAIGN else 128  # of the flash
_GARBAGE = 50_000 if CAMPAIGN else 2000  # writes, with the code and without
_DATA = "/flash/data"
CODE = "271828"


class _Status:
    alarm = seen = ""
    connected = True
    link = "connected"
    message = ""


class _Link:
    paused = 0
    name = "van"


class _Store:
    free = 1000
    ticks = 0

    def tick(self):
        self.ticks += 1


class Battery:
    def __init__(self, name, cells=4):
        self.name = name
        self.status = _Status()
        self.link = _Link()
        self.store = _Store()
        self.sample_s = 0
        self.sample = {
            "voltage": 13.27,
            "current": -4.5,
            "battery_level": 71.5,
            "temperature": 21.5,
            "cell_voltages": [3.3 + i / 1000 for i in range(cells)],
        }


class Board:
    """The service with its batteries and a folder of files, for one test."""

    def __init__(self, code=CODE, batteries=None):
        self.code = code
        self.batteries = batteries or [Battery("van")]
        self.sinks = []
        self.sentences = []
        self.task = None

    async def __aenter__(self):
        _clean()
        self.start()
        await asyncio.sleep_ms(50)
        return self

    def start(self):
        phone._phone = None
        aioble.stop()
        for setup in list(bleradio.setup):
            if getattr(setup, "__name__", "") != "_listen":
                bleradio.setup.remove(setup)
        advertising.answer = b""
        bleradio.on()
        self.clock = Clock()
        self.task = asyncio.create_task(
            phone.run(
                self.batteries, self.sinks, self.clock, _DATA, self.code, self.sentences
            )
        )

    async def restart(self):
        await self.stop()
        self.start()
        await asyncio.sleep_ms(50)

    async def stop(self):
        self.task.cancel()
        try:
            await self.task
        except asyncio.CancelledError:
            pass
        core = aioble.core
        core._irq_handlers[:] = [fn for fn in core._irq_handlers if not _is_phones(fn)]
        core._shutdown_handlers[:] = [fn for fn in core._shutdown_handlers if not _is_phones(fn)]

    async def __aexit__(self, kind, exc, trace):
        await self.stop()
        for link in list(air.radio.links.values()):
            link.drop()
        advertising.answer = b""
        advertising.go()
        aioble.stop()
        _clean()


def _is_phones(fn):
    return fn in _mine


_mine = []
_register = aioble.core.register_irq_handler


def _noting(irq, shutdown):
    _mine.extend((irq, shutdown))
    _register(irq, shutdown)


aioble.core.register_irq_handler = _noting


class _Ram:
    """A volume in memory, always the same: the heap may have no second hole for one."""

    _data = bytearray(_BLOCKS * 4096)

    def readblocks(self, n, buf, offset=0):
        at = n * 4096 + offset
        buf[:] = memoryview(self._data)[at : at + len(buf)]

    def writeblocks(self, n, buf, offset=0):
        at = n * 4096 + offset
        self._data[at : at + len(buf)] = buf

    def ioctl(self, op, arg):
        return {4: _BLOCKS, 5: 4096}.get(op, 0)


def _clean():
    try:
        vfs.umount("/flash")
    except OSError:
        pass
    ram = _Ram()
    vfs.VfsLfs2.mkfs(ram)
    vfs.mount(vfs.VfsLfs2(ram), "/flash")
    os.mkdir(_DATA)


def log_file(name, size):
    """Make a file of the log; return what is in it."""
    content = bytearray(random.getrandbits(8) for _ in range(min(size, 997)))
    while len(content) < size:
        content += content[: min(len(content), size - len(content))]
    with open(_DATA + "/" + name, "wb") as f:
        f.write(content)
    return bytes(content)


async def connect(n=1, code=CODE):
    client = Client(n)
    await client.reach()
    if code:
        assert await client.prove(code) == 0
    return client


async def test_live_values_need_no_code():
    async with Board() as board:
        client = await connect(code=None)
        client.write(bytes((LIVE, 3)))
        await asyncio.sleep_ms(500)
        assert len(client.values) == 1, client.values
        values = struct.unpack("<BBBBHiBBHHBBH", client.values[0])
        assert values[:4] == (0xC0, 0, 1, 1)
        assert values[4:] == (1327, -4500, 143, 123, 3300, 3303, 1, 4, 0), values
        board.batteries[0].sample["current"] = float("nan")
        board.batteries[0].sample["voltage"] = float("nan")
        for _ in range(5):  # no more than it asked for
            board.sinks[0].sample(board.batteries[0], 0, board.batteries[0].sample)
        await asyncio.sleep_ms(300)
        assert len(client.values) == 2
        assert struct.unpack("<Hi", client.values[-1][4:10]) == (65535, -0x80000000)
        for op, body in ((CHECK, bytes(4) + b"a-00001.bts"), (READ, bytes(9) + b"info"),
                         (CLOCK, bytes(6)), (PAUSE, bytes(2)), (ACKNOWLEDGE, b"\0")):  # fmt: skip
            assert await client.ask(op, body) == (3, b""), op
        assert client.data == b""


async def test_values_of_all_batteries_even_without_samples():
    async with Board(batteries=[Battery("van"), Battery("house")]) as board:
        board.batteries[1].sample = None
        board.batteries[1].status.connected = False
        board.batteries[1].status.link = "looking for house"
        client = await connect(code=None)
        client.write(bytes((LIVE, 3)))
        await asyncio.sleep_ms(500)
        assert [data[1] for data in client.values] == [0]
        assert client.words == [b"looking for house"]
        client.write(bytes((LIVE, 3)))
        await asyncio.sleep_ms(6000)  # without samples they come every 5 s
        assert [data[1] for data in client.values] == [0, 0, 1]
        assert client.values[2][3] == 0 and client.values[2][18:] == b"\xff\xff"


async def test_a_list_a_file_a_part_of_it_and_its_crc():
    async with Board():
        content = log_file("van-00001.bts", 30_000)
        log_file("van-00002.raw", 0)
        log_file("errors.txt", 10)
        log_file("van.sum", 100)  # lifetime counters
        log_file("van.sum2", 100)
        for name in ("state", "bms", "van-00003.tmp", "secret.py", "van-1.raw", "va-n.sum"):
            log_file(name, 5)
        client = await connect()
        lines = sorted((await client.read("list"))[1].split(b"\n"))
        ours = [b"", b"errors.txt 10", b"van-00001.bts 30000", b"van-00002.raw 0"]
        assert lines == ours + [b"van.sum 100", b"van.sum2 100"], lines
        assert await client.read("van-00001.bts") == (0, content)
        assert await client.read("van-00001.bts", 29_000) == (0, content[29_000:])
        assert await client.read("van-00001.bts", 1000, 1500) == (0, content[1000:2500])
        for offset in (40_000, 0x7FFFFFFF, 0xFFFFFFFF):
            assert await client.read("van-00001.bts", offset) == (0, b"")
        assert await client.read("van-00002.raw") == (0, b"")
        status, crc = await client.ask(CHECK, struct.pack("<I", 777) + b"van-00001.bts")
        assert (status, crc) == (0, struct.pack("<I", crc32(content[:777])))
        status, _ = await client.ask(CHECK, struct.pack("<I", 30_001) + b"van-00001.bts")
        assert status == 2
        with open(_DATA + "/version", "w") as f:
            f.write("0.2.0 2\n")
        info = json.loads((await client.read("info"))[1])
        assert info["version"] == "0.2.0" and info["batteries"][0]["name"] == "van", info


async def test_nothing_else_can_be_named():
    async with Board(code="on") as board:
        code = board.sentences[0][-6:]
        log_file("van-00001.bts", 10)
        client = await connect(code=code)
        for name in (
            "phone phone.tries state ../conn.py /main.py . .. van-00001.bts/ ./van-00001.bts "
            "../data/van-00001.bts van-00001.BTS conn.py settings.json van-00001.py -00001.bts "
            "van-00009.bts van-00001.tmp list/.. van\\-00001.bts v/n-00001.bts van-0000x.bts INFO "
            ".sum ../data/van.sum "
            "version.py van-00001.bts\0 " + "x" * 40
        ).split(" ") + [""]:
            status, data = await client.read(name)
            assert status in (2, 6) and data is None, (name, status)
            status, body = await client.ask(CHECK, bytes(4) + name.encode())
            assert status in (2, 6) and body == b"", name
        assert (await client.ask(READ, bytes(9) + b"\xff\xfe"))[0] == 6


async def test_codes_proofs_and_the_door():
    async with Board() as board:
        client = await connect(code=None)
        _, hello = await client.ask(HELLO)
        assert hello[0] == 1 and hello[1:3] == b"\0\0" and len(hello) == 15
        proof = phoneask.prove(CODE, hello[3:])
        assert await client.ask(PROVE, proof[:15]) == (2, b"")
        assert await client.ask(PROVE, proof) == (0, b"")
        # the same once more: its nonce has been used
        assert await client.ask(PROVE, proof) == (2, b"")
        assert (await client.ask(PAUSE, b"\0\0"))[0] == 0  # that does not lock it out
        client.disconnect()
        await asyncio.sleep_ms(1000)
        # a recorded proof on a new connection, whoever makes it
        await client.reach()
        assert (await client.ask(PAUSE, b"\0\0"))[0] == 3
        await client.ask(HELLO)
        assert await client.ask(PROVE, proof) == (4, b"")
        for _ in range(3):
            assert await client.prove("000000") == 4
        assert await client.prove("000000") == 5
        assert await client.prove(CODE) == 5
        await board.restart()  # is no way around
        await client.reach()
        assert await client.prove(CODE) == 5
        await asyncio.sleep_ms(61_000)
        assert await client.prove("000000") == 4
        assert await client.prove(CODE) == 0
        with open(_DATA + "/phone.tries") as f:
            assert f.read() == "0\n"


async def test_a_code_is_made_once_and_shown_until_it_was_used():
    async with Board(code="on") as board:
        sentence = board.sentences.pop()
        code = sentence[-6:]
        assert len(code) == 6 and code.isdigit()
        await board.restart()
        assert board.sentences == [sentence]
        await asyncio.sleep_ms(601_000)
        assert board.sentences == []
        await board.restart()
        assert board.sentences == [sentence]
        await connect(code=code)
        await asyncio.sleep_ms(600)
        assert board.sentences == []
        await board.restart()
        assert board.sentences == []
        with open(_DATA + "/phone", "w") as f:
            f.write("12")  # a power cut
        await board.restart()
        assert board.sentences[0] != sentence


def test_the_proof_is_hmac_sha_256():
    # made with CPython's hmac
    assert phoneask.prove("271828", bytes(range(12))).hex() == "a6f2d1ba7b6384484e58e8c39c0c8c9e"


async def test_clock_pause_and_alarm():
    async with Board() as board:
        battery = board.batteries[0]
        client = await connect()
        assert (await client.ask(CLOCK, struct.pack("<IH", 1_767_247_200, 500)))[0] == 0
        assert abs(board.clock.unix_s() - 1_767_247_200) <= 1 and battery.store.ticks == 1
        for body in (bytes(6), struct.pack("<IH", 1_767_247_200, 1000), b"\0"):
            assert (await client.ask(CLOCK, body))[0] == 2
        assert (await client.ask(PAUSE, struct.pack("<H", 600)))[0] == 0
        assert battery.link.paused == 600
        assert (await client.ask(PAUSE, struct.pack("<H", 3601)))[0] == 2
        assert (await client.ask(ACKNOWLEDGE, b"\0"))[0] == 9
        assert (await client.ask(ACKNOWLEDGE, b"\1"))[0] == 2
        sink = board.sinks[0]
        battery.status.alarm = "cell 3 low"
        client.write(bytes((LIVE, 3)))
        await asyncio.sleep_ms(300)
        assert client.words == [b"!cell 3 low"]
        assert (await client.ask(ACKNOWLEDGE, b"\0"))[0] == 0
        status = battery.status
        assert status.alarm == status.seen == "cell 3 low"
        client.write(bytes((LIVE, 3)))
        await asyncio.sleep_ms(100)
        sink.sample(battery, 0, battery.sample)
        await asyncio.sleep_ms(100)
        assert client.words[-1] == b"cell 3 low"  # it is told without the mark
        status.alarm = "cell 2 low"
        client.write(bytes((LIVE, 3)))
        await asyncio.sleep_ms(100)
        sink.sample(battery, 0, battery.sample)
        await asyncio.sleep_ms(100)
        assert client.words[-1] == b"!cell 2 low"


async def test_two_phones_and_a_newcomer_while_a_dead_one_holds_the_place():
    async with Board():
        first = await connect(1)
        assert air.radio.advertising is None
        second = Client(2)
        assert not second.connect()
        # the advertisement may not have ended yet, so that one may come after all
        advertising.answer = b"\x03\xff\0\0"
        advertising.go()
        assert second.connect()
        await asyncio.sleep_ms(500)
        assert second.link is None and first.link
        assert (await first.read("list"))[0] == 0
        advertising.answer = b""
        advertising.go()
        first.vanish()
        start = time.ticks_ms()
        await second.reach()
        waited_ms = time.ticks_diff(time.ticks_ms(), start)
        assert waited_ms < first.supervision_ms + 1500, waited_ms
        assert (await second.ask(PAUSE, b"\0\0"))[0] == 3  # it has proven nothing
        assert await second.prove(CODE) == 0


async def test_a_phone_that_is_forgotten_is_hung_up_on():
    async with Board():
        client = await connect()
        await asyncio.sleep_ms(590_000)
        assert client.link
        client.write(bytes((LIVE, 1)))
        await asyncio.sleep_ms(590_000)
        assert client.link
        await asyncio.sleep_ms(20_000)
        assert client.link is None and air.radio.advertising


async def test_a_cycle_of_the_radio_brings_the_service_back():
    async with Board():
        client = await connect()
        aioble.stop()
        assert client.link is None
        bleradio.on()
        await client.reach()
        assert (await client.ask(PAUSE, b"\0\0"))[0] == 3
        assert await client.prove(CODE) == 0


async def test_services_on_a_busy_radio_come_later():
    async with Board() as board:
        air.radio.gap_scan(0, 30000, 30000)
        phone._phone.register()
        air.radio.gap_scan(None)
        aioble.stop()
        bleradio.on()
        await connect()
        assert board.task


async def test_a_transfer_is_stopped_and_another_request_answered_amid():
    async with Board():
        content = log_file("van-00001.bts", 60_000)
        client = await connect()
        task = asyncio.create_task(client.read("van-00001.bts"))
        await asyncio.sleep_ms(800)
        sent = len(client.data)
        assert 0 < sent < 60_000
        assert (await client.ask(PAUSE, b"\0\0"))[0] == 0
        assert (await client.ask(READ, bytes(9) + b"info"))[0] == 7
        assert (await client.ask(STOP))[0] == 0
        got = bytes(client.data)
        await asyncio.sleep_ms(1000)
        assert len(client.data) == len(got) < 60_000 and got == content[: len(got)]
        task.cancel()
        assert await client.read("van-00001.bts", len(got)) == (0, content[len(got) :])


async def test_a_phone_that_gives_no_credits_takes_no_more_than_a_window():
    async with Board():
        log_file("van-00001.bts", 60_000)
        client = await connect()
        client.write(bytes((READ,)) + struct.pack("<IIB", 0, 60_000, 255) + b"van-00001.bts")
        client.window = 1000  # it never grants
        await asyncio.sleep_ms(5000)
        assert len(client.data) == 6 * 243
        for _ in range(3):
            client.write(bytes((CREDITS, 255)))
        await asyncio.sleep_ms(1000)
        assert len(client.data) <= 3 * 6 * 243


async def test_vanishing_at_random_moments_and_going_on():
    async with Board():
        content = log_file("van-00001.bts", 200_000)
        client = await connect()
        got = b""
        for _ in range(12):
            task = asyncio.create_task(client.read("van-00001.bts", len(got)))
            await asyncio.sleep_ms(random.getrandbits(10))
            (client.vanish, client.disconnect)[random.getrandbits(1)]()
            try:
                await task
            except Gone:
                pass
            got += bytes(client.data)
            assert got == content[: len(got)]
            await client.reach()
            assert await client.prove(CODE) == 0
        status, rest = await client.read("van-00001.bts", len(got))
        assert status == 0 and got + rest == content


async def test_errors_that_only_nimble_knows_cost_a_read_not_the_service():
    # The port hands on what has no errno as a negative number: -18 is BLE_HS_EROLE.
    async with Board() as board:
        content = log_file("van-00001.bts", 40_000)
        client = await connect()
        radio = air.radio
        notify, advertise = radio.gatts_notify, radio.gap_advertise
        calls = 0

        def sometimes(*args):
            nonlocal calls
            calls += 1
            if calls % 60 == 0:
                raise OSError(-18)
            notify(*args)

        def never(*args, **kw):
            raise OSError(-18)

        radio.gatts_notify = sometimes
        got = b""
        broken = 0
        while len(got) < len(content):
            try:
                await client.read("van-00001.bts", len(got), timeout_ms=1000)
            except Gone:
                broken += 1
            got += bytes(client.data)
        assert got == content and broken == 2, broken
        radio.gatts_notify = notify
        client.vanish()
        radio.gap_advertise = never
        await asyncio.sleep_ms(30_000)
        assert air.radio.advertising is None and not board.task.done()
        radio.gap_advertise = advertise
        await client.reach(15_000)
        assert await client.prove(CODE) == 0


async def test_packets_that_come_late_are_no_loss():
    async with Board():
        content = log_file("van-00001.bts", 20_000)
        client = await connect()
        client.lost_percent = 70
        assert await client.read("van-00001.bts") == (0, content)
        task = asyncio.create_task(client.read("van-00001.bts"))
        await asyncio.sleep_ms(200)
        client.fade(client.supervision_ms - 500)
        await task
        assert client.data == content and client.losses == 0


async def test_a_link_that_is_silent_too_long_ends_for_both():
    async with Board():
        client = await connect()
        client.fade(client.supervision_ms + 1000)
        await asyncio.sleep_ms(client.supervision_ms - 200)
        assert client.link
        await asyncio.sleep_ms(1000)
        assert client.link is None and client.losses == 1
        await asyncio.sleep_ms(1000)
        assert air.radio.advertising
        await client.reach()


class _Others:
    """What other links have in the pool of buffers."""

    unsent = 0
    _procedures = ()

    def drop(self):
        pass


async def test_a_full_pool_of_buffers_makes_notifications_wait():
    async with Board():
        content = log_file("van-00001.bts", 20_000)
        client = await connect()
        client.interval_ms = 100
        notify = air.radio.gatts_notify
        refused = 0

        def counted(*args):
            nonlocal refused
            try:
                notify(*args)
            except OSError:
                refused += 1
                raise

        air.radio.gatts_notify = counted
        others = air.radio.links[3] = _Others()
        others.unsent = 10
        try:
            assert await client.read("van-00001.bts") == (0, content)
            others.unsent = 12
            task = asyncio.create_task(client.read("van-00001.bts"))
            await asyncio.sleep_ms(5000)
            assert not client.data
            others.unsent = 0
            await task
            assert client.data == content
        finally:
            air.radio.gatts_notify = notify
            del air.radio.links[3]
        assert refused > 100, refused


async def test_small_mtu_and_slow_links():
    async with Board():
        content = log_file("van-00001.bts", 3000)
        client = Client()
        client.mtu = 0
        client.packets = 1
        client.interval_ms = 100
        await client.reach()
        assert await client.prove(CODE) == 0
        assert await client.read("van-00001.bts") == (0, content)
        assert client.notifications > 3000 / 19


async def test_garbage_gets_nothing_out_of_a_board():
    async with Board() as board:
        log_file("van-00001.bts", 2000)
        before = sorted(os.listdir(_DATA))
        client = await connect(code=None)
        await _write_garbage(client, _GARBAGE)
        assert not client.data and client._end is None and not client.odd
        left = sorted(name for name in os.listdir(_DATA) if name != "phone.tries")
        assert left == before
        assert board.batteries[0].store.ticks == board.batteries[0].link.paused == 0
        await _still_serves(board, client)


async def test_garbage_breaks_nothing_for_one_who_knows_the_code():
    async with Board() as board:
        content = log_file("van-00001.bts", 2000)
        client = await connect()
        await _write_garbage(client, _GARBAGE)
        with open(_DATA + "/van-00001.bts", "rb") as f:
            assert f.read() == content
        await _still_serves(board, client)


async def _write_garbage(client, n):
    for i in range(n):
        data = bytearray(random.getrandbits(8) for _ in range(random.getrandbits(6)))
        if data and random.getrandbits(1):
            data[0] = random.getrandbits(4)  # a request that there is, more likely
        if len(data) > 12 and data[0] == READ and random.getrandbits(1):
            data[10:] = b"van-00001.bts"
        client.write(data)
        if i % 10 == 0:
            await asyncio.sleep_ms(50)
        if client.link is None:
            await client.reach()


async def _still_serves(board, client):
    await asyncio.sleep_ms(65_000)  # the door may be shut
    assert not board.task.done()
    if client.link is None:
        await client.reach()
    await client.ask(STOP)
    client.odd.clear()
    assert await client.prove(CODE) == 0
    with open(_DATA + "/van-00001.bts", "rb") as f:
        assert await client.read("van-00001.bts") == (0, f.read())
