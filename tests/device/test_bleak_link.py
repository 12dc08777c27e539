# The client of the bleak shim on a radio that behaves
import asyncio

import air
from bleak import (
    BleakCharacteristicNotFoundError,
    BleakClient,
    BleakError,
    normalize_uuid_str,
)
from bleak_peer import (
    COMMAND,
    EMPTY,
    INFO,
    LONG,
    LONG_COMMAND,
    NOTIFY,
    NOTIFY_2,
    REQUEST,
    SERVICES,
    Heap,
    Peer,
    find,
    fresh,
    link_to,
    raises,
    until,
)


def test_uuids_of_all_lengths():
    long = "0000ffe1-0000-1000-8000-00805f9b34fb"
    assert normalize_uuid_str("ffe1") == normalize_uuid_str("FFE1") == long
    assert normalize_uuid_str("0000FFE1") == normalize_uuid_str(long.upper()) == long


async def test_discovers_services_in_order_with_properties():
    peer = fresh(Peer(services=SERVICES + [EMPTY]))
    client = await link_to(peer)
    assert client.is_connected and peer.connected
    services = list(client.services)
    assert [s.uuid for s in services] == [
        normalize_uuid_str("ffe0"),
        LONG,
        normalize_uuid_str("180a"),
        EMPTY[0],
    ]
    assert [[c.uuid for c in s.characteristics] for s in services] == [
        [normalize_uuid_str("ffe1"), normalize_uuid_str("ffe2")],
        [LONG_COMMAND],
        [normalize_uuid_str("2a29"), normalize_uuid_str("2a2a")],
        [],
    ]
    assert [sorted(c.properties) for s in services for c in s.characteristics] == [
        ["notify"],
        ["indicate", "notify"],
        ["write", "write-without-response"],
        ["read"],
        ["write"],
    ]
    handles = [c.handle for s in services for c in s.characteristics]
    assert handles == sorted(handles) and len(set(handles)) == 5
    await client.disconnect()
    assert not client.is_connected and not peer.connected


async def test_looks_up_characteristics_by_all_kinds_of_names():
    client = await link_to(fresh(Peer()))
    s = client.services
    char = s.get_characteristic("ffe1")
    assert char and s.get_characteristic(normalize_uuid_str("FFE1")) is char
    assert s.get_characteristic(char.handle) is char
    assert s.get_characteristic("ffe9") is None and s.get_characteristic(9999) is None
    assert s.get_service("180a").uuid == normalize_uuid_str("180a")
    assert s.get_service("180b") is None
    assert s.get_characteristic(LONG_COMMAND.upper()).uuid == LONG_COMMAND
    await client.disconnect()


async def test_a_uuid_that_occurs_twice_needs_a_handle():
    twice = [["ffe0", [["ffe1", 2, ["notify"], 0], ["ffe1", 3, ["write"], 0]]]]
    peer = fresh(Peer(services=twice))
    client = await link_to(peer)
    notify, write = list(client.services)[0].characteristics
    await raises(BleakError, client.write_gatt_char("ffe1", b"x"), 100)
    await client.write_gatt_char(write.handle, b"x")
    await client.start_notify(notify.handle, lambda c, d: None)
    assert peer.written == [(3, b"x", True)] and peer.subscriptions == [(2, True)]
    await client.disconnect()


async def test_discovery_can_be_limited():
    client = await link_to(fresh(Peer()), services=["180a", LONG, "1234"])
    assert [s.uuid for s in client.services] == [LONG, normalize_uuid_str("180a")]
    assert bytes(await client.read_gatt_char("2a29")) == b"maker %d" % INFO
    await client.disconnect()


async def test_reads_and_writes():
    peer = fresh(Peer())
    client = await link_to(peer)
    value = await client.read_gatt_char("2a29")
    assert isinstance(value, bytearray) and bytes(value) == b"maker %d" % INFO
    await client.write_gatt_char(LONG_COMMAND, b"one", True)
    await client.write_gatt_char(LONG_COMMAND, bytearray(b"two"), response=False)
    await client.write_gatt_char(client.services.get_characteristic(LONG_COMMAND), b"three")
    await client.write_gatt_char("2a2a", memoryview(b"four"))
    await asyncio.sleep_ms(100)
    assert peer.written == [
        (COMMAND, b"one", True),
        (COMMAND, b"two", False),
        (COMMAND, b"three", True),
        (REQUEST, b"four", True),
    ]
    await client.disconnect()


async def test_refusals_of_the_peer_are_errors_and_the_link_lives_on():
    peer = fresh(Peer())
    client = await link_to(peer)
    nothing = lambda c, d: None  # noqa: E731
    await raises(BleakCharacteristicNotFoundError, client.read_gatt_char("2a99"), 100)
    await raises(BleakCharacteristicNotFoundError, client.write_gatt_char(7777, b""), 100)
    await raises(BleakCharacteristicNotFoundError, client.start_notify("ffe9", nothing), 100)
    await raises(BleakError, client.read_gatt_char(LONG_COMMAND), 1000)
    await raises(BleakError, client.write_gatt_char("2a29", b"x"), 1000)
    await raises(BleakError, client.start_notify("2a29", nothing), 1000)
    await raises(BleakError, client.write_gatt_char("2a2a", bytes(client.mtu_size - 2)), 100)
    await client.write_gatt_char("2a2a", bytes(client.mtu_size - 3))
    assert client.is_connected
    await client.disconnect()


