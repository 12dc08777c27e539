# The bleak shim on a radio that misbehaves: errors in bounded time, and the next try works
import asyncio
import builtins
import sys
import time
from errno import EALREADY, ENOMEM

import aioble
import air
import bleak
import bluetooth
import vclock
from bleak import BleakClient, BleakError, radio
from bleak_peer import (
    INFO,
    LONG_COMMAND,
    NOTIFY,
    Heap,
    Peer,
    find,
    fresh,
    link_to,
    pattern,
    raises,
    until,
)

_ERRORS = (BleakError, asyncio.TimeoutError)


async def _session(device, got):
    """All phases after the scan: connect, discover, subscribe, ask, receive, read."""
    client = BleakClient(device)
    try:
        await client.connect()
        await client.start_notify("ffe1", lambda c, d: got.append(bytes(d)))
        await client.write_gatt_char(LONG_COMMAND, b"B\x14\x14" + bytes((NOTIFY,)))
        for _ in range(100):
            if len(got) == 20:
                break
            await asyncio.sleep_ms(50)
        await client.read_gatt_char("2a29")
    finally:
        await client.disconnect()


async def _works(device):
    got = []
    await _session(device, got)
    assert b"".join(got) == pattern(20, 20)


async def test_the_peer_vanishes_at_any_moment():
    peer = fresh(Peer())
    device = await find()
    failed = 0
    for t_ms in range(0, 1200, 17):
        handle = vclock.call_later(t_ms, air.remove, peer)
        start_ms = vclock.now_ms()
        try:
            await _session(device, [])
        except _ERRORS:
            failed += 1
        assert vclock.now_ms() - start_ms < 20000, t_ms
        vclock.cancel(handle)
        air.remove(peer)
        air.add(peer)
        await _works(device)
    assert failed > 30


async def test_operations_that_wait_in_line_end_with_the_link():
    peer = fresh(Peer())
    device = await find()
    for t_ms in range(0, 160, 13):
        client = BleakClient(device)
        await client.connect()
        peer.supervision_ms = 1000
        vclock.call_later(t_ms, air.remove, peer)
        start_ms = vclock.now_ms()
        results = await asyncio.gather(
            client.read_gatt_char("2a29"),
            client.start_notify("ffe1", print),
            client.write_gatt_char(LONG_COMMAND, b"x", True),
            client.start_notify("ffe2", print),
            client.stop_notify("ffe1"),
            client.read_gatt_char("2a29"),
            return_exceptions=True,
        )
        errors = [r for r in results if isinstance(r, Exception)]
        assert errors and all([isinstance(e, _ERRORS) for e in errors]), errors
        assert vclock.now_ms() - start_ms < 3000
        await client.disconnect()
        air.add(peer)
    await _works(device)


async def test_the_peer_vanishes_in_the_scan():
    peer = fresh(Peer())
    vclock.call_later(1000, air.remove, peer)
    assert await find("someone else", 3) is None
    assert await find(timeout=3) is None
    air.add(peer)
    assert await find(timeout=3)


async def test_giving_up_at_any_moment_leaves_nothing_behind():
    peer = fresh(Peer())
    device = await find()
    given_up = 0
    for t_ms in range(0, 1000, 11):
        try:
            await asyncio.wait_for_ms(_session(device, []), t_ms)
        except asyncio.TimeoutError:
            given_up += 1
        assert await until(lambda: not peer.connected), t_ms
        if t_ms % 5 == 0:
            await _works(device)
    assert given_up > 50
    await _works(device)
    assert not peer.connected and peer.seen[0] == peer.seen[1]


async def test_giving_up_from_outside_at_any_moment():
    # cancellation goes to the innermost wait first and may overtake the clean-up there
    peer = fresh(Peer())
    device = await find()
    for t_ms in range(0, 700, 13):
        task = asyncio.create_task(_session(device, []))
        await asyncio.sleep_ms(t_ms)
        task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            pass
        assert not peer.connected, t_ms
    await _works(device)


async def test_giving_up_twice_does_no_harm():
    peer = fresh(Peer())
    device = await find()
    for t_ms in range(0, 700, 37):
        task = asyncio.create_task(_session(device, []))
        await asyncio.sleep_ms(t_ms)
        task.cancel()
        await asyncio.sleep_ms(1)
        task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            pass
        assert await until(lambda: not peer.connected), t_ms
        await _works(device)


