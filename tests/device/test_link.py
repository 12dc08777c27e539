# BmsLink: what it says, how it comes back, what it counts
import asyncio

import air
import battery
import jbd
import jikong
import tasks
import vclock
from aiobmsble.bms import jbd_bms, jikong_bms
from bleak import BleakError, client, gatt, radio
from bleak_peer import Peer, fresh, until
from link import BmsLink


class Driver:
    """A driver whose polls end as `script` says: a dict is a sample, else it is raised; None
    hangs. `goodbye` is None for a disconnect() that hangs, else called."""

    script = []
    made = 0
    ended = 0
    secrets = []
    name = ""
    goodbye = int  # does nothing
    CELLS = 1  # they are one string in series

    def __init__(self, device, config):
        Driver.made += 1
        Driver.secrets.append(config.secret)
        Driver.name = device.name

    async def async_update(self):
        await asyncio.sleep_ms(50)
        step = Driver.script.pop(0) if Driver.script else _sample(vclock.now_ms() % 9973 + 1)
        if isinstance(step, dict):
            return step
        if step is None:
            await asyncio.Event().wait()
        raise step

    async def disconnect(self, reset=False):
        Driver.ended += 1
        if Driver.goodbye is None:
            await asyncio.Event().wait()
        Driver.goodbye()


def _sample(ma, **changes):
    sample = {"voltage": 13.2, "current": ma / 1000, "battery_level": 50}
    sample["cell_voltages"] = [3.3, 3.3, 3.3, 3.3]
    sample.update(changes)
    return sample


def _peer():
    return fresh(jikong.make(battery.make("van", 1)))


def _link(script=(), driver=Driver, name="jk-pak01", **more):
    """A link to the peer in the air, and the list of all it says."""
    Driver.script = list(script)
    Driver.made = Driver.ended = 0
    Driver.goodbye = int
    said = []
    link = BmsLink(driver, name, 2000, on_change=lambda link: said.append(link.text), **more)
    return link, said


async def _samples(link, n, timeout_s=7200):
    out = []

    async def take():
        async for sample in link:
            out.append(sample)
            if len(out) == n:
                return

    await asyncio.wait_for(take(), timeout_s)
    return out


async def test_the_way_to_the_first_sample_in_words():
    _peer()
    link, said = _link()
    await _samples(link, 3)
    assert said == ["looking for jk-pak01", "connecting to jk-pak01", "connected"], said
    assert link.connected and link.connects == 1 and link.samples == 3
    assert link.rssi == -60 and not link.failures


async def test_every_kind_of_error_is_said_counted_and_healed():
    for error, kind, words in (
        (BleakError("link lost"), "link lost", "link lost, retry 1 in 1 s"),
        (OSError(107), "link lost", "link lost (radio error 107), retry 1 in 1 s"),
        (BleakError("OSError(12,)"), "link lost", "link lost, retry 1 in 1 s"),
        (EOFError(), "link lost", "link lost, retry 1 in 1 s"),
        (ValueError("short"), "unexpected answer", "unexpected answer, retry 1 in 1 s"),
        (AssertionError(), "unexpected answer", "unexpected answer, retry 1 in 1 s"),
        (MemoryError(), "unexpected answer", "unexpected answer, retry 1 in 1 s"),
        (RuntimeError("x"), "unexpected answer", "unexpected answer, retry 1 in 1 s"),
    ):
        _peer()
        tripped = []
        link, said = _link([_sample(1), error], on_error=tripped.append)
        await _samples(link, 3)
        assert link.failures == {kind: 1}, (error, link.failures)
        assert words in said, said
        assert said[-1] == "connected" and link.connected and link.connects == 2
        assert (Driver.made, Driver.ended) == (2, 1)
        assert tripped == ([error] if kind == "unexpected answer" else [])
    link, _ = _link([BleakError("busy"), asyncio.TimeoutError(), OSError(5)])
    await _samples(link, 1)
    assert link.failures == {"connection failed": 2, "no answer": 1}


async def test_a_radio_that_cannot_be_switched_on_is_tried_again():
    for stuck in range(1, 9):
        _peer()
        air.radio.stuck = stuck
        link, said = _link()
        await _samples(link, 1)
        assert not air.radio.stuck
        assert sum(link.failures.values()) <= stuck, link.failures


