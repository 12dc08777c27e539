"""Batteries that people had trouble with, from the radio to the glass, the REPL and the CSV.

Inputs: sim/odd.py, tests/data/cases and tests/data/vectors.
"""

import copy
import csv
import json
import re

import pytest

import batmon
from batmon.cli import main
from batmon.paths import ROOT

_DATA = ROOT / "tests/data"
_ADDRESS = "A4:C1:37:12:34:56"


class _Seen:
    """What one run of the board left: its words, its glass, and the CSV of its log."""

    def __init__(self, run, folder, minutes, name, lcd="16x2", settings=None, **changes):
        given = {"dev_name": name, "capacity_ah": 100} | (settings or {})
        if lcd == "20x4":
            given["lcd"] = {"cols": 20, "rows": 4}
        self.end, self.words, self.glass = run(minutes, lcd=lcd, settings=given, **changes)
        out = folder / "log.csv"
        self.rows = []
        if main(["export", str(folder / "data"), "-o", str(out)]) == 0:
            with open(out) as file:
                self.rows = list(csv.DictReader(file))
        for word in ("Error", "Traceback", "restart"):
            assert word not in self.words, self.words

    def current(self, amps):
        """Does every row say so many amperes, as near as frames are?"""
        return all(abs(float(row["current_A"]) - amps) <= 0.01 * abs(amps) for row in self.rows)

    def told(self, *columns):
        """All that the rows say in these columns, each once."""
        return {tuple(row[name] for name in columns) for row in self.rows}


@pytest.fixture
def odd(run, tmp_path):
    """Return a function that runs a battery of sim/odd.py."""

    def see(kind, name, minutes=4, driver="jbd_bms", **changes):
        return _Seen(run, tmp_path, minutes, name, bms=f"odd:{kind}", driver=driver, **changes)

    return see


@pytest.fixture
def replay(run, tmp_path):
    """Return a function that runs a recorded conversation."""

    def see(case, driver, minutes=4, **changes):
        path = tmp_path / "case.json"
        path.write_text(json.dumps(case))
        more = {"bms": f"replay:{path}", "driver": driver} | changes
        return _Seen(run, tmp_path, minutes, case["name"], **more)

    return see


def _recorded(module, name):
    cases = json.loads((_DATA / "vectors" / f"{module}.json").read_text())["cases"]
    return next(case for case in cases if case["case"] == name)


# ---- each value on its own


def test_packs_in_parallel(replay):
    seen = replay(_recorded("seplos_bms", "test_update[keep_alive]"), "seplos_bms")
    assert seen.told("soc_percent") == {("48",)} and seen.current(-6.7)
    assert abs(float(seen.rows[0]["voltage_V"]) - 52.34) < 0.02
    case = _recorded("seplos_bms", "test_update[keep_alive]")
    cells = next(e for e in case["events"] if e[0] == "sample")[1]["cell_voltages"]
    low, high = (f(range(32), key=cells.__getitem__) + 1 for f in (min, max))
    (row,) = seen.told("cell_min_mV", "cell_max_mV", "cell_min_index", "cell_max_index")
    assert row[:2] == (f"{min(cells) * 1000:.0f}", f"{max(cells) * 1000:.0f}")
    assert str(low) in row[2].split(" or ") and str(high) in row[3].split(" or ")
    assert f"low #{low}" in seen.glass and f"high #{high}" in seen.glass


def test_a_bms_that_tells_the_extremes_only(replay):
    case = json.loads((_DATA / "cases/pylontech_rt.json").read_text())
    seen = replay(case, "pylontech_bms")
    assert abs(float(seen.rows[0]["voltage_V"]) - 13.31) < 0.01
    told = seen.told("soc_percent", "cell_min_mV", "cell_max_mV", "cell_min_index")
    assert told == {("64", "3326", "3331", "")} and seen.current(-7.2)
    assert "3326/3331mV" in seen.glass and "#1" not in seen.glass


def test_a_bms_that_tells_no_voltage(replay, tmp_path):
    case = json.loads((_DATA / "vectors/allpowers_bms.json").read_text())["cases"][0]
    percent = next(e for e in case["events"] if e[0] == "sample")[1]["battery_level"]
    seen = replay(case, "allpowers_bms")
    assert seen.told("voltage_V", "soc_percent") == {("", str(percent))}
    assert f"{percent} %" in seen.glass and "--.-- V" in seen.glass
    assert main(["verify", str(tmp_path / "data")]) == 0