async def test_nobody_there_is_a_timeout_and_a_late_link_is_not_left_open():
    peer = fresh(Peer())
    device = await find()
    air.remove(peer)
    client = BleakClient(device, timeout=4)
    await raises(asyncio.TimeoutError, client.connect(), 6000)
    air.add(peer)
    await asyncio.sleep(20)
    assert peer.seen == [0, 0]
    await client.connect()
    assert client.is_connected
    await client.disconnect()
    # answers, but only when we have given up
    for delay_ms in (3000, 3500, 3800, 3990, 4000, 4010, 5000):
        peer.connect_delay_ms = delay_ms
        try:
            await client.connect()
        except _ERRORS:
            pass
        await client.disconnect()
        await asyncio.sleep(10)
        assert not peer.connected
    peer.connect_delay_ms = 0
    await _works(device)


async def test_what_begins_a_link_is_not_kept_while_it_lasts():
    peer, other = Peer("a", 1), Peer("b", 2)
    fresh(peer)
    air.add(other)
    client, second = await link_to(peer), await link_to(other)  # which wants it once more
    for _ in range(3):
        for name in ("beginning", "services"):
            assert "bleak." + name not in sys.modules, name
            assert not hasattr(bleak, name), name
        assert bytes(await client.read_gatt_char("2a29")) == b"maker %d" % INFO
        await client.disconnect()
        assert second.is_connected
        await client.connect()
    air.remove(peer)
    assert await until(lambda: not client.is_connected) and second.is_connected
    await second.disconnect()
    assert not peer.connected and not other.connected


async def test_what_begins_a_link_is_loaded_for_one_at_a_time():
    peers = [Peer("n%d" % i, i) for i in range(3)]
    fresh()
    devices = []
    for peer in peers:
        air.add(peer)
        devices.append(await find(peer.name))
    whole = builtins.__import__
    loaded, most = [], []

    def counted(name, globals=None, locals=None, names=None, level=0):
        module = _import(whole, name, names, level)
        if name == "bleak.beginning":
            loaded.append(name)
            most.append(len(loaded) - sum([client.is_connected for client in clients]))
        return module

    clients = [BleakClient(device) for device in devices]
    builtins.__import__ = counted
    try:
        await asyncio.gather(*[client.connect() for client in clients])
    finally:
        builtins.__import__ = whole
    assert most == [1, 1, 1], most  # each when those before are connected
    for client in clients:
        await client.disconnect()


async def test_no_memory_to_load_what_begins_a_link_costs_that_attempt_only():
    peer = fresh(Peer())
    device = await find()
    whole = builtins.__import__
    for what in ("bleak.beginning", "bleak.services", "bleak.uuids"):
        await _works(device)

        def fails(name, globals=None, locals=None, names=None, level=0):
            if name == what:
                raise MemoryError
            return _import(whole, name, names, level)

        client = BleakClient(device)
        builtins.__import__ = fails
        try:
            await raises((MemoryError, BleakError), client.connect(), 1000)
        finally:
            builtins.__import__ = whole
        assert not client.is_connected and not radio.turn.locked()
        await _works(device)
        assert not peer.connected


def _import(whole, name, names, level):
    # the interpreter would take what is relative as relative to this file
    if level:
        name = "bleak." + name if name else "bleak"
    return whole(name, None, None, names)


async def test_refused_connections():
    peer = fresh(Peer())
    device = await find()
    gone = []
    client = BleakClient(device, gone.append)
    for fault in ("refuse", "drop_early", "fail_discovery"):
        setattr(peer, fault, 3)
        for _ in range(3):
            error = await raises(BleakError, client.connect(), 4000)
            assert "None" not in str(error)
            assert not client.is_connected and not peer.connected and not gone
        await client.connect()
        await client.disconnect()
        gone.clear()
    await _works(device)


async def test_links_that_drop_as_soon_as_they_are_up():
    # the end may overtake aioble's view of the beginning
    peer = fresh(Peer())
    device = await find()
    for interval_ms in (0, 1, 2, 5):
        peer.interval_ms = interval_ms
        peer.drop_early = 5
        client = BleakClient(device)
        for _ in range(5):
            try:
                await client.connect()
            except BleakError:
                pass
            await client.disconnect()
            assert not peer.connected
        peer.interval_ms = 15
        await _works(device)


