"""What a real Home Assistant makes of it: discovery by its own schema, and a month filled in."""

import contextlib
import functools
import json
import math
import random
import subprocess
import time

import ports
import pytest
import seeds
from mosquitto_server import PASSWORD, USER, broker
from shardfiles import anchor, data, write

import batmon
from batmon.cli import main
from batmon.log import homeassistant, hourly
from batmon.paths import BUILD, ROOT

pytestmark = pytest.mark.campaign
_PYTHON = BUILD / "homeassistant/bin/python"
_SCRIPT = ROOT / "tests/host/homeassistant_real.py"
_START = 1_767_247_200
_HOUR = 3600


@pytest.fixture(autouse=True)
def installed():
    """host/homeassistant.sh makes the environment, `make campaign` runs that."""
    if not _PYTHON.exists():
        pytest.skip("there is no build/homeassistant; `sh host/homeassistant.sh` makes it")


@contextlib.contextmanager
def _running(folder, unique_ids):
    """Run a Home Assistant; yields (URL, token)."""
    port = ports.free()
    command = [_PYTHON, _SCRIPT, "serve", folder, str(port), *unique_ids]
    with open(folder / "words", "w") as words:
        server = subprocess.Popen(command, stdout=words, stderr=words)
    try:
        end = time.monotonic() + 180
        while "\ntoken " not in "\n" + (said := (folder / "words").read_text()):
            assert server.poll() is None and time.monotonic() < end, said
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}", said.split("token ")[1].split()[0]
    finally:
        server.kill()
        server.wait()


def test_discovery_is_what_its_schema_takes(run, tmp_path):
    settings = {
        "poll_s": 8,
        "wifi": {"ssid": "home", "password": "", "ntp": ""},
        "mqtt": {"host": "mq.lan", "user": USER, "password": PASSWORD},
    }
    network = {"ssid": "home", "password": "", "dns": {"mq.lan": "127.0.0.1"}}
    with broker(tmp_path) as server:
        settings["mqtt"]["port"] = server.port
        functools.partial(run, chip="s3")(10, settings=settings, network=network)
        server.until_last("batmon/246f28000001/status", "offline")
    configs = [message for message in server.messages if message[0].endswith("/config")]
    assert len(configs) == 16
    lines = "".join(json.dumps(message) + "\n" for message in configs)
    done = subprocess.run([_PYTHON, _SCRIPT, "check"], input=lines, capture_output=True, text=True)
    taken = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert len(taken) == 16, done.stderr
    assert all(one["lost"] == [] for one in taken), taken
    assert len({one["unique_id"] for one in taken}) == 16
    told = {topic for topic, _ in server.messages}
    assert all(one["state_topic"] in told for one in taken)
    # `batmon send` finds the sensors by these
    expected = {f"batmon_246f28000001_jk_pak01_{kind.key}" for kind in hourly.KINDS}
    assert expected <= {one["unique_id"] for one in taken}


def test_a_month_is_filled_in_and_again(tmp_path, monkeypatch, capsys):
    folder, place = tmp_path / "log", tmp_path / "ha"
    folder.mkdir()
    place.mkdir()
    chance = random.Random(seeds.new())
    frames, now_s = [anchor(0, _START)], 0
    while now_s < 31 * 86_400:
        now_s += chance.choice((2, 10, 60, 600, 1500))
        amps = 30 * math.sin(now_s / 14_000) + chance.uniform(-3, 3)
        frames.append(data(now_s & 0xFFFF, 13 + chance.uniform(-0.5, 0.8), amps))
    for number, at in enumerate(range(0, len(frames), 2000), 1):
        write(folder, f"van-{number:05}.raw", frames[at : at + 2000])
    even = batmon.read(folder, every="1h")
    even.index = even["time_utc"].astype("datetime64[s, UTC]").astype("int64")
    ids = [f"batmon_246f28000001_van_{kind.key}" for kind in hourly.KINDS]
    with _running(place, ids) as (url, token):
        monkeypatch.setenv(homeassistant.TOKEN, token)
        assert main(["send", str(folder), "--home-assistant", url]) == 0
        server = homeassistant.HomeAssistant(url)
        names = homeassistant.statistic_ids(server, "van")
        assert all(name.startswith("sensor.") for name in names.values())
        first = _settled(server, names)
        for key in ("energy_in", "energy_out", "charge_in", "charge_out"):
            rows = first[names[key]]
            column, scale = (f"{key}_Wh", 1000) if "energy" in key else (f"{key}_Ah", 1)
            assert len(rows) >= 31 * 24 - 2
            before = 0
            for row in rows:
                step = even[column].loc[row["start"] // 1000] / scale
                assert row["sum"] - before == pytest.approx(step, abs=1e-6)
                before = row["sum"]
        for row in first[names["voltage"]]:
            assert row["mean"] == pytest.approx(even["voltage_V"].loc[row["start"] // 1000])
            assert row["min"] <= row["mean"] <= row["max"]
        capsys.readouterr()
        assert main(["send", str(folder), "--home-assistant", url]) == 0
        assert "0 new or changed rows" in capsys.readouterr().out
        assert _settled(server, names) == first


def _settled(server, names):
    """Return all statistics as soon as they no longer change: they are written behind."""
    before = None
    while True:
        found = server.ask(
            "recorder/statistics_during_period",
            start_time="2020-01-01T00:00:00+00:00",
            statistic_ids=sorted(names.values()),
            period="hour",
            types=["mean", "min", "max", "sum", "state"],
        )
        if found == before and len(found) == len(names):
            return found
        before = found
        time.sleep(2)