async def test_two_polls_without_an_answer_are_forgiven_the_third_is_not():
    _peer()
    for silence in (asyncio.TimeoutError(), None):
        link, said = _link([_sample(1)])
        for n in range(3):
            Driver.script += [silence, silence, _sample(n)]
        await _samples(link, 4)
        assert not link.failures and link.connected and len(said) == 3
        link, said = _link([_sample(1)] + 3 * [silence])
        await _samples(link, 2, 200)
        assert link.failures == {"no answer": 1} and "no answer, retry 1 in 1 s" in said


async def test_a_sample_of_which_nothing_is_left_is_not_given_and_the_link_kept():
    nan = float("nan")
    asleep = {"voltage": 0.1, "current": -3000.0, "battery_level": 0, "cell_count": 4}
    asleep["cell_voltages"] = [0.0, 0.0, 0.0, 0.0]
    bad = [
        asleep,
        {"voltage": 0, "current": 0, "battery_level": 0, "temperature": 21},
        {"voltage": nan, "current": nan},
        {"current": 1e30},
        {},
    ]
    for one in bad:
        _peer()
        link, said = _link([_sample(1)] + [dict(one) for _ in range(5000)] + [_sample(3)])
        given = await _samples(link, 2, 20000)
        assert [s["current"] for s in given] == [0.001, 0.003], one
        assert link.implausible == 5000 and link.connects == 1 and not link.failures
        assert len(said) <= 4, said
        assert link.silent_s == 0
    _peer()
    link, said = _link([dict(asleep) for _ in range(100)])
    assert len(await _samples(link, 1)) == 1
    assert said[2] == "voltage 0.10 V cannot be" and said[3] == "connected" and len(said) == 4


async def test_what_cannot_be_true_is_named_once_and_the_rest_given():
    _peer()
    link, said = _link([_sample(n, battery_level=228 + n) for n in range(40)])
    given = await _samples(link, 40)
    assert all(s["battery_level"] is None and s["voltage"] == 13.2 for s in given)
    assert said[2:] == ["SoC 228 % cannot be", "connected"], said
    assert link.refused == {"SoC": 40} and not link.implausible and not link.failures


async def test_what_can_be_true_is_given():
    for one in (
        _sample(1, battery_level=0),
        _sample(1, battery_level=100, voltage=14.4, cell_voltages=[3.6, 3.6, 3.5, 3.55]),
        _sample(-500_000),
        {"voltage": 51.2},
        {"battery_level": 0},
        {"voltage": 400.0, "current": None, "battery_level": None, "cell_voltages": []},
    ):
        _peer()
        link, _ = _link([dict(one)])
        (given,) = await _samples(link, 1)
        assert not link.implausible and not link.refused
        for key in ("voltage", "current", "battery_level", "cell_voltages"):
            assert (given.get(key) or 0) == (one.get(key) or 0), key


def _frozen(n=1000, **changes):
    return [_sample(5000, cycle_charge=100.123, **changes) for _ in range(n)]


async def test_values_that_stand_still_although_charge_moves_are_believed_after_one_reconnection():
    _peer()
    link, said = _link(_frozen())
    given = await _samples(link, 900)
    assert len([s for s in given if s["current"] == 5]) == 900
    assert link.failures == {"values are frozen": 1} and link.connects == 2
    assert "values are frozen, retry 1 in 1 s" in said and said.count("connected") == 2
    # one that was only steady is not asked again as soon; one that did hang is
    Driver.script = [_sample(1)] + _frozen(50, battery_level=51) + [_sample(2)]
    await _samples(link, 50)
    assert link.failures == {"values are frozen": 1}
    _peer()
    link, said = _link([])
    for _ in range(5):
        Driver.script += _frozen(32) + [_sample(7)]
    await _samples(link, 160)
    assert link.failures == {"values are frozen": 5}, link.failures


