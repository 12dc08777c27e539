# Notifications: nothing is lost, torn, swapped or kept
import asyncio
import time

from bleak import BleakClient, BleakError
from bleak_peer import (
    LONG_COMMAND,
    NOTIFY,
    NOTIFY_2,
    Heap,
    Peer,
    find,
    fresh,
    link_to,
    pattern,
    raises,
    until,
)


async def test_bursts_of_twenty_lose_none_at_any_size():
    peer = fresh(Peer())
    client = await link_to(peer)
    got = []
    await client.start_notify("ffe1", lambda c, d: got.append(d))
    for size in list(range(20, 30)) + [64, 127, 128, 129, 200, 243, 244]:
        for _ in range(3):
            got.clear()
            peer.burst(20, size)
            assert await until(lambda: len(got) == 20, 2000), (size, len(got))
            assert [len(d) for d in got] == [size] * 20
            assert b"".join(bytes(d) for d in got) == pattern(20, size)
            assert isinstance(got[0], bytearray)
    await client.disconnect()


async def test_a_busy_loop_does_not_lose_a_burst():
    peer = fresh(Peer())
    client = await link_to(peer)
    got = []
    await client.start_notify("ffe1", lambda c, d: got.append(bytes(d)))
    for size in (20, 50, 80):
        got.clear()
        peer.burst(20, size)
        time.sleep_ms(500)
        assert not got
        assert await until(lambda: len(got) == 20, 100)
        assert b"".join(got) == pattern(20, size)
    await client.disconnect()


async def test_what_does_not_fit_is_missing_as_a_whole():
    peer = fresh(Peer())
    client = await link_to(peer)
    got = []
    await client.start_notify("ffe1", lambda c, d: got.append(bytes(d)))
    blocks = [pattern(60, 200)[i : i + 200] for i in range(0, 12000, 200)]
    peer.burst(60, 200)
    time.sleep_ms(2000)
    await asyncio.sleep_ms(100)
    assert 5 <= len(got) < 60
    assert got == [b for b in blocks if b in got]
    got.clear()
    peer.burst(20, 200)
    assert await until(lambda: len(got) == 20, 1000)
    await client.disconnect()


async def test_several_characteristics_keep_apart():
    peer = fresh(Peer())
    client = await link_to(peer)
    got = []
    for uuid in ("ffe1", "ffe2"):
        await client.start_notify(uuid, lambda c, d: got.append((c.uuid[4:8], bytes(d))))
    assert peer.subscriptions == [(NOTIFY, True), (NOTIFY_2, True)]
    for i in range(10):
        peer.notify(NOTIFY, b"one%d" % i)
        peer.notify(NOTIFY_2, b"two%d" % i)
    assert await until(lambda: len(got) == 20, 1000)
    assert [d for u, d in got if u == "ffe1"] == [b"one%d" % i for i in range(10)]
    assert [d for u, d in got if u == "ffe2"] == [b"two%d" % i for i in range(10)]
    got.clear()
    await client.stop_notify("ffe1")
    peer.notify(NOTIFY, b"one")
    peer.notify(NOTIFY_2, b"two")
    await asyncio.sleep_ms(100)
    assert got == [("ffe2", b"two")] and peer.subscriptions[-1] == (NOTIFY, False)
    await client.disconnect()


async def test_a_peer_that_sends_while_it_is_being_subscribed():
    class Eager(Peer):
        def on_subscribe(self, value_handle, on):
            if on:
                self.notify(value_handle, b"hello")

    peer = fresh(Eager())
    client = await link_to(peer)
    got = []
    await client.start_notify("ffe1", lambda c, d: got.append(bytes(d)))
    assert await until(lambda: got, 100) and got == [b"hello"]
    await client.disconnect()


async def test_indications_arrive_too():
    peer = fresh(Peer(services=[["ffe0", [["ffe1", 2, ["indicate"], 0]]]]))
    client = await link_to(peer)
    got = []
    await client.start_notify("ffe1", lambda c, d: got.append(bytes(d)))
    peer.notify(2, b"abc")
    assert await until(lambda: got == [b"abc"], 100)
    await client.disconnect()


