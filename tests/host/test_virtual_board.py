"""The unmodified board code on the virtual board: the main job, and what users get wrong."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import batmon
from batmon.firmware import interpreter

_DATA = Path(__file__).parents[1] / "data"
_CONN = "from aiobmsble.bms.jikong_bms import BMS"


def test_recorded_conversation_reaches_flash_and_glass(run, tmp_path):
    cases = json.loads((_DATA / "vectors" / "jikong_bms.json").read_text())["cases"]
    (case,) = (c for c in cases if c["case"] == "test_update[JK02_24S-keep_alive]")
    path = tmp_path / "case.json"
    path.write_text(json.dumps(case))
    # The recording itself takes memory that no board would spend on it. In less than a minute:
    # a BMS that repeats one sample for longer counts as frozen.
    end, words, glass = run(
        0.9, bms=f"replay:{path}", settings={"dev_name": "MockBLEDevice"}, heap="512k"
    )
    assert end["connected"] and end["lcd_violations"] == []
    assert "3308/3314 mV" in words  # in the first minute: whoever installs waits for it
    table = batmon.read(tmp_path / "data")
    row = table.iloc[0]
    assert abs(row["voltage_V"] - 52.971) <= 1 / 32
    assert abs(row["current_A"] - 2.329) <= 1 / 1024
    assert (row["soc_percent"], row["cell_min_mV"], row["cell_max_mV"]) == (56, 3308, 3314)
    assert (row["cell_min_index"], row["cell_max_index"]) == (6, 2)
    assert (table["soc_percent"] == 56).all()
    for text in ("52.97 V", "56 %", "2.33 A", "3308/3314mV"):
        assert text in glass, text


@pytest.mark.parametrize("which", interpreter.present(), ids=interpreter.label)
@pytest.mark.parametrize("bms, battery", [("jikong", "van"), ("jbd", "ebike")])
def test_hours_are_logged_as_they_were(run, tmp_path, bms, battery, which):
    name = {"jikong": "jk-pak01", "jbd": "JBD-SP25S020"}[bms]
    capacity = {"van": 280, "ebike": 24}[battery]
    end, words, _ = run(
        120,
        interpreter=which,
        heap="chip" if which == "32" else "4m",
        bms=bms,
        battery=battery,
        driver=bms + "_bms",
        settings={"dev_name": name, "capacity_ah": capacity, "poll_s": 4},
    )
    assert end["reason"] == "done" and end["lcd_violations"] == [] and end["dropped"] == 0
    assert "Error" not in words
    polls = pd.read_csv(tmp_path / "truth.csv")
    table = batmon.read(tmp_path / "data")
    assert table["time_known"].all() and table["time_utc"].is_monotonic_increasing
    times = table["time_utc"].astype("datetime64[s, UTC]").astype("int64").to_numpy()
    held = np.diff(polls["time_s"], prepend=polls["time_s"][0]) * polls["current"]
    kept = (table["current_A"] * table["interval_s"]).fillna(0)
    assert abs(kept.sum() - held.sum()) < 1e-3 * np.abs(held).sum()
    # time is in whole seconds: a step may lie between a frame and the line at its second
    resolution = 1 / 32 if polls["voltage"].max() > 32 else 1 / 128  # steps of half floats
    line = np.interp(polls["time_s"], times, table["voltage_V"])
    off = np.abs(line - polls["voltage"])
    assert np.quantile(off, 0.99) <= 0.004 * polls["voltage"].mean() + resolution
    for t, volts in zip(times, table["voltage_V"], strict=True):
        near = polls[(polls["time_s"] - t).abs() <= 2]["voltage"]
        assert (near - volts).abs().min() <= resolution + 0.005  # the BMS tells hundredths


def test_heap_does_not_grow_and_suffices(run):
    end, words, _ = run(120, heap="216k", settings={"poll_s": 5})
    assert "Error" not in words
    assert end["heap_at"]["end"] <= 188 << 10
    assert end["heap_at"]["end"] <= end["heap_at"]["first_hour"] + 1024


def test_a_name_that_never_appears(run):
    end, words, glass = run(15, settings={"dev_name": "my-bms"}, lcd="20x4")
    assert end["reason"] == "done" and not end["connected"]
    assert "my-bms not found (seen: jk-pak01), retry 1 in 1 s" in words
    assert "looking for my-bms" in words and "looking for my-bms" in " ".join(glass.split())
    assert "retry 5 in" in words and "retry" in glass


@pytest.mark.parametrize("where", ["conn.py", "settings.json"])
def test_an_unknown_bms_module(run, tmp_path, where):
    settings = {"lcd": {"cols": 20, "rows": 4}}  # on which the sentence fits at once
    if where == "conn.py":
        run(0.1)  # makes the tree
        conn = tmp_path / "board" / "conn.py"
        conn.write_text(conn.read_text().replace(_CONN, _CONN.replace("jikong", "jikonk")))
        (tmp_path / "flash.img").unlink()
    else:
        settings.update(bms="jikonk_bms", poll_s="often")
    end, words, glass = run(5, settings=settings, lcd="20x4")
    # every minute, for whoever connects a PC later; of two sentences the one that matters
    assert words.count(f"{where}: there is no BMS driver jikonk_bms") >= 4
    assert "mend it and restart" in glass
    assert end["reason"] == "done" and "jikonk_bms" in glass.replace("\n", "")


def test_nonsense_in_conn_py(run, tmp_path):
    run(0.1)
    conn = tmp_path / "board" / "conn.py"
    good = conn.read_text()
    for bad, sentence in (
        (good.replace("DESIGN_CAP = 280", "DESIGN_CAP = -5"), "DESIGN_CAP is -5, must be"),
        (good.replace('dev_name = "jk-pak01"', "dev_name = 7"), "dev_name is 7, must be text"),
        (good.replace('dev_name = "jk-pak01"', 'dev_name = "jk-pak01'), "not valid Python"),
        (good.replace("DESIGN_CAP = 280", "DESIGN_CAP = 280Ah"), "not valid Python"),
    ):
        conn.write_text(bad)
        (tmp_path / "flash.img").unlink()
        end, words, _ = run(2)
        assert sentence in words and "Traceback" not in words, sentence
        assert end["reason"] == "done"


@pytest.mark.parametrize("bms", ["jikong", "jbd"])
def test_any_bms_is_identified_by_its_advertisement(run, tmp_path, bms):
    end, words, _ = run(10, bms=bms, settings={"dev_name": ""})
    assert f"driver {bms}_bms" in words and end["connected"]
    table = batmon.read(tmp_path / "data")
    assert len(table) == end["frames"] > 0
    assert set(table["battery"]) == {{"jikong": "jk_pak01", "jbd": "JBD_SP25S020"}[bms]}


def test_the_make_is_identified_when_only_the_name_is_known(run, tmp_path):
    run(0.1)
    conn = tmp_path / "board" / "conn.py"
    conn.write_text(conn.read_text().replace(_CONN, ""))
    (tmp_path / "flash.img").unlink()
    end, words, _ = run(10, bms="jbd", settings={"dev_name": "JBD-SP25S020"})
    assert "found JBD-SP25S020, driver jbd_bms" in words and end["connected"]


def test_the_other_kind_of_backpack(run):
    settings = {"lcd": {"wiring": "other"}}
    end, _, glass = run(5, lcd_wiring="mjkdz", settings=settings)
    assert end["lcd_violations"] == [] and " V " in glass and " % " in glass


@pytest.mark.parametrize("mode, lit", [("auto", False), ("on", True), ("off", False)])
def test_the_backlight_of_a_battery_at_rest(run, mode, lit):
    end, _, _ = run(20, settings={"lcd": {"backlight": mode, "backlight_s": 30}})
    assert end["lcd"]["backlight"] == lit


def test_an_alarm_lights_the_display_and_is_told(run):
    settings = {"lcd": {"backlight_s": 30}, "alarm": {"soc": 100}}
    end, _, glass = run(20, settings=settings)
    assert end["lcd"]["backlight"] and "charge low" in glass and " V " in glass


def test_slow_polls_are_not_taken_for_silence(run):
    end, _, glass = run(5, settings={"poll_s": 60})
    shown = glass[glass.index(" V ") :]
    assert end["connected"] and "?" not in shown and " old" not in shown


def test_no_display(run):
    end, words, _ = run(10, lcd="none")
    assert "no display found on I2C (SDA GPIO21, SCL GPIO22)" in words
    assert end["connected"] and end["frames"] > 0


def test_a_display_that_is_not_wanted(run):
    end, words, glass = run(3, settings={"lcd": {"fitted": False}})
    assert end["connected"] and "display" not in words and not glass.strip("\n *")


@pytest.mark.parametrize(
    "sda, scl, why",
    [
        (21, 45, "invalid pin"),
        (6, 7, "GPIO6 to 11 are for the flash"),  # a C3's
        (34, 22, "pin can only be input"),
        (22, 22, "they must be two"),
    ],
)
def test_pins_that_would_stop_the_board(run, sda, scl, why):
    end, words, _ = run(1, settings={"lcd": {"sda_pin": sda, "scl_pin": scl}})
    assert f"sda_pin {sda}, scl_pin {scl}: {why}; going on without display" in words
    assert end["connected"] and end["frames"] > 0 and "Traceback" not in words


def test_a_full_volume(run):
    end, words, glass = run(30, hog=True)
    assert end["reason"] == "done" and end["connected"] and end["flushes"] == 0
    assert "Flash is full: delete files" in words and "Flash is full" in glass.replace("\n", " ")


def test_wrong_settings_are_refused_one_by_one(run):
    settings = {"lcd": {"cols": 21, "scl_pin": 99}, "poll_s": "fast", "colour": "blue"}
    end, words, glass = run(10, settings=settings)
    assert end["connected"] and end["frames"] > 0
    for sentence in (
        "settings.json: lcd.cols is 21, must be 16 or 20; using 16",
        "settings.json: lcd.scl_pin is 99, must be a whole number from 0 to 48; using the chip's",
        "settings.json: poll_s is fast, must be a number from 1 to 60; using 2",
        "settings.json: unknown key colour, ignored",
    ):
        assert sentence in words
    assert "must be" in glass or "using" in glass or "settings.json" in glass


def test_ctrl_c_stores_the_rest(run, tmp_path):
    # the end of the simulation is a Ctrl-C: long before the ten minutes between flushes
    end, words, _ = run(4)
    assert "stopped, everything is stored" in words and end["flushes"] == 1
    table = batmon.read(tmp_path / "data")
    polls = pd.read_csv(tmp_path / "truth.csv")
    last = table["time_utc"].astype("datetime64[s, UTC]").astype("int64").iloc[-1]
    assert polls["time_s"].iloc[-1] - last <= 2


def test_fat_volume(run, tmp_path):
    end, _, _ = run(30, volume="fat")
    assert end["connected"] and len(batmon.read(tmp_path / "data")) == end["frames"]


def _spoil(run, tmp_path, code):
    """Add code to the board's conn.py."""
    run(0.1)  # makes the tree
    conn = tmp_path / "board" / "conn.py"
    conn.write_text(conn.read_text() + code)
    (tmp_path / "flash.img").unlink()


