"""The display fails in every way while the board logs: the glass heals, the log never notices."""

import random

import numpy as np
import pandas as pd
import pytest
import seeds

import batmon
from batmon.firmware.build import build
from batmon.paths import BOARD
from batmon.virtual import process


def run(folder, days, faults):
    """Run the board for so long, the display disturbed; (last record, its words)."""
    build()
    folder.mkdir()
    lcd = random.Random(faults[0]).choice(("16x2", "20x4"))
    cols, rows = (int(n) for n in lcd.split("x"))
    config = process.configure(
        folder,
        BOARD,
        days=days,
        heap="4m",  # see `run` in conftest.py
        lcd=lcd,
        lcd_faults=faults,
        status_wall_ms=1000,
        settings={"lcd": {"cols": cols, "rows": rows}},
    )
    words = []
    return process.run(config, lambda record: None, words.append), "\n".join(words)


def check(folder, days, mean_s, out_s, fewest):
    seed = seeds.new() >> 2
    end, words = run(folder, days, [seed, mean_s, out_s])
    told = f"seed {seed}, {end['lcd_faults']}"
    print(told)
    assert end["lcd_wrong"] == [] and end["lcd_violations"] == [], told
    assert sum(end["lcd_faults"].values()) >= fewest, told
    # the logger has not noticed
    assert "Error" not in words and "failed" not in words and "restart" not in words, told
    assert end["dropped"] == 0 and end["connected"], told
    polls = pd.read_csv(folder / "truth.csv")
    assert polls["time_s"].diff().max() < 3, told
    held = np.diff(polls["time_s"], prepend=polls["time_s"][0]) * polls["current"]
    table = batmon.read(folder / "data")
    kept = (table["current_A"] * table["interval_s"]).fillna(0)
    assert abs(kept.sum() - held.sum()) < 1e-3 * np.abs(held).sum(), told


def test_an_hour_of_faults(tmp_path):
    check(tmp_path / "hour", 1 / 24, 20, 60, 10)


@pytest.mark.campaign
def test_a_week_of_faults(tmp_path):
    check(tmp_path / "week", 7, 300, 3600, 150)