async def test_async_callbacks_run_one_after_the_other():
    peer = fresh(Peer())
    client = await link_to(peer)
    got = []

    async def slow(char, data):
        n = len(got)
        await asyncio.sleep_ms(40)
        assert len(got) == n
        got.append(bytes(data))

    await client.start_notify("ffe1", slow)
    peer.burst(20, 20)
    assert await until(lambda: len(got) == 20, 2000)
    assert b"".join(got) == pattern(20, 20)
    await client.disconnect()


async def test_the_driver_gets_several_turns_between_two_notifications():
    # a driver may see a frame, wake a task, and that one wait for what comes next
    peer = fresh(Peer())
    client = await link_to(peer)
    event = asyncio.Event()
    last = []
    caught = []

    def handler(char, data):
        last[:] = [bytes(data)]
        event.set()

    async def driver():
        while len(caught) < 20:
            await event.wait()
            event.clear()
            await asyncio.sleep_ms(0)
            caught.append(last[0])

    await client.start_notify("ffe1", handler)
    task = asyncio.create_task(driver())
    peer.interval_ms = 0
    peer.burst(20, 20)
    await asyncio.wait_for(task, 5)
    assert b"".join(caught) == pattern(20, 20)
    await client.disconnect()


async def test_an_error_in_a_callback_is_reported_and_the_link_lives_on():
    peer = fresh(Peer())
    reported = []
    loop = asyncio.get_event_loop()
    loop.set_exception_handler(lambda loop, context: reported.append(context["exception"]))

    def broken(client):
        raise ValueError("at the end")

    client = await link_to(peer, disconnected_callback=broken)
    got = []

    def handler(char, data):
        got.append(bytes(data))
        if len(got) == 2:
            raise KeyError("in the middle")

    await client.start_notify("ffe1", handler)
    peer.burst(5, 20)
    assert await until(lambda: len(got) == 5, 1000)
    await client.disconnect()
    loop.set_exception_handler(None)
    assert [type(e) for e in reported] == [KeyError, ValueError]


async def test_nothing_of_an_old_link_reaches_the_next_one():
    peer = fresh(Peer())
    old, new = [], []
    client = await link_to(peer)
    await client.start_notify("ffe1", lambda c, d: old.append(d))
    peer.burst(20, 20)
    await asyncio.sleep_ms(100)
    await client.disconnect()
    n = len(old)
    assert 0 < n < 20
    await client.connect()
    peer.burst(3, 20)  # not subscribed any more
    await client.start_notify("ffe1", lambda c, d: new.append(d))
    await asyncio.sleep_ms(1000)
    assert len(old) == n and not new
    await client.disconnect()


async def test_notifications_cost_no_memory():
    peer = fresh(Peer())
    client = await link_to(peer)
    count = [0]

    def handler(char, data):
        count[0] += len(data)

    await client.start_notify("ffe1", handler)
    heap = Heap()
    for n in range(60):
        await client.write_gatt_char(LONG_COMMAND, b"B\x14\xf4" + bytes((NOTIFY,)), False)
        await asyncio.sleep_ms(400)
        peer.written.clear()
        if n >= 10:
            heap.look()
    assert count[0] == 60 * 20 * 244
    assert heap.growth() < 300, heap.growth()
    await client.disconnect()


async def test_what_waits_when_nobody_wants_it_any_more_is_dropped_and_the_link_lives_on():
    peer = fresh(Peer())
    client = await link_to(peer)
    got = []
    await client.start_notify("ffe1", lambda c, d: got.append(d))
    peer.burst(5, 20)
    time.sleep_ms(200)
    await client.stop_notify("ffe1")
    await asyncio.sleep_ms(100)
    assert not got and client.is_connected
    await client.disconnect()