_HANG = """
import asyncio
import time
_next = BmsLink.__anext__
async def _hanging(self):
    if self.samples > 5:
        while True:
            %s
    return await _next(self)
BmsLink.__anext__ = _hanging
"""


def test_a_link_that_hangs_restarts_the_board_and_says_why(run, tmp_path):
    _spoil(run, tmp_path, _HANG % "await asyncio.sleep(1000)")
    _, words, glass = run(9, lcd="20x4", settings={"lcd": {"cols": 20, "rows": 4}})
    assert "the board starts again: the link hangs" in words
    assert "restarted: the link hangs" in words
    assert "the link hangs" in glass
    log = (tmp_path / "data" / "errors.txt").read_text()
    assert "boot 1 +" in log and "restart: the link hangs" in log


_BREAKS = """
import store
class Store(store.Store):
    %s
store.Store = Store
"""


def test_a_store_that_breaks_does_not_keep_a_hanging_link_from_a_restart(run, tmp_path):
    breaks = _BREAKS % """def flush(self):
        if self.frames and self.boot == 1:
            raise MemoryError
        return super().flush()"""
    _spoil(run, tmp_path, _HANG % "await asyncio.sleep(1000)" + breaks)
    _, words, _ = run(9, starves=True)
    assert "restarted: the link hangs" in words


