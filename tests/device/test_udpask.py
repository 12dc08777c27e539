# Names and the time over UDP: what is believed, and that nothing waits longer than it should
import asyncio

import network
import socket
import ntp
import udpask
import vclock
from clock import Clock

_UNIX = 1_790_000_000
_DNS = "10.0.0.1"


async def _in_network(**world):
    """Join the virtual network; its parts are as good as they can be but for `world`."""
    names = {"time.lan": "10.0.0.5", "db.lan": "10.0.0.9"}
    network.world.update({"ssid": "net", "password": "", "unix": 0, "ntp": {}, "dns": names})
    network.world.update(world)
    network.answers.clear()
    wlan = network.WLAN()
    wlan.active(True)
    wlan.connect("net")
    await asyncio.sleep(10)
    assert wlan.isconnected()


async def _offset_ms(**server):
    """Ask the time server for the time; return (unix minus uptime in ms, what is right)."""
    clock = Clock()
    await _in_network(unix=_UNIX, ntp={"10.0.0.5": server})
    began_ms = vclock.now_ms()
    offset_ms = await ntp.unix_offset_ms(clock, "time.lan", _DNS)
    assert vclock.now_ms() - began_ms < 8000, "took too long"
    return offset_ms, _UNIX * 1000 + vclock.now_ms() - clock.uptime_ms()


async def test_name_is_found_behind_an_alias():
    await _in_network()
    assert await udpask.lookup("db.lan", _DNS) == "10.0.0.9"


async def test_hosts_of_the_own_network_are_asked_themselves():
    await _in_network(dns={"db.local": "10.0.0.9"})
    assert await udpask.lookup("db.local", _DNS) == "10.0.0.9"
    assert await udpask.lookup("other.local", _DNS) is None


async def test_an_answer_from_another_address_is_not_believed():
    recvfrom = socket.socket.recvfrom
    forged = 0

    def first_forged(self, size):
        nonlocal forged
        answer, sender = recvfrom(self, size)
        forged += 1
        if forged % 2:
            self._inbox.append((answer, sender))
            return answer[:-4] + b"\x0a\0\0\x42", ("10.0.0.66", sender[1])
        return answer, sender

    socket.socket.recvfrom = first_forged
    try:
        await _in_network()
        assert await udpask.lookup("db.lan", _DNS) == "10.0.0.9"
        assert forged == 2
    finally:
        socket.socket.recvfrom = recvfrom


async def test_no_socket_stays_open():
    close = socket.socket.close
    closed = 0

    def count(self):
        nonlocal closed
        closed += 1
        close(self)

    socket.socket.close = count
    try:
        await _in_network()
        await udpask.lookup("db.lan", _DNS)
        await udpask.lookup("other.lan", _DNS)
        network.WLAN().active(False)
        await udpask.lookup("db.lan", _DNS)
    finally:
        socket.socket.close = close
    assert closed == 3


async def test_digits_need_no_name_server():
    await _in_network(dns=None)
    began_ms = vclock.now_ms()
    assert await udpask.lookup("192.168.1.250", _DNS) == "192.168.1.250"
    assert vclock.now_ms() == began_ms


async def test_names_that_cannot_be_found():
    await _in_network()
    for name in ("other.lan", "a..b", "x" * 64 + ".lan", "", ".", "10.0.0.300", "10.0.9", "7"):
        assert await udpask.lookup(name, _DNS) is None, name


async def test_silent_name_server_does_not_stop_the_loop():
    await _in_network(dns=None)
    longest_ms = 0

    async def others():
        nonlocal longest_ms
        while True:
            before_ms = vclock.now_ms()
            await asyncio.sleep_ms(10)
            longest_ms = max(longest_ms, vclock.now_ms() - before_ms)

    task = asyncio.create_task(others())
    began_ms = vclock.now_ms()
    assert await udpask.lookup("db.lan", _DNS) is None
    assert vclock.now_ms() - began_ms < 3000
    task.cancel()
    assert 10 <= longest_ms <= 12


def test_no_answer_of_a_name_server_breaks_the_parser():
    question = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\2db\3lan\0\0\1\0\1"
    network.world["dns"] = {"db.lan": "10.0.0.9"}
    good = network.answer_dns(question)
    assert udpask._address_in(good, question) == "10.0.0.9"
    for cut in range(len(good)):
        assert udpask._address_in(good[:cut], question) is None, cut
    for bad in (good[:2] + b"\1" + good[3:], good[:3] + b"\x83" + good[4:]):
        assert udpask._address_in(bad, question) is None  # a question, a refusal
    state = 1
    for at in range(2, len(good)):
        for _ in range(20):
            state = state * 1103515245 + 12345 & 0x7FFFFFFF
            bad = bytearray(good)
            bad[at] = state >> 16 & 255
            found = udpask._address_in(bytes(bad), question)
            assert found is None or len(found.split(".")) == 4
    assert udpask._address_in(b"\x12\x35" + good[2:], question) is None


async def test_time_is_right_to_half_the_way():
    for delay_ms in (0, 40, 400, 900):
        offset_ms, right_ms = await _offset_ms(delay_ms=delay_ms)
        assert abs(offset_ms - right_ms) <= 20, (delay_ms, offset_ms - right_ms)


async def test_times_that_are_not_believed():
    for server in (
        {"silent": True},
        {"delay_ms": 1200},  # too late
        {"step_s": 2},  # every answer another time
        {"wrong_s": -(3 * 365 * 86400)},  # before 2024
        {"wrong_s": 80 * 365 * 86400},  # after 2100
        {"stratum": 0},  # the kiss of death
        {"stratum": 16},
        {"head": 0xE4},  # a server that does not know the time itself
        {"head": 0x23},  # our own question come back
        {"foreign": True},  # the answer to somebody else's question
    ):
        offset_ms, _ = await _offset_ms(**server)
        assert offset_ms is None, server


async def test_no_time_server_and_no_network():
    clock = Clock()
    await _in_network(unix=_UNIX)
    assert await ntp.unix_offset_ms(clock, "time.lan", _DNS) is None
    assert await ntp.unix_offset_ms(clock, "10.0.0.77", _DNS) is None
    network.WLAN().active(False)
    assert await ntp.unix_offset_ms(clock, "10.0.0.5", _DNS) is None


async def test_count_of_seconds_that_began_anew():
    # 2036-02-07 06:28:16 is second 0 again
    global _UNIX
    before, _UNIX = _UNIX, 2_085_978_496 + 1000
    offset_ms, right_ms = await _offset_ms()
    _UNIX = before
    assert abs(offset_ms - right_ms) <= 20


async def test_getaddrinfo_would_have_stopped_everything():
    # the reason for udpask.lookup, and that the virtual board would show it
    await _in_network(dns=None)
    began_ms = vclock.now_ms()
    try:
        socket.getaddrinfo("db.lan", 80)
        raise AssertionError("found")
    except OSError:
        assert vclock.now_ms() - began_ms >= 5000
