# Peers that are odd about the MTU, or about which characteristic answers: connected within 15 s
import asyncio

import battery
import jbd
import vclock
from aiobmsble.bms import jbd_bms
from bleak import BleakClient, radio
from bleak_peer import NOTIFY, NOTIFY_2, Peer, find, fresh, link_to, pattern, until
from link import BmsLink


async def _polls(peer, s):
    """Poll for so long; return (ms to the first sample, longest time without one, the link)."""
    link = BmsLink(jbd_bms.BMS, peer.name, 1000)
    times = [vclock.now_ms()]

    async def poll():
        async for _ in link:
            times.append(vclock.now_ms())

    task = asyncio.create_task(poll())
    await asyncio.sleep(s)
    task.cancel()
    await asyncio.sleep_ms(0)
    if link._bms:
        await link._bms.disconnect()
    times.append(vclock.now_ms())
    gaps = [b - a for a, b in zip(times, times[1:])]
    return gaps[0], max(gaps), link


def _jbd():
    radio.plain.clear()
    return fresh(jbd.make(battery.make("van", 1)))


async def test_one_that_ignores_the_question_is_lost_once_and_then_kept():
    peer = _jbd()
    peer.mtu = 0  # the stack hangs up after 30 s
    phases = []
    peer.reached = phases.append
    first_ms, gap_ms, link = await _polls(peer, 600)
    assert first_ms < 15_000 and gap_ms < 15_000, (first_ms, gap_ms)
    assert phases.count("connect") == 2


async def test_one_that_is_deaf_after_the_question_is_connected():
    peer = _jbd()
    peer.mtu, peer.sticks = 0, True
    first_ms, gap_ms, link = await _polls(peer, 120)
    assert first_ms < 15_000 and gap_ms < 15_000, (first_ms, gap_ms)
    assert link.connects == 1


async def test_one_that_vanishes_at_the_question_is_connected():
    peer = _jbd()

    def vanishes(phase):
        if phase == "mtu":
            peer.drop()

    peer.reached = vanishes
    first_ms, gap_ms, link = await _polls(peer, 120)
    assert first_ms < 15_000 and gap_ms < 15_000, (first_ms, gap_ms)
    assert link.connects == 1


async def test_what_could_not_be_asked_once_is_asked_again():
    radio.plain.clear()
    peer = fresh(Peer())
    device = await find()
    peer.mtu = 0
    for mtu, expected in ((0, 23), (247, 23), (247, 247), (247, 247)):
        peer.mtu = mtu
        client = BleakClient(device)
        await client.connect()
        assert client.mtu_size == expected
        await client.disconnect()
    assert not radio.plain


async def test_the_list_of_those_that_are_not_asked_is_short():
    for n in range(10):
        peer = fresh(Peer(last=n))
        peer.mtu = 0
        await (await link_to(peer)).disconnect()
        assert len(radio.plain) == min(n + 1, 4)
    radio.plain.clear()


async def test_an_answer_on_two_characteristics_is_taken_from_the_one_that_was_asked_for():
    peer = fresh(Peer())
    peer.pushes = True
    client = await link_to(peer)
    got = []
    await client.start_notify("ffe1", lambda char, data: got.append(bytes(data)))
    peer.chunk = 20
    for n in range(20):
        peer.notify(NOTIFY_2, pattern(3, 20))
        peer.notify(NOTIFY, bytes((n,)) * 20)
    assert await until(lambda: len(got) == 20)
    assert got == [bytes((n,)) * 20 for n in range(20)]
    await client.disconnect()
    fresh()


