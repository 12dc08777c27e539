"""The board at rest: what is logged while it sleeps and looks, how long it is awake, what is lost.

The battery is sim/parked.py's; the virtual board sleeps deeply, by a slow clock that is off.
"""

import random

import numpy as np
import pytest
from parkedboard import HOUR_S, POWER, WATCHDOG, Run, unix

from batmon.virtual import power, process, sim

_DRIFT_S = 0.05 * 5 * HOUR_S
_VISIT = "1.8-2.3:-20"  # hours from the beginning, amperes


@pytest.fixture(scope="module")
def winter(tmp_path_factory):
    """Five hours of it, with a visit, by a clock that is 3 % slow."""
    out = tmp_path_factory.mktemp("rest")
    return Run(out, 5, _VISIT, {"minutes": 20}, slow_clock=[-30_000, 5_000])


def test_it_sleeps_and_looks(winter):
    power = winter.power
    asleep_s = power["asleep_ms"] / 1000
    assert asleep_s > 3.5 * HOUR_S
    assert power["looks"] == pytest.approx(asleep_s / 1200, abs=4)
    assert power["look_ms"] / (power["look_ms"] + power["asleep_ms"]) < 0.04


def test_a_visit_is_seen_at_the_look_that_it_meets(winter):
    table = winter.table()
    begin_s = process.START_UNIX + 1.8 * HOUR_S
    loud = unix(table[table["current_A"] < -15])
    assert loud[0] - begin_s < 1.05 * 1200 + _DRIFT_S
    rests = winter.rests()
    assert [bool(every) for _, every, _ in rests] == [True, False, True]
    assert 1100 < rests[1][2] < 1350  # since the look before


def test_a_rest_is_one_run_of_one_boot(winter):
    table = winter.table()
    assert table["boot"].nunique() == 1
    first = table[unix(table) < process.START_UNIX + 1.7 * HOUR_S]
    assert (first["interval_s"] > 0).sum() == len(first) - 1  # all but the first belong to a run
    assert first["interval_s"][1:].min() >= 1790  # not each look: the sampler goes on


def test_the_charge_is_that_which_the_bms_counted(winter):
    """Also what a visit took before the look that meets it, since when nobody knows."""
    told = sim.compare(winter.end, winter.out)
    assert told["charge_out_ah"] == pytest.approx(told["truth_charge_out_ah"], rel=0.01)


def test_a_log_that_never_rests_is_the_same(tmp_path):
    logs = []
    for rest in (False, {"minutes": 10}):
        run = Run(tmp_path / str(bool(rest)), 0.3, "0-1:-20", rest=rest)
        assert not run.power["asleep_ms"]
        logs.append([path.read_bytes() for path in sorted((run.out / "data").glob("*.raw"))])
    assert logs[0] and logs[0] == logs[1]


def _text(record):
    return ["".join(chr(code) for code in row) for row in record["lcd"]["cells"]]


def test_the_display_keeps_a_dark_sign_and_the_button_wakes(tmp_path):
    pressed_s = 3000
    run = Run(
        tmp_path,
        1,
        settings={"lcd": {}},
        lcd="16x2",
        presses=[[0, pressed_s, 1]],
        status_wall_ms=0,
    )
    before = [one for one in run.shown if one["t_s"] < 600]
    assert before[5]["lcd"]["backlight"]
    kept, *awake = [one for one in run.shown if one["t_s"] >= pressed_s]
    assert kept["t_s"] - pressed_s < 10 and not kept["lcd"]["backlight"]
    assert _text(kept)[1] == "at rest for 0 h "
    assert len(awake) > 55 and awake[-1]["connected"]  # ten minutes, every ten seconds
    assert _text(awake[-1])[1] != "at rest for 0 h "