@pytest.mark.parametrize("capacity", [100, 304])
def test_zeros_of_a_bms_that_sleeps_are_not_stored(replay, capacity):
    case = _asleep(_recorded("daly_bms", "test_update[keep_alive-False]"))
    seen = replay(case, "daly_bms", settings={"capacity_ah": capacity}, replay=[244])
    assert seen.told("voltage_V", "soc_percent") == {("14", "90")} and seen.current(3)
    assert "voltage 0.10 V cannot be" in seen.words
    assert seen.words.count("connected") == 1 and "retry" not in seen.words


def _asleep(case):
    """The conversation, ten times; then ten times with zeros as a sleeping Daly tells them."""
    events = case["events"]
    start = next(i for i, e in enumerate(events) if e[0] == "update")
    end = next(i for i, e in enumerate(events) if e[0] == "sample")
    awake, asleep = events[start : end + 1], copy.deepcopy(events[start : end + 1])
    for event in awake:
        if event[0] == "notify":  # cells that add up to 14.0 V
            event[2] = _reply(event[2], 0, b"\x0d\xac" * 4)
    for event in asleep:
        if event[0] == "notify":
            event[2] = _reply(event[2], 0, bytes(80) + b"\0\1" + bytes(42))
    return {**case, "events": events[:start] + 10 * awake + 10 * asleep}


def _reply(text, at, new):
    """A Daly's reply with other bytes in it."""
    body = bytearray(bytes.fromhex(text)[:-2])
    body[3 + at : 3 + at + len(new)] = new
    return (bytes(body) + _crc(body)).hex()


def _crc(data):
    crc = 0xFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xA001 if crc & 1 else 0)
    return crc.to_bytes(2, "little")


def test_more_than_full_is_full_and_nonsense_unknown(odd):
    seen = odd("soc104", "full", 3)
    assert seen.rows[0]["soc_percent"] == "100"
    assert {row["soc_percent"] for row in seen.rows} == {"100", ""}
    assert seen.current(-5)
    assert seen.words.count("SoC 228 % cannot be") == 1 and "100 %" in seen.glass
    assert "BMS alarm" not in seen.glass


# ---- cells


def test_a_dead_cell_stays_where_it_is(odd):
    limit = {"alarm": {"cell_low_mv": 2900}}
    seen = odd("dead_cell", "dead", 5, "jikong_bms", settings=limit)
    lows = {(row["cell_min_mV"], row["cell_min_index"]) for row in seen.rows}
    assert lows == {("420", "13"), ("0", "13")}
    assert {row["cell_max_mV"] for row in seen.rows} == {"3304"}
    assert {row["cell_max_index"] for row in seen.rows} == {"5"}
    for text in ("low #13 high #5", "   0/3304mV", "cell low"):
        assert text in seen.glass
    assert "cell low" in seen.glass[-500:]


def test_a_loose_wire_shifts_no_numbers(odd):
    seen = odd("sense_wire", "wire")
    told = seen.told("cell_min_mV", "cell_min_index", "cell_max_mV", "cell_max_index")
    assert told == {("0", "3", "3310", "14")}
    assert "low #3  high #14" in seen.glass


def test_cells_have_the_same_numbers_everywhere(odd, tmp_path):
    seen = odd("cells20", "twenty")
    assert seen.told("cell_min_index", "cell_max_index") == {("8", "19")}
    assert "low #8  high #19" in seen.glass
    row = batmon.read(tmp_path / "data").iloc[0]
    assert (row["cell_min_index"], row["cell_max_index"]) == (8, 19)


def test_where_a_frame_leaves_a_choice_it_is_said(odd, capsys, tmp_path):
    seen = odd("cells32", "many", driver="jikong_bms")
    assert seen.told("cell_min_index", "cell_max_index") == {("13 or 14", "31 or 32")}
    assert "low #14 high #31" in seen.glass
    capsys.readouterr()
    assert main(["send", str(tmp_path / "data"), "--influx", "-"]) == 0
    assert ",cell_min_index=13i,cell_max_index=31i," in (said := capsys.readouterr().out)
    assert ",cell_min_index_to=14i,cell_max_index_to=32i" in said