async def test_a_link_that_the_stack_begins_again_by_itself():
    peer = fresh(Peer())
    device = await find()
    for unheard in range(1, 7):
        for gone in (False, True):
            peer.unheard = unheard
            client = BleakClient(device, timeout=5)
            if gone:
                vclock.call_later(peer.adv_interval_ms + 60, air.remove, peer)
            try:
                await client.connect()
                await client.read_gatt_char("2a29")
                assert peer.connected
            except _ERRORS:
                pass
            await client.disconnect()
            peer.unheard = 0
            assert await find("nobody", 1) is None  # the radio is free
            air.add(peer)
            await asyncio.sleep(20)
            assert not peer.connected, (unheard, gone)
            await _works(device)


async def test_a_link_that_comes_when_nobody_wants_it_any_more_is_ended():
    peer = fresh(Peer())
    device = await find()
    whole = air.radio.gap_connect

    def never_cancels(addr_type, *args):
        if addr_type is None:
            raise OSError(-524)
        return whole(addr_type, *args)

    air.radio.gap_connect = never_cancels
    try:
        peer.connect_delay_ms = 2500
        await raises(_ERRORS, BleakClient(device, timeout=2).connect(), 4000)
        assert await until(lambda: peer.seen == [1, 1], 5000), peer.seen
    finally:
        air.radio.gap_connect = whole
    peer.connect_delay_ms = 0
    await _works(device)


async def test_a_refusal_of_one_peer_costs_the_other_at_most_its_link():
    # NimBLE reports the failed attempt with handle 0, aioble takes it for the end of link 0
    fresh()
    a, b = air.add(Peer("a", 1)), air.add(Peer("b", 2))
    device_a, device_b = await find("a"), await find("b")
    client_a = BleakClient(device_a)
    await client_a.connect()
    b.refuse = 1
    client_b = BleakClient(device_b)
    await raises(BleakError, client_b.connect(), 2000)
    await client_b.connect()
    if not client_a.is_connected:
        await client_a.connect()
    assert bytes(await client_a.read_gatt_char("2a29")) == b"maker %d" % INFO
    assert bytes(await client_b.read_gatt_char("2a29")) == b"maker %d" % INFO
    await client_a.disconnect()
    await client_b.disconnect()
    assert not a.connected and not b.connected


async def test_writes_that_find_no_memory_are_tried_again():
    peer = fresh(Peer())
    client = await link_to(peer)
    for response in (True, False):
        peer.written.clear()
        peer.fail_writes = 1
        await client.write_gatt_char(LONG_COMMAND, b"x", response)
        await asyncio.sleep_ms(100)
        assert len(peer.written) == 1
        peer.fail_writes = 100
        await raises(BleakError, client.write_gatt_char(LONG_COMMAND, b"y", response), 1000)
        assert client.is_connected
        peer.fail_writes = 0
    whole = air.radio.gattc_write
    busy = [EALREADY, ENOMEM]

    def refuses(*args):
        if busy:
            raise OSError(busy.pop())
        return whole(*args)

    air.radio.gattc_write = refuses
    await client.write_gatt_char(LONG_COMMAND, b"w", True)
    air.radio.gattc_write = whole
    assert not busy
    # more at once than the stack holds
    for i in range(40):
        await client.write_gatt_char(LONG_COMMAND, b"z", False)
    await client.disconnect()


async def test_a_link_that_the_stack_does_not_know_ends_at_once():
    peer = fresh(Peer())
    client = await link_to(peer)
    whole = air.radio.gap_disconnect
    air.radio.gap_disconnect = lambda handle: False
    start_ms = vclock.now_ms()
    await client.disconnect()
    assert vclock.now_ms() - start_ms < 500 and not client.is_connected
    air.radio.gap_disconnect = whole
    aioble.stop()
    await _works(await find())


async def test_a_peer_that_never_answers_a_request():
    class Mute(Peer):
        def on_read(self, value_handle):
            self.silent = True
            return b""

    peer = fresh(Mute())
    client = await link_to(peer)
    # gone, but the radio takes a minute to notice
    peer.supervision_ms = 60000
    air.remove(peer)
    await raises(asyncio.TimeoutError, client.read_gatt_char("2a29"), 6000)
    await raises(_ERRORS, client.write_gatt_char(LONG_COMMAND, b"x", True), 6000)
    start_ms = vclock.now_ms()
    await client.disconnect()
    assert vclock.now_ms() - start_ms < 10000 and not client.is_connected
    peer.supervision_ms = 4000
    air.add(peer)
    await asyncio.sleep(60)
    await _works(await find())