@pytest.mark.campaign
def test_an_alarm_keeps_it_awake_for_an_hour(tmp_path):
    """One about a low charge would else help to empty the battery."""
    run = Run(tmp_path, 1.6, settings={"poll_s": 15, "alarm": {"soc": 90}})
    (began_s, every_s, _), *_ = run.rests()
    assert 3600 <= began_s - process.START_UNIX < 3600 + 700 and every_s == 1800


@pytest.mark.campaign
def test_a_look_without_the_bms_gives_up_soon(tmp_path):
    """It sleeps on, and when the BMS is back the log says for how long there was nothing."""
    run = Run(tmp_path, 5, away={"0": [[5040, 12_240]]})
    looks = run.power["looks"]
    assert run.power["look_ms"] / looks < 15_000
    assert not [line for line in run.words if "not found" in line]
    table = run.table()
    assert table["boot"].nunique() == 1
    begins = unix(table)[(table["interval_s"] == 0).to_numpy()] - process.START_UNIX
    assert len(begins) == 2 and 3.4 * HOUR_S < begins[1] < 4 * HOUR_S


@pytest.mark.campaign
@pytest.mark.parametrize("seed", range(4))
def test_resets_at_any_moment_lose_nothing(tmp_path, seed):
    """A reset that keeps the power costs no frame, a power cut at most the hour before it."""
    rnd = random.Random(seed)
    hangs = sorted(rnd.uniform(700, 4 * HOUR_S) for _ in range(3))
    cut = rnd.uniform(4, 6) * HOUR_S
    run = Run(tmp_path, 7, resets=[*([at, WATCHDOG] for at in hangs), [cut, POWER]])
    table = run.table()
    dated = table[table["time_known"].to_numpy()]  # the clock is lost with the power
    known = unix(dated) - process.START_UNIX
    assert dated["boot"].nunique() > 1 and len(dated) < len(table)
    for at in hangs:  # which strike in the next look, if the board sleeps just then
        assert at - known[known <= at][-1] <= 1830, at
    assert cut - known[known <= cut][-1] <= 3600 + 1830


@pytest.mark.campaign
@pytest.mark.parametrize(("days", "minutes"), [(12, 10), (120, 60)])
def test_a_winter(tmp_path, days, minutes):
    """Three visits, at each of which a phone sets the clock, and a lamp left on for two days."""
    day = days / 120 * 24  # hours
    visits = [[3 * day, 3 * day + 3, -14.5], [60 * day, 60 * day + 2, -22]]
    visits.append([105 * day, 105 * day + 3, 18])
    lamp = [30 * day, 30 * day + 48 * min(1, days / 60), -0.3]
    flows = " ".join(f"{begin:.4f}-{end:.4f}:{amps}" for begin, end, amps in [*visits, lamp])
    sets = [int((end - 0.2) * HOUR_S) for _, end, _ in visits]
    rest = {"minutes": minutes}
    run = Run(
        tmp_path,
        24 * days,
        flows,
        rest,
        {"poll_s": 20},
        slow_clock=[-20_000, 8_000],
        clock_set=sets,
    )
    told = power.estimate(run.power, run.end["t_s"])
    assert told["duty"] < 0.04
    assert told["chip_rest_mah_a_day"] < told["always_on_mah_a_day"] / 15
    table = run.table()
    assert table["boot"].nunique() == 1 and table["time_known"].all()
    seconds = unix(table) - process.START_UNIX
    current = table["current_A"].to_numpy()
    for begin, end, amps in visits:
        loud = seconds[(np.sign(amps) * current > 10) & (abs(seconds / HOUR_S - end) < 6)]
        assert loud[0] <= begin * HOUR_S + 60 * minutes * 1.05 + 60
        assert loud[-1] == pytest.approx(end * HOUR_S, abs=60)
    figures = sim.compare(run.end, tmp_path)
    for way in ("in", "out"):
        true_ah = figures[f"truth_charge_{way}_ah"]
        error_ah = true_ah - figures[f"charge_{way}_ah"]
        assert abs(error_ah) <= 0.01 * true_ah + 0.05
