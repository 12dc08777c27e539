# The scanner of the bleak shim: what it finds, how fast, and what it reads out of adverts
import asyncio
import gc
import time

import aioble
import air
import bleradio
import vclock
from bleak import BleakError, BleakScanner, radio
from bleak_peer import Peer, find, fresh, link_to, raises


def _ad(*fields):
    return b"".join(bytes((len(data) + 1, kind)) + data for kind, data in fields)


async def _collect(timeout=2.0):
    found = {}

    def look(device, adv):
        found[device.address] = (device, adv)
        return False

    assert await BleakScanner.find_device_by_filter(look, timeout) is None
    return found


async def test_finds_by_name_and_stops_at_once():
    fresh()
    air.add(Peer("other", 2))
    air.add(Peer("jk-pak01", 1))
    start_ms = vclock.now_ms()
    device = await find("jk-pak01", 10)
    assert device.address == "C8:47:80:00:00:01"
    assert vclock.now_ms() - start_ms < 1000


async def test_finds_a_name_that_is_only_in_the_scan_response():
    fresh()
    peer = Peer(adv=air.adv(services16=[0xFFE0]), scan_rsp=air.adv("jk-pak01", flags=False))
    air.add(peer)
    device = await find()
    assert device.name == "jk-pak01"
    seen = (await _collect())[device.address][1]
    assert seen.service_uuids == ["0000ffe0-0000-1000-8000-00805f9b34fb"]
    assert seen.local_name == "jk-pak01"


async def test_returns_none_in_time_when_nobody_fits():
    fresh()
    air.add(Peer("other"))
    start_ms = vclock.now_ms()
    assert await find("jk-pak01", 3) is None
    assert 3000 <= vclock.now_ms() - start_ms <= 4000
    fresh()
    assert await find("jk-pak01", 1) is None


async def test_finds_one_that_appears_during_the_scan():
    fresh()
    vclock.call_later(4000, air.add, Peer())
    assert await find(timeout=10)


async def test_a_slow_advertiser_is_seen_at_once():
    peer = fresh(Peer())
    peer.adv_interval_ms = 1000
    assert await find(timeout=3)


async def test_reads_all_fields_of_an_advertisement():
    fresh()
    payload = _ad(
        (0x01, b"\x06"),
        (0x03, b"\xe0\xff\x0a\x18"),
        (0xFF, b"\x65\x0bxy"),
        (0x16, b"\x0f\x18\x64"),
    )
    response = _ad((0x09, b"Tr\xc3\xa4ger"), (0x05, b"\x01\x02\x03\x04"))
    peer = air.add(Peer(adv=payload, scan_rsp=response, addr_type=1))
    peer.rssi = -91
    device, adv = (await _collect())["C8:47:80:00:00:01"]
    assert device.name == adv.local_name == "Träger"
    assert device.details == 1
    assert adv.rssi == -91
    assert adv.manufacturer_data == {0x0B65: b"xy"}
    assert adv.service_data == {"0000180f-0000-1000-8000-00805f9b34fb": b"\x64"}
    assert adv.service_uuids == [
        "0000ffe0-0000-1000-8000-00805f9b34fb",
        "0000180a-0000-1000-8000-00805f9b34fb",
        "04030201-0000-1000-8000-00805f9b34fb",
    ]
    for adv, rsp, name in (
        ((0x08, b"Tr"), (0x09, b"Trunk"), "Trunk"),
        ((0x09, b"Trunk"), (0x08, b"Tr"), "Trunk"),
        ((0x08, b"Tr"), (0x01, b"\x06"), "Tr"),
    ):
        peer.adv, peer.scan_rsp, peer.rssi = _ad(adv), _ad(rsp), 4
        adv = (await _collect())["C8:47:80:00:00:01"][1]
        assert adv.local_name == name and adv.rssi == 4
    long = bytes(range(16))
    peer.adv = _ad((0x07, long))
    peer.scan_rsp = _ad((0x21, long + b"z"))
    adv = (await _collect())["C8:47:80:00:00:01"][1]
    uuid = "0f0e0d0c-0b0a-0908-0706-050403020100"
    assert adv.service_uuids == [uuid] and adv.service_data == {uuid: b"z"}