def test_a_log_that_could_not_be_opened_is_opened_at_the_next_connection(run, tmp_path):
    # its name is the BMS's, so that it is opened late, when memory may be short
    once = """times = 0
    def open(self, paused):
        Store.times += 1
        if Store.times == 1:
            raise MemoryError
        super().open(paused)"""
    _spoil(run, tmp_path, _BREAKS % once)
    end, words, _ = run(10, starves=True, settings={"dev_name": ""})
    assert "MemoryError" in words and "AttributeError" not in words
    assert end["connected"] and end["frames"] > 0
    table = batmon.read(tmp_path / "data")
    assert len(table) and table["time_known"].all() and set(table["boot"]) == {1}


def test_what_ends_the_program_is_in_the_error_log(run, tmp_path):
    breaks = _BREAKS % "def open(self, paused): raise KeyError('broken store')"
    _spoil(run, tmp_path, breaks)
    run(0.4)
    log = (tmp_path / "data" / "errors.txt").read_text()
    assert "app: Traceback" in log and "KeyError: broken store" in log


def test_the_watchdog_ends_what_never_waits(run, tmp_path):
    _spoil(run, tmp_path, _HANG % "time.sleep(1)")
    _, words, _ = run(9)
    assert words.count("looking for jk-pak01") == 2  # it started again
    assert batmon.read(tmp_path / "data")["boot"].nunique() == 2  # and lost nothing


