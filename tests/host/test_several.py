"""Several batteries on one virtual board: each log is as good as alone."""

import argparse
import json
import random

import pytest

from batmon.firmware.build import build
from batmon.paths import BUILD
from batmon.virtual import process, sim, soak

_DAY_S = 86_400
# of a battery's charge and frames, beside what it has alone
_PERCENT = 2


def _run(tmp_path, bms, battery, days, poll_s, chip="esp32", heap="chip", away=None, seed=1):
    """Run a board with these batteries; return the figures of each."""
    options = argparse.Namespace(
        bms=bms, battery=battery, days=days, chip=chip, heap=heap, seed=seed, lcd="16x2",
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
    assert not end["panics"] and not [line for line in words if "Error" in line], words[-20:]
    result = sim.compare(end, out)
    return result.get("batteries", [result | {"link": end["stats"]}])


def test_six_on_four_links_are_each_polled_within_two_minutes(tmp_path):
    kinds = "jikong,jbd,jikong,jbd,jikong,jbd", "van,house,van,house,ebike,house"
    batteries = _run(tmp_path, *kinds, 0.006, 4, "s3", "1M")
    assert len(batteries) == 6
    for one in batteries:
        assert one["link"]["longest_gap_s"] <= 120, one
        assert one["link"]["failures"] == {} and one["frames"] > 0, one


def test_one_that_is_away_delays_no_poll_of_the_other(tmp_path):
    away = {1: [[400, 1200]]}
    first, second = _run(tmp_path, "jikong", "van,house", 0.02, 4, "s3", away=away)
    # nobody else is heard: now and then the radio is switched off and on for its sake
    assert first["link"]["longest_gap_s"] <= 2 * 4 + 8, first
    assert first["link"]["failures"].get("link lost", 0) <= 4, first
    missed_ah = first["truth_charge_out_ah"] - first["charge_out_ah"]
    assert abs(missed_ah) <= 0.05, first  # of so short a time 2 % are less
    assert second["link"]["connects"] == 2 and second["link"]["failures"]["not found"] >= 20
    # it is found again within half a minute
    assert second["link"]["longest_gap_s"] <= 800 + 30, second


@pytest.mark.campaign
def test_a_week_of_three_is_as_good_as_alone(tmp_path):
    makes, kinds = ("jikong", "jbd", "jikong"), ("van", "house", "van")
    together = _run(tmp_path, ",".join(makes), ",".join(kinds), 7, 8, "s3")
    for i, one in enumerate(together):
        (alone,) = _run(tmp_path, makes[i], kinds[i], 7, 8, "s3", seed=1 + i)
        assert one["charge_error_percent"] <= _PERCENT
        assert abs(one["frames"] - alone["frames"]) <= alone["frames"] * _PERCENT / 100
        assert one["link"]["samples"] >= alone["link"]["samples"] - 2


@pytest.mark.campaign
def test_two_of_which_one_is_away_at_night(tmp_path):
    night_s = [[day * _DAY_S + 14 * 3600, (day + 1) * _DAY_S] for day in range(3)]
    first, _ = _run(tmp_path, "jikong", "van,house", 3, 8, "s3", away={1: night_s})
    (alone,) = _run(tmp_path, "jikong", "van", 3, 8, "s3")
    assert first["charge_error_percent"] <= _PERCENT
    assert abs(first["frames"] - alone["frames"]) <= alone["frames"] * _PERCENT / 100
    assert first["link"]["samples"] >= alone["link"]["samples"] - 20


def test_faults_of_one_leave_nothing_behind_and_the_other_goes_on():
    _soak(0.1)


@pytest.mark.campaign
def test_a_month_of_faults_of_one_of_two():
    _soak(30)


def _soak(days):
    seed = random.SystemRandom().randrange(1, 1_000_000)  # any must do
    result = soak.soak(days, seed, chip="s3", batteries=2)
    assert result["missed"] == [], result
    (gap_s,) = result["others"]
    # a radio that is deaf, or does not hang up, is switched off and on
    assert gap_s <= 60, result
