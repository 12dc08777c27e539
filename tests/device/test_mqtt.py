# The MQTT sink: what a broker gets of good and bad samples, and while it is not there
import asyncio
import json
import os
import random

import half
import network
import vclock
from clock import Clock
from shards import counters, frame, sums
from sinks.mqtt import Counters, Mqtt
from sinks.wifi import Wifi

_BROKER = ("10.0.0.9", 1883)
_SAMPLE = {
    "voltage": 52.971,
    "current": -2.329,
    "temperature": 19.25,
    "battery_level": 56,
    "cell_voltages": [3.312, 3.3104, None, 3.3146],
}


class _Part:
    pass


class _Driver:
    INFO = {"manufacturer": "Jikong", "model": "smart BMS"}


class _Board:
    """A sink with its batteries, network and broker."""

    def __init__(self, n=1, **settings):
        network.world.update(
            {"ssid": "net", "password": "", "dns": {"broker.lan": _BROKER[0]}, "drop_s": 0}
        )
        network.WLAN().active(False)
        self.clock = Clock()
        self.batteries = []
        for i in range(n):
            battery = _Part()
            battery.name = "jk-%d" % i
            battery.sample = None
            battery.sample_s = 0
            battery.status = _Part()
            battery.status.alarm = ""
            battery.status.link = "connected"
            battery.link = _Part()
            battery.link.driver = _Driver
            battery.store = _Part()
            battery.store.name = "jk_%d" % i
            battery.store.message = ""
            battery.store.path = "/tmp/batmon-test-mqtt"  # with no counters in it
            self.batteries.append(battery)
        self.settings = {
            "mqtt.host": "broker.lan",
            "mqtt.port": _BROKER[1],
            "mqtt.user": "",
            "mqtt.password": "",
            "mqtt.polls": False,
            "mqtt.discovery": "homeassistant",
            "poll_s": 2,
        }
        self.settings.update(settings)
        self.messages = []  # (topic, text) in the order they came
        self.retained = {}
        self.refuse = 0
        network.tcp[_BROKER] = self.answer
        self.sink = Mqtt(self.settings, self.clock, self.batteries, Wifi("net", ""), "0.2.0")
        self.task = asyncio.create_task(self.sink.run())

    def answer(self, packet):
        """Be the broker."""
        kind = packet[0] & 0xF0
        if kind == 0x10:
            return bytes((0x20, 2, 0, self.refuse))
        if kind == 0xC0:
            return b"\xd0\0"
        at = 3 if packet[1] > 127 else 2
        n = packet[at] << 8 | packet[at + 1]
        topic = str(packet[at + 2 : at + 2 + n], "utf-8")
        text = str(packet[at + 4 + n :], "utf-8")
        self.messages.append((topic, text))
        assert packet[0] & 1
        self.retained[topic] = text
        return bytes((0x40, 2)) + packet[at + 2 + n : at + 4 + n]

    def poll(self, i=0, stored=True, **changes):
        battery = self.batteries[i]
        battery.sample = dict(_SAMPLE)
        battery.sample.update(changes)
        battery.sample_s = self.clock.uptime_s()
        if stored:
            self.sink.frames(battery, None, 1)
        self.sink.sample(battery, self.clock.uptime_ms(), battery.sample)

    async def polls(self, seconds, **changes):
        for _ in range(seconds // 2):
            for i in range(len(self.batteries)):
                self.poll(i, **changes)
            await asyncio.sleep(2)

    def states(self, i=0):
        topic = "batmon/246f28000001/jk_%d/state" % i
        return [json.loads(text) for where, text in self.messages if where == topic]

    async def end(self):
        self.task.cancel()
        self.sink.close()
        await asyncio.sleep_ms(0)


async def test_values_arrive_as_they_were_polled():
    board = _Board()
    await board.polls(60)
    board.messages.clear()
    board.poll()
    await asyncio.sleep(1)
    (state,) = board.states()
    for key, value in (
        ("soc", 56),
        ("voltage", 52.971),
        ("current", -2.329),
        ("power", -123.4),
        ("temperature", 19.25),
        ("cell_min", 3310),
        ("cell_max", 3315),
        ("cell_spread", 5),
        ("charge_in", 0),
    ):
        assert abs(state[key] - value) < 0.052, (key, state)
    assert state["charging"] == "OFF" and state["problem"] == "OFF"
    assert board.retained["batmon/246f28000001/status"] == "online"
    assert board.retained["batmon/246f28000001/jk_0/status"] == "online"
    words = json.loads(board.retained["batmon/246f28000001/jk_0/diagnostics"])
    assert words == {"link": "connected", "log": "ok"}
    await board.end()


async def test_what_is_unknown_is_null():
    board = _Board()
    await board.polls(60)
    nan = float("nan")
    for bad in (None, nan):
        board.messages.clear()
        changes = {key: bad for key in ("voltage", "current", "temperature", "battery_level")}
        board.poll(cell_voltages=None, **changes)
        await asyncio.sleep(1)
        (state,) = board.states()
        for key in ("soc", "voltage", "current", "power", "temperature", "cell_min", "cell_spread"):
            assert state[key] is None
        assert state["charging"] == "None" and state["problem"] == "OFF"
    await board.end()


async def test_frames_or_polls():
    for polls in (False, True):
        board = _Board(**{"mqtt.polls": polls})
        await board.polls(60)
        board.messages.clear()
        for i in range(30):
            board.poll(stored=i % 10 == 0, voltage=50 + i)
            await asyncio.sleep(2)
        told = [state["voltage"] for state in board.states()]
        assert told == ([50 + i for i in range(30)] if polls else [50, 60, 70])
        await board.end()


async def test_without_frames_the_values_are_told_every_five_minutes():
    board = _Board()
    await board.polls(60)
    board.messages.clear()
    await board.polls(3600, stored=False)
    assert 11 <= len(board.states()) <= 13
    await board.end()


async def test_each_value_is_announced_with_where_it_comes_from():
    board = _Board(2)
    await board.polls(60)
    found = [topic for topic in board.retained if topic.startswith("homeassistant/")]
    assert len(found) == 32
    names = set()
    for topic in found:
        config = json.loads(board.retained[topic])
        names.add(config["uniq_id"])
        where = config["stat_t"].replace("~", config["~"])
        key = config["val_tpl"][len("{{value_json.") : -2]
        assert key in json.loads(board.retained[where]), topic
        for place in config["avty"]:
            assert board.retained[place["t"].replace("~", config["~"])] == "online"
        assert config["dev"]["mf"] == "Jikong" and config["dev"]["name"] in ("jk-0", "jk-1")
    assert len(names) == 32
    await board.end()


async def test_no_discovery_where_it_is_not_wanted():
    board = _Board(**{"mqtt.discovery": ""})
    await board.polls(60)
    assert sorted(topic.split("/")[-1] for topic in board.retained) == [
        "diagnostics",
        "state",
        "status",
        "status",
    ]
    await board.end()


async def test_a_broker_that_comes_back_gets_the_newest_only_and_all_it_forgot():
    board = _Board()
    await board.polls(60)
    silent = network.tcp.pop(_BROKER)

    def dead(packet):
        raise OSError(104)

    network.tcp[_BROKER] = dead
    for i in range(600):
        board.poll(voltage=40 + i / 100)
        await asyncio.sleep(2)
    board.messages.clear()
    board.retained.clear()
    network.tcp[_BROKER] = silent
    for _ in range(200):
        await asyncio.sleep(2)
        board.poll(voltage=60)
    told = [state["voltage"] for state in board.states()]
    assert told and min(told) == 60
    assert len(board.retained) == 20
    assert board.messages[0] == ("batmon/246f28000001/status", "online")
    await board.end()


async def test_old_values_make_the_battery_offline_not_the_board():
    board = _Board()
    await board.polls(60)
    board.batteries[0].status.link = "link lost, retry 3 in 4 s"
    await asyncio.sleep(120)
    assert board.retained["batmon/246f28000001/jk_0/status"] == "offline"
    assert board.retained["batmon/246f28000001/status"] == "online"
    words = json.loads(board.retained["batmon/246f28000001/jk_0/diagnostics"])
    assert words["link"] == "link lost"
    n = len(board.messages)
    for i in range(10):
        board.batteries[0].status.link = "link lost, retry %d in 60 s" % i
        await asyncio.sleep(60)
    assert len(board.messages) == n
    await board.polls(10)
    assert board.retained["batmon/246f28000001/jk_0/status"] == "online"
    await board.end()


async def test_words_of_any_kind_are_json():
    board = _Board()
    await board.polls(60)
    for words in ('a "quoted" \\ word', "Küche ☀", "x" * 500):
        board.batteries[0].status.link = board.batteries[0].store.message = words
        await asyncio.sleep(10)
        told = json.loads(board.retained["batmon/246f28000001/jk_0/diagnostics"])
        assert told["link"][:3] == words[:3].replace('"', "'")
    await board.end()


async def test_troubles_take_no_turn_of_the_loop_and_it_tries_for_ever():
    for trouble in ("no name server", "unknown name", "refused", "nobody", "garbage"):
        board = _Board()
        network.world["dns"] = {
            "no name server": None,
            "unknown name": {},
        }.get(trouble, {"broker.lan": _BROKER[0]})
        good = network.tcp[_BROKER]
        if trouble == "refused":
            board.refuse = 5
        if trouble == "nobody":
            network.tcp.clear()
        if trouble == "garbage":
            network.tcp[_BROKER] = lambda packet: b"HTTP/1.1 400 Bad Request\r\n\r\n"
        worst_ms = 0
        for _ in range(1800):
            board.poll()
            before_ms = vclock.now_ms()
            await asyncio.sleep(2)
            worst_ms = max(worst_ms, vclock.now_ms() - before_ms - 2000)
        assert worst_ms <= 50, (trouble, worst_ms)
        assert not board.messages
        board.refuse = 0
        network.tcp[_BROKER] = good
        network.world["dns"] = {"broker.lan": _BROKER[0]}
        await board.polls(700)
        assert board.states(), trouble
        await board.end()


def _counted(samples):
    counters = Counters()
    for at_ms, volts, amps in samples:
        counters.add(at_ms, volts, amps)
    return counters.whole


def test_counters_lose_nothing_for_a_week():
    for amps, volts in ((0.011, 13.3), (-0.011, 52.0), (87.3, 13.1), (-250.0, 48.0)):
        n = 7 * 43_200
        whole = _counted((i * 2000, volts, amps) for i in range(n + 1))
        ah = abs(amps) * n * 2 / 3600
        mine = whole[0] if amps > 0 else whole[1]
        assert abs(mine / 100 - ah) <= 0.011 + ah * 2e-6, (amps, mine, ah)
        wh = ah * volts
        mine = whole[2] if amps > 0 else whole[3]
        assert abs(mine - wh) <= 1.1 + wh * 2e-6, (amps, mine, wh)
        assert whole[1 if amps > 0 else 0] == whole[3 if amps > 0 else 2] == 0


def test_counters_take_any_sample_and_no_gap():
    random.seed(3)
    values = (None, float("nan"), float("inf"), -float("inf"), 0, 1e9, -5, 13.2)
    samples = [(i * 2000, random.choice(values), random.choice(values)) for i in range(500)]
    whole = _counted(samples)
    assert all(n >= 0 for n in whole)
    assert _counted([(0, 13, 10), (3_600_000, 13, 10)]) == [0, 0, 0, 0]
    assert _counted([(0, 13, 10), (36_000, 13, 10), (72_000, None, 10)])[0] == 20


async def test_lifetime_counters_are_told_when_there_are_any():
    board = _Board()
    name = "batmon/246f28000001/jk_0/lifetime"
    await board.polls(120)
    assert name not in board.retained and len(board.retained) == 20, board.retained.keys()
    path = board.batteries[0].store.path
    try:
        os.mkdir(path)
    except OSError:
        pass  # of an earlier run
    counted = counters.Counters()
    counted.begin(1)
    data = bytearray(frame.SIZE)
    for i in range(100):
        volts, amps = half.encode(13.2), half.encode(-36.0)
        frame.pack_data(data, 0, 60 * i, volts, amps, 120, 100, 3290, 3310, 0)
        counted.put(data, 0)
    sums.save(path, "jk_0", counted.n)
    try:
        await board.polls(700)
    finally:
        os.remove(path + "/jk_0.sum")
        os.rmdir(path)
    told = json.loads(board.retained[name])
    assert abs(told["ever_charge_out"] - 59.4) < 0.06 and told["ever_charge_in"] == 0
    assert abs(told["ever_energy_out"] - 0.784) < 0.06 and told["ever_soc_min"] == 50
    assert (told["ever_cell_min"], told["ever_cell_max"]) == (3290, 3310)
    assert told["ever_since_full"] is None and told["ever_full"] == 0
    configs = [json.loads(board.retained[topic]) for topic in board.retained if "/ever_" in topic]
    assert len(configs) == len(told) == 10
    for config in configs:
        assert config["stat_t"].replace("~", config["~"]) == name and "exp_aft" not in config
        assert config["val_tpl"][len("{{value_json.") : -2] in told
    await board.end()
