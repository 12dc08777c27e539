"""`batmon send --home-assistant`: hours into a Home Assistant that speaks its messages."""

import itertools

import numpy as np
import pytest
from homeassistant_server import TOKEN, home_assistant
from shardfiles import anchor, data, write

import batmon
from batmon.cli import main
from batmon.log import hourly

_HOUR = 3600
_START = 1_767_247_200  # a whole hour
_BOARD = "batmon_246f28000001"


@pytest.fixture(autouse=True)
def token(monkeypatch):
    monkeypatch.setenv("HOME_ASSISTANT_TOKEN", TOKEN)


@pytest.fixture
def server(request):
    with home_assistant(getattr(request, "param", "2025.12.1")) as running:
        yield running


def _log(folder, hours, battery="van", first=0, late_s=0, shift_a=0.0):
    """Write a log of so many hours that began `first` hours after _START: a frame a minute."""
    folder.mkdir(exist_ok=True)
    frames = [anchor(0, _START + first * _HOUR + late_s)]
    for i in range(60 * hours):
        amps = 8 * np.sin(i / 97) + 3 * np.sin(i / 13) + shift_a
        frames.append(data(60 * (i + 1) & 0xFFFF, 13 + np.sin(i / 50) / 2, amps))
    for number, at in enumerate(range(0, len(frames), 1000), 1 + first):
        write(folder, f"{battery}-{number:05}.raw", frames[at : at + 1000])


def _send(server, folder):
    return main(["send", str(folder), "--home-assistant", server.url])


def _entities(server, battery="van"):
    server.entities = [
        (f"sensor.my_{kind.key}", f"{_BOARD}_{battery}_{kind.key}") for kind in hourly.KINDS
    ]


def _steps(rows):
    """Return by hour by how much a sum grew."""
    at = sorted(rows)
    return {b: rows[b]["sum"] - rows[a]["sum"] for a, b in itertools.pairwise(at)}


@pytest.mark.parametrize("server", ["2025.4.4", "2025.12.1"], indirect=True)
def test_hours_are_those_of_the_export(server, tmp_path, capsys):
    folder = tmp_path / "log"
    _log(folder, 50)
    _entities(server)
    assert _send(server, folder) == 0
    assert "in the statistics of its MQTT sensors" in capsys.readouterr().out
    even = batmon.read(folder, every="1h")
    even.index = even["time_utc"].astype("datetime64[s, UTC]").astype("int64")
    last = max(even.index)
    assert last == _START + 50 * _HOUR or last == _START + 49 * _HOUR
    for key, column, scale in (
        ("energy_in", "energy_in_Wh", 1000),
        ("energy_out", "energy_out_Wh", 1000),
        ("charge_in", "charge_in_Ah", 1),
        ("charge_out", "charge_out_Ah", 1),
    ):
        rows = server.rows[f"sensor.my_{key}"]
        assert sorted(rows) == list(range(_START, _START + len(rows) * _HOUR, _HOUR))
        assert len(rows) >= 49
        assert rows[_START]["sum"] == pytest.approx(even[column].loc[_START] / scale)
        for at, step in _steps(rows).items():
            assert step == pytest.approx(even[column].loc[at] / scale, abs=1e-9)
    for key, column in (("voltage", "voltage_V"), ("current", "current_A"), ("soc", "soc_percent")):
        rows = server.rows[f"sensor.my_{key}"]
        for at, row in rows.items():
            assert row["mean"] == pytest.approx(even[column].loc[at])
            assert row["min"] <= row["mean"] <= row["max"]
    watts = server.rows["sensor.my_power"]
    for at, row in watts.items():
        net = even["energy_in_Wh"].loc[at] - even["energy_out_Wh"].loc[at]
        hours = even["measured_s"].loc[at] / _HOUR
        assert row["mean"] == pytest.approx(net / hours, rel=1e-6, abs=1e-6)


def test_run_twice_it_changes_nothing_and_more_of_the_log_adds_only_that(server, tmp_path, capsys):
    folder = tmp_path / "log"
    _log(folder, 60)
    assert _send(server, folder) == 0
    before = {name: dict(rows) for name, rows in server.rows.items()}
    assert all(name.startswith("batmon:van_") for name in before)  # nobody has MQTT sensors
    imports = server.imports
    capsys.readouterr()
    assert _send(server, folder) == 0
    assert server.rows == before and server.imports == imports
    assert " 0 new or changed rows" in capsys.readouterr().out
    _log(folder, 70)
    assert _send(server, folder) == 0
    assert all(server.rows[name].items() >= rows.items() for name, rows in before.items())
    assert len(server.rows["batmon:van_soc"]) == len(before["batmon:van_soc"]) + 10


