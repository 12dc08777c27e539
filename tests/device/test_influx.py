# The InfluxDB sink: what arrives at a server, and what happens while nothing can
import asyncio
import socket

import half
import network
import usocket
import vclock
from clock import Clock
from shards import frame
from sinks import influx
from sinks.influx import Influx
from sinks.wifi import Wifi

_UNIX = 1_790_000_000
_PORT = 18089  # of the first free port
_SAMPLE = {
    "voltage": 52.971,
    "current": -2.329,
    "temperature": 19.25,
    "battery_level": 56,
    "cell_voltages": [3.312, 3.3104, 3.3146],
}


class _Store:
    """As much of the store as the sink knows: how uptime becomes unix time."""

    cells = 0
    name = "jk_pak01"

    def __init__(self, clock):
        self._clock = clock
        self.unix_offset_s = 0
        self.tick()

    def tick(self):
        unix_s = self._clock.unix_s()
        self.unix_offset_s = unix_s - self._clock.uptime_s() if unix_s else 0


class _Battery:
    def __init__(self, store):
        self.store = store


class _Server:
    """A UDP socket of this PC; what it got as (measurement and tags, fields, time)."""

    def __init__(self):
        self._socket = usocket.socket(usocket.AF_INET, usocket.SOCK_DGRAM)
        self.port = _PORT
        while True:
            try:
                self._socket.bind(usocket.getaddrinfo("127.0.0.1", self.port)[0][-1])
                break
            except OSError:
                self.port += 1
        self._socket.setblocking(False)
        self.longest = 0

    def lines(self):
        """Return the lines that came since the last call."""
        lines = []
        while True:
            try:
                packet = self._socket.recvfrom(65536)[0]
            except OSError:
                return lines
            self.longest = max(self.longest, len(packet))
            assert packet.endswith(b"\n")
            lines.extend(str(packet[:-1], "utf-8").split("\n"))

    def close(self):
        self._socket.close()


class _Board:
    """A sink with its surroundings; `on` joins the network and waits until it could send."""

    def __init__(self, known=True, ntp="time.lan", **settings):
        vclock.set_rtc(_UNIX * 1000 + vclock.now_ms() if known else None)
        self.server = _Server()
        self.clock = Clock()
        self.store = _Store(self.clock)
        self.battery = _Battery(self.store)
        self.settings = {
            "influx.host": "db.lan",
            "influx.port": self.server.port,
            "influx.measurement": "battery",
            "influx.battery": "",
            "influx.board": "van",
            "influx.polls": False,
            "influx.cells": False,
        }
        self.settings.update(settings)
        network.world.update(
            {
                "ssid": "net",
                "password": "open sesame",
                "unix": _UNIX,
                "ntp": {"10.0.0.5": {}},
                "dns": {"time.lan": "10.0.0.5", "db.lan": "127.0.0.1"},
                "drop_s": 0,
            }
        )
        network.WLAN().active(False)
        self.wifi = Wifi("net", "open sesame", ntp, self.clock)
        self.sink = Influx(self.settings, self.wifi, self.clock, [self.battery])
        self.task = asyncio.create_task(self.sink.run([]))

    def unix_s(self):
        """What is right, in the second that has begun."""
        return _UNIX + vclock.now_ms() // 1000

    def frame(self, n=1, **changes):
        """Give the sink `n` frames of now; return the second they are of."""
        values = {"voltage": 52.96875, "current": -2.328125, "temperature": 118, "soc": 112}
        values.update({"low": 3310, "high": 3315, "index": 16 * 2 + 1}, **changes)
        buf = bytearray(frame.SIZE * n)
        for i in range(n):
            frame.pack_data(
                buf,
                i * frame.SIZE,
                self.clock.uptime_s(),
                half.encode(values["voltage"]),
                half.encode(values["current"]),
                values["temperature"],
                values["soc"],
                values["low"],
                values["high"],
                values["index"],
            )
        self.sink.frames(self.battery, buf, n)
        return self.unix_s()

    async def end(self):
        self.task.cancel()
        self.server.close()
        await asyncio.sleep_ms(0)


