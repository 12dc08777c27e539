"""Resampling: charge and energy add up on any grid, days are those of the time zone."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shardfiles import anchor, data, event, write

import batmon
from batmon.console import UserError
from batmon.log.formats import frame
from batmon.log.resample import resample, width_s

_START = 1_767_247_200  # 2026-01-01 06:00 UTC

_STEPS = st.lists(
    st.tuples(
        st.sampled_from([1, 2, 7, 60, 61, 1800, 20_000]),
        st.floats(-200, 200) | st.just(np.nan),
        st.floats(10, 15),
        st.booleans(),
    ),
    min_size=1,
    max_size=120,
)


def _shards(folder, steps, per_shard):
    """Write shards with a frame after each step, here and there a gap before it."""
    frames, up = [anchor(0, _START)], 0
    for seconds, current, voltage, gap in steps:
        up += seconds
        if gap and seconds > 1800:
            frames.append(event(up, frame.GAP, seconds))
        frames.append(data(up, voltage, current))
    for first in range(0, len(frames), per_shard):
        write(folder, f"a-{first:05}.raw", frames[first : first + per_shard])
    # numbers must follow each other, else frames may be lost between
    for number, path in enumerate(sorted(folder.iterdir())):
        path.rename(folder / f"a-{number:05}.raw")


@settings(max_examples=40)
@given(_STEPS, st.integers(20, 130), st.sampled_from([1, 60, 900, 3600, 21600, 86400]),
       st.sampled_from(["UTC", "Europe/Berlin", "Asia/Kathmandu"]))  # fmt: skip
def test_charge_and_energy_add_up(tmp_path_factory, steps, per_shard, width, tz):
    folder = tmp_path_factory.mktemp("log")
    _shards(folder, steps, per_shard)
    table = batmon.read(folder)
    parts = list(resample([table], width, tz))
    even = pd.concat(parts) if parts else pd.DataFrame()
    charge = (table["current_A"] * table["interval_s"] / 3600).fillna(0)
    assert bool(parts) == bool((table["interval_s"] > 0).any())
    if parts:
        net = even["charge_in_Ah"].sum() - even["charge_out_Ah"].sum()
        assert net == pytest.approx(charge.sum(), abs=1e-6)
        net = even["energy_in_Wh"].sum() - even["energy_out_Wh"].sum()
        assert net == pytest.approx(table["energy_Wh"].sum(), abs=1e-4)
        assert even["charge_in_Ah"].sum() == pytest.approx(charge[charge > 0].sum(), abs=1e-6)
        known = table["current_A"].notna()
        assert even["measured_s"].sum() == table["interval_s"][known].sum()
        mean = (even["current_A"] * even["measured_s"]).sum() / 3600
        assert mean == pytest.approx(charge.sum(), abs=1e-6)
        assert even["time_utc"].is_monotonic_increasing and even["time_utc"].is_unique
        assert even["voltage_V"].between(9.9, 15.1).all()
        streamed = batmon.read(folder, every=f"{width}s", tz=tz)  # shard by shard
        net = streamed["charge_in_Ah"].sum() - streamed["charge_out_Ah"].sum()
        assert net == pytest.approx(charge.sum(), abs=1e-6)
        assert streamed["measured_s"].sum() == even["measured_s"].sum()


def test_values(tmp_path):
    frames = [
        anchor(0, _START),
        data(0, 12.0, 9.0, soc=100, cell_min_mv=3000, cell_max_mv=3100),
        data(120, 14.0, 30.0, soc=120, cell_min_mv=3200, cell_max_mv=3500),
        data(150, 14.0, -60.0, soc=120, cell_min_mv=3200, cell_max_mv=3500),
    ]
    write(tmp_path, "a-00001.raw", frames)
    table = batmon.read(tmp_path, every="1min")
    assert table["time_utc"].tolist() == [
        pd.Timestamp(_START + 60 * i, unit="s", tz="UTC") for i in range(3)
    ]
    assert table["voltage_V"].tolist() == [12.5, 13.5, 14]
    assert table["current_A"].tolist() == [30, 30, -60]
    assert table["soc_percent"].tolist() == [50, 50, 60]
    assert table["cell_min_mV"].tolist() == [3000, 3100, 3200]
    assert table["cell_max_mV"].tolist() == [3300, 3500, 3500]
    assert table["charge_in_Ah"].tolist() == [0.5, 0.5, 0]
    assert table["charge_out_Ah"].tolist() == [0, 0, 0.5]
    assert table["energy_out_Wh"].tolist() == [0, 0, 7]
    assert table["measured_s"].tolist() == [60, 60, 30]


def test_days_are_those_of_the_time_zone(tmp_path):
    march = 1_774_652_400  # 2026-03-28 00:00 in Berlin; the day after has 23 hours
    frames = [anchor(0, march)] + [data(1800 * i, 13, 1.0) for i in range(24 * 6)]
    write(tmp_path, "a-00001.raw", frames)
    table = batmon.read(tmp_path, every="1d", tz="Europe/Berlin")
    assert table.columns[1] == "time"
    days = [f"{time:%m-%d %H:%M}" for time in table["time"]]
    assert days == ["03-28 00:00", "03-29 00:00", "03-30 00:00", "03-31 00:00"]
    assert table["measured_s"].tolist()[:2] == [24 * 3600, 23 * 3600]


@pytest.mark.parametrize("text", ["", "1", "7min", "2d", "0s", "-1h", "1.5h", "1w"])
def test_widths_that_make_no_grid(text):
    with pytest.raises(UserError, match="--every"):
        width_s(text)


def test_unknown_time_zone(tmp_path):
    write(tmp_path, "a-00001.raw", [anchor(0, _START), data(1)])
    with pytest.raises(UserError, match="Mars"):
        batmon.read(tmp_path, tz="Mars/Crater")