@pytest.mark.parametrize(
    ("begins", "ends"), [(-30, 5), (-30, 40), (-30, 90), (20, 40), (20, 90), (80, 140)]
)
def test_sums_join_what_home_assistant_counted_itself(server, tmp_path, begins, ends):
    """Whenever it listened: its own hours keep their steps, the log's have the log's, and nowhere
    is another step; what it counts on from stays."""
    folder = tmp_path / "log"
    _log(folder, 60, first=10)  # hours 10 to 69
    name = "sensor.my_energy_in"
    _entities(server)
    own = {_START + h * _HOUR: 100 + 0.5 * (h - begins) for h in range(begins, ends)}
    server.live(name, own)
    assert _send(server, folder) == 0
    rows = server.rows[name]
    even = batmon.read(folder, every="1h")
    even.index = even["time_utc"].astype("datetime64[s, UTC]").astype("int64")
    logged = sorted(at for at in rows if _START + 10 * _HOUR <= at <= _START + 69 * _HOUR)
    for at, step in _steps(rows).items():
        if at in logged:
            expected = even["energy_in_Wh"].loc[at] / 1000
        elif max(hour for hour in rows if hour < at) in logged:
            continue  # where the log has ended in the middle of what it counted
        elif at in own:
            expected = 0.5
        assert step == pytest.approx(expected, abs=1e-9), (at - _START) / _HOUR
    newest = max(own)
    if newest > max(logged):
        assert rows[newest] == {"sum": own[newest], "state": own[newest]}
    again = {at: dict(row) for at, row in rows.items()}
    assert _send(server, folder) == 0
    assert server.rows[name] == again


def test_cut_off_anywhere_and_run_again(server, tmp_path, capsys):
    folder = tmp_path / "log"
    _log(folder, 50)
    _entities(server)
    server.live("sensor.my_energy_out", {_START + h * _HOUR: 7 + h / 10 for h in range(-20, 45)})
    assert _send(server, folder) == 0
    whole = {name: dict(rows) for name, rows in server.rows.items()}
    for cut in (0, 5, 11):
        server.rows.clear()
        server.metadata.clear()
        server.live(
            "sensor.my_energy_out", {_START + h * _HOUR: 7 + h / 10 for h in range(-20, 45)}
        )
        server.imports, server.hang_up_after = 0, cut
        capsys.readouterr()
        assert _send(server, folder) == 1
        assert "Run the same command again" in capsys.readouterr().err
        server.hang_up_after = None
        assert _send(server, folder) == 0
        assert server.rows == whole


def test_another_unit_is_converted_or_named(server, tmp_path, capsys):
    folder = tmp_path / "log"
    _log(folder, 5)
    _entities(server)
    server.metadata["sensor.my_voltage"] = {"unit_of_measurement": "mV"}
    server.live("sensor.my_energy_in", {}, unit="Wh")
    assert _send(server, folder) == 0
    row = server.rows["sensor.my_voltage"][_START]
    assert 12_000 < row["min"] <= row["mean"] <= row["max"] < 14_000
    even = batmon.read(folder, every="1h")
    assert server.rows["sensor.my_energy_in"][_START]["sum"] == pytest.approx(
        even["energy_in_Wh"].iloc[0]
    )
    server.metadata["sensor.my_voltage"] = {"unit_of_measurement": "furlong"}
    assert main(["send", str(folder), "--home-assistant", server.url]) == 2
    assert "sensor.my_voltage in furlong, batmon has V" in capsys.readouterr().err


def test_a_battery_of_two_boards_and_rows_without_a_time(server, tmp_path, capsys):
    folder = tmp_path / "log"
    _log(folder, 5)
    _entities(server)
    server.entities.append(("sensor.old", "batmon_246f28000002_van_soc"))
    assert _send(server, folder) == 2
    assert "from two boards: sensor.my_soc and sensor.old" in capsys.readouterr().err
    other = tmp_path / "other"
    _log(other, 5, late_s=-_START)
    assert _send(server, other) == 0
    assert "no hour of the log is whole and of a sure time" in capsys.readouterr().err


def test_what_is_wrong_is_a_sentence(tmp_path, capsys, monkeypatch):
    folder = tmp_path / "log"
    _log(folder, 3)
    with home_assistant() as server:
        monkeypatch.setenv("HOME_ASSISTANT_TOKEN", "wrong")
        assert _send(server, folder) == 2
        said = capsys.readouterr().err
        assert "does not take the token" in said and "wrong" not in said
        monkeypatch.delenv("HOME_ASSISTANT_TOKEN")
        assert _send(server, folder) == 2
        assert "set HOME_ASSISTANT_TOKEN in the environment" in capsys.readouterr().err
    monkeypatch.setenv("HOME_ASSISTANT_TOKEN", TOKEN)
    assert main(["send", str(folder), "--home-assistant", server.url]) == 1
    assert "no Home Assistant answers at" in capsys.readouterr().err
    for url in ("homeassistant.local:8123", "ftp://x", "http://", "http://me:pw@x"):
        assert main(["send", str(folder), "--home-assistant", url]) == 2
        assert "is not like http://homeassistant.local:8123" in capsys.readouterr().err