_HANG_ONCE = """
import os
import time
_next = BmsLink.__anext__
async def _hanging(self):
    if self.samples == %d and "hung" not in os.listdir("/"):
        open("/hung", "w").close()
        while True:
            time.sleep(1)
    return await _next(self)
BmsLink.__anext__ = _hanging
"""


@pytest.mark.parametrize("polls", [250, 800])  # before the first flush, and after some
def test_a_watchdog_reset_costs_no_poll_of_an_interval_under_way(run, tmp_path, polls):
    minutes = polls * 2 / 60 + 10
    run(minutes, heap="4m")
    whole = batmon.read(tmp_path / "data")
    for name in ("rtc.bin", "truth.csv"):
        (tmp_path / name).unlink(missing_ok=True)
    shutil.rmtree(tmp_path / "data")
    _spoil(run, tmp_path, _HANG_ONCE % polls)
    (tmp_path / "truth.csv").unlink()
    run(minutes, heap="4m")
    table = batmon.read(tmp_path / "data")
    before, after = (table[table["boot"] == boot] for boot in (1, 2))
    # what an undisturbed board stored by then, and the interval that was under way
    columns = ["time_utc", "voltage_V", "current_A", "interval_s", "soc_percent"]
    n = len(before) - 1
    assert n >= 1 and before[columns][:n].equals(whole[columns][:n])
    held = before.iloc[n]
    assert held["interval_s"] > 120 and held["time_utc"] not in set(whole["time_utc"])
    truth = pd.read_csv(tmp_path / "truth.csv")
    for rows in before, after:
        times = rows["time_utc"].astype("datetime64[s, UTC]").astype("int64")
        told = truth[truth["time_s"].between(times.iloc[0], times.iloc[-1] + 1)]
        held = np.diff(told["time_s"], prepend=told["time_s"].iloc[0]) * told["current"]
        kept = (rows["current_A"] * rows["interval_s"]).sum()
        poll = 2 * told["current"].abs().max()
        assert abs(kept - held.sum()) <= poll + 1e-3 * held.abs().sum()
        assert abs(held.sum()) > 100, "no charge, nothing shown"


def test_a_part_that_fails_or_ends_starts_again(run, tmp_path):
    _spoil(
        run,
        tmp_path,
        """
import sinks.influx
import store
class Store(store.Store):
    times = 0
    def tick(self):
        Store.times += 1
        if Store.times == 1:
            raise MemoryError
        super().tick()
store.Store = Store
async def _end(*_):
    pass
sinks.influx.run = _end
""",
    )
    settings = {"influx": {"host": "10.0.0.1"}, "wifi": {"ssid": "net"}}
    end, words, _ = run(5, starves=True, chip="s3", settings=settings)
    assert words.count("housekeeping failed, starts again in 10 s") == 1
    assert words.count("influx failed, starts again in 10 s") > 10
    assert end["connected"] and end["frames"] > 0
    log = (tmp_path / "data" / "errors.txt").read_text()
    assert "influx: it ended" in log and "MemoryError" in log
    assert log.startswith("2026-01-01 06:00:") and " boot 1 +" in log