async def test_no_memory_for_one_event_does_not_end_all_events():
    peer = fresh(Peer())
    client = await link_to(peer)
    got = []
    await client.start_notify("ffe1", lambda c, d: got.append(d))
    whole = client.on_data

    def fails(*args):
        raise MemoryError

    client.on_data = fails
    peer.burst(3, 20)
    await asyncio.sleep_ms(200)
    client.on_data = whole
    peer.burst(2, 20)
    assert await until(lambda: len(got) == 2, 1000), len(got)
    await client.disconnect()


async def test_subscribing_without_a_descriptor_is_an_error():
    peer = fresh(Peer())
    for _, _, _, chars in peer.services:
        for char in chars:
            char.cccd = 0
    client = BleakClient(await find())
    await client.connect()
    got = []
    await raises(BleakError, client.start_notify("ffe1", lambda c, d: got.append(d)), 2000)
    peer.pushes = True
    peer.burst(3, 20)
    await asyncio.sleep_ms(100)
    assert not got
    await client.disconnect()
    fresh()


async def test_what_a_peer_sends_unasked_reaches_only_who_asked_us():
    peer = fresh(Peer())
    peer.pushes = True
    client = await link_to(peer)
    got = []
    for n in range(3):
        peer.burst(3, 20)
        await asyncio.sleep_ms(100)
        assert not got
        await client.start_notify("ffe1", lambda c, d: got.append(d))
        peer.burst(3, 20)
        assert await until(lambda: len(got) == 3, 100)
        got.clear()
        await client.disconnect()
        await client.connect()
    await client.start_notify("ffe2", lambda c, d: None)
    peer.burst(3, 20)
    await asyncio.sleep_ms(100)
    assert not got  # that was asked for on the link before
    await client.disconnect()


async def _two():
    """Return two peers, the clients of links to them, and what each brought so far."""
    peers = Peer("one", 1), Peer("two", 2)
    fresh(*peers)
    clients, got = [], ([], [])
    for peer, took in zip(peers, got):
        clients.append(BleakClient(await find(peer.name)))
        await clients[-1].connect()
        await clients[-1].start_notify("ffe1", lambda c, d, took=took: took.append(bytes(d)))
    return peers, clients, got


async def test_what_two_peers_send_at_once_reaches_each_ones_own():
    peers, clients, got = await _two()
    for _ in range(5):
        for took in got:
            took.clear()
        peers[0].burst(7, 60)
        peers[1].burst(9, 50)
        time.sleep_ms(400)  # all of it waits by then
        assert await until(lambda: len(got[0]) == 7 and len(got[1]) == 9, 500), got
        assert b"".join(got[0]) == pattern(7, 60) and b"".join(got[1]) == pattern(9, 50)
    for client in clients:
        await client.disconnect()


async def test_what_a_lost_link_left_keeps_nobody_waiting():
    peers, clients, got = await _two()
    peers[0].burst(5, 100)
    time.sleep_ms(200)
    peers[0].drop()
    peers[1].burst(3, 60)
    time.sleep_ms(100)
    ended = asyncio.create_task(clients[0].disconnect())
    assert await until(lambda: len(got[1]) == 3, 500)
    await ended
    # neither does a link that takes long to end
    stuck = await _stuck(clients[1], peers[1])
    del got[1][:]
    await clients[0].connect()
    again = []
    await clients[0].start_notify("ffe1", lambda c, d: again.append(bytes(d)))
    ended = asyncio.create_task(clients[1].disconnect())
    peers[0].burst(3, 60)
    await asyncio.sleep_ms(8000)
    assert len(again) == 3 and b"".join(again) == pattern(3, 60)
    stuck.set()
    await ended
    await clients[0].disconnect()


async def _stuck(client, peer):
    """Let the link's callback hang with more behind it; returns what ends that."""
    event = asyncio.Event()
    hangs = []

    async def hang(char, data):
        hangs.append(1)
        await event.wait()

    await client.start_notify("ffe1", hang)
    peer.burst(4, 20)
    assert await until(lambda: hangs, 1000)
    return event