async def test_broken_adverts_of_neighbours_do_no_harm():
    fresh()
    for i, payload in enumerate(
        (b"", b"\x00", b"\x00\x00\x00", b"\x05\x09ab", b"\x03\x09\xff\xfe", b"\x02\xff\x01",
         b"\x1e" * 31, b"\xff" * 31, b"\x02\x16\x01", b"\x01\x09", b"\x04\x03\x01\x02\x03")
    ):  # fmt: skip
        air.add(Peer("n", 100 + i, adv=payload, scan_rsp=payload[1:]))
    air.add(Peer())
    assert await find()
    assert len(await _collect()) == 12


async def test_more_neighbours_than_are_remembered():
    fresh()
    for i in range(60):
        air.add(Peer("n%d" % i, 100 + i))
    rsp = air.adv("jk-pak01", flags=False)
    air.add(Peer(adv=air.adv(services16=[0xFFE0]), scan_rsp=rsp))
    assert await find()
    assert len(await _collect(3.0)) == 61
    fresh()


async def test_memory_does_not_grow_with_the_neighbourhood():
    fresh()
    for i in range(250):
        peer = Peer("n%d" % i)
        peer.addr = bytes((i, 2, 3, 4, 5, 6))
        air.add(peer)
    size = {}

    def look(device, adv):
        size.setdefault("n", 0)
        size["n"] += 1
        if size["n"] in (40, 250):
            gc.collect()
            size[size["n"]] = gc.mem_alloc()
        return False

    await BleakScanner.find_device_by_filter(look, 2)
    assert size[250] - size[40] < 10000, size
    fresh()


async def test_adverts_that_come_while_nobody_looks_take_no_memory_without_end():
    fresh()
    for i in range(250):
        peer = Peer("n%d" % i)
        peer.addr = bytes((i, 2, 3, 4, 5, 6))
        air.add(peer)
    grown = []

    def look(device, adv):
        if not grown:
            gc.collect()
            before = gc.mem_alloc()
            time.sleep_ms(2000)
            gc.collect()
            grown.append(gc.mem_alloc() - before)
        return False

    await BleakScanner.find_device_by_filter(look, 3)
    assert grown[0] < 5000, grown
    fresh()


async def test_an_event_that_nobody_can_digest_does_not_end_all_events():
    fresh(Peer())
    search = asyncio.create_task(find())
    await asyncio.sleep_ms(0)
    air.radio.emit(5, ())
    assert await search
    fresh()


async def test_an_advert_for_which_there_is_no_memory_costs_no_other_link_an_answer():
    client = await link_to(fresh(Peer()))
    search = asyncio.create_task(find("nobody", 3))
    await asyncio.sleep(1)
    vclock.call_later(20, air.radio.emit, 5, ())
    assert await client.read_gatt_char("2a29")
    assert await search is None
    await client.disconnect()


async def test_the_filter_is_asked_once_about_the_same_words():
    peer = fresh(Peer(scan_rsp=air.adv(services16=[0xFFE0], flags=False)))
    asked = []

    def look(device, adv):
        asked.append(len(adv.service_uuids))
        return False

    vclock.call_later(5000, setattr, peer, "adv", air.adv("new"))
    await BleakScanner.find_device_by_filter(look, 10)
    assert asked == [0, 1, 1]


async def test_who_answers_with_nothing_has_said_nothing_new():
    named = Peer("a", 1, adv=air.adv(services16=[0xFFE0]), scan_rsp=air.adv("a", flags=False))
    fresh(named, Peer("b", 2))
    asked = []

    def look(device, adv):
        asked.append((device.address[-1], device.name))
        return False

    for t_ms in range(3000, 9000, 2000):
        vclock.call_later(t_ms, setattr, named, "scan_rsp", b"")
        vclock.call_later(t_ms + 1000, setattr, named, "scan_rsp", named.scan_rsp)
    await BleakScanner.find_device_by_filter(look, 10)
    assert sorted(asked, key=str) == [("1", "a"), ("1", None), ("2", "b")], asked