def test_a_radio_that_died_is_cured_by_a_reset_with_a_reason(run, tmp_path):
    settings = {"poll_s": 8, "lcd": {"cols": 20, "rows": 4}}
    end, words, glass = run(
        140, heap="4m", lcd="20x4", settings=settings, faults=["radio dead"]
    )
    assert "jk-pak01 not found (seen: none), retry 9 in" in words
    assert "restarted: no data for 2 h (jk-pak01 not found (seen: none))" in words
    assert words.rstrip().split("\n")[-1].startswith("stopped") and end["connected"]
    log = (tmp_path / "data" / "errors.txt").read_text()
    assert "restart: no data for 2 h" in log
    assert "restarted: no data" in glass and "retry" in glass
    assert "restarted" not in end["text"]  # it is told for ten minutes
    assert set(batmon.read(tmp_path / "data")["boot"]) == {1, 2}


def test_a_start_that_keeps_crashing_ends_in_safe_mode(run, tmp_path):
    run(0.1)  # makes the tree
    tree = tmp_path / "board"
    (tree / "app/app.mpy").unlink()
    (tree / "app/app.py").write_text("raise RuntimeError('broken app')\n")
    (tmp_path / "flash.img").unlink()
    end, words, glass = run(45, settings={"lcd": {"cols": 20, "rows": 4}}, lcd="20x4")
    # and is tried again after half an hour
    assert words.count("RuntimeError: broken app") == 10 and "Traceback" in words
    assert words.count("safe mode, the start failed 5 times") == 2 and "Safe mode" in glass
    assert end["reason"] == "done"


@pytest.mark.parametrize("app", ["whole", "broken"])
def test_a_display_module_that_crashes_stops_neither_log_nor_safe_mode(run, tmp_path, app):
    run(0.1)
    tree = tmp_path / "board"
    for name in ("lcd_hd44780", "app/app") if app == "broken" else ("lcd_hd44780",):
        (tree / f"{name}.mpy").unlink()
        (tree / f"{name}.py").write_text(f"raise RuntimeError('broken {name}')\n")
    (tmp_path / "flash.img").unlink()
    end, words, _ = run(10)
    assert "broken lcd_hd44780" in words and end["reason"] == "done"
    if app == "broken":
        assert "safe mode" in words
    else:
        assert end["connected"] and end["frames"] > 0 and "safe mode" not in words


def test_the_app_starts_whatever_the_settings_hold(run):
    """Of tests/host/test_settings.py's random files, some go the whole way."""
    for settings in (
        {"lcd": [], "poll_s": {}, "watchdog_s": "x", "wifi": 5, "dev_name": None, "bms": []},
        {"lcd": {"cols": 10**30, "rows": -1, "wiring": True, "address": 1.5}, "capacity_ah": "1"},
        {"alarm": {"soc": "low", "cell_low_mv": 4000}, "influx": {"host": 3, "port": 0}, "": ""},
        {"lcd": {"sda_pin": 48, "backlight": "blink"}, "secret": [[[[1]]]], "watchdog_s": 3601},
    ):
        end, words, _ = run(3, settings=settings)
        assert end["connected"] and end["frames"] > 0 and "Traceback" not in words, words
        assert words.count("settings.json: ") >= 3


_SMALL_SHARDS = """
import store
class Store(store.Store):
    def __init__(self, *args):
        super().__init__(*args)
        self.limit = 1300
store.Store = Store
"""


@pytest.mark.parametrize("which", interpreter.present(), ids=interpreter.label)
def test_full_shards_are_packed_in_a_start_of_their_own(run, tmp_path, which):
    _spoil(run, tmp_path, _SMALL_SHARDS)
    kind = {"interpreter": which, "battery": "ebike"}
    end, words, _ = run(100, settings={"capacity_ah": 20}, **kind)
    packed = words.count("packing the log")
    data = tmp_path / "data"
    assert packed >= 1 and len(list(data.glob("*.bts"))) == packed
    assert not (data / "packing").exists() and end["dropped"] == 0
    assert not (data / "errors.txt").exists()
    table = batmon.read(data)
    # one boot, whose time knows of the pause: a clock that is set later dates all of it
    assert set(table["boot"]) == {1} and table["time_known"].all()
    truth = pd.read_csv(tmp_path / "truth.csv")
    times = table["time_utc"].astype("datetime64[s, UTC]").astype("int64")
    assert times.is_monotonic_increasing
    gaps = truth["time_s"].diff()
    assert gaps.max() < 60, "a minute for each shard"
    kept = (table["current_A"] * table["interval_s"]).sum()
    went = (truth["current"] * gaps.where(gaps < 5)).sum()
    assert abs(kept - went) < 0.01 * (truth["current"].abs() * gaps).sum()
