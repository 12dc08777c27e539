"""Live to InfluxDB: what the board sends arrives as it was stored, and costs the log nothing."""

import contextlib
import functools
import json
import re
import socket
import subprocess
import threading
import time
import urllib.parse
import urllib.request
from pathlib import Path

import pandas as pd
import ports
import pytest
from influx_server import influx
from line_protocol_parser import parse_line
from needs import program

import batmon

_UNIX = 1_767_247_200  # when the simulated board starts
_PASSWORD = "correct horse, battery = staple"
# A poll a minute makes a day cheap: such polls are frames one and all.
_RARELY = {"poll_s": 60, "lcd": {"fitted": False}}
_QUICK = {"heap": "4m", "lcd": "none"}
# Boards differ in the phone's code, and so do the bytes that show it and the time that they take.
_CODE = {"phone": "123456"}
_FLOATS = ("voltage_V", "current_A", "temperature_degC", "soc_percent")
_INTEGERS = ("cell_min_mV", "cell_max_mV", "cell_min_index", "cell_max_index")


@pytest.fixture
def run(run):
    """The board on a chip with room for WiFi."""
    return functools.partial(run, chip="s3")


class _Relay:
    """Listens where the board sends, keeps the packets and passes them on to `target`."""

    def __init__(self, target=None):
        self._in = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._in.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self._in.bind(("127.0.0.1", 0))
        self._target = target
        self.port = self._in.getsockname()[1]
        self.packets = []
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self):
        while packet := self._in.recv(65536):
            self.packets.append(packet)
            if self._target:
                self._in.sendto(packet, self._target)

    def close(self):
        """Take what was sent so far, then no more."""
        self._in.sendto(b"", ("127.0.0.1", self.port))
        self._thread.join(120)
        self._in.close()


@contextlib.contextmanager
def _relay(target=None):
    relay = _Relay(target)
    try:
        yield relay
    finally:
        relay.close()


def _settings(port: int, **influx) -> dict:
    return {
        "poll_s": 8,  # a quarter of the time that the usual 2 s take here
        "wifi": {"ssid": "home", "password": _PASSWORD, "ntp": "time.lan"},
        "influx": {"host": "db.lan", "port": port, "board": "cellar", **influx},
    } | _CODE


def _network(**changes) -> dict:
    return {
        "ssid": "home",
        "password": _PASSWORD,
        "dns": {"db.lan": "127.0.0.1", "time.lan": "10.0.0.5"},
        "unix": _UNIX,
        "ntp": {"10.0.0.5": {}},
    } | changes


def _parsed(relay: _Relay) -> list[dict]:
    assert max(map(len, relay.packets)) <= 1432
    lines = b"".join(relay.packets).decode()
    assert lines.endswith("\n")
    return [parse_line(line) for line in lines[:-1].split("\n")]


def _same(row: dict, stored: pd.Series) -> bool:
    """Are the fields of `row` those of the stored frame, as exactly as they are written?"""
    return all(
        row[name] is None if pd.isna(stored[name]) else abs(row[name] - stored[name]) <= margin
        for names, margin in ((_FLOATS, 0.00051), (_INTEGERS, 0))
        for name in names
    )


@pytest.mark.parametrize("hours", [8, pytest.param(24, marks=pytest.mark.campaign)])
def test_a_day_arrives_complete(run, tmp_path, hours):
    names = {"measurement": "my log,a=b", "battery": "van, left = 1", "board": "Küche 2"}
    folder = tmp_path / "influx"
    folder.mkdir()
    with influx(folder) as server:
        with _relay(server.udp) as relay:
            settings = _settings(relay.port, cells=True, **names) | _RARELY
            end, words, _ = run(60 * hours, **_QUICK, settings=settings, network=_network())
        assert "Traceback" not in words and "lost" not in words
        stored = batmon.read(tmp_path / "data")
        assert len(stored) == end["frames"] > 100

        where = r'"my log,a=b"'
        rows = server.wait_for(f"SELECT * FROM {where}", len(stored))
        assert len(rows) == len(stored)
        for row, (_, frame) in zip(rows, stored.iterrows(), strict=True):
            assert row["time"] == frame["time_utc"].timestamp() and _same(row, frame)
            assert (row["battery"], row["board"]) == (names["battery"], names["board"])
        types = {row["fieldKey"]: row["fieldType"] for row in server.query("SHOW FIELD KEYS")}
        assert [types[name] for name in _FLOATS] == ["float"] * 4
        assert [types[name] for name in _INTEGERS] == ["integer"] * 4
        assert types["cell_1_mV"] == "integer"

    # the parser of another implementation reads the same out of the same lines
    lines = _parsed(relay)
    frames = [line for line in lines if line["measurement"] == names["measurement"]]
    assert len(frames) == len(stored)
    for line, (_, frame) in zip(frames, stored.iterrows(), strict=True):
        assert line["time"] == frame["time_utc"].value
        assert _same({name: line["fields"].get(name) for name in types}, frame)
    assert all(
        line["tags"] == {"battery": names["battery"], "board": names["board"]} for line in lines
    )