async def test_frame_arrives_with_its_types_and_its_time():
    board = _Board()
    await asyncio.sleep(60)
    unix_s = board.frame()
    await asyncio.sleep(10)
    (line,) = board.server.lines()
    head, fields, stamp = line.split(" ")
    assert head == "battery,battery=jk_pak01,board=van"
    assert fields == (
        "voltage_V=52.969,current_A=-2.328,temperature_degC=19.0,soc_percent=56.0,"
        "cell_min_mV=3310i,cell_max_mV=3315i,cell_min_index=2i,cell_max_index=3i"
    )
    assert abs(int(stamp) - unix_s * 1_000_000_000) <= 1_000_000_000
    assert stamp.endswith("000000000")
    assert board.sink.lost == 0
    await board.end()


async def test_what_is_unknown_is_left_out():
    board = _Board()
    await asyncio.sleep(60)
    unknown = {"temperature": 255, "soc": 255, "low": 65535, "high": 65535, "index": 255}
    board.frame(current=float("nan"), **unknown)
    board.frame(current=float("inf"), **unknown)
    event = bytearray(frame.SIZE)
    frame.pack_event(event, 0, board.clock.uptime_s(), frame.GAP, 100)
    board.sink.frames(board.battery, event, 1)
    await asyncio.sleep(10)
    assert [line.split(" ")[1] for line in board.server.lines()] == ["voltage_V=52.969"] * 2
    await board.end()


async def test_frames_of_one_second_do_not_replace_each_other():
    board = _Board()
    await asyncio.sleep(60)
    board.frame(n=3)
    await asyncio.sleep(10)
    stamps = [int(line.split(" ")[2]) for line in board.server.lines()]
    assert [stamp - stamps[0] for stamp in stamps] == [0, 1_000_000, 2_000_000]
    await board.end()