async def test_a_peer_that_never_answers_a_subscription():
    peer = fresh(Peer())
    client = await link_to(peer)
    peer.supervision_ms = 60000
    air.remove(peer)
    callback = client.start_notify("ffe1", lambda c, d: None)
    await raises(asyncio.TimeoutError, callback, 6000)
    await client.disconnect()


async def test_an_operation_that_was_given_up_takes_the_link_with_it():
    # its answer could be taken for that of the next one
    peer = fresh(Peer())
    for t_ms in range(1, 30, 4):
        for operation in (0, 1, 2):
            client = await link_to(peer)
            if operation == 0:
                doing = client.read_gatt_char("2a29")
            elif operation == 1:
                doing = client.write_gatt_char(LONG_COMMAND, b"x", True)
            else:
                doing = client.start_notify("ffe1", print)
            await raises(asyncio.TimeoutError, asyncio.wait_for_ms(doing, t_ms), 1000)
            assert await until(lambda: not client.is_connected, 1000)
            assert await until(lambda: not peer.connected, 1000)
            await client.disconnect()
    await _works(await find())


async def test_giving_up_a_connect_in_any_pass_of_the_loop():
    peer = fresh(Peer())
    device = await find()
    for passes in range(40):
        client = BleakClient(device)
        task = asyncio.create_task(client.connect())
        for _ in range(passes):
            await asyncio.sleep_ms(0)
        task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            pass
        await asyncio.sleep(2)
        assert not peer.connected
    await _works(device)


async def test_disconnect_in_any_pass_of_a_connect():
    peer = fresh(Peer())
    device = await find()
    for passes in range(40):
        client = BleakClient(device)
        task = asyncio.create_task(client.connect())
        for _ in range(passes):
            await asyncio.sleep_ms(0)
        await client.disconnect()
        if passes:
            await raises(BleakError, task, 1000)
        else:  # not begun yet
            await task
            await client.disconnect()
        assert not peer.connected
    await _works(device)


async def test_giving_up_while_a_failed_attempt_is_cleaned_up():
    peer = fresh(Peer())
    device = await find()
    for t_ms in range(0, 4000, 210):
        client = BleakClient(device)
        peer.fail_discovery = 1
        task = asyncio.create_task(client.connect())
        assert await until(lambda: peer.fail_discovery == 0)
        air.remove(peer)  # hanging up takes until the supervision timeout
        await asyncio.sleep_ms(t_ms)
        task.cancel()
        try:
            await task
        except (BleakError, asyncio.CancelledError):
            pass
        air.add(peer)
        await _works(device)


async def test_a_callback_that_hangs_cannot_hold_up_the_end():
    peer = fresh(Peer())
    gone = []
    client = await link_to(peer, disconnected_callback=gone.append)

    async def forever(char, data):
        await asyncio.Event().wait()

    await client.start_notify("ffe1", forever)
    peer.burst(5, 20)
    await asyncio.sleep(1)
    start_ms = vclock.now_ms()
    await client.disconnect()
    assert vclock.now_ms() - start_ms < 10000
    assert not client.is_connected and not peer.connected and gone == [client]
    await client.connect()
    old = []
    await client.start_notify("ffe1", lambda c, d: old.append(d))
    await asyncio.sleep(1)
    assert not old
    await client.disconnect()
    await _works(await find())


async def test_switching_the_radio_off_ends_everything():
    peer = fresh(Peer())
    gone = []
    client = await link_to(peer, disconnected_callback=gone.append)
    search = asyncio.create_task(find("nobody", 60))
    await asyncio.sleep(1)
    start_ms = vclock.now_ms()
    aioble.stop()
    assert await search is None
    assert vclock.now_ms() - start_ms < 1000
    assert await until(lambda: gone, 1000)
    await raises(BleakError, client.read_gatt_char("2a29"), 100)
    await client.disconnect()
    await _works(await find())
    # in the middle of an attempt, or of a session
    for t_ms in range(20, 400, 29):
        task = asyncio.create_task(_session(await find(), []))
        await asyncio.sleep_ms(t_ms)
        aioble.stop()
        await raises(_ERRORS, task, 12000)
    await _works(await find())