def test_polls_and_cells_are_what_the_bms_told(run, tmp_path):
    with _relay() as relay:
        run(30, settings=_settings(relay.port, polls=True, cells=True), network=_network())
    lines = _parsed(relay)
    truth = pd.read_csv(tmp_path / "truth.csv")
    polls = [line for line in lines if line["measurement"] == "battery_poll"]
    cells = [line for line in lines if line["measurement"] == "battery_cells"]
    assert len(polls) == len(cells) >= len(truth) - 5  # the first pass before WiFi is there
    for poll, cell in zip(polls, cells, strict=True):
        assert poll["time"] == cell["time"]
        told = truth.iloc[(truth["time_s"] - poll["time"] / 1e9).abs().argmin()]
        assert abs(told["time_s"] - poll["time"] / 1e9) < 1.5
        assert abs(told["voltage"] - poll["fields"]["voltage_V"]) < 0.002
        assert abs(told["current"] - poll["fields"]["current_A"]) < 0.002
        millivolts = [cell["fields"][f"cell_{i}_mV"] for i in range(1, 5)]
        assert (min(millivolts), max(millivolts)) == (told["cell_min_mv"], told["cell_max_mv"])


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """What a board without InfluxDB does: its polls and its shards."""
    return {}


_TROUBLES = {
    "all is well": {},
    "no access point": {"ssid": ""},
    "wrong password": {"password": "another one"},
    "lost every quarter": {"drop_s": 900},
    "slow DHCP": {"dhcp_ms": 25_000},
    "names are not answered": {"dns": None},
    "names are unknown": {"dns": {}},
    "no time server": {"ntp": {}},
    "server down": {},
}


def _log(folder: Path) -> tuple[bytes, dict[str, bytes]]:
    """Return the polls (to the millisecond) and the frames on flash."""
    shards = {path.name: path.read_bytes() for path in (folder / "data").glob("*.[rb]*")}
    assert shards
    return (folder / "truth.csv").read_bytes(), shards


@pytest.mark.parametrize("trouble", _TROUBLES)
def test_log_is_as_without_influx(run, tmp_path, alone, trouble):
    if not alone:
        run(40, heap="4m", settings={"poll_s": 8} | _CODE)
        alone["log"] = _log(tmp_path)
        (tmp_path / "flash.img").unlink()
        (tmp_path / "truth.csv").unlink()
    with _relay() as relay:
        port = ports.free(socket.SOCK_DGRAM) if trouble == "server down" else relay.port
        settings = _settings(port, polls=True, cells=True)
        network = _network(**_TROUBLES[trouble])
        _, words, _ = run(40, heap="4m", settings=settings, network=network)
    assert _log(tmp_path) == alone["log"]
    assert _PASSWORD not in words and "Traceback" not in words
    assert bool(relay.packets) == (
        trouble in ("all is well", "lost every quarter", "slow DHCP", "no time server")
    )


