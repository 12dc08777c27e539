# A link that is not alone: beside one of another battery, and one that others use between its polls
import asyncio
import sys

import air
import battery
import bleradio
import jbd
import jikong
import vclock
from aiobmsble.bms import jbd_bms, jikong_bms
from bleak_peer import fresh
from link import BmsLink
from link.peers import Peer
from link.places import Places
from link.shared import Shared


async def test_two_links_at_once_each_heal_alone():
    fresh()
    a = air.add(jikong.make(battery.make("van", 1)))
    b = air.add(jbd.make(battery.make("ebike", 2)))
    links = [
        Peer(jikong_bms.BMS, "jk-pak01", 2000),
        Peer(jbd_bms.BMS, "JBD-SP25S020", 3000),
    ]
    for link in links:
        link.peers = links
    given = [[], []]

    async def run(i):
        async for sample in links[i]:
            given[i].append(sample)

    running = [asyncio.create_task(run(i)) for i in range(2)]
    for peer, victim in ((a, 0), (b, 1), (a, 0)):
        await asyncio.sleep(100)
        counts = [len(g) for g in given]
        air.remove(peer)
        await asyncio.sleep(100)
        other = 1 - victim
        # the radio is scanned by one in turn with the other's polls
        assert len(given[other]) - counts[other] >= 100 / (2, 3)[other] - 2
        assert len(given[victim]) - counts[victim] <= 2
        air.add(peer)
    await asyncio.sleep(30)
    for task in running:
        task.cancel()
    # that the radio is switched off and on for one that is away is no news of the other
    assert links[0].connects == 3 and links[1].connects == 2
    assert all([12 < s["voltage"] < 15 for s in given[0]])
    assert all([30 < s["voltage"] < 60 for s in given[1]])
    shared = sys.modules["link"].__dict__
    assert shared and not [k for k in shared if isinstance(shared[k], list)]


async def test_one_that_is_away_for_a_night_costs_the_other_hardly_a_poll():
    fresh()
    air.add(jikong.make(battery.make("van", 1)))
    links = [Peer(jikong_bms.BMS, name, 30_000) for name in ("jk-pak01", "nobody")]
    on_ms = []
    bleradio.setup.append(lambda: on_ms.append(vclock.now_ms()))

    async def run(link):
        async for _ in link:
            pass

    for link in links:
        link.peers = links
    running = [asyncio.create_task(run(link)) for link in links]
    await asyncio.sleep(3 * 3600)
    # nobody at all is heard, which may be the radio's fault: once it is switched off and on
    assert links[1].failures["not found"] > 400
    assert len(on_ms) - 1 == 1, on_ms  # and on at the start
    assert links[0].samples >= 3 * 3600 // 30 - 3, links[0].samples
    # its log is as if it were alone: a link that is lost and found costs frames
    assert links[0].connects == 1 and not links[0].failures, links[0].failures
    air.radio.deaf = 1  # what it believes now, until it looks again after hours
    peer = jikong.make(battery.make("house", 2), "nobody")
    peer.addr = peer.addr[:-1] + b"\0"
    air.add(peer)
    await asyncio.sleep(3 * 3600)
    assert links[1].connected and links[0].connected and links[0].connects == 1
    assert len(on_ms) - 1 == 2, on_ms
    bleradio.setup.pop()
    for task in running:
        task.cancel()


async def test_two_links_survive_that_one_of_them_cycles_the_radio():
    fresh()
    air.add(jikong.make(battery.make("van", 1)))
    links = [BmsLink(jikong_bms.BMS, name, 2000) for name in ("jk-pak01", "nobody")]

    async def run(link):
        async for _ in link:
            pass

    running = [asyncio.create_task(run(link)) for link in links]
    await asyncio.sleep(3600)
    for task in running:
        task.cancel()
    assert links[1].failures["not found"] > 100
    assert links[0].samples > 1700, links[0].samples
    assert links[0].longest_gap_s < 30


async def test_a_shared_link_leaves_the_bms_to_others_between_polls():
    peer = fresh(jikong.make(battery.make("van", 1)))
    said = []
    samples = []
    link = Shared(jikong_bms.BMS, "jk-pak01", 400_000)
    link._on_change = lambda link: said.append(link.text)

    async def poll():
        async for sample in link:
            samples.append(vclock.now_ms())
            assert sample["voltage"] > 10

    task = asyncio.create_task(poll())
    free = turns = 0
    for _ in range(2000):
        await asyncio.sleep(1)
        free += not peer.connected
        if _ % 100 == 99:
            assert link.turns > turns or link.samples == 0  # the watchdog is not to bite
            turns = link.turns
    task.cancel()
    steps = [b - a for a, b in zip(samples, samples[1:])]
    assert 5 <= len(samples) <= 6 and all(395_000 < step < 415_000 for step in steps), steps
    assert free > 1900 and link.connects == 1 and link.connected
    assert said == ["looking for jk-pak01", "connecting to jk-pak01", "connected"]
    assert not link.failures