async def test_switching_the_radio_off_and_on_leaves_the_heap_flat():
    peer = fresh(Peer())
    heap = Heap()
    for n in range(100):
        client = await link_to(peer)
        await client.start_notify("ffe1", lambda c, d: None)
        aioble.stop()
        await client.disconnect()
        peer.subscriptions.clear()
        if n >= 20:
            await asyncio.sleep(10)
            client = None
            heap.look()
    assert heap.growth() < 500, heap.growth()


async def test_more_links_than_the_stack_has():
    fresh()
    peers = [air.add(Peer("p%d" % i, i)) for i in range(5)]
    clients = []
    for peer in peers[:4]:
        clients.append(await link_to(peer))
    fifth = BleakClient(await find("p4"))
    assert "OSError" in str(await raises(BleakError, fifth.connect(), 2000))
    await clients[0].disconnect()
    await fifth.connect()
    for client in clients + [fifth]:
        await client.disconnect()


async def test_faults_leave_the_heap_flat():
    peer = fresh(Peer())
    device = await find()
    heap = Heap()
    for n in range(120):
        vclock.call_later(n * 31 % 900, air.remove, peer)
        try:
            await _session(device, [])
        except _ERRORS:
            pass
        await asyncio.sleep(5)
        air.add(peer)
        peer.written.clear()
        peer.subscriptions.clear()
        peer.refuse = n % 3 == 0
        if n >= 30:
            await asyncio.sleep(30)
            heap.look()
    assert heap.growth() < 500, heap.growth()
    peer.refuse = 0
    await _works(device)


async def test_a_dead_stack_still_means_bounded_waits():
    # an exception in an event handler ends all events; only a restart of the radio helps
    peer = fresh(Peer())
    device = await find(peer.name)
    client = BleakClient(device)
    await client.connect()
    ble = bluetooth.BLE()
    ble.irq(None)
    start_ms = vclock.now_ms()
    assert await find("nobody", 5) is None
    await raises(_ERRORS, client.read_gatt_char("2a29"), 20000)
    await client.disconnect()
    await raises(_ERRORS, BleakClient(device).connect(), 30000)
    assert vclock.now_ms() - start_ms < 60000
    aioble.stop()
    await asyncio.sleep(1)
    await _works(await find())
    fresh()


async def test_no_memory_for_a_task_does_not_keep_the_radio_from_others():
    peer = fresh(Peer())
    device = await find()
    whole = asyncio.create_task
    for nth in range(4):
        left = [nth]

        def make(coro):
            left[0] -= 1
            if left[0] == -1:
                raise MemoryError
            return whole(coro)

        asyncio.create_task = make
        try:
            await find()
            await BleakClient(device).connect()
        except (MemoryError, BleakError):
            pass
        finally:
            asyncio.create_task = whole
        air.remove(peer)
        air.add(peer)
        await asyncio.sleep(10)
        await asyncio.wait_for(_works(device), 60)


async def test_no_memory_for_what_discovery_finds_is_an_error_and_no_half_truth():
    peer = fresh(Peer())
    device = await find()
    for nth in range(12):
        client = BleakClient(device)
        left = [nth]
        whole = client.on_event

        def fails(event, data):
            if event in (9, 11):  # a service, a characteristic
                left[0] -= 1
                if left[0] == -1:
                    raise MemoryError
            whole(event, data)

        client.on_event = fails
        try:
            await client.connect()
            assert nth >= 8 and len([c for s in client.services for c in s.characteristics]) == 5
        except BleakError as exc:
            assert nth < 8 and "no memory" in str(exc)
        await client.disconnect()
        assert not peer.connected


async def test_an_mtu_that_is_agreed_on_late_is_no_answer_to_anything_else():
    peer = fresh(Peer())
    client = await link_to(peer)
    reading = asyncio.create_task(client.read_gatt_char("2a29"))
    await asyncio.sleep_ms(0)
    air.radio.emit(21, (client.conn_handle, 99))
    assert bytes(await reading) == b"maker %d" % INFO and client.mtu_size == 99
    await client.disconnect()


async def test_time_spent_blocking_does_not_confuse_the_clock():
    peer = fresh(Peer())
    client = await link_to(peer)
    time.sleep_ms(3000)
    assert bytes(await client.read_gatt_char("2a29")) == b"maker %d" % INFO
    await client.disconnect()
