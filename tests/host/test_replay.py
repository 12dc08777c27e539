"""`batmon replay`: what it stores, reports and refuses."""

import json

import numpy as np
import pytest

import batmon
from batmon.cli import main
from batmon.log import fidelity, polllog
from bench import rules

_HEAD = "time_s,voltage,current,temperature,soc,c1_mv,c2_mv\n"


def _write(path, rows):
    path.write_text(_HEAD + "\n".join(",".join(map(str, row)) for row in rows) + "\n")
    return path


def _hours(path, hours=3, start=1_760_000_000.5):
    """Write polls of an hour's load each, with a gap of a day and values lacking for long."""
    rows = []
    for k in range(hours * 1800):
        t = start + 2 * k + (86400 if k >= 1800 else 0)
        amps = "" if 100 <= k < 120 else -5.0 * (k // 1800)
        soc = "" if 200 <= k < 220 else 50
        rows.append((t, 6.6, amps, 20, soc, 3300, "nan" if 300 <= k < 320 else 3310))
    return _write(path, rows)


def test_a_log_becomes_shards_and_figures(tmp_path, capsys):
    source = _hours(tmp_path / "cabin.csv")
    out = tmp_path / "out"
    assert main(["replay", str(source), "-o", str(out), "--capacity", "100", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["capacity_ah"] == 100 and said["polls"] == 5400
    assert said["charge_pct"] < 0.02 and said["v_max_mv"] <= 4  # a half-float step
    table = batmon.read(out)
    assert set(table["battery"]) == {"cabin"}
    assert table["time_known"].all()
    seconds = (table["time_utc"] - table["time_utc"].iloc[0]).dt.total_seconds()
    assert seconds.iloc[-1] == 86400 + 5399 * 2
    # what was polled is there, and nothing is counted over the gap
    charge_ah = (table["current_A"].fillna(0) * table["interval_s"]).sum() / 3600
    assert charge_ah == pytest.approx(-15, abs=0.01)
    assert (table["interval_s"] <= 1802).all()
    for column in ("current_A", "soc_percent", "cell_min_mV"):
        assert table[column].isna().any()


def test_text_for_people(tmp_path, capsys):
    assert main(["replay", str(_hours(tmp_path / "cabin.csv", 1))]) == 0
    said = capsys.readouterr().out
    assert "frames_per_day" in said and "years_in_2_mib" in said


def test_mistakes_get_a_sentence(tmp_path, capsys):
    source = _hours(tmp_path / "cabin.csv", 1)
    assert main(["replay", str(source), "--capacity", "0"]) == 2
    assert "--capacity 0 is not 1 to 10000 Ah" in capsys.readouterr().err
    assert main(["replay", str(source), "-o", str(tmp_path)]) == 2
    assert "is not empty; take a new folder" in capsys.readouterr().err
    assert main(["replay", str(tmp_path / "none.csv")]) == 2
    assert "cannot be read" in capsys.readouterr().err


def test_one_poll_is_a_log(tmp_path, capsys):
    source = _write(tmp_path / "one.csv", [(5, 6.6, 1, 20, 50, 3300, 3310)])
    assert main(["replay", str(source), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["polls"] == 1


def test_the_ancestors_rule_counts_polls(tmp_path):
    """5 A of 280 Ah are stored after 128 polls, 20 A after 16, rest after 1024."""
    for amps, polls in ((20, 16), (5, 128), (0, 1024)):
        rows = [(2 * k, 6.6, amps, 20, 50, 3300, 3310) for k in range(5000)]
        log = polllog.read(_write(tmp_path / "log.csv", rows))
        at, means = rules.ancestor(log, 280)
        assert (np.diff(at)[1:] == polls).all() and (means == amps).all()


def test_figures_of_a_known_error(tmp_path):
    rows = [(2 * k, 8.0 + 0.008 * (k % 2), 1.0, 20, 50, 4000, 4000) for k in range(3601)]
    log = polllog.read(_write(tmp_path / "log.csv", rows))
    ends = np.array([0, 3600])
    stored = fidelity.Kept(ends, np.full(2, 8.0), np.full(2, 0.9), np.full(2, 49), ends, ends)
    score = fidelity.score(log, stored)
    assert score["charge_pct"] == pytest.approx(10) and score["i_1min_pct"] == pytest.approx(10)
    assert score["charge_worst_hour_pct"] == pytest.approx(10)
    assert score["v_max_mv"] == pytest.approx(8) and score["v_mean_mv"] == pytest.approx(4, 0.01)
    assert score["soc_max_pct"] == 1
