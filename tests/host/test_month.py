"""Times of a month on the board: boots, power-offs up to months, clocks set late or stepped."""

import subprocess

import numpy as np
import pandas as pd
import pytest
import seeds

import batmon
from batmon.firmware import build
from batmon.firmware.interpreter import micropython

_SCRIPT = build.ROOT / "tests/device/month.py"


def _month(folder, seed):
    """Run a month; return the table as read, and (number, unix, boot, dated) of every frame."""
    build.build()
    command = [micropython(), "-X", "heapsize=8M", _SCRIPT, build.BOARD, folder / "data", str(seed)]
    (folder / "data").mkdir()
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=600, check=True)
    lines = [line.split() for line in done.stdout.splitlines()]
    truth = np.array([line for line in lines if len(line) == 4 and line[0].isdigit()], np.int64)
    return batmon.read(folder / "data"), truth


def _check(folder, seed):
    table, truth = _month(folder, seed)
    number, unix, boot, dated = truth.T
    low, high = (table[f"cell_{end}_mV"].to_numpy(np.int64) for end in ("min", "max"))
    stored = low + 65536 * high
    assert (stored == number).all(), "frames are missing or in another order"
    assert (table["boot"].to_numpy(np.int64) == boot).all()
    times = table["time_utc"].dt.tz_localize(None).to_numpy("datetime64[s]").astype(np.int64)
    dated = dated == 1
    assert table["time_known"].to_numpy(bool)[dated].all()
    assert np.abs(times - unix)[dated].max() <= 2
    assert not table["time_known"].to_numpy(bool)[~dated].any()
    known = ~pd.isna(table["time_utc"]).to_numpy()
    assert (np.diff(times[known]) >= 0).all(), "time goes back"
    assert dated.any()


def test_a_month_is_dated(tmp_path):
    _check(tmp_path, seeds.new() >> 8)


@pytest.mark.campaign
@pytest.mark.parametrize("seed", range(20))
def test_many_months_are_dated(tmp_path, seed):
    _check(tmp_path, seed)