async def test_an_error_in_the_filter_reaches_the_caller_and_the_scan_ends():
    fresh()
    air.add(Peer())

    def bad(device, adv):
        raise KeyError("x")

    for _ in range(3):
        try:
            await BleakScanner.find_device_by_filter(bad, 5)
            raise AssertionError("no error")
        except KeyError:
            pass
    assert await find()


async def test_a_stack_that_does_not_end_a_scan_is_told_to():
    fresh()
    for i in range(60):
        air.add(Peer("n%d" % i, 100 + i))
    whole = air.radio.gap_scan
    air.radio.gap_scan = lambda ms, *args: whole(None if ms is None else 0, *args)
    try:
        start_ms = vclock.now_ms()
        assert await find("nobody", 2) is None
        assert vclock.now_ms() - start_ms <= 3000
    finally:
        air.radio.gap_scan = whole
    fresh()


async def test_a_radio_that_refuses_is_an_error():
    peer = fresh(Peer())
    whole = air.radio.gap_scan

    def refuses(*args):
        raise OSError(5)

    air.radio.gap_scan = refuses
    try:
        await raises(BleakError, find(), 100)
    finally:
        air.radio.gap_scan = whole
    assert (await find()).name == peer.name


async def test_a_radio_that_cannot_be_switched_on_is_an_error():
    peer = fresh(Peer())
    air.radio.stuck = 1
    await raises(BleakError, find(), 100)
    assert (await find()).name == peer.name


async def test_what_an_earlier_search_did_not_look_at_is_not_found_by_the_next():
    fresh()
    peers = [air.add(Peer("n%d" % i, i)) for i in range(9)]
    search = asyncio.create_task(find("n0"))
    await asyncio.sleep_ms(0)
    time.sleep_ms(1000)  # meanwhile all are heard
    assert await search
    for peer in peers:
        air.remove(peer)
    for peer in peers:
        assert await find(peer.name, 1) is None


async def test_buffers_are_used_again():
    # after a year of reconnecting the heap may have no hole for a new one
    peer = fresh(Peer())
    made = []
    whole = radio.Ring
    radio.Ring = lambda size: made.append(size) or whole(size)
    try:
        for n in range(20):
            peer.refuse = n % 3 == 0
            try:
                client = await link_to(peer)
                await client.start_notify("ffe1", print)
                if n % 3 == 1:
                    aioble.stop()
                await client.disconnect()
                await asyncio.wait_for(find("nobody"), 1)
            except (BleakError, asyncio.TimeoutError):
                pass
    finally:
        radio.Ring = whole
    assert len(made) <= 2, made


async def test_two_searches_at_once_both_succeed():
    fresh()
    air.add(Peer("a", 1))
    air.add(Peer("b", 2))
    a, b = await asyncio.gather(find("a"), find("b"))
    assert (a.name, b.name) == ("a", "b")


async def test_a_cancelled_search_leaves_the_radio_free():
    fresh()
    for t_ms in range(0, 120, 7):
        try:
            await asyncio.wait_for_ms(find("nobody"), t_ms)
            raise AssertionError("found nobody")
        except asyncio.TimeoutError:
            pass
        assert radio.listener is None  # a late event would write into a buffer that others have now
    air.add(Peer())
    assert await find()
    fresh()


async def test_one_function_switches_the_radio_on_whoever_needs_it():
    peer = fresh(Peer())
    asked = []
    whole = bleradio.ble

    class Watched:
        def active(self, *args):
            asked.append(args)
            return whole.active(*args)

    bleradio.ble = Watched()
    try:
        await find()
        assert (True,) in asked  # for scanning
        fresh(peer)
        asked.clear()
        await (await link_to(peer)).disconnect()
        assert (True,) in asked  # for connecting
    finally:
        bleradio.ble = whole
    fresh()
