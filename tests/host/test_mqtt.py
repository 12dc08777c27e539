"""Live to a real Mosquitto: what the board tells arrives, and costs the log nothing."""

import functools
import json
import os
import signal
import threading
import time

import pandas as pd
import pytest
from mosquitto_server import PASSWORD, USER, broker

_RARELY = {"poll_s": 60, "lcd": {"fitted": False}}  # such polls are frames one and all
_QUICK = {"heap": "4m", "lcd": "none"}
_CODE = {"phone": "123456"}  # a random one is shown in a random time
_TOPIC = "batmon/246f28000001/jk_pak01"
_BOARD = "batmon/246f28000001/status"


@pytest.fixture
def run(run):
    """The board on a chip with room for WiFi."""
    return functools.partial(run, chip="s3")


def _settings(port: int, **mqtt) -> dict:
    return {
        "poll_s": 8,  # a quarter of the time that the usual 2 s take here
        "wifi": {"ssid": "home", "password": "pass word", "ntp": ""},
        "mqtt": {"host": "mq.lan", "port": port, "user": USER, "password": PASSWORD, **mqtt},
    } | _CODE


def _network(**changes) -> dict:
    world = {"ssid": "home", "password": "pass word", "dns": {"mq.lan": "127.0.0.1"}}
    return world | changes


def _states(messages) -> list[dict]:
    return [json.loads(text) for topic, text in messages if topic == f"{_TOPIC}/state"]


@pytest.mark.parametrize("hours", [8, pytest.param(24, marks=pytest.mark.campaign)])
def test_a_day_arrives_complete_and_in_order(run, tmp_path, hours):
    with broker(tmp_path) as server:
        settings = _settings(server.port, polls=True) | _RARELY
        _, words, _ = run(60 * hours, **_QUICK, settings=settings, network=_network())
        server.until_last(_BOARD, "offline")
    assert "Traceback" not in words and "MQTT: sending to mq.lan" in words
    told = _states(server.messages)
    truth = pd.read_csv(tmp_path / "truth.csv")
    missed = len(truth) - len(told)  # before WiFi was there
    assert 0 <= missed <= 3 and len(told) > 58 * hours
    for state, (_, row) in zip(told, truth[missed:].iterrows(), strict=True):
        assert abs(state["voltage"] - row["voltage"]) < 0.002
        assert abs(state["current"] - row["current"]) < 0.002
        assert abs(state["temperature"] - row["temperature"]) <= 0.051
        assert abs(state["soc"] - row["soc"]) <= 1
        assert (state["cell_min"], state["cell_max"]) == (row["cell_min_mv"], row["cell_max_mv"])
    flowed = truth["current"] * truth["time_s"].diff() / 3600
    for way, ah in (("in", flowed.clip(lower=0).sum()), ("out", -flowed.clip(upper=0).sum())):
        assert told[-1][f"charge_{way}"] == pytest.approx(ah, abs=0.02, rel=0.005)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """What a board without MQTT does: its polls and its shards."""
    return {}


_TROUBLES = {
    "all is well": {},
    "network lost every quarter": {"drop_s": 900},
    "slow DHCP": {"dhcp_ms": 25_000},
    "names are not answered": {"dns": None},
    "names are unknown": {"dns": {}},
    "wrong password": {},
    "broker down": {},
    "broker hangs": {},
    "broker killed and back": {},
}


def _log(folder) -> tuple[bytes, dict[str, bytes]]:
    """Return the polls and the frames on flash."""
    shards = {path.name: path.read_bytes() for path in (folder / "data").glob("*.[rb]*")}
    assert shards
    return (folder / "truth.csv").read_bytes(), shards


_IN_CAMPAIGN = "slow", "names", "broker down"


@pytest.mark.parametrize(
    "trouble",
    [
        pytest.param(one, marks=[pytest.mark.campaign] if one.startswith(_IN_CAMPAIGN) else [])
        for one in _TROUBLES
    ],
)
def test_log_is_as_without_mqtt(run, tmp_path, alone, trouble):
    if not alone:
        run(40, heap="4m", settings={"poll_s": 8} | _CODE)
        alone["log"] = _log(tmp_path)
        (tmp_path / "flash.img").unlink()
        (tmp_path / "truth.csv").unlink()
    with broker(tmp_path) as server:
        changes = {"password": "tomato"} if trouble == "wrong password" else {}
        settings = _settings(server.port, polls=True, **changes)
        again = None
        if trouble == "broker down":
            server.kill()
        if trouble == "broker hangs":
            os.kill(server._server.pid, signal.SIGSTOP)
        if trouble == "broker killed and back":
            again = threading.Thread(target=_kill_and_start, args=(server,))
            again.start()
        network = _network(**_TROUBLES[trouble])
        _, words, _ = run(40, heap="4m", settings=settings, network=network)
        if again:
            again.join()
        bad = ("names", "wrong", "broker down", "broker hangs")
        told = not trouble.startswith(bad)
        if told:
            server.until_last(_BOARD, "offline")
    polls, shards = _log(tmp_path)
    assert shards == alone["log"][1]
    _check_polls(polls, alone["log"][0])
    assert "Traceback" not in words and PASSWORD not in words and "tomato" not in words
    assert bool(_states(server.messages)) == told
    if trouble == "wrong password":
        sentence = "MQTT: mq.lan does not let the board in, check user and password"
        assert words.count(sentence) == 1
    if trouble == "broker killed and back":
        after = server.messages[server.killed_at :]
        assert len(_states(after)) > 10 and (_BOARD, "online") in after
        assert sum(topic.endswith("/config") for topic, _ in after) >= 16  # it had forgotten them


def _check_polls(polls: bytes, alone: bytes):
    """The same values at the same times; to 2 ms, since a real broker's answers come when they do
    and so may move a turn of the virtual board's loop."""
    pairs = zip(polls.decode().splitlines()[1:], alone.decode().splitlines()[1:], strict=True)
    for mine, theirs in pairs:
        at, values = mine.split(",", 1)
        at_alone, values_alone = theirs.split(",", 1)
        assert values == values_alone and abs(float(at) - float(at_alone)) <= 0.0021, mine


def _kill_and_start(server):
    end = time.monotonic() + 120
    while len(_states(server.messages)) < 20 and time.monotonic() < end:
        time.sleep(0.01)
    server.kill()
    server.killed_at = len(server.messages)
    server.start()


def test_memory_is_flat_for_hours(run, tmp_path):
    with broker(tmp_path) as server:
        settings = _settings(server.port, polls=True)
        end, _, _ = run(90, settings=settings, network=_network(drop_s=1800))
    assert end["heap_at"]["end"] <= end["heap_at"]["first_hour"] + 1024


@pytest.mark.campaign
def test_memory_is_flat_for_a_week(run, tmp_path):
    with broker(tmp_path) as server:
        settings = _settings(server.port, polls=True) | _RARELY
        end, words, _ = run(7 * 1440, settings=settings, network=_network(drop_s=3600))
    assert "Traceback" not in words
    heap = end["heap_at"]
    print(json.dumps(heap), len(server.messages), "messages")
    assert heap["day7"] <= heap["day1"] + 1024