# ---- temperatures


def test_the_hottest_sensor_counts_and_an_empty_socket_does_not(odd):
    seen = odd("hot", "hot", settings={"alarm": {"temperature_c": 55}})
    assert "too hot" in seen.glass
    assert seen.told("temperature_degC") == {("40",)}


def test_charging_in_the_cold_is_an_alarm(odd):
    seen = odd("cold", "cold", settings={"alarm": {"temperature_low_c": 0}})
    assert "charged too cold" in seen.glass


# ---- frozen, or steady


def test_a_steady_load_is_no_hanging_bms(replay):
    case = json.loads((_DATA / "cases/lipower_standby.json").read_text())
    seen = replay(case, "lipower_bms", 300, heap="4m", replay=[244], settings={"poll_s": 8})
    assert "frozen" not in seen.words and seen.words.count("connected") == 1
    assert 10 <= len(seen.rows) <= 14 and seen.end["connected"]
    charge = sum(float(row["current_A"]) * float(row["interval_s"]) for row in seen.rows) / 3600
    assert charge == pytest.approx(-0.45, rel=0.01)


def test_a_counter_that_moves_is_enough(odd):
    seen = odd("counter", "counter", 30)
    assert "frozen" not in seen.words
    charge = sum(float(row["current_A"]) * float(row["interval_s"]) for row in seen.rows) / 3600
    assert charge == pytest.approx(-0.175, rel=0.02)


# ---- whose battery


def test_a_padded_name_is_found(odd):
    assert odd("padded", "BP01", 1).rows


def test_an_address_is_a_name(odd):
    assert odd("padded", _ADDRESS.lower(), 1).rows


def test_another_of_the_same_name_stays_out_of_the_log(odd, tmp_path):
    seen = odd("twins", "xiaoxiang BMS", 6)
    assert {row["soc_percent"] for row in seen.rows} == {"80"}
    assert f"at {_ADDRESS} not found; the one at A4:C1:37:99:99:99 is another" in seen.words
    assert len({row["battery"] for row in seen.rows}) == 1
    assert float(seen.rows[-1]["uptime_s"]) > 240


@pytest.mark.parametrize("name", ["van", "]0;x?a?7 frames"])
def test_names_from_the_air_are_printable(odd, name):
    seen = odd("hostile", name, 1)
    assert bool(seen.rows) == (name != "van")
    assert all(" " <= c <= "~" or c == "\n" for c in seen.words)


# ---- what could eat the log


def test_a_link_that_flaps_does_not_fill_the_log(odd, tmp_path):
    seen = odd("flapping", "flap", 6 * 60, heap="4m", lcd="none")
    log = b"".join(path.read_bytes() for path in (tmp_path / "data").glob("*.raw"))
    assert 100 < len(log) // 13 < 6 * 60 * 4, len(log) // 13
    assert len(seen.rows) > 30


def test_a_night_in_which_one_cell_is_empty_first(odd, tmp_path, capsys):
    """The fault stands in words in the table, the report, on the REPL and on the display."""
    seen = odd("night", "night", 30, driver="jikong_bms", lcd="16x2")
    assert "discharge off" in seen.words and "discharge on" in seen.words
    for words in ("cell under-volt", "discharge is o", "cell 7 2.41 V", "lately"):
        assert words in seen.glass, words
    out = tmp_path / "night.csv"
    assert main(["export", str(tmp_path / "data"), "-o", str(out), "--events"]) == 0
    with open(tmp_path / "night.events.csv") as file:
        told = [(row["kind"], row["what"]) for row in csv.DictReader(file)]
    (fault,) = [what for kind, what in told if kind == "fault"]
    assert "discharge switched off" in fault and "alarm: cell under-volt" in fault
    fell = re.search(r"cell 7 fell from 3.05 to 2.4\d V within (\d+) s", fault)
    assert 34 <= int(fell[1]) <= 44
    assert ("switch", "discharge switched on after 20 min") in told
    assert ("alarm", "alarm over after 20 min") in told
    assert any(kind == "health" and "16 cells" in what for kind, what in told)
    assert main(["report", str(tmp_path / "data"), "-o", str(tmp_path / "night.html")]) == 0
    assert fault in (tmp_path / "night.html").read_text(encoding="utf-8")
