"""The reader: raw and sealed shards, whole, torn, damaged, doubled, and of several batteries."""

import json
import math
import struct
import zlib

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shardfiles import anchor, data, event, flush, raw, sealed, write

import batmon
from batmon.cli import main
from batmon.console import UserError
from batmon.log import shards, timeline
from batmon.log.formats import frame

_START = 1_767_247_200

_FRAMES = [anchor(0, _START)] + [data(10 * i, 13 + i / 1000, i / 10) for i in range(1, 400)]


def _bytes(shard) -> bytes:
    return shard.frames.tobytes()


@pytest.mark.parametrize("kind", ["raw", "bts"])
def test_values(tmp_path, kind):
    index = 16 * 7 + 12  # highest cell, lowest cell
    frames = [
        anchor(100, _START, boot=5),
        data(130, 52.97, 2.33, temperature=119, soc=112, cell_min_mv=3308, cell_max_mv=3314,
             index=index),
        data(160, 52.94, -300.5),
        data(190, 13.2, math.nan, temperature=255, soc=255, cell_min_mv=65535, cell_max_mv=65535,
             index=255),
    ]  # fmt: skip
    table = batmon.read(write(tmp_path, f"jk_pak01-00003.{kind}", frames))
    assert list(table.columns) == [
        "battery", "time_utc", "time_known", "boot", "uptime_s", "voltage_V", "current_A",
        "temperature_degC", "soc_percent", "cell_min_mV", "cell_max_mV", "cell_min_index",
        "cell_max_index", "interval_s", "energy_Wh",
    ]  # fmt: skip
    first, second, last = table.to_dict("records")
    assert first["battery"] == "jk_pak01"
    assert first["time_utc"] == pd.Timestamp(_START + 30, unit="s", tz="UTC")
    assert first["time_known"] and first["boot"] == 5 and first["uptime_s"] == 130
    assert (first["voltage_V"], first["current_A"]) == (np.float16(52.97), np.float16(2.33))
    assert (first["temperature_degC"], first["soc_percent"]) == (19.5, 56)
    assert (first["cell_min_mV"], first["cell_max_mV"]) == (3308, 3314)
    assert (first["cell_min_index"], first["cell_max_index"]) == (13, 8)
    assert first["interval_s"] == 0
    assert second["current_A"] == -300.5 and second["interval_s"] == 30
    assert last["voltage_V"] == 13.203125
    assert all(pd.isna(last[name]) for name in table.columns[6:13])


_ANY_FRAME = st.binary(min_size=13, max_size=13).filter(lambda f: f[2:4] != b"\x02\xfe")


@settings(max_examples=60)
@given(st.lists(_ANY_FRAME, max_size=700), st.integers(1, 77))
def test_both_kinds_hold_the_same_frames(tmp_path_factory, frames, per_flush):
    folder = tmp_path_factory.mktemp("kinds")
    (folder / "a-00001.raw").write_bytes(raw(frames, per_flush))
    (folder / "a-00002.bts").write_bytes(sealed(frames))
    for name in ("a-00001.raw", "a-00002.bts"):
        shard = shards.load(folder / name)
        assert not shard.damage and not shard.breaks
        assert _bytes(shard) == b"".join(frames)


def test_raw_torn_at_every_byte(tmp_path):
    frames, whole = _FRAMES[:50], raw(_FRAMES[:50], per_flush=7)
    path = tmp_path / "a-00001.raw"
    for size in range(len(whole) + 1):
        path.write_bytes(whole[:size])
        shard = shards.load(path)
        count = size // (8 * frame.SIZE) * 7 if size < len(whole) else 50
        assert _bytes(shard) == b"".join(frames[:count])
        assert bool(shard.damage) == (size % (8 * frame.SIZE) != 0 and size < len(whole))


def test_sealed_cut_at_every_byte(tmp_path):
    whole = sealed(_FRAMES)
    path = tmp_path / "a-00001.bts"
    counts = set()
    for size in range(0, len(whole), 3):
        path.write_bytes(whole[:size])
        shard = shards.load(path)
        assert shard.damage
        assert _bytes(shard) == b"".join(_FRAMES[: len(shard.frames)])
        counts.add(len(shard.frames))
    assert counts == {0, 320, 400}


