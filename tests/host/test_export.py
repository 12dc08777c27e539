"""`batmon export` of what the board's own store wrote: every form holds the same, and the truth."""

import json

import duckdb
import pandas as pd
import pytest
from shardfiles import anchor, data, write

import batmon
from batmon.cli import main
from bench.export import energy_error, write_fleet

_START = 1_767_247_200


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    """Eight days over the end of a month of three batteries, and what really happened."""
    folder = tmp_path_factory.mktemp("fleet")
    return folder, write_fleet(folder, 8)


@pytest.mark.xdist_group("fleet")
def test_monthly_energy_by_duckdb(fleet, tmp_path):
    folder, truth = fleet
    out = tmp_path / "tables"
    assert main(["export", str(folder), "-o", str(out), "--partition"]) == 0
    folders = sorted(path.name for path in out.iterdir())
    assert folders == ["battery=ebike", "battery=house", "battery=van"]
    # A row belongs to the month in which its interval ends, so months this short differ a little
    # more than whole ones; both together must not. What voltage and current do together within
    # an interval is lost, 0.13 % here.
    assert energy_error(out, truth) < 0.3
    query = f"SELECT battery, sum(energy_Wh) FROM '{out}/*/*/*.parquet' WHERE energy_Wh > 0"
    for name, energy in duckdb.sql(query + " GROUP BY ALL").fetchall():
        true = sum(month["energy_in_Wh"] for month in truth[name]["months"].values())
        assert energy == pytest.approx(true, rel=0.002)
    query = f"SELECT battery, count(*) FROM '{out}/*/*/*.parquet' GROUP BY ALL"
    rows = duckdb.sql(query).fetchall()
    assert dict(rows) == {name: of["frames"] for name, of in truth.items()}
    # again, of one battery only: its tables are replaced, the others stay
    assert main(["export", str(folder / "van"), "-o", str(out), "--partition"]) == 0
    assert sorted(duckdb.sql(query).fetchall()) == sorted(rows)


@pytest.mark.xdist_group("fleet")
def test_months_of_an_even_grid_are_cut_at_their_ends(fleet, tmp_path):
    folder, truth = fleet
    out = tmp_path / "tables"
    assert main(["export", str(folder), "-o", str(out), "--partition", "--every", "1h"]) == 0
    sums = "sum(energy_in_Wh), sum(energy_out_Wh)"
    query = f"SELECT battery, month, {sums} FROM '{out}/*/*/*.parquet' GROUP BY ALL"
    found = duckdb.sql(query).fetchall()
    assert len(found) == 6
    for name, month, went_in, went_out in found:
        true = truth[name]["months"][month]
        assert went_in == pytest.approx(true["energy_in_Wh"], rel=0.002)
        assert went_out == pytest.approx(true["energy_out_Wh"], rel=0.002)


@pytest.mark.xdist_group("fleet")
def test_charge_of_the_whole_fleet(fleet):
    folder, truth = fleet
    table = batmon.read(folder)
    even = batmon.read(folder, every="15min")
    for name, of in truth.items():
        true = sum(m["charge_in_Ah"] - m["charge_out_Ah"] for m in of["months"].values())
        rows = table[table["battery"] == name]
        charge = (rows["current_A"] * rows["interval_s"] / 3600).sum()
        assert charge == pytest.approx(true, abs=0.02)
        cells = even[even["battery"] == name]
        charge = (cells["charge_in_Ah"] - cells["charge_out_Ah"]).sum()
        assert charge == pytest.approx(true, abs=0.02)


def test_time_zone_and_grid(tmp_path, capsys):
    write(tmp_path, "a-00001.raw", [anchor(0, _START), data(60), data(120), data(180)])
    out = tmp_path / "a.csv"
    arguments = ["export", str(tmp_path / "a-00001.raw"), "-o", str(out)]
    assert main([*arguments, "--tz", "Asia/Kathmandu", "--every", "1min", "--json"]) == 0
    lines = out.read_text().splitlines()
    assert lines[0].startswith("battery,time,time_known,voltage_V,current_A,")
    assert lines[1].startswith("a,2026-01-01T11:46:00+05:45,")
    assert json.loads(capsys.readouterr().out)["rows"] == len(lines) - 1 == 2


def test_batches_do_not_change_the_tables(tmp_path, monkeypatch):
    for number in range(1, 8):
        first = 1000 * number
        frames = [anchor(first, _START + first)] + [data(first + 7 * i) for i in range(100)]
        write(tmp_path, f"a-{number:05}.raw", frames)
    expected = batmon.read(tmp_path)
    monkeypatch.setattr("batmon.log.tables.BATCH_ROWS", 150)
    for name in ("t.csv", "t.parquet"):
        assert main(["export", str(tmp_path), "-o", str(tmp_path / name)]) == 0
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "t.parquet"), expected)
    assert len(pd.read_csv(tmp_path / "t.csv")) == len(expected)


def test_a_folder_that_holds_something_else_is_left_alone(tmp_path, capsys):
    write(tmp_path, "a-00001.raw", [anchor(0, _START), data(1)])
    assert main(["export", str(tmp_path), "-o", str(tmp_path), "--partition"]) == 2
    assert "folder of its own" in capsys.readouterr().err


def test_rows_without_any_time_have_a_partition_of_their_own(tmp_path):
    write(tmp_path, "a-00001.raw", [anchor(0, 0), data(1)])
    out = tmp_path / "tables"
    assert main(["export", str(tmp_path), "-o", str(out), "--partition"]) == 0
    assert len(pd.read_parquet(out / "battery=a/month=unknown/part-0.parquet")) == 1