async def test_frames_wait_for_the_time_and_get_it():
    board = _Board(known=False)
    await asyncio.sleep(1)
    early_s = board.frame()
    network.world["ntp"] = {"10.0.0.5": {"silent": True}}
    await asyncio.sleep(600)
    assert board.server.lines() == []
    late_s = board.frame()
    network.world["ntp"] = {"10.0.0.5": {}}
    await asyncio.sleep(1200)
    stamps = [int(line.split(" ")[2]) // 1_000_000_000 for line in board.server.lines()]
    assert len(stamps) == 2
    assert abs(stamps[0] - early_s) <= 1 and abs(stamps[1] - late_s) <= 1
    await board.end()


async def test_hours_of_wrong_times_sends_nothing():
    century_s = 100 * 365 * 86400
    for server in ({"step_s": 5}, {"stratum": 0}, {"wrong_s": century_s}, {"delay_ms": 1500}):
        board = _Board(known=False)
        network.world["ntp"] = {"10.0.0.5": server}
        for _ in range(10):
            board.frame()
            await asyncio.sleep(3600)
        assert board.server.lines() == [] and board.clock.unix_s() == 0
        await board.end()


async def test_clock_is_set_again_every_day():
    board = _Board()
    await asyncio.sleep(60)
    vclock.set_rtc((_UNIX + 3600) * 1000 + vclock.now_ms())  # an hour wrong
    await asyncio.sleep(86_400)
    assert abs(board.clock.unix_s() - board.unix_s()) <= 1
    unix_s = board.frame()
    await asyncio.sleep(10)
    (line,) = board.server.lines()
    assert abs(int(line.split(" ")[2]) // 1_000_000_000 - unix_s) <= 1
    await board.end()


async def test_without_a_time_server_the_clock_is_left_alone():
    board = _Board(known=False, ntp="")
    board.frame()
    await asyncio.sleep(3600)
    assert board.server.lines() == [] and board.clock.unix_s() == 0
    vclock.set_rtc(_UNIX * 1000 + vclock.now_ms())  # as `mpremote rtc --set`
    board.store.tick()
    await asyncio.sleep(10)
    assert len(board.server.lines()) == 1
    await board.end()


async def test_polls_and_cells():
    board = _Board(**{"influx.polls": True, "influx.cells": True})
    await asyncio.sleep(60)
    now_ms = board.clock.uptime_ms()
    unix_ms = _UNIX * 1000 + vclock.now_ms()
    board.sink.sample(board.battery, now_ms, _SAMPLE)
    await asyncio.sleep(10)
    poll, cells = board.server.lines()
    head, fields, stamp = poll.split(" ")
    assert head == "battery_poll,battery=jk_pak01,board=van"
    assert fields in (
        "voltage_V=52.971,current_A=-2.329,temperature_degC=%s,soc_percent=56.0" % t
        for t in ("19.2", "19.3")
    )
    assert abs(int(stamp) // 1_000_000 - unix_ms) <= 1000
    head, fields, _ = cells.split(" ")
    assert head == "battery_cells,battery=jk_pak01,board=van"
    assert fields == "cell_1_mV=3312i,cell_2_mV=3310i,cell_3_mV=3315i"
    await board.end()


async def test_cells_alone_come_with_the_frames():
    board = _Board(**{"influx.cells": True})
    await asyncio.sleep(60)
    board.sink.sample(board.battery, board.clock.uptime_ms(), _SAMPLE)
    board.frame()
    board.sink.sample(board.battery, board.clock.uptime_ms(), _SAMPLE)
    board.sink.sample(board.battery, board.clock.uptime_ms(), _SAMPLE)
    await asyncio.sleep(10)
    heads = [line.split(",")[0] for line in board.server.lines()]
    assert heads == ["battery", "battery_cells"]
    await board.end()


async def test_samples_of_any_make_are_taken():
    board = _Board(**{"influx.polls": True, "influx.cells": True})
    await asyncio.sleep(60)
    for sample in (
        {"voltage": 13.2},
        {"voltage": 13.2, "current": float("nan"), "cell_voltages": []},
        {"voltage": 13.2, "temperature": float("nan")},
        {"voltage": 13.2, "current": None, "temperature": None, "cell_voltages": None},
        {"voltage": 700, "current": 0, "cell_voltages": [3.5] * 200},
    ):
        board.sink.sample(board.battery, board.clock.uptime_ms(), sample)
    await asyncio.sleep(10)
    lines = board.server.lines()
    assert [line.split(" ")[1] for line in lines] == ["voltage_V=13.200"] * 4 + [
        "voltage_V=700.000,current_A=0.000"
    ]
    assert board.sink.lost == 1  # 200 cells do not fit into a line
    await board.end()


async def test_names_are_escaped():
    for name, escaped in (
        ("my van", "my\\ van"),
        ("a,b=c", "a\\,b\\=c"),
        ("Küche ☀", "Küche\\ ☀"),
        ("C:\\x\\", "C:/x/"),
        ("two\nlines", "two\\ lines"),
        ("x" * 99, "x" * 64),
    ):
        board = _Board(**{"influx.board": name, "influx.battery": name, "influx.measurement": name})
        await asyncio.sleep(60)
        board.frame()
        await asyncio.sleep(10)
        (line,) = board.server.lines()
        tags = ",battery=%s,board=%s voltage_V=" % (escaped, escaped)
        assert line.startswith(escaped.replace("\\=", "=") + tags), line
        await board.end()
    for name, measurement in (("#1 van", "1\\ van"), ("##", "battery"), ("", "battery")):
        board = _Board(**{"influx.measurement": name})
        await asyncio.sleep(60)
        board.frame()
        await asyncio.sleep(10)
        assert board.server.lines()[0].startswith(measurement + ",battery=jk_pak01,")
        await board.end()


async def test_packets_are_full_but_never_too_large():
    long = "☀, =" * 16
    board = _Board(
        **{
            "influx.board": long,
            "influx.battery": long,
            "influx.measurement": long,
            "influx.polls": True,
            "influx.cells": True,
        }
    )
    await asyncio.sleep(60)
    lines = []
    for cells in (32, 4):
        sample = dict(_SAMPLE)
        sample["cell_voltages"] = [3.3] * cells
        for _ in range(60):
            board.sink.sample(board.battery, board.clock.uptime_ms(), sample)
            await asyncio.sleep(1)
            lines.extend(board.server.lines())
    await asyncio.sleep(10)
    lines.extend(board.server.lines())
    assert len(lines) == 240 and board.sink.lost == 0
    assert 1000 < board.server.longest <= 1432
    await board.end()


async def test_outage_keeps_the_newest_frames_and_counts_the_others():
    board = _Board(**{"influx.polls": True})
    await asyncio.sleep(60)
    network.world["ssid"] = "elsewhere"
    network.WLAN().disconnect()
    await asyncio.sleep(60)
    given = []
    for _ in range(300):
        given.append(board.frame())
        board.sink.sample(board.battery, board.clock.uptime_ms(), _SAMPLE)
        await asyncio.sleep(60)
    assert board.server.lines() == []
    network.world["ssid"] = "net"
    await asyncio.sleep(1200)
    stamps = [int(line.split(" ")[2]) // 1_000_000_000 for line in board.server.lines()]
    assert 80 <= len(stamps) < 300
    assert all(abs(a - b) <= 1 for a, b in zip(stamps, given[-len(stamps) :]))
    assert board.sink.lost == 300 + 300 - len(stamps)
    await board.end()


async def test_silent_name_server_later_answers():
    board = _Board()
    network.world["dns"] = None
    board.frame()
    await asyncio.sleep(600)
    assert board.server.lines() == []
    network.world["dns"] = {"time.lan": "10.0.0.5", "db.lan": "127.0.0.1"}
    await asyncio.sleep(120)
    assert len(board.server.lines()) == 1
    network.world["dns"] = None  # what is known already stays in use
    await asyncio.sleep(7200)
    board.frame()
    await asyncio.sleep(10)
    assert len(board.server.lines()) == 1
    await board.end()


async def test_what_cannot_be_sent_waits():
    board = _Board()
    await asyncio.sleep(60)
    sendto = socket.socket.sendto

    def refuse(self, data, address):
        if address[1] == board.server.port:
            raise OSError(12)
        return sendto(self, data, address)

    socket.socket.sendto = refuse
    board.frame()
    await asyncio.sleep(600)
    socket.socket.sendto = sendto
    assert not board.server.lines()
    await asyncio.sleep(10)
    assert len(board.server.lines()) == 1 and board.sink.lost == 0
    await board.end()


async def test_server_that_moved_is_found_within_the_hour():
    board = _Board()
    network.world["dns"]["db.lan"] = "10.0.0.77"
    await asyncio.sleep(60)
    network.world["dns"]["db.lan"] = "127.0.0.1"
    await asyncio.sleep(3660)
    board.frame()
    await asyncio.sleep(10)
    assert len(board.server.lines()) == 1
    await board.end()


async def test_sink_is_on_the_list_while_it_runs():
    board = _Board()
    sinks = []
    task = asyncio.create_task(
        influx.run(board.settings, sinks, board.clock, [board.battery], board.wifi)
    )
    await asyncio.sleep(1)
    assert len(sinks) == 1
    task.cancel()
    await asyncio.sleep_ms(0)
    assert sinks == []
    await board.end()


async def test_close_sends_what_it_can():
    board = _Board()
    await asyncio.sleep(60)
    board.frame()
    board.sink.close()
    assert len(board.server.lines()) == 1
    network.WLAN().active(False)
    board.frame()
    board.sink.close()  # and that is all: it must not wait
    await board.end()


async def test_several_batteries_each_with_its_tag():
    board = _Board(**{"influx.polls": True, "influx.battery": "one"})
    board.task.cancel()
    other = _Battery(_Store(board.clock))
    other.store.name = "house"
    other.store.cells = 32
    absent = _Battery(None)  # it was never in reach: nobody knows its name
    sink = Influx(board.settings, board.wifi, board.clock, [board.battery, absent, other])
    board.task = asyncio.create_task(sink.run([]))
    board.sink = sink
    await asyncio.sleep(60)
    board.frame(2)
    board.battery, first = other, board.battery
    board.frame()
    sink.sample(first, board.clock.uptime_ms(), _SAMPLE)
    sink.sample(other, board.clock.uptime_ms(), _SAMPLE)
    await asyncio.sleep(10)
    lines = board.server.lines()
    heads = [line.split(" ")[0] for line in lines]
    assert heads == [
        "battery,battery=jk_pak01,board=van",
        "battery,battery=jk_pak01,board=van",
        "battery,battery=house,board=van",
        "battery_poll,battery=jk_pak01,board=van",
        "battery_poll,battery=house,board=van",
    ]
    # each counts its own cells, and its own frames of one second
    assert "cell_min_index=2i" in lines[0] and "cell_min_index=3i,cell_min_index_to=4i" in lines[2]
    stamps = [line.split(" ")[2] for line in lines[:3]]
    assert stamps[0] == stamps[2] != stamps[1]
    await board.end()