def test_damage_in_the_middle_costs_one_flush_or_block(tmp_path):
    path = tmp_path / "a-00001.raw"
    content = bytearray(raw(_FRAMES, 50))
    content[13 * 60] ^= 1
    path.write_bytes(content)
    shard = shards.load(path)
    assert _bytes(shard) == b"".join(_FRAMES[:50] + _FRAMES[100:])
    assert shard.breaks == [50] and "663 to 1326" in shard.damage[0]

    path = tmp_path / "a-00002.bts"
    content = bytearray(sealed(_FRAMES))
    content[100] ^= 1
    path.write_bytes(content)
    shard = shards.load(path)
    assert _bytes(shard) == b"".join(_FRAMES[320:])
    assert shard.breaks == [0] and len(shard.damage) == 2


@pytest.mark.parametrize("other", [2, 5])
def test_other_format_is_named_not_decoded(tmp_path, other):
    path = tmp_path / "a-00001.bts"
    content = bytearray(sealed(_FRAMES))
    content[3] = other
    path.write_bytes(content)
    shard = shards.load(path)
    assert len(shard.damage) == 1
    assert f"of format version {other}, this batmon reads 4" in shard.damage[0]
    assert not len(shard.frames)


def test_a_raw_shard_of_a_newer_format_is_named_not_decoded(tmp_path):
    path = tmp_path / "a-00001.raw"
    newer = bytearray(anchor())
    newer[frame.SIZE - 1] = frame.VERSION + 1
    path.write_bytes(raw([bytes(newer), data()]))
    shard = shards.load(path)
    (said,) = shard.damage
    assert f"of format version {frame.VERSION + 1}, this batmon reads {frame.VERSION}" in said
    assert not len(shard.frames)


@settings(max_examples=60)
@given(st.binary(max_size=3000), st.sampled_from(["raw", "bts"]), st.booleans())
def test_garbage_never_stops_the_reader(tmp_path_factory, content, kind, commit):
    path = tmp_path_factory.mktemp("garbage") / f"a-00001.{kind}"
    if commit:  # with right commits any frames get through, anchors and events too
        count = len(content) // 13
        content = raw([content[13 * i : 13 * i + 13] for i in range(count)], 20)
    path.write_bytes(content)
    table = batmon.read(path)
    assert table["interval_s"].min() >= 0 or table.empty


def test_the_better_of_doubles_is_taken(tmp_path):
    (tmp_path / "copy").mkdir()
    write(tmp_path, "a-00001.raw", _FRAMES[:200])
    write(tmp_path / "copy", "a-00001.bts", _FRAMES)
    write(tmp_path, "a-00002.raw", _FRAMES)
    (tmp_path / "a-00002.bts").write_bytes(sealed(_FRAMES)[:-50])
    write(tmp_path, "a-00003.bts", _FRAMES[:200])
    (tmp_path / "a-00003.raw").write_bytes(raw(_FRAMES[:240]) + b"torn")
    (tmp_path / "a-00004.bts").write_bytes(sealed(_FRAMES) + b"more")
    write(tmp_path, "a-00004.raw", _FRAMES)
    found, _ = shards.find([tmp_path, tmp_path])
    for paths in (found, reversed(found)):
        chosen, doubles = shards.choose(map(shards.load, paths))
        assert [shard.kind for shard in chosen] == ["bts", "raw", "raw", "raw"]
        assert [shard.number for shard in chosen] == [1, 2, 3, 4]
        assert len(doubles) == 4 and not any("not in" in str(shard.damage) for shard in doubles)
    assert len(batmon.read(tmp_path)) == 3 * 399 + 239


