"""What happened: events and records in words, as a table and in the report."""

import json
import struct
import zlib

import numpy as np
import pandas as pd
import pytest
from shardfiles import anchor, data, event, write

from batmon.cli import main
from batmon.log import happened, stream, timeline
from batmon.log.formats import frame, half

_START = 1_767_247_200
_OFF_S = 5000  # uptime of the fault


def record(uptime_s, low, high, index=0x36, current=-20.0, volts=51.0) -> bytes:
    buf = bytearray(frame.SIZE)
    values = uptime_s, timeline.RECORDED, half.encode(volts), half.encode(current), low, high, index
    struct.pack_into("<HHHHHHB", buf, 0, *values)
    return bytes(buf)


def fault(make="jikong_bms", code=0x800) -> list[bytes]:
    """A night: cell 7 falls, the BMS switches off, and on again 6 h later."""
    frames = [data(_OFF_S - 300), data(_OFF_S - 10)]
    frames.append(event(_OFF_S, timeline.SWITCHED, 0b01, 0b10))
    frames.append(event(_OFF_S, timeline.MAKE, zlib.crc32(make.encode())))
    frames.append(event(_OFF_S, timeline.ALARM, code))
    for k in range(60):
        low = 3050 if k < 40 else 3050 - 32 * (k - 39)
        frames.append(record(_OFF_S - 2 * (59 - k), low, 3080))
    for k in range(1, 31):
        frames.append(record(_OFF_S + 2 * k, 2900, 3080, current=0.0))
    frames.append(data(_OFF_S + 70, current=0.0))
    on_s = _OFF_S + 6 * 3600 + 720
    frames.append(event(on_s, timeline.SWITCHED, 0b11, 0b10))
    frames.append(event(on_s, timeline.ALARM, 0))
    frames.append(data(on_s + 100))
    return frames


def write_fault(folder) -> int:
    """Write a log with that night; return the unix time of the fault."""
    _log(folder, fault())
    return _START + _OFF_S


def _log(tmp_path, frames, cells=16, name="van-00001.raw"):
    first = bytearray(anchor(0, _START))
    first[11] = cells
    write(tmp_path, name, [bytes(first), *frames])
    return stream.Logs([tmp_path])


def _told(tmp_path, frames, **kwargs):
    return [(h.kind, h.words) for h in happened.happenings(_log(tmp_path, frames, **kwargs))]


@pytest.mark.parametrize("kind", ["raw", "bts"])
def test_a_fault_is_told_as_an_episode(tmp_path, kind):
    logs = _log(tmp_path, fault(), name=f"van-00001.{kind}")
    told = list(happened.happenings(logs))
    assert [(h.kind, h.words) for h in sorted(told, key=lambda h: (h.unix, h.kind))] == [
        ("alarm", "alarm: cell under-volt"),
        (
            "fault",
            "discharge switched off; alarm: cell under-volt; cell 7 fell from 3.05 to 2.41 V"
            " within 40 s",
        ),
        ("switch", "discharge switched off"),
        ("alarm", "alarm over after 6 h 12 min"),
        ("switch", "discharge switched on after 6 h 12 min"),
    ]
    (of_fault,) = [h for h in told if h.kind == "fault"]
    assert of_fault.unix == _START + _OFF_S and of_fault.end_unix == _START + _OFF_S + 60


def test_records_are_no_rows_and_count_nothing(tmp_path):
    """What the sampler stored is what is summed, whatever the minutes around a fault say."""
    with_, without = tmp_path / "with", tmp_path / "without"
    for folder in (with_, without):
        folder.mkdir()
    frames = fault()
    _log(with_, frames)
    _log(without, [f for f in frames if frame.kind(f, 0) in (0,)])
    tables = [stream.read(folder) for folder in (with_, without)]
    pd.testing.assert_frame_equal(*tables)


def test_makes_have_their_own_words_others_their_name_and_the_number(tmp_path):
    for make, code, words in (
        ("jbd_bms", 2, "alarm: cell under-volt"),
        ("daly_bms", 0, "alarm over"),
        ("seplos_bms", 0x12, "alarm: seplos code 0x12"),
        ("unheard_of", 0x12, "alarm: BMS code 0x12"),
    ):
        folder = tmp_path / make
        folder.mkdir()
        told = _told(folder, fault(make, code))
        assert ("alarm", words) in told, (make, told)