def test_time_steps_do_not_turn_the_log_back(run, tmp_path):
    # The clock was set an hour wrong; the time server corrects it, and steps itself next day.
    day_s = 86_400
    network = _network(unix=_UNIX - 3600, ntp={"10.0.0.5": {"jump": [day_s // 2, 7200]}})
    with _relay() as relay:
        settings = _settings(relay.port) | _RARELY
        run(1.05 * 1440, **_QUICK, settings=settings, network=network)
    stored = batmon.read(tmp_path / "data")
    assert stored["uptime_s"].is_monotonic_increasing
    sent = [line["time"] // 10**9 - _UNIX for line in _parsed(relay)]
    assert len(sent) == len(stored)
    for uptime_s, since_s in zip(stored["uptime_s"], sent, strict=True):
        # both steps were confirmed by a second answer before anything was sent by them
        right_s = uptime_s - 3600 + (7200 if uptime_s > day_s else 0)
        assert abs(since_s - right_s) <= 30 or abs(uptime_s - day_s) < 120


def test_password_of_the_wrong_type_is_not_told(run):
    settings = _settings(8089)
    settings["wifi"]["password"] = 12345678
    _, words, glass = run(5, settings=settings, lcd="20x4", network=_network())
    assert "wifi.password" in words and not re.search("1234567", words + glass)


def test_server_without_a_network_gets_a_sentence(run):
    end, words, _ = run(5, settings={"influx": {"host": "db.lan"}})
    assert "influx.host is set, but wifi.ssid is not" in words
    assert end["connected"] and "failed" not in words


@pytest.mark.campaign
def test_memory_is_flat_for_a_week(run, tmp_path):
    with _relay() as relay:
        settings = _settings(relay.port, polls=True, cells=True)
        network = _network(drop_s=3600)
        end, words, _ = run(7 * 1440, settings=settings, network=network)
    assert "Traceback" not in words
    heap = end["heap_at"]
    print(json.dumps(heap), len(relay.packets), "packets")
    assert heap["day7"] <= heap["day1"] + 1024


@pytest.mark.campaign
def test_victoria_metrics_takes_the_same_lines(run, tmp_path):
    names = {"measurement": "my log,a=b", "battery": "van, left = 1", "board": "Küche 2"}
    with _relay() as relay:
        run(240, settings=_settings(relay.port, **names), network=_network())
    stored = batmon.read(tmp_path / "data")
    with _victoria_metrics(tmp_path / "vm") as (udp, url):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
            for packet in relay.packets:
                out.sendto(packet, udp)
        query = urllib.parse.urlencode({"match[]": '{board="Küche 2"}', "start": _UNIX - 60})
        series = {}
        end = time.monotonic() + 120
        while len(series) < len(_FLOATS + _INTEGERS) and time.monotonic() < end:
            time.sleep(0.2)
            with urllib.request.urlopen(f"{url}/api/v1/export?{query}", timeout=60) as answer:
                found = [json.loads(line) for line in answer]
            series = {one["metric"]["__name__"]: one for one in found}
    for name in _FLOATS + _INTEGERS:
        one = series[f"{names['measurement']}_{name}"]
        assert one["metric"]["battery"] == names["battery"]
        assert one["timestamps"] == [time.value // 10**6 for time in stored["time_utc"]]
        assert max(abs(one["values"] - stored[name].astype(float))) <= 0.00051


@contextlib.contextmanager
def _victoria_metrics(folder: Path):
    """Run a VictoriaMetrics on loopback; yield (its UDP address, its URL)."""
    http, udp = ports.free(), ports.free(socket.SOCK_DGRAM)
    command = [program("victoria-metrics", "victoria-metrics"), f"-storageDataPath={folder}"]
    command += [f"-httpListenAddr=127.0.0.1:{http}", f"-influxListenAddr=127.0.0.1:{udp}"]
    server = subprocess.Popen(
        [*command, "-retentionPeriod=10y"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    url = f"http://127.0.0.1:{http}"
    try:
        end = time.monotonic() + 120
        while time.monotonic() < end:
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"{url}/health", timeout=5).close()
                break
            time.sleep(0.1)
        yield ("127.0.0.1", udp), url
    finally:
        server.kill()
        server.wait()


def test_memory_is_flat_for_hours(run):
    with _relay() as relay:
        settings = _settings(relay.port, polls=True, cells=True)
        end, _, _ = run(120, settings=settings, network=_network(drop_s=1800))
    assert end["heap_at"]["end"] <= end["heap_at"]["first_hour"] + 1024