@pytest.mark.parametrize("command", ["verify", "info", "export"])
def test_another_log_under_the_same_number_is_no_double(tmp_path, capsys, command):
    # a board that was erased begins with number 1 again
    for folder, unix in (("old", _START), ("new", _START + 10**6)):
        (tmp_path / folder).mkdir()
        frames = [anchor(0, unix), *(data(10 * i) for i in range(100))]
        write(tmp_path / folder, "a-00001.bts", frames)
    write(tmp_path / "new", "a-00002.bts", [anchor(2000, _START + 10**6 + 2000)])
    more = ["-o", str(tmp_path / "t.csv")] if command == "export" else []
    assert main([command, str(tmp_path), *more]) == 1
    said = "".join(capsys.readouterr())
    assert "1 of its frames are not in" in said and "read one at a time" in said
    assert main([command, str(tmp_path / "new"), *more]) == 0


@pytest.mark.parametrize("name, change, interval_s", [
    ("a-00001.raw", lambda content: content + bytes(1040), 10),  # an interrupted flush
    ("a-00001.raw", lambda content: content + bytes(1041), 0),
    ("a-00001.bts", lambda content: content + b"more", 10),
    ("a-00001.bts", lambda content: content[:-1], 0),
])  # fmt: skip
def test_nothing_is_drawn_over_what_may_be_lost_at_the_end(tmp_path, name, change, interval_s):
    path = write(tmp_path, name, _FRAMES)
    write(tmp_path, "a-00002.raw", [anchor(3991, _START + 3991), data(4000)])
    assert batmon.read(tmp_path)["interval_s"].iloc[-1] == 10
    path.write_bytes(change(path.read_bytes()))
    assert shards.load(path).damage
    assert batmon.read(tmp_path)["interval_s"].iloc[-1] == interval_s


def test_a_block_of_an_unknown_method_is_told(tmp_path):
    content = sealed(_FRAMES)
    body = struct.pack("<HH", 3, 40) + bytes([9] * 40)
    block = b"BK" + body[:4] + struct.pack("<I", zlib.crc32(body)) + body[4:]
    path = tmp_path / "a-00001.bts"
    path.write_bytes(content[:5] + block + content[5:])
    shard = shards.load(path)
    assert len(shard.damage) == 1 and shard.damage[0].startswith("block at byte 5: ")
    assert shard.breaks == [0] and len(shard.frames) == 400


def test_several_batteries_in_order_of_numbers(tmp_path):
    write(tmp_path, "van-100000.raw", [anchor(0, _START + 900, 2), data(1)])
    write(tmp_path, "van-00009.bts", [anchor(0, _START, 1), data(1)])
    write(tmp_path, "boat-00010.raw", [anchor(0, 0, 1), data(1)])
    table = batmon.read([tmp_path])
    assert table["battery"].tolist() == ["boat", "van", "van"]
    assert table["time_known"].tolist() == [False, True, True]
    assert pd.isna(table["time_utc"][0])
    assert table["time_utc"].is_monotonic_increasing or table["time_utc"][1] < table["time_utc"][2]


def test_charge_counts_only_what_was_measured(tmp_path):
    frames = [
        anchor(0, _START),
        data(100, current=50.0),  # the first of a boot: nothing before it
        data(3700, current=2.0),
        event(9000, frame.GAP, 5000),
        data(9000, current=50.0),  # the first after a gap
        data(9000 + 1800, current=-4.0),
        anchor(0, 0, boot=2),
        data(60, current=50.0),
    ]
    table = batmon.read(write(tmp_path, "a-00001.raw", frames))
    assert table["interval_s"].tolist() == [0, 3600, 0, 1800, 0]
    assert (table["current_A"] * table["interval_s"]).sum() / 3600 == 2.0 - 2.0


def test_paths_that_are_no_shards(tmp_path):
    (tmp_path / "state").write_text("1 1")
    with pytest.raises(UserError, match="no shards in"):
        shards.find([tmp_path])
    with pytest.raises(UserError, match="does not exist"):
        shards.find([tmp_path / "absent"])
    good = write(tmp_path, "a-00001.raw", _FRAMES)
    assert shards.find([good, tmp_path / "state"]) == ([good], [tmp_path / "state"])
    (tmp_path / "b-00001.raw").mkdir()
    for name in ("a-00002.bad", "a-1.raw", "a-00001 (1).raw", "A-00001.RAW"):
        (tmp_path / name).write_bytes(good.read_bytes())
    found, foreign = shards.find([tmp_path])
    assert found == [good] and len(foreign) == 4


