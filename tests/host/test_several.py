"""Several batteries on one virtual board: each log is as good as alone."""

import argparse
import json
import re

import pandas as pd
import pytest
import seeds
from shardfiles import anchor, data, write

from batmon.cli import main
from batmon.firmware.build import build
from batmon.paths import BUILD, ROOT
from batmon.virtual import process, sim, soak

_DAY_S = 86_400
_UNIX = 1_767_247_200
# of a battery's charge and frames, beside what it has alone
_PERCENT = 2


def _run(tmp_path, bms, battery, days, poll_s, chip="esp32", heap="chip", away=None, seed=1,
         lcd="none"):  # fmt: skip
    """Run a board with these batteries; return the figures of each."""
    options = argparse.Namespace(
        bms=bms, battery=battery, days=days, chip=chip, heap=heap, seed=seed, lcd=lcd,
        volume="lfs2", size=2 << 20, realtime=False, interpreter="64", rest=False,
    )  # fmt: skip
    out = tmp_path / f"{bms}-{battery}-{seed}"
    out.mkdir()
    makes = sorted(set(bms.split(",")))
    board = BUILD / f"board-{'-'.join(makes)}"
    build(board, [f"{make}_bms" for make in makes])
    path = sim.configure(options, board, out, None)
    config = json.loads(path.read_text())
    config["settings"] |= {"poll_s": poll_s, "phone": "off"}
    config["away"] = {str(i): windows for i, windows in (away or {}).items()}
    path.write_text(json.dumps(config))
    words = []
    end = process.run(path, lambda _: None, words.append)
    wrong = [i for i, line in enumerate(words) if "Error" in line]
    assert not end["panics"] and not wrong, words[max(0, wrong[0] - 20) :][:30] if wrong else end
    result = sim.compare(end, out)
    return result.get("batteries", [result | {"link": end["stats"]}])


def test_a_board_with_psram_takes_eight(tmp_path):
    kinds = ",".join(["jikong", "jbd"] * 4), ",".join(["van", "house"] * 4)
    batteries = _run(tmp_path, *kinds, 0.0015, 4, "s3", "1M", lcd="20x4")
    assert len(batteries) == 8 and all(one["frames"] for one in batteries), batteries


def test_six_on_four_links_are_each_polled_within_two_minutes(tmp_path):
    kinds = "jikong,jbd,jikong,jbd,jikong,jbd", "van,house,van,house,ebike,house"
    batteries = _run(tmp_path, *kinds, 0.006, 4, "s3", "1M")
    assert len(batteries) == 6
    for one in batteries:
        assert one["link"]["longest_gap_s"] <= 120, one
        assert one["link"]["failures"] == {} and one["frames"] > 0, one


def test_one_that_is_away_delays_no_poll_of_the_other(tmp_path):
    away = {1: [[400, 1200]]}
    first, second = _run(tmp_path, "jikong", "van,house", 0.02, 4, "s3", away=away, lcd="16x2")
    # nobody else is heard: once the radio is switched off and on for its sake, which is no news
    assert first["link"]["longest_gap_s"] <= 2 * 4 + 8, first
    assert first["link"]["failures"] == {} and first["link"]["connects"] == 1, first
    missed_ah = first["truth_charge_out_ah"] - first["charge_out_ah"]
    assert abs(missed_ah) <= 0.05, first  # of so short a time 2 % are less
    assert second["link"]["connects"] == 2 and second["link"]["failures"]["not found"] >= 20
    # it is found again within half a minute
    assert second["link"]["longest_gap_s"] <= 800 + 30, second


def test_commands_show_them_side_by_side(tmp_path, capsys):
    for k, name in enumerate(("bow", "house")):
        frames = [anchor(0, _UNIX)] + [data(60 * i, 13.2, -2.0 - k) for i in range(30)]
        write(tmp_path, f"{name}-00001.raw", frames)

    def said(*arguments):
        assert main([*arguments]) == 0
        return capsys.readouterr().out

    out = said("info", str(tmp_path))
    assert "bow-00001.raw: raw, 30 rows" in out and "house-00001.raw: raw, 30 rows" in out
    for options in ((), ("--every", "10min")):
        said("export", str(tmp_path), "-o", str(tmp_path / "all.csv"), *options)
        table = pd.read_csv(tmp_path / "all.csv")
        rows = table.groupby("battery").size()
        assert rows.index.tolist() == ["bow", "house"] and rows.nunique() == 1
        amps = table["current_A"] if "current_A" in table else table["current_A_mean"]
        assert sorted(amps.unique()) == [-3, -2]
    lines = said("send", str(tmp_path), "--influx", "-").splitlines()
    assert sum("battery=bow" in line for line in lines) == 30
    assert sum("battery=house" in line for line in lines) == 30
    page = tmp_path / "all.html"
    said("report", str(tmp_path), "-o", str(page))
    assert '"name": "bow"' in page.read_text() and '"name": "house"' in page.read_text()


