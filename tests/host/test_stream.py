"""Logs as a stream of tables: the same rows as all shards at once, whatever the shards hold."""

import random

import numpy as np
import pandas as pd
import pytest
from shardfiles import anchor, data, event, write

import batmon
from batmon.log import shards, stream
from batmon.log.formats import frame

_START = 1_767_247_200


def _frames(rnd: random.Random, boots: int) -> list[bytes]:
    """The frames of some boots: silences, gaps, clocks that are set early, late or never, drift."""
    frames, unix = [], _START
    for boot in range(1, boots + 1):
        up, unix = rnd.randint(0, 20), unix + rnd.randint(0, 100_000)
        born, drift = unix - up, rnd.uniform(-80e-6, 80e-6)
        set_at = rnd.choice((0, 50_000, 10**9))

        def now(up, born=born, drift=drift, set_at=set_at):
            return int(born + up * (1 + drift)) if up >= set_at else 0

        frames.append(anchor(up, now(up), boot))
        for _ in range(rnd.randint(0, 300)):
            up += rnd.choice((2, 10, 600, 1800, 29_000))
            kind = rnd.random()
            if kind < 0.05:
                frames.append(anchor(up, now(up), boot))
            elif kind < 0.1:
                frames.append(event(up, rnd.choice((frame.GAP, frame.LINK_LOST)), 30))
            else:
                current = rnd.choice((np.nan, rnd.uniform(-99, 99)))
                early_s = rnd.choice((0, 0, 0, 3))  # a step stores the frame before it
                frames.append(data(up - early_s, rnd.uniform(10, 15), current))
        unix = born + up
    return frames


@pytest.mark.parametrize("seed", range(12))
def test_same_rows_as_all_at_once(tmp_path, seed):
    rnd = random.Random(seed)
    for battery in ("boat", "van"):
        frames, number = _frames(rnd, 4), 1
        while frames:
            count = rnd.choice((1, rnd.randint(1, 200)))
            kind = rnd.choice(("raw", "bts"))
            path = write(tmp_path, f"{battery}-{number:05}.{kind}", frames[:count])
            if rnd.random() < 0.2:
                content = bytearray(path.read_bytes())
                content[rnd.randrange(len(content))] ^= 1
                path.write_bytes(b"" if rnd.random() < 0.3 else content)
            frames, number = frames[count:], number + rnd.choice((1, 1, 1, 2))
    streamed = batmon.read(tmp_path)
    whole = shards.table(shards.logs(map(shards.load, shards.find([tmp_path])[0])))
    # Between two frames of the skeleton the drift is drawn on whole seconds.
    late = (streamed["time_utc"] - whole["time_utc"]).dt.total_seconds()
    assert np.nanmax(np.abs(late)) <= 1
    assert (streamed["interval_s"] >= 0).all()
    same = streamed.drop(columns=["energy_Wh", "time_utc"])
    pd.testing.assert_frame_equal(same, whole.drop(columns="time_utc"))
    assert (streamed["time_utc"].isna() == whole["time_utc"].isna()).all()


@pytest.mark.parametrize("drift_s", [-3, 3])
def test_drift_puts_no_row_before_another(tmp_path, drift_s):
    rows = [data(up) for up in range(0, 40_000, 7) for _ in range(2)]  # two in each second
    end = anchor(40_000, _START + 40_000 + drift_s)
    write(tmp_path, "a-00001.raw", [anchor(0, _START), *rows, end])
    times = batmon.read(tmp_path)["time_utc"]
    assert times.is_monotonic_increasing
    assert (times.iloc[-1] - times.iloc[0]).total_seconds() == 39_998 + drift_s - (drift_s > 0)


def test_energy_is_that_of_the_interval_before(tmp_path):
    frames = [anchor(0, _START), data(10, 12.0, 50.0), data(3610, 14.0, 2.0)]
    write(tmp_path, "a-00001.bts", frames)
    write(tmp_path, "a-00002.raw", [anchor(3611, _START + 3611), data(7210, 12.0, -1.0)])
    write(tmp_path, "b-00001.raw", [anchor(0, _START), data(7300, 12.0, -1.0)])
    table = batmon.read(tmp_path)
    assert table["energy_Wh"].tolist() == [0, 26, -13, 0]


def test_everything_odd_is_told_and_the_rest_delivered(tmp_path, capsys):
    frames = [anchor(0, _START)] + [data(10 * i) for i in range(1, 100)]
    write(tmp_path, "a-00001.raw", frames)
    write(tmp_path, "a-00001.bts", frames)
    (tmp_path / "copy").mkdir()
    write(tmp_path / "copy", "a-00001.bts", frames)
    (tmp_path / "a-00002.bts").write_bytes(b"")
    (tmp_path / "a-00003.raw").write_bytes(bytes(range(256)) * 20)
    (tmp_path / "holiday.jpg").write_bytes(b"\xff\xd8")
    for name in ("state", "errors.txt", "errors.old"):
        (tmp_path / name).write_text("what the board keeps beside them\n")
    logs = stream.Logs([tmp_path])
    assert sum(map(len, logs.tables())) == 99
    logs.tell()
    said = capsys.readouterr().err
    for name in ("a-00002.bts", "a-00003.raw", "holiday.jpg", "second time"):
        assert name in said
    assert said.count("second time") == 2 and "state" not in said and "errors" not in said


def test_no_rows_at_all(tmp_path):
    write(tmp_path, "a-00001.raw", [anchor(0, _START)])
    table = batmon.read(tmp_path)
    assert len(table) == 0 and "energy_Wh" in table