def test_unreadable_and_enormous_files_are_told(tmp_path):
    path = tmp_path / "a-00001.raw"
    with open(path, "wb") as file:
        file.truncate(1 << 25)
    assert "too many" in shards.load(path).damage[0]
    assert "cannot be read" in shards.load(tmp_path / "a-00002.raw").damage[0]


def test_export_csv_and_parquet_hold_the_table(tmp_path, capsys):
    write(tmp_path, "a-00001.bts", _FRAMES)
    write(tmp_path, "a-00002.raw", [anchor(0, 0, 2), data(50, current=math.nan), data(80)])
    table = batmon.read(tmp_path)
    assert main(["export", str(tmp_path), "-o", str(tmp_path / "t.csv")]) == 0
    assert main(["export", str(tmp_path), "-o", str(tmp_path / "t.parquet")]) == 0
    assert "401 rows from 2 shards of a" in capsys.readouterr().out
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "t.parquet"), table)
    csv = pd.read_csv(tmp_path / "t.csv", parse_dates=["time_utc"])
    assert (csv["time_utc"] == table["time_utc"]).all()
    for name in table.columns[3:]:
        column = table[name].astype("float64")
        np.testing.assert_allclose(csv[name].astype("float64"), column, rtol=5e-6, err_msg=name)


def test_export_of_damage_delivers_the_rest_and_tells(tmp_path, capsys):
    (tmp_path / "a-00001.raw").write_bytes(raw(_FRAMES, 50) + b"torn")
    (tmp_path / "a-00002.bts").write_bytes(b"")
    assert main(["export", str(tmp_path), "-o", str(tmp_path / "t.csv")]) == 1
    said = capsys.readouterr()
    assert "399 rows" in said.out
    assert "torn end: 4 bytes" in said.err and "a-00002.bts" in said.err


def test_info(tmp_path, capsys):
    frames = [*_FRAMES, event(4000), event(4010), event(4020, frame.FRAMES_DROPPED, 3)]
    write(tmp_path, "a-00001.bts", frames)
    write(tmp_path, "a-00001.raw", frames[:100])
    (tmp_path / "version").write_text("0.9.1 1\n")
    assert main(["info", str(tmp_path)]) == 0
    text, odd = capsys.readouterr()
    assert "from a board with batmon 0.9.1, log format 1" in text and not odd
    assert "399 rows in" in text and text.endswith("1 shard, 399 rows\n")
    assert "2026-01-01 06:00:10Z to 2026-01-01 07:06:30Z" in text
    assert "lost the BMS, 2 times" in text and "not used" in text
    assert main(["info", "--json", str(tmp_path)]) == 0
    first, double = json.loads(capsys.readouterr().out)
    assert first["rows"] == 399 and first["kind"] == "sealed" and first["boots"] == [1]
    assert first["bytes"] == (tmp_path / "a-00001.bts").stat().st_size
    assert double["double"]


def test_info_on_damage_exits_1(tmp_path, capsys):
    (tmp_path / "a-00001.bts").write_bytes(b"rubbish")
    assert main(["info", str(tmp_path)]) == 1
    assert "DAMAGE" in capsys.readouterr().out


def test_a_commit_that_claims_too_much_costs_no_time(tmp_path):
    # Commits whose counts reach far back would make a naive reader quadratic.
    commit = struct.pack("<HHIHHB", 0, frame.COMMIT, 1, 0xFFFF, 0, 0)
    path = tmp_path / "a-00001.raw"
    path.write_bytes(commit * 20_000)
    shard = shards.load(path)
    assert len(shard.frames) == 0 and shard.damage


def test_layouts_agree_with_the_boards():
    assert timeline.FRAME.itemsize == timeline.EVENT.itemsize == frame.SIZE
    array = np.frombuffer(flush([anchor(7, 8, 9)]), timeline.FRAME)
    assert timeline.kinds(array).tolist() == [frame.ANCHOR, frame.COMMIT]