@pytest.mark.campaign
def test_a_week_of_three_of_two_makes_is_as_good_as_alone(tmp_path):
    _as_good_as_alone(tmp_path, ("jikong", "jbd", "jikong"), ("van", "house", "van"), 7, "s3")


@pytest.mark.campaign
def test_a_week_of_two_on_the_smallest_chip_of_which_one_is_away_at_night(tmp_path):
    night_s = [[day * _DAY_S + 14 * 3600, (day + 1) * _DAY_S] for day in range(7)]
    kinds = ("jikong", "jikong"), ("van", "house")
    _as_good_as_alone(tmp_path, *kinds, 7, "esp32", away={1: night_s}, lcd="16x2")


def test_an_hour_of_two_is_as_good_as_alone(tmp_path):
    kinds = ("jikong", "jikong"), ("van", "house")
    away = {1: [[900, 1800]]}
    _as_good_as_alone(tmp_path, *kinds, 0.04, "esp32", away=away, poll_s=8, lcd="16x2")


def _as_good_as_alone(tmp_path, makes, kinds, days, chip, away=None, poll_s=60, lcd="none"):
    """Each battery's log has what it has where it is the only one on a board."""
    bms, battery = ",".join(makes), ",".join(kinds)
    together = _run(tmp_path, bms, battery, days, poll_s, chip, away=away, lcd=lcd)
    assert len(together) == len(makes)
    for i, one in enumerate(together):
        windows = (away or {}).get(i)
        alone_away = {0: windows} if windows else None
        (alone,) = _run(
            tmp_path, makes[i], kinds[i], days, poll_s, chip, away=alone_away, seed=1 + i, lcd=lcd
        )
        print(one, alone, sep="\n")
        more = one["frames"] - alone["frames"]
        few = max(3, alone["frames"] * _PERCENT / 100)
        assert more <= few, (one, alone)
        # a board whose only battery is away starts again every two hours, each time with some more
        assert more >= -few or windows, (one, alone)
        moved_ah = alone["charge_in_ah"] + alone["charge_out_ah"]
        for way in ("charge_in_ah", "charge_out_ah"):
            assert abs(one[way] - alone[way]) <= moved_ah * _PERCENT / 100, (one, alone)
        # no poll is missing, but for those while it is looked for
        assert one["link"]["samples"] >= alone["link"]["samples"] - 2 - 2 * len(windows or ())
        if not windows:
            assert one["link"]["longest_gap_s"] <= poll_s + 20, one
            assert one["charge_error_percent"] <= _PERCENT


def test_faults_of_one_leave_nothing_behind_and_the_other_goes_on():
    _soak(0.1)


@pytest.mark.campaign
def test_a_month_of_faults_of_one_of_two():
    _soak(30)


def _soak(days):
    seed = seeds.new() % 1_000_000 + 1  # any must do
    result = soak.soak(days, seed, chip="s3", batteries=2)
    assert result["missed"] == [], result
    (gap_s,) = result["others"]
    # a radio that is deaf, or does not hang up, is switched off and on
    assert gap_s <= 60, result


def test_no_file_of_a_board_is_told_to_be_no_shard(tmp_path, capsys):
    write(tmp_path, "bow-00001.raw", [anchor(0, _UNIX), data(3)])
    text = (ROOT / "docs/FORMAT.md").read_text().partition("## Frames")[0]
    names = [name for row in re.findall(r"^\| (`.+?) \|", text, re.M) for name in _names(row)]
    assert {"state", "found.json", "bow.sum", "bms1"} <= {*names}, names
    for name in names:
        if not name.endswith((".raw", ".bts")):
            (tmp_path / name).write_bytes(b"?")
    assert main(["info", str(tmp_path)]) == 0
    said = capsys.readouterr().err.splitlines()
    # what was damaged is told
    assert not [line for line in said if ".bad" not in line and ".tmp" not in line], said


def _names(row):
    names = [name.replace("NAME", "bow") for name in re.findall(r"`([^`]+)`", row)]
    return [*names, "bms1"] if names == ["bms"] else names
