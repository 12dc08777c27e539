# Every recorded make over the air, in whole frames and in pieces of 20 bytes: the same sample
# So does one from which pieces are lost; what needs a large MTU is told.
import asyncio
import json
import os

import replay
from aiobmsble import BMSConfig
from aiobmsble.pieces import assembled
from bleak import BleakError, radio
from bleak_peer import find, fresh, until
from conversation import differences, plain
from link import BmsLink

_VECTORS = __file__.rsplit("/", 1)[0] + "/../data/vectors/"
_ERRORS = (asyncio.TimeoutError, BleakError, ValueError, LookupError, OSError, AssertionError)
_NEEDS_MTU = ["ecoworthy_bms"]


def _recorded():
    """Yield (module, its first case with a sample that was asked for without calculations)."""
    for name in sorted(os.listdir(_VECTORS)):
        if name.endswith(".json"):
            with open(_VECTORS + name) as file:
                recorded = json.load(file)
            for case in recorded["cases"]:
                if {"sample", "notify"} <= {e[0] for e in case["events"]}:
                    yield recorded["module"], case
                    break


async def _sample(module, case, chunk):
    """The sample of one poll over the air, or the error's name."""
    driver = __import__("aiobmsble.bms." + module, None, None, ("BMS",)).BMS
    peer = fresh(replay.make(case, chunk, None, driver.uuid_services()[0]))
    peer.mtu = chunk + 3
    secret = case["config"]["secret"]
    bms = driver(await find(peer.name), BMSConfig(True, secret))
    try:
        return plain(await bms.async_update())
    except _ERRORS as error:
        return repr(error)
    finally:
        await bms.disconnect()


async def test_each_make_gives_the_same_in_pieces_of_20_bytes():
    good, bad, neither = [], [], []
    for module, case in _recorded():
        whole = await _sample(module, case, 244)
        pieces = await _sample(module, case, 20)
        if not isinstance(whole, dict):
            neither.append((module, whole, pieces))
        elif isinstance(pieces, dict) and not differences(whole, pieces):
            good.append(module)
        else:
            bad.append((module, whole, pieces))
    assert not neither, neither
    assert [one[0] for one in bad] == _NEEDS_MTU, bad
    assert len(good) == 25, good


def _case(module):
    return next(case for name, case in _recorded() if name == module)


async def test_a_make_that_needs_a_large_mtu_says_so():
    case = _case("ecoworthy_bms")
    peer = fresh(replay.make(case, 20))
    peer.mtu = 0
    from aiobmsble.bms import ecoworthy_bms

    said = []

    def changed(link):
        said.append(link.text)

    link = BmsLink(ecoworthy_bms.BMS, peer.name, 2000, on_change=changed)

    async def poll():
        async for _ in link:
            raise AssertionError("a sample of pieces")

    task = asyncio.create_task(poll())
    words = "no answer; this make needs an MTU of 105, the link has 23"
    assert await until(lambda: any([words in text for text in said]), 120_000), said
    task.cancel()
    if link._bms:
        await link._bms.disconnect()
    radio.plain.clear()
    fresh()


class _Driver:
    def __init__(self):
        self.got = []

    def take(self, sender, data):
        self.got.append(bytes(data))


_Driver.notified = assembled(_Driver.take, (b"\x30\x03", b"\xff\x03"), 2, 5)


def _frame(n, head=b"\x30\x03"):
    return head + bytes((n - 5,)) + bytes([(i * 7 + n) & 0x7F for i in range(n - 3)])


async def test_frames_of_any_size_come_whole_out_of_pieces_of_any_size():
    for size in (5, 6, 19, 20, 21, 40, 41, 73, 255, 260):
        for chunk in (1, 2, 3, 7, 20, 61, 244):
            driver = _Driver()
            frames = [_frame(size), _frame(size, b"\xff\x03"), _frame(size)]
            for frame in frames:
                for i in range(0, size, chunk):
                    driver.notified(None, frame[i : i + chunk])
            if chunk > 1:  # a head is two bytes
                assert driver.got == frames, (size, chunk)


async def test_whatever_is_lost_only_whole_frames_come_out_soon_again():
    frame = _frame(73)
    pieces = [frame[i : i + 20] for i in range(0, 73, 20)]
    for lost in range(1, 1 << 4):
        driver = _Driver()
        for i, piece in enumerate(pieces):
            if not lost & 1 << i:
                driver.notified(None, piece)
        await asyncio.sleep_ms(600)  # the request is repeated
        for piece in pieces:
            driver.notified(None, piece)
        assert driver.got[-1] == frame, lost
        # what is no frame reaches the driver as it came, which drops it
        assert all([part == frame or part in pieces for part in driver.got]), lost


async def test_what_is_no_frame_is_the_drivers_business():
    driver = _Driver()
    for data in (b"", b"\x30", b"OK", b"\x00" * 244):
        driver.notified(None, data)
    assert driver.got == [b"", b"\x30", b"OK", b"\x00" * 244]
    driver.notified(None, _frame(73)[:20])
    driver.notified(None, _frame(73))  # nobody knows where the first one ended
    assert driver.got[-1] == _frame(73)
