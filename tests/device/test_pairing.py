# Pairing: each kind of peer is connected, or there is a sentence within 15 s; the heap stays flat
import asyncio
import sys

import air
import aioble
import battery
import bleak.pairing  # noqa: F401
import bleradio
import jbd
import vclock
from aiobmsble.bms import jbd_bms
from bleak import BleakClient, BleakError
from bleak_peer import INFO, LONG_COMMAND, Heap, Peer, find, fresh, link_to
from link import BmsLink

pairing = sys.modules["bleak.pairing"]


class Use:
    """Pairs for the time of a `with`."""

    def __init__(self, how):
        self._how = how

    def __enter__(self):
        pairing.use(self._how)

    def __exit__(self, *_):
        BleakClient.pair = None
        bleradio.setup.remove(pairing._secure)
        aioble.core._irq_handlers.remove(pairing._irq)


def _bms(pairs, before, guards=False):
    peer = fresh(jbd.make(battery.make("van", 1)))
    peer.pairs, peer.before, peer.guards_cccd = pairs, before, guards
    return peer


async def _first_words(peer):
    """What the link says when it knows, "connected" or why not; that is within 15 s."""
    said = []
    known = asyncio.ThreadSafeFlag()

    def changed(link):
        said.append(link.text)
        if link.connected or "retry" in link.text:
            known.set()

    link = BmsLink(jbd_bms.BMS, peer.name, 2000, on_change=changed)

    async def poll():
        async for _ in link:
            pass

    start_ms = vclock.now_ms()
    task = asyncio.create_task(poll())
    await known.wait()
    assert vclock.now_ms() - start_ms < 15_000, (vclock.now_ms() - start_ms, said)
    task.cancel()
    if link._bms:
        await link._bms.disconnect()
    return said[-1].split(", retry")[0]


_PEERS = (
    # pairs, before, guards subscriptions, the setting, words
    ("refuses", None, False, "off", "connected"),
    ("just works", "refuse", False, "just works", "connected"),
    ("just works", "mute", False, "just works", "connected"),
    ("passkey", "refuse", True, "123456", "connected"),
    ("passkey", "mute", False, "123456", "connected"),
    ("passkey", "echo", False, "123456", "connected"),
    ("just works", None, False, "123456", "connected"),
    ("just works", "refuse", True, "off", '"just works"'),
    ("passkey", "refuse", False, "off", 'set "pairing" to the PIN'),
    ("passkey", "refuse", True, "off", 'set "pairing" to the PIN'),
    ("passkey", "mute", False, "off", 'asks for a PIN, set "pairing"'),
    ("passkey", "echo", False, "off", 'set "pairing"'),
    ("passkey", "mute", False, "just works", "wants a PIN"),
    ("passkey", "mute", False, "654321", "wrong PIN"),
    ("refuses", None, False, "123456", 'refuses to pair; "pairing" should be "off"'),
    ("hangs up", None, False, "123456", 'hangs up when paired; "pairing" should be "off"'),
    ("hangs up", None, False, "just works", 'hangs up when paired; "pairing" should be "off"'),
    ("silent", None, False, "just works", 'does not pair; "pairing" should be "off"'),
    ("silent", None, False, "123456", 'does not pair; "pairing" should be "off"'),
)


async def test_each_refusal_is_understood():
    for refusal in (0x105, 0x108, 0x10F):
        peer = _bms("passkey", "refuse")
        peer.refusal = refusal
        assert "wants to be paired" in await _first_words(peer)


async def test_each_kind_of_peer_is_connected_or_there_is_a_sentence():
    for pairs, before, guards, how, words in _PEERS:
        peer = _bms(pairs, before, guards)
        if how == "off":
            said = await _first_words(peer)
            assert peer.pairings == 0
        else:
            with Use(how):
                said = await _first_words(peer)
            assert peer.pairings >= (pairs != "silent")
        assert words in said, (pairs, before, how, said)


async def test_a_paired_link_works_after_the_radio_was_off():
    peer = fresh(Peer())
    peer.pairs, peer.before = "passkey", "refuse"
    with Use("123456"):
        for _ in range(3):
            client = await link_to(peer)
            await client.write_gatt_char(LONG_COMMAND, b"x", True)
            assert bytes(await client.read_gatt_char("2a29")) == b"maker %d" % INFO
            aioble.stop()
            await client.disconnect()
    assert len(peer.written) == 3 and peer.pairings == 3


async def test_a_hundred_links_of_each_kind_leave_the_heap_flat():
    for pairs, how, good in (
        ("just works", "just works", True),
        ("passkey", "123456", True),
        ("passkey", "999999", False),
        ("refuses", "123456", False),
        ("hangs up", "just works", False),
    ):
        peer = fresh(Peer())
        device = await find()
        peer.pairs, peer.before = pairs, "refuse"
        heap = Heap()
        with Use(how):
            for n in range(100):
                client = BleakClient(device)
                try:
                    await client.connect()
                    await client.write_gatt_char(LONG_COMMAND, b"x", True)
                    connected = True
                except BleakError:
                    connected = False
                assert connected == good, (pairs, how)
                await client.disconnect()
                client = None
                peer.written.clear()
                if n >= 20:
                    heap.look()
        assert not peer.connected and peer.pairings == 100
        assert heap.growth() < 500, (pairs, how, heap.growth())


async def test_a_hundred_failures_in_a_row_leave_the_heap_flat():
    # with the radio off and on now and then, and a sentence that is loaded each time
    for before in ("refuse", "mute"):
        peer = _bms("passkey", before)
        link = BmsLink(jbd_bms.BMS, peer.name, 2000)

        async def poll(link=link):
            async for _ in link:
                raise AssertionError("it is not paired")

        task = asyncio.create_task(poll())
        heap = Heap()
        failures = 0
        while failures < 100:
            await asyncio.sleep(1)
            if sum(link.failures.values()) > failures:
                failures += 1
                assert '"pairing"' in link.text, link.text
                if failures > 20:
                    heap.look()
        task.cancel()
        await asyncio.sleep(10)
        assert heap.growth() < 500, (before, heap.growth())


async def test_losing_the_link_while_pairing_is_a_sentence_and_no_hang():
    peer = fresh(Peer())
    peer.pairs = "passkey"
    device = await find()
    with Use("123456"):
        for t_ms in range(100, 400, 25):
            client = BleakClient(device)
            task = asyncio.create_task(client.connect())
            await asyncio.sleep_ms(t_ms)
            air.remove(peer)
            try:
                await task
            except (BleakError, asyncio.TimeoutError):
                pass
            await client.disconnect()
            air.add(peer)
        client = await link_to(peer)
        await client.disconnect()
    assert not peer.connected


async def test_a_stack_that_cannot_pair_is_said():
    radio = bleradio.ble
    bleradio.ble = object()
    try:
        pairing.use("just works")
        raise AssertionError("it cannot")
    except ValueError as exc:
        assert "cannot pair" in str(exc)
    finally:
        bleradio.ble = radio