async def test_a_shared_link_comes_back_when_others_had_the_bms():
    peer = fresh(jikong.make(battery.make("van", 1)))
    link = Shared(jikong_bms.BMS, "jk-pak01", 60_000)
    samples = []

    async def poll():
        async for _ in link:
            samples.append(vclock.now_ms())

    task = asyncio.create_task(poll())
    await asyncio.sleep(200)
    n = len(samples)
    assert n >= 3
    air.remove(peer)  # connected to somebody else: it advertises no longer
    await asyncio.sleep(300)
    assert len(samples) <= n + 1 and not link.connected
    air.add(peer)
    await asyncio.sleep(200)
    assert len(samples) >= n + 3 and link.connected
    task.cancel()


async def _found_by(links, seconds=40):
    """Let the links run for a while; return where each has found its battery."""
    for link in links:
        link.peers = links

    async def run(link):
        async for _ in link:
            pass

    running = [asyncio.create_task(run(link)) for link in links]
    await asyncio.sleep(seconds)
    for task in running:
        task.cancel()
    return [link.address for link in links]


def _twins():
    """Return two BMSs of one name."""
    first = jikong.make(battery.make("van", 1))
    second = jikong.make(battery.make("house", 2))
    second.addr = second.addr[:-1] + b"\x01"
    return first, second


async def test_two_of_one_name_never_try_the_same_battery():
    for _ in range(10):
        fresh(*_twins())
        links = [Peer(jikong_bms.BMS, "jk-pak01", 2000) for _ in range(2)]
        addresses = await _found_by(links)
        assert None not in addresses and len(set(addresses)) == 2, addresses
        assert not links[0].failures and not links[1].failures, links[1].failures


async def test_who_takes_any_battery_leaves_those_that_others_look_for():
    nearest = jikong.make(battery.make("van", 1))
    other = jbd.make(battery.make("ebike", 2))
    nearest.rssi, other.rssi = -40, -80
    for name in ("jk-pak01", "C8:47:80:12:34:56".lower()):
        for order in (1, -1):
            fresh(nearest, other)
            links = [Peer(None, "", 2000), Peer(jikong_bms.BMS, name, 2000)][::order]
            addresses = (await _found_by(links))[::order]
            assert addresses == ["A4:C1:37:12:34:56", "C8:47:80:12:34:56"], addresses


async def test_who_is_called_by_a_name_leaves_the_one_that_another_knows_by_its_address():
    for _ in range(5):
        fresh(*_twins())
        links = [Peer(jikong_bms.BMS, name, 2000) for name in ("jk-pak01", "c8:47:80:12:34:56")]
        addresses = await _found_by(links)
        assert addresses == ["C8:47:80:12:34:01", "C8:47:80:12:34:56"], addresses


async def test_six_of_any_make_take_turns_on_four_places_and_none_starves():
    """Each is polled at least once in two minutes, however long its make takes to be back."""
    for back_s in ((2, 2, 2, 2, 2, 2), (20, 20, 20, 20, 20, 20), (1, 2, 4, 8, 15, 20)):
        places = Places(4)
        polled_ms = [[] for _ in back_s]

        async def turns(link):
            while True:
                await places.take(link)
                await asyncio.sleep(back_s[link])
                polled_ms[link].append(vclock.now_ms())
                places.came(link)
                while not places.over(link):
                    await asyncio.sleep(2)
                    polled_ms[link].append(vclock.now_ms())
                places.give_back(link)

        start_ms = vclock.now_ms()
        running = [asyncio.create_task(turns(link)) for link in range(6)]
        await asyncio.sleep(1800)
        for task in running:
            task.cancel()
        for times in polled_ms:
            times = [start_ms] + times + [vclock.now_ms()]
            gaps = [times[i + 1] - times[i] for i in range(len(times) - 1)]
            assert max(gaps) <= 120_000, (back_s, max(gaps))
        # as long as it takes to be back, each is polled: its place is not all spent on the way
        for link in range(6):
            assert len(polled_ms[link]) * 2 >= 1800 / 6, (back_s, len(polled_ms[link]))
        await asyncio.sleep_ms(0)