async def test_the_mtu_is_agreed_on_or_done_without():
    for mtu, expected in ((247, 247), (100, 100), (512, 256), (23, 23), (0, 23)):
        peer = fresh(Peer())
        peer.mtu = mtu
        client = await link_to(peer)
        assert client.mtu_size == expected
        assert len([c for s in client.services for c in s.characteristics]) == 5
        assert bytes(await client.read_gatt_char("2a29")) == b"maker %d" % INFO
        await client.disconnect()
    whole = air.radio.gattc_exchange_mtu
    for error in (OSError(16), ValueError()):

        def refuses(*args):
            raise error

        air.radio.gattc_exchange_mtu = refuses
        try:
            client = await link_to(fresh(Peer()))
        finally:
            air.radio.gattc_exchange_mtu = whole
        assert client.mtu_size == 23
        await client.disconnect()


async def test_the_disconnect_callback_comes_once_per_link():
    peer = fresh(Peer())
    calls = []
    client = BleakClient(await find(), calls.append)
    for n in range(1, 4):
        await client.connect()
        assert len(calls) == n - 1
        if n == 2:
            air.remove(peer)
            assert await until(lambda: not client.is_connected)
            air.add(peer)
        await client.disconnect()
        await client.disconnect()
        assert calls == [client] * n
    assert peer.seen == [3, 3]


async def test_without_a_link_everything_is_an_error_but_disconnect():
    client = BleakClient(await _found())
    await client.disconnect()
    for _ in range(2):
        await raises(BleakError, client.read_gatt_char("2a29"), 10)
        await raises(BleakError, client.write_gatt_char("2a29", b""), 10)
        await raises(BleakError, client.start_notify("ffe1", None), 10)
        await raises(BleakError, client.stop_notify("ffe1"), 10)
        try:
            client.services
            raise AssertionError("services without a link")
        except BleakError:
            pass
        await client.connect()
        await client.disconnect()


async def _found():
    fresh(Peer())
    return await find()


async def test_connect_when_connected_changes_nothing():
    peer = fresh(Peer())
    client = await link_to(peer)
    services = client.services
    await client.connect()
    assert client.services is services and peer.seen == [1, 0]
    await client.disconnect()


async def test_disconnect_from_a_callback():
    peer = fresh(Peer())
    gone = []
    client = await link_to(peer, disconnected_callback=gone.append)

    async def stop(char, data):
        await client.disconnect()

    await client.start_notify("ffe1", stop)
    peer.burst(3, 20)
    assert await until(lambda: gone)
    assert not client.is_connected and not peer.connected and len(gone) == 1
    await client.connect()
    await client.disconnect()


async def test_operations_that_are_begun_together_do_not_mix():
    peer = fresh(Peer())
    client = await link_to(peer)
    for _ in range(3):
        results = await asyncio.gather(
            client.read_gatt_char("2a29"),
            client.read_gatt_char("2a29"),
            client.write_gatt_char("2a2a", b"a"),
            client.start_notify("ffe1", print),
            client.write_gatt_char(LONG_COMMAND, b"b", True),
            client.start_notify("ffe2", print),
            client.write_gatt_char(LONG_COMMAND, b"c", True),
            client.read_gatt_char("2a29"),
        )
        assert [bytes(r) for r in results if r] == [b"maker %d" % INFO] * 3
        assert [w[1] for w in peer.written] == [b"a", b"b", b"c"]
        assert peer.subscriptions == [(NOTIFY, True), (NOTIFY_2, True)]
        peer.written.clear()
        peer.subscriptions.clear()
    await client.disconnect()


async def test_two_clients_at_once():
    fresh()
    peers = [air.add(Peer("a", 1)), air.add(Peer("b", 2))]
    got = {"a": [], "b": []}

    async def use(peer):
        client = await link_to(peer)
        await client.start_notify("ffe1", lambda c, d: got[peer.name].append(bytes(d)))
        for i in range(30):
            await client.write_gatt_char(LONG_COMMAND, b"B\x04\x14" + bytes((NOTIFY,)))
            assert bytes(await client.read_gatt_char("2a29")) == b"maker %d" % INFO
            await asyncio.sleep_ms(100)
        return client

    a, b = await asyncio.gather(use(peers[0]), use(peers[1]))
    assert a.is_connected and b.is_connected
    assert len(got["a"]) == len(got["b"]) == 120
    await a.disconnect()
    assert b.is_connected and peers[1].connected
    assert bytes(await b.read_gatt_char("2a29")) == b"maker %d" % INFO
    await b.disconnect()


async def test_two_clients_take_turns_when_they_connect_at_once():
    fresh()
    peers = [air.add(Peer("p%d" % i, i)) for i in range(4)]
    for _ in range(3):
        clients = await asyncio.gather(*[link_to(p) for p in peers])
        assert all([c.is_connected for c in clients])
        await asyncio.gather(*[c.disconnect() for c in clients])
        assert not any([p.connected for p in peers])
    fresh()


async def test_a_thousand_links_leave_the_heap_flat():
    peer = fresh(Peer())
    device = await find()
    gone = []
    heap = Heap()
    for n in range(1000):
        client = BleakClient(device, gone.append)
        await client.connect()
        await client.start_notify("ffe1", lambda c, d: None)
        await client.write_gatt_char(LONG_COMMAND, b"B\x02\x14" + bytes((NOTIFY_2,)))
        await client.disconnect()
        gone.clear()
        peer.written.clear()
        peer.subscriptions.clear()
        client = None
        if n >= 20 and n % 8 == 0:
            heap.look()
    assert peer.seen == [1000, 1000]
    assert heap.growth() < 500, heap.growth()