def test_alarms_that_change(tmp_path):
    codes = (0x10, 0x30, 0x20, 0, timeline.NO_CODE, 0)
    frames = [event(0, timeline.MAKE, zlib.crc32(b"jikong_bms"))]
    frames += [
        event(100 * k, timeline.ALARM, code, code if code == timeline.NO_CODE else 0)
        for k, code in enumerate(codes)
    ]
    assert [words for _, words in _told(tmp_path, frames)] == [
        "alarm: cell over-volt",
        "alarm: pack over-volt",
        "no longer: cell over-volt",
        "alarm over after 5 min",
        "alarm of the BMS, which tells no code",
        "alarm over after 100 s",
    ]


def test_a_boot_begins_without_alarms_and_switched_on(tmp_path):
    frames = [event(10, timeline.ALARM, 1), anchor(0, _START + 900, 2), event(5, timeline.ALARM, 1)]
    assert [words for _, words in _told(tmp_path, frames)] == ["alarm: BMS code 0x1"] * 2


def test_limits_health_and_what_was_only_counted(tmp_path):
    frames = [
        event(1, timeline.HEALTH, 120, 16 << 8 | 98),
        event(2, timeline.HEALTH, timeline.NO_CODE, frame.UNKNOWN_U8),  # nothing is known
        event(3, timeline.LIMITS, 0b10),
        event(4, timeline.LIMITS, 0b1),
        event(5, timeline.UNTOLD, 7, timeline.SWITCHED),
        event(6, timeline.SWITCHED, 0b1111, 0b1100),
        event(7, timeline.SWITCHED, 0b0111, 0b1000),
        event(8, 99, 3),
    ]
    assert _told(tmp_path, frames) == [
        ("health", "120 cycles, 98 % health, 16 cells"),
        ("limit", "limit passed: cell low"),
        ("limit", "limit passed: charge low; back within limits: cell low"),
        ("log", "7 more changes were only counted (switched)"),
        ("switch", "heater switched on; balancer switched on"),
        ("switch", "balancer switched off"),
        ("log", "event 99 (3)"),
    ]


@pytest.mark.parametrize("seed", range(30))
def test_whatever_the_frames_hold_is_told(tmp_path, seed):
    """Random events and records, in any order: no mistake of ours, a sentence for each."""
    rng = np.random.default_rng(seed)
    frames = []
    for _ in range(300):
        uptime_s = int(rng.integers(0, 3000))
        if rng.random() < 0.4:
            code = int(rng.integers(0, 20))
            a, b = (int(n) for n in rng.integers(0, 1 << 32, 2))
            frames.append(event(uptime_s, code, a, b))
        elif rng.random() < 0.1:
            frames.append(anchor(uptime_s, 0, int(rng.integers(1, 4))))
        else:
            values = rng.integers(0, 256, 13, np.uint8)
            values[2:4] = 4, 0xFE
            frames.append(values.tobytes())
    for told in happened.happenings(_log(tmp_path, frames, cells=int(rng.integers(0, 40)))):
        assert told.words and "\n" not in told.words and told.kind


def test_export_writes_a_second_table(tmp_path, capsys):
    _log(tmp_path, fault())
    out = tmp_path / "van.csv"
    assert main(["export", str(tmp_path), "-o", str(out), "--events", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["events"] == str(tmp_path / "van.events.csv")
    table = pd.read_csv(tmp_path / "van.events.csv")
    assert list(table) == [
        "battery", "time_utc", "time_known", "boot", "uptime_s", "kind", "what", "a", "b",
    ]  # fmt: skip
    row = table[table["kind"] == "fault"].iloc[0]
    assert "cell 7 fell from 3.05 to 2.41 V" in row["what"]
    assert pd.Timestamp(row["time_utc"]).timestamp() == _START + _OFF_S
    assert len(pd.read_csv(out)) == 4


@pytest.mark.parametrize("tail", [["-o", "x.xlsx"], ["-o", "x", "--partition"]])
def test_export_of_events_needs_a_file_it_can_stand_beside(tmp_path, tail, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _log(tmp_path, fault())
    assert main(["export", str(tmp_path), *tail, "--events"]) == 2
    assert "--events goes with" in capsys.readouterr().err


def test_a_log_without_events_has_an_empty_table(tmp_path):
    table = happened.table(_log(tmp_path, [data(5)]))
    assert len(table) == 0 and "battery" in table
    assert timeline.NO_TIME not in table["uptime_s"].to_list()