async def test_nothing_is_frozen_that_need_not_move_yet():
    for change, ma in (
        (lambda n: {"voltage": 13.2 + n / 1000}, 5000),
        (lambda n: {"cycle_charge": 100 - n / 1000}, 5000),
        (lambda n: {"temperature": 20 + n}, 5000),
        (lambda n: {"battery_level": 50 + n / 10}, 5000),
        (lambda n: {"cell_voltages": [3.3, 3.3, 3.3, 3.3 + n / 1000]}, 5000),
        (lambda n: {"cycle_charge": 97.0, "battery_level": 97}, -90),  # steps of 1 Ah: 11 h
        (lambda n: {"cycle_charge": 28.07 - n // 51 / 100}, -350),  # 10 mAh take 103 s
        (lambda n: {"battery_level": 97}, -900),  # 1 % of 280 Ah takes 3 h
        (lambda n: {}, 0),
    ):
        _peer()
        link, said = _link([_sample(ma, **change(n)) for n in range(400)])
        link.capacity_ah = 280
        await _samples(link, 400)
        assert not link.failures, (change(0), link.failures)
    # nor is one that says the same after an hour out of reach
    _peer()
    link, said = _link([_sample(5)] + [BleakError("no") for _ in range(60)] + [_sample(5)])
    assert [s["current"] for s in await _samples(link, 2)] == [0.005, 0.005]
    assert sum(link.failures.values()) == 60 and "values are frozen" not in link.failures


async def test_waits_grow_up_to_a_minute_and_a_bit_and_start_over():
    _peer()
    link, said = _link([BleakError("no")] * 12 + [_sample(1)] * 5 + [BleakError("no")])
    await _samples(link, 6)
    waits = [int(text.split(" in ")[1].split()[0]) for text in said if "retry" in text]
    low = [1, 2, 4, 8, 16, 32, 60, 60, 60, 60, 60, 60, 1]
    assert len(waits) == len(low)
    for wait_s, low_s in zip(waits, low):
        assert low_s <= wait_s <= low_s * 5 // 4 + 1, waits
    assert len(set(waits[6:12])) > 1, "no jitter"
    assert "no, retry 12 in" in "\n".join(said)


async def test_one_that_gives_a_sample_and_hangs_up_is_left_alone_for_longer_and_longer():
    _peer()
    link, said = _link([_sample(1), BleakError("gone")] * 500)
    start_ms = vclock.now_ms()
    await _samples(link, 100, 20000)
    took_s = (vclock.now_ms() - start_ms) // 1000
    assert took_s > 90 * 60, took_s
    assert link.longest_gap_s < 90


async def test_one_that_is_not_there_is_found_soon_after_it_came():
    peer = _peer()
    link, said = _link()
    worst_ms = 0
    for away_s in (3, 47, 100, 311, 3600):
        air.remove(peer)
        link, said = _link()
        task = asyncio.create_task(_samples(link, 1))
        await asyncio.sleep(away_s)
        assert away_s < 10 or link.text.startswith(("jk-pak01 not found (seen: none)", "looking"))
        assert not link.connected and link.turns > away_s // 300
        air.add(peer)
        start_ms = vclock.now_ms()
        await task
        worst_ms = max(worst_ms, vclock.now_ms() - start_ms)
        # the pause is not the peer's fault: gaps are told
        assert abs(link.longest_gap_s - away_s) < 10
    assert worst_ms < 8000, worst_ms


async def test_names_that_were_heard_instead_are_told_once_each():
    fresh(Peer(adv=air.adv()))  # has no name
    for i in range(20):
        air.add(Peer("n%d" % (i // 2), 100 + i))
    link, said = _link()
    waiting = asyncio.create_task(_samples(link, 1))
    await asyncio.sleep(20)
    waiting.cancel()
    names = said[1].split("seen: ")[1].split(")")[0].split(", ")
    assert len(names) == len(set(names)) == 8 and all(names), said[1]


async def test_the_radio_is_switched_off_and_on_now_and_then():
    times = []
    stop = radio.stop

    def counted():
        times.append(link.failures["no"] if "no" in link.failures else sum(link.failures.values()))
        stop()

    _peer()
    link, _ = _link([BleakError("no")] * 50)
    radio.stop = counted
    try:
        await _samples(link, 1, 20000)
        assert times == [3, 6, 12, 24, 48], times
        # and at once when a link cannot be ended
        for goodbye in (None, next):  # hangs, fails
            times.clear()
            link, _ = _link([_sample(1), BleakError("no")])
            Driver.goodbye = goodbye
            await _samples(link, 2, 60)
            assert times == [1], goodbye
    finally:
        radio.stop = stop


async def test_only_hours_of_silence_are_hopeless():
    _peer()
    asked = []
    link, _ = _link([_sample(1)] + [BleakError("no")] * 125, on_hopeless=asked.append)
    await _samples(link, 2, 20000)
    assert asked and asked[0] == "no data for 2 h (no)"
    assert link.longest_gap_s > 7200
    # before the first sample of a boot a day goes by: the BMS may be switched off
    _peer()
    asked.clear()
    Driver.script = [BleakError("no") for _ in range(1500)]
    link = BmsLink(Driver, "jk-pak01", 2000, on_hopeless=asked.append)
    await _samples(link, 1, 150000)
    assert asked and asked[0] == "no data for 24 h (no)", asked


async def test_time_connected_and_gaps_are_counted():
    _peer()
    link, _ = _link([_sample(1), BleakError("no"), BleakError("no")])
    start_ms = vclock.now_ms()
    await _samples(link, 1000)
    took_s = (vclock.now_ms() - start_ms) // 1000
    assert 3 <= took_s - link.connected_s <= 8, (link.connected_s, took_s)
    assert 3 <= link.longest_gap_s <= 8
    assert link.silent_s == 0


async def test_a_listener_that_fails_does_not_leave_a_connection_behind():
    peer = _peer()
    angry = [0]

    def listen(link):
        angry[0] += 1
        if angry[0] in (2, 4, 5, 7):
            raise MemoryError

    link = BmsLink(jikong_bms.BMS, "jk-pak01", 2000, on_change=listen)
    given = 0
    for _ in range(40):
        try:
            await _samples(link, 1, 600)
            given += 1
            if given == 5:
                air.remove(peer)
                air.add(peer)
        except MemoryError:
            await asyncio.sleep(10)
    assert given > 30 and link.connected
    assert await until(lambda: len(air.radio.links) == 1)


async def test_a_name_that_is_heard_only_at_times_is_no_obstacle():
    peer = _peer()
    link, _ = _link(driver=jikong_bms.BMS)
    await _samples(link, 1)
    rsp, peer.scan_rsp = peer.scan_rsp, None
    air.remove(peer)
    vclock.call_later(60000, air.add, peer)
    await _samples(link, 10, 120)
    assert link.connects == 2 and link.name == "jk-pak01"
    peer.scan_rsp = rsp
    link, _ = _link([_sample(1), BleakError("no")])
    await _samples(link, 1)
    peer.scan_rsp = None
    await _samples(link, 1)
    assert Driver.made == 2 and Driver.name == "jk-pak01"  # some drivers go by it


async def test_the_nearest_bms_is_found_in_any_crowd():
    for n, strong in ((0, 0), (15, 11), (60, 11), (60, 0)):
        fresh()
        near = air.add(jikong.make(battery.make("van", 1)))
        near.rssi = -70
        far = air.add(jbd.make(battery.make("ebike", 2)))
        far.rssi = -75
        for i in range(n):
            air.add(Peer("n%d" % i, 100 + i)).rssi = -50 if i < strong else -80
        near.adv_interval_ms = 1000  # speaks later than the others
        link = BmsLink(None, "", 2000)
        await _samples(link, 1)
        assert link.name == "jk-pak01" and link.rssi == -70 and not link.failures, n
        link.close()  # so that both are there again
        link = BmsLink(None, "JBD-SP25S020", 2000)  # the name goes first
        await _samples(link, 1)
        assert link.name == "JBD-SP25S020" and link.rssi == -75 and not link.failures, n
    link.close()
    # and what is found before what was said of its make
    link = BmsLink(jbd_bms.BMS, "", 2000)
    await _samples(link, 1)
    assert link.name == "jk-pak01" and link.driver is jikong_bms.BMS


async def test_an_address_will_do_for_a_name():
    fresh(jbd.make(battery.make("ebike", 2)))
    peer = air.add(jikong.make(battery.make("van", 1)))
    address = ":".join("%02X" % b for b in peer.addr)
    link = BmsLink(jikong_bms.BMS, address, 2000)
    await _samples(link, 2)
    assert link.connected and link.name == address


async def test_an_address_in_any_case_and_a_padded_name_will_do():
    peer = _peer()
    address = ":".join("%02x" % b for b in peer.addr)
    link = BmsLink(jikong_bms.BMS, address, 2000)
    assert len(await _samples(link, 2)) == 2
    for advertised in ("jk-pak01" + 8 * "\0", " jk-pak01\r\n", "jk-pak01"):
        peer = _peer()
        peer.scan_rsp = air.adv(name=advertised, flags=False)
        for name in ("jk-pak01", " jk-pak01 "):
            link = BmsLink(jikong_bms.BMS, name, 2000)
            assert len(await _samples(link, 1)) == 1
            link.close()


async def test_another_of_the_same_name_is_named_and_not_taken():
    fresh()
    ours = air.add(jbd.make(battery.make("ebike", 1), "xiaoxiang BMS"))
    link, said = _link(driver=jbd_bms.BMS, name="xiaoxiang BMS")
    await _samples(link, 10)
    address = link.address
    assert address == "A4:C1:37:12:34:56"
    air.remove(ours)
    other = jbd.make(battery.make("van", 2), "xiaoxiang BMS")
    other.addr = b"\xa4\xc1\x37\x99\x99\x99"
    air.add(other)
    more = asyncio.create_task(_samples(link, 10))
    await asyncio.sleep(180)
    assert not more.done() and not link.connected and not other.connected
    words = "xiaoxiang BMS at A4:C1:37:12:34:56 not found; the one at A4:C1:37:99:99:99 is another"
    assert any([text.startswith(words) for text in said]), said
    air.add(ours)
    await more
    # nor in another life
    air.remove(ours)
    link, said = _link(driver=jbd_bms.BMS, name="xiaoxiang BMS")
    link.address = address
    more = asyncio.create_task(_samples(link, 1))
    await asyncio.sleep(60)
    assert not more.done() and any([text.startswith(words) for text in said])
    more.cancel()


async def test_one_that_vanished_is_looked_for_at_once():
    peer = _peer()
    link, said = _link(driver=jikong_bms.BMS)
    await _samples(link, 10)
    air.remove(peer)
    task = asyncio.create_task(_samples(link, 1))
    await asyncio.sleep(12)
    assert not link.connected and said[-1] == "looking for jk-pak01", said
    air.add(peer)
    await task


async def test_the_password_reaches_the_driver():
    _peer()
    Driver.secrets.clear()
    link, _ = _link(secret="123456")
    await _samples(link, 1)
    assert Driver.secrets == ["123456"]


async def test_closing_switches_the_radio_off_at_once():
    peer = _peer()
    link, _ = _link(driver=jikong_bms.BMS)
    await _samples(link, 1)
    assert peer.connected
    link.close()
    assert not air.radio.active()
    assert await until(lambda: not peer.connected)


async def test_no_memory_anywhere_leaves_no_connection_and_no_task_behind():
    peer = _peer()
    tasks.count()  # from here on
    link = BmsLink(jikong_bms.BMS, "jk-pak01", 2000)

    async def run():
        async for _ in link:
            pass

    task = asyncio.create_task(run())
    await asyncio.sleep(60)
    calm = await _fewest_tasks()
    places = [(air.radio, name) for name in _STACK] + [(gatt, name) for name in _SHIM]
    places += [(radio, "until"), (client, "load")]
    for place, name in places:
        for kind in (MemoryError, AssertionError):
            whole = getattr(place, name)

            def fails(*args):
                if air.rand(3) == 0:
                    raise kind
                return whole(*args)

            setattr(place, name, fails)
            air.remove(peer)
            await asyncio.sleep(10)
            air.add(peer)
            await asyncio.sleep(150)
            setattr(place, name, whole)
            n = link.samples
            await asyncio.sleep(180)
            assert link.samples > n + 20, (name, kind, link.text)
            assert len(air.radio.links) == len(radio.clients) == 1, name
            assert await _fewest_tasks() <= calm, (name, kind)
    task.cancel()


_STACK = (
    "gap_scan gap_connect gap_disconnect gattc_write gattc_discover_services "
    "gattc_discover_characteristics gattc_discover_descriptors gattc_exchange_mtu"
).split()
_SHIM = "BleakGATTCharacteristic BleakGATTServiceCollection BleakGATTService".split()


async def _fewest_tasks():
    """Between polls there are no more than must be."""
    least = 99
    for _ in range(20):
        await asyncio.sleep_ms(130)
        least = min(least, tasks.count())
    return least
