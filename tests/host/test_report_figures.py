"""What the report says of made logs, on either side of each threshold; counted in Chromium."""

import json
import math
import random
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
from browser import browser

from batmon.web import counting, report

pytestmark = pytest.mark.xdist_group("figures")  # one browser

_START = 1_767_571_200  # 2026-01-05 00:00 UTC, a Monday
_HOUR_S, _DAY_S = 3600, 86_400


@pytest.fixture(scope="module")
def tab(tmp_path_factory):
    folder = tmp_path_factory.mktemp("count")
    page = folder / "count.html"
    scripts = "".join(map(report.script, (*report.COUNTING, "charts.js"))) + counting.EACH
    page.write_text(f"<meta charset=utf-8><script>{scripts}</script>", encoding="utf-8")
    with browser(folder) as opened:
        opened.open(page)
        opened.wait("typeof all === 'function'")
        yield opened


def _log(time, current=0.0, *, soc=60.0, volts=13.2, temperature=20.0, low=3300, high=3305,
         low_cell=3, high_cell=1, gaps=()):  # fmt: skip
    """Rows at `time` (unix s), columns as numbers or arrays; a gap before each index in `gaps`."""
    time = np.asarray(time, np.int64)
    n = len(time)
    interval = np.diff(time, prepend=time[0])
    interval[list(gaps)] = 0
    return pd.DataFrame(
        {
            "time_utc": pd.to_datetime(time, unit="s", utc=True),
            "time_known": True,
            "voltage_V": np.broadcast_to(np.asarray(volts, float), n),
            "current_A": np.broadcast_to(np.asarray(current, float), n),
            "temperature_degC": np.broadcast_to(np.asarray(temperature, float), n),
            "soc_percent": np.broadcast_to(np.asarray(soc, float), n),
            "cell_min_mV": pd.array(np.broadcast_to(low, n), "UInt16"),
            "cell_max_mV": pd.array(np.broadcast_to(high, n), "UInt16"),
            "cell_min_index": pd.array(np.broadcast_to(low_cell, n), "UInt8"),
            "cell_max_index": pd.array(np.broadcast_to(high_cell, n), "UInt8"),
            "interval_s": interval,
        }
    )


def _counted(tab, rows, tz="UTC", cells=4):
    data = report.data([report.battery("house", rows, cells=cells)], tz)
    (found,) = json.loads(tab.run(f"all({data})"))["batteries"]
    found["answers"] = {each["id"]: each for each in found["answers"]}
    return found


def _cycling(days, swing, capacity, *, loss=1.0, every_s=600, offset=0.0, low=30.0):
    """Time, current and SoC of a battery that is charged and discharged by `swing` % once a day.

    `capacity` is Ah, or a function of days; SoC is told in whole percents; of the charge that goes
    in only `loss` comes to be in the battery.
    """
    n = int(days * _DAY_S / every_s)
    time = _START + every_s * np.arange(n)
    ah = np.array([capacity(t) if callable(capacity) else capacity for t in np.arange(n) / 144])
    phase = 2 * np.pi * (np.arange(n) * every_s / _DAY_S)
    soc = low + swing * (0.5 - 0.5 * np.cos(phase)) + offset * np.arange(n) / n
    current = np.diff(soc, prepend=soc[0]) / 100 * ah / (every_s / _HOUR_S)
    return time, np.where(current > 0, current / loss, current), np.round(soc)


@pytest.mark.parametrize("capacity", [12.0, 105.0, 280.0])
def test_capacity_of_wide_swings(tab, capacity):
    time, current, soc = _cycling(40, 37, capacity)
    found = _counted(tab, _log(time, current, soc=soc))["figures"]
    assert found["capacity"]["ah"] == pytest.approx(capacity, rel=0.005)
    narrow = _cycling(40, 8, capacity)
    found = _counted(tab, _log(narrow[0], narrow[1], soc=narrow[2]))
    assert found["figures"]["capacity"]["ah"] is None
    assert "takes a swing" in found["answers"]["capacity"]["words"]


def test_capacity_knows_no_charge_of_a_battery_that_is_being_filled(tab):
    # at 98 % the BMS waits for the voltage, and much goes in before it tells 99 and 100
    time, current, soc = _cycling(20, 70, 100.0, low=30)
    waits = (soc >= 98) & (np.diff(soc, prepend=0) >= 0)
    current = np.where(waits, 20.0, current)
    found = _counted(tab, _log(time, current, soc=soc))["figures"]
    assert found["capacity"]["ah"] == pytest.approx(100, rel=0.02)


def test_capacity_is_not_told_across_a_correction_of_soc(tab):
    # on the way up the BMS finds that it is 12 % fuller than it thought, and takes it back later
    time, current, soc = _cycling(20, 60, 100.0, low=20)
    rising = np.diff(soc, prepend=0) > 0
    corrected = soc + 12 * ((soc > 50) & (rising | np.roll(rising, 3)))
    found = _counted(tab, _log(time, current, soc=corrected))["figures"]
    assert found["capacity"]["ah"] == pytest.approx(100, rel=0.02)


@pytest.mark.parametrize("per_year, fine", [(-3.7, True), (-4.3, False), (0.0, True)])
def test_fade_of_a_year(tab, per_year, fine):
    time, current, soc = _cycling(
        330, 45, lambda day: 280 * (1 + per_year / 100 * day / 365.25), every_s=600
    )
    found = _counted(tab, _log(time, current, soc=soc))
    assert found["figures"]["capacity"]["per_year_percent"] == pytest.approx(per_year, abs=0.15)
    assert found["answers"]["capacity"]["fine"] is fine
    months = [month["capacity_ah"] for month in found["figures"]["months"]]
    truth = [280 * (1 + per_year / 100 * (15 + 30.4 * i) / 365.25) for i in range(len(months))]
    assert months[:-1] == pytest.approx(truth[:-1], rel=0.01)


@pytest.mark.parametrize("offset", [-25.0, 0.0, 25.0])
def test_what_came_back_is_less_what_is_still_in_it(tab, offset):
    time, current, soc = _cycling(9, 35, 100.0, loss=0.9, offset=offset, low=32)
    found = _counted(tab, _log(time, current, soc=soc))["figures"]
    # the capacity too is seen through a charge that is 10 % lost, on half of the swings
    assert found["returned"]["percent"] == pytest.approx(90, abs=2)


@pytest.mark.parametrize("days, told", [(8, False), (9.2, True)])
def test_what_came_back_takes_three_cycles(tab, days, told):
    time, current, soc = _cycling(days, 35, 100.0)
    found = _counted(tab, _log(time, current, soc=soc))
    assert (found["figures"]["cycles"] >= 3) is told
    assert (found["figures"]["returned"]["percent"] is not None) is told
    assert ("so far" in found["answers"]["returned"]["words"]) is not told


def test_use_and_what_lasts(tab):
    for used_ah in (70.0, 90.0):  # a day, of some 80 Ah that are left
        time = _START + 600 * np.arange(6 * 144)
        day = np.arange(len(time)) % 144 < 72
        soc = np.round(80 - used_ah * 0.5 + np.cumsum(np.where(day, used_ah, -used_ah)) / 72)
        soc[-1] = soc[-2]
        current = np.where(day, 1, -1) * used_ah / 12
        found = _counted(tab, _log(time, current, soc=np.clip(soc, 0, 98)))
        assert found["figures"]["use"]["ah_per_day"] == pytest.approx(used_ah, rel=0.02)
        left = found["figures"]["now"]["soc"] / 100 * found["figures"]["capacity"]["ah"]
        lasts = found["figures"]["now"]["lasts_days"]
        assert lasts == pytest.approx(left / used_ah, rel=0.02)
        assert found["answers"]["lasts"]["fine"] is (lasts >= 1)


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/Sao_Paulo", "Asia/Kolkata", "UTC"])
def test_days_are_local_and_share_what_lasts_past_midnight(tab, zone):
    begin = int(datetime(2026, 10, 20, 12, tzinfo=ZoneInfo("UTC")).timestamp())
    time = begin + 1700 * np.arange(600)  # twelve days, with the end of summer time in Berlin
    days = _counted(tab, _log(time, -6.0), zone)["figures"]["days"]
    for day in days[1:-1]:
        local = datetime.fromtimestamp(day["begin"], ZoneInfo(zone))
        assert (local.hour, local.minute) == (0, 0)
        assert day["out_ah"] == pytest.approx(6 * (day["end"] - day["begin"]) / _HOUR_S)
    assert {day["end"] - day["begin"] for day in days} == (
        {86_400, 90_000} if zone == "Europe/Berlin" else {86_400}
    )


@pytest.mark.parametrize(
    "zone", ["UTC", "Europe/Berlin", "America/Los_Angeles", "Pacific/Auckland", "Asia/Kathmandu"]
)
def test_weeks_begin_on_local_mondays(tab, zone):
    first = int(datetime(2026, 3, 2, 9, tzinfo=ZoneInfo("UTC")).timestamp())
    ticks = tab.run(f"timeTicks({first}, {first + 35 * _DAY_S}, new Zone('{zone}')).at")
    assert 4 <= len(ticks) <= 6
    for tick in ticks:
        local = datetime.fromtimestamp(tick, ZoneInfo(zone))
        assert (local.weekday(), local.hour, local.minute) == (0, 0, 0)


def test_axes_have_four_to_six_labels(tab):
    rnd = random.Random(1)
    for _ in range(60):
        span = math.exp(rnd.uniform(math.log(30), math.log(12 * 365 * _DAY_S)))
        first, zone = _START + rnd.randrange(10**8), rnd.choice(["Europe/Berlin", "Asia/Kolkata"])
        at = tab.run(f"timeTicks({first}, {first + span}, new Zone('{zone}')).at")
        assert 4 <= len(at) <= 6 and first <= at[0] and at[-1] <= first + span, (first, span)
        low, width = rnd.uniform(-100, 100), math.exp(rnd.uniform(-4, 9))
        at = tab.run(f"valueTicks({low}, {low + width})")
        assert 4 <= len(at) <= 6 and at[0] <= low + width / 1e5 and at[-1] >= low + 0.9999 * width
        assert tab.run(f"room({low}, {low + width})") == [at[0], at[-1]]


def test_gaps_of_ten_minutes_and_their_sum(tab):
    steps = np.full(200, 60)
    steps[[50, 100, 150]] = 599, 600, 90_000
    time = _START + np.cumsum(steps)
    gaps = _counted(tab, _log(time, gaps=(50, 100, 150)))["figures"]["gaps"]
    assert gaps["list"] == [[time[149], 90_000], [time[99], 600]] and gaps["sum_s"] == 90_600
    # and what is further apart than any board stores is one without being told
    assert _counted(tab, _log(time))["figures"]["gaps"]["list"] == [[time[149], 90_000]]


def _rested(spread, soc, high_cell=1, low_cell=3, hours=80):
    time = _START + 600 * np.arange(hours * 6)
    return _log(time, 0.1, soc=soc, high=3300 + spread, low_cell=low_cell, high_cell=high_cell)


@pytest.mark.parametrize(
    "soc, limit, words",
    [
        (60, 20, "cell 3 is low at rest"),
        (100, 60, "cell 1 is full first"),
        (9, 120, "cell 3 is empty first"),
    ],
)
def test_cells_are_compared_where_they_can_be(tab, soc, limit, words):
    for spread, fine in ((limit, True), (limit + 1, False)):
        answer = _counted(tab, _rested(spread, soc))["answers"]["cells"]
        assert answer["fine"] is fine
        assert (words in answer["words"]) is not fine and str(limit) in answer["rule"]
    # elsewhere a spread tells nothing: neither under load nor on the slope between
    time = _START + 600 * np.arange(480)
    for elsewhere in (
        {"current": np.tile([-30.0, 5.0], 240)},
        {"current": np.tile([-30.0, 0.1], 240)},  # has rested for no more than a row
        {"soc": 39},
        {"soc": 81},
    ):
        rows = _log(time, **{"current": 0.1, "soc": 60, "high": 3400} | elsewhere)
        assert _counted(tab, rows)["answers"]["cells"]["fine"] is None, elsewhere


def test_no_cell_is_named_when_they_take_turns(tab):
    turns = np.arange(480) % 4 + 1
    rows = _rested(40, 60, low_cell=turns, high_cell=turns % 4 + 1)
    found = _counted(tab, rows)
    assert found["answers"]["cells"]["value"] == "Apart"
    assert [cell for cell, *_ in found["figures"]["cells"]["list"]] == ["1", "2", "3", "4"]


def test_all_cells_are_listed(tab):
    found = _counted(tab, _rested(5, 60), cells=16)
    assert len(found["figures"]["cells"]["list"]) == 16


def test_a_frame_that_leaves_open_which_cell_it_was(tab):
    rows = _rested(25, 60, low_cell=13, high_cell=2)
    rows["cell_min_index_to"], rows["cell_max_index_to"] = rows["cell_min_index"] + 1, 2
    found = _counted(tab, rows, cells=20)
    names = [cell for cell, *_ in found["figures"]["cells"]["list"]]
    assert names[11:14] == ["12", "13 or 14", "15"] and len(names) == 19
    assert "cell 13 or 14 is low" in found["answers"]["cells"]["words"]


@pytest.mark.parametrize("per_year, fine", [(7.0, True), (9.0, False)])
def test_drift_of_a_cell(tab, per_year, fine):
    time = _START + 1800 * np.arange(300 * 48)
    spread = 5 + per_year * np.arange(len(time)) / 48 / 365.25
    rnd = np.random.default_rng(2)
    high = 3300 + np.floor(spread + rnd.random(len(time))).astype(int)  # whole mV, dithered
    found = _counted(tab, _log(time, 0.1, soc=60, high=high))
    assert found["figures"]["cells"]["rest"]["per_year_mv"] == pytest.approx(per_year, rel=0.02)
    assert found["answers"]["cells"]["fine"] is fine
    assert fine or "cell 1 drifts away from cell 3" in found["answers"]["cells"]["words"]


def test_drift_of_cells_that_rest_at_one_end_of_a_month(tab):
    """A month's figure is of the days that tell it, wherever in the month they are."""
    time = _START + 1800 * np.arange(300 * 48)
    days = (time - _START) // _DAY_S
    months = pd.to_datetime(time, unit="s").day
    rests = np.where(days < 150, months > 26, months < 4)
    spread = 5 + 9.0 * np.arange(len(time)) / 48 / 365.25
    high = 3300 + np.floor(spread + np.random.default_rng(3).random(len(time))).astype(int)
    found = _counted(tab, _log(time, np.where(rests, 0.1, -40.0), soc=60, high=high))
    assert found["figures"]["cells"]["rest"]["per_year_mv"] == pytest.approx(9.0, rel=0.02)


def test_a_reading_gone_wrong_does_not_move_the_cells_apart(tab):
    rows = _rested(np.where(np.arange(480) % 20 == 7, 900, 6), 60)
    assert _counted(tab, rows)["figures"]["cells"]["rest"]["mv"] == 6


@pytest.mark.parametrize(
    "answer, beyond",
    [
        ("temperature", {"temperature": -0.5, "current": 5.0}),
        ("temperature", {"temperature": 45.0, "current": -5.0}),
    ],
)
def test_temperature_warnings(tab, answer, beyond):
    for minutes, fine in ((9, True), (10, False)):
        time = _START + 60 * np.arange(600)
        temperature, current = np.full(600, 20.0), np.full(600, -5.0)
        temperature[300 : 300 + minutes] = beyond["temperature"]
        current[300 : 300 + minutes] = beyond["current"]
        found = _counted(tab, _log(time, current, temperature=temperature))
        assert found["answers"][answer]["fine"] is fine
    # cold alone harms nothing
    found = _counted(tab, _log(time, -5.0, temperature=-10.0))
    assert found["answers"]["temperature"]["fine"] is True


@pytest.mark.parametrize(
    "low, high, fine", [(2801, 3599, True), (2800, 3500, False), (3000, 3600, False)]
)
def test_cell_voltages(tab, low, high, fine):
    time = _START + 10 * np.arange(100)
    lows, highs = np.full(100, 3300), np.full(100, 3310)
    lows[50:56], highs[50:56] = low, high
    found = _counted(tab, _log(time, low=lows, high=highs))
    assert found["answers"]["alarms"]["fine"] is fine
    lows[55], highs[55] = 3300, 3310  # 50 s are too short
    assert _counted(tab, _log(time, low=lows, high=highs))["answers"]["alarms"]["fine"] is True


def test_alarms_of_the_bms(tab):
    rows = _log(_START + 60 * np.arange(100))
    happened = [
        (_START + 60, _START + 60, "alarm", "alarm: cell undervoltage"),
        (_START + 120, _START + 120, "alarm", "alarm over after 60 s"),
        (_START + 130, _START + 130, "alarm", "no longer: cell undervoltage"),
        (_START + 180, _START + 180, "health", "weak signal"),
    ]
    for told, fine in (([], True), (happened[1:], True), (happened, False)):
        data = report.data([report.battery("house", rows, cells=4, happened=told)], "UTC")
        (found,) = json.loads(tab.run(f"all({data})"))["batteries"]
        (said,) = (each for each in found["answers"] if each["id"] == "alarms")
        assert said["fine"] is fine and (not fine or "since 2026-01-05" in said["words"])
    assert said["words"] == "1 alarm of the BMS, last 2026-01-05: alarm: cell undervoltage"


def _steps(n, apart_s=2, volts_per_amp=0.005, rounded=None):
    time, current = [], []
    for i in range(n):
        time += [600 * (i + 1) - apart_s, 600 * (i + 1)]
        current += [-2.0, -50.0] if i % 2 else [-50.0, -2.0]
    volts = 13.25 + volts_per_amp * np.array(current)
    if rounded:
        volts = np.round(volts / rounded) * rounded
    return _log(_START + np.array(time), current, volts=volts)


def test_resistance_from_steps(tab):
    found = _counted(tab, _steps(40))["figures"]
    assert found["resistance"]["mohm"] == pytest.approx(5.0, rel=0.02)
    for rows, reason in (
        (_steps(4), "it takes 5"),
        (_steps(40, apart_s=13), "never 12 s"),
        (_steps(40, volts_per_amp=0.0), "too little"),
    ):
        found = _counted(tab, rows)
        assert found["figures"]["resistance"]["mohm"] is None
        assert reason in found["answers"]["resistance"]["words"]


def test_full_and_low(tab):
    time = _START + 600 * np.arange(400)
    soc = np.full(400, 50.0)
    soc[100], soc[200] = 98.5, 20
    moments = _counted(tab, _log(time, soc=soc))["figures"]["moments"]
    assert moments["full"]["last"] is None and moments["low"]["last"] is None
    soc[100], soc[200] = 99, 19.5
    moments = _counted(tab, _log(time, soc=soc))["figures"]["moments"]
    assert (moments["full"]["last"], moments["low"]["last"]) == (time[100], time[200])


def test_a_log_without_soc_cells_and_temperature(tab):
    time = _START + 60 * np.arange(60)
    rows = _log(time, -2.0, soc=np.nan, temperature=np.nan)
    for name in ("cell_min_mV", "cell_max_mV", "cell_min_index", "cell_max_index"):
        rows[name] = pd.array([pd.NA] * 60, rows[name].dtype)
    answers = _counted(tab, rows, cells=0)["answers"]
    assert answers["now"]["value"] == "13.2 V"
    assert all(each["fine"] is None for each in answers.values())
    assert not any("NaN" in each["value"] + each["words"] for each in answers.values())


def test_numbers_have_three_digits_and_no_more(tab):
    values = [99.96, 9.996, 0.04, -0.2, 0]
    assert tab.run(f"{values}.map((x) => number(x))") == ["100", "10.0", "0", "\u22120.2", "0"]
    assert tab.run("[1, 28.04, 337.2].map(inDays)") == ["1 day", "28 days", "337 days"]


def test_one_row_and_rows_of_which_nothing_is_known(tab):
    answers = _counted(tab, _log([_START]))["answers"]
    assert answers["use"]["value"] == "\u2013" and "two rows" in answers["use"]["words"]
    nothing = _log([_START], np.nan, soc=np.nan, volts=np.nan)
    now = _counted(tab, nothing)["answers"]["now"]
    assert now["value"] == "\u2013" and now["words"].endswith("no state of charge")


def test_a_wild_voltage_is_left_out_and_said(tab):
    time = _START + 60 * np.arange(60)
    volts = np.where(np.arange(60) == 0, 2000.0, 13.2)
    found = _counted(tab, _log(time, -2.0, volts=volts))
    assert found["wild"] == {"count": 1, "value": 2000}
    assert found["figures"]["out_wh"] == pytest.approx(13.2 * 2 * 58 / 60, rel=0.01)
    assert _counted(tab, _log(time, volts=np.where(volts > 99, 21.0, volts)))["wild"]["count"] == 0


@pytest.mark.parametrize(
    "zone, date", [("Africa/Cairo", (2024, 4, 26)), ("America/Santiago", (2024, 9, 8))]
)
def test_local_midnight_that_summer_time_skips(tab, zone, date):
    skipped = datetime(*date, 12, tzinfo=ZoneInfo("UTC"))
    for away in range(-3, 4):  # that day begins at one o'clock
        moment = (skipped + timedelta(days=away)).timestamp()
        begin = tab.run(f"(z => z.begin(z.day({moment})))(new Zone('{zone}'))")
        local = datetime.fromtimestamp(begin, ZoneInfo(zone))
        assert (local.hour, local.minute) == (int(away == 0), 0)
        assert local.date() == datetime.fromtimestamp(moment, ZoneInfo(zone)).date()


# ---- several batteries


def _packs(shares, *, apart_v=0.0, days=3, gap=None):
    """Batteries that share a load, each polled at its own times; (name, rows) of each.

    The last is `apart_v` higher; the first has no rows within `gap`, days from the start.
    """
    packs = []
    for k, share in enumerate(shares):
        time = _START + 7 * k + (60 + 25 * k) * np.arange(int(days * _DAY_S / (60 + 25 * k)))
        current = share * 50 * np.sin(2 * np.pi * (time - _START) / _DAY_S)
        volts = 13.2 + current / share / 500 + apart_v * (k == len(shares) - 1)
        gaps = ()
        if gap and not k:
            kept = (time < _START + gap[0] * _DAY_S) | (time > _START + gap[1] * _DAY_S)
            gaps = (int(np.argmin(kept)),)
            time, current, volts = time[kept], current[kept], volts[kept]
        packs.append((f"pack-{k + 1}", _log(time, current, volts=volts, gaps=gaps)))
    return packs


def _bank(tab, packs):
    data = report.data([report.battery(name, rows, cells=4) for name, rows in packs], "UTC")
    return json.loads(tab.run(f"all({data})"))["bank"]


def test_a_bank_is_the_sum_of_its_packs(tab):
    bank = _bank(tab, _packs((0.5, 0.3, 0.2)))["figures"]
    moved_ah = 50 * 24 / np.pi * 3  # in, and as much out
    assert bank["in_ah"] == pytest.approx(moved_ah, rel=0.01)
    assert bank["out_ah"] == pytest.approx(moved_ah, rel=0.01)
    assert bank["in_wh"] == pytest.approx(moved_ah * (13.2 + 50 * math.pi / 4 / 500), rel=0.01)
    assert [pack["moved_percent"] for pack in bank["packs"]] == pytest.approx([50, 30, 20], abs=0.3)
    for way in ("in_ah", "out_ah", "in_wh"):
        assert sum(pack[way] for pack in bank["packs"]) == pytest.approx(bank[way], rel=0.01)


def test_a_pack_that_takes_more_than_its_part_is_marked(tab):
    for shares, fine in (((0.55, 0.45), True), ((0.7, 0.3), False)):
        assert _bank(tab, _packs(shares))["figures"]["fine"] is fine
        (card,) = [a for a in _bank(tab, _packs(shares))["answers"] if a["id"] == "bank-split"]
        assert card["fine"] is fine and card["words"] == "pack-1 : pack-2"


def test_a_pack_with_the_wrong_sign_is_named(tab):
    for shares in ((0.6, -0.5), (0.5, 0.3, -0.2), (0.9, -0.1)):
        bank = _bank(tab, _packs(shares))
        assert [pack["against"] for pack in bank["figures"]["packs"]] == [s < 0 for s in shares]
        (card,) = [a for a in bank["answers"] if a["id"] == "bank-split"]
        assert card["fine"] is False and f"; pack-{len(shares)} runs against" in card["words"]


def test_a_battery_of_another_voltage_is_not_parallel(tab):
    packs = _bank(tab, _packs((0.6, 0.4, 0.1), apart_v=0.4))["figures"]["packs"]
    assert [pack["name"] for pack in packs] == ["pack-1", "pack-2"]
    assert [pack["moved_percent"] for pack in packs] == pytest.approx([60, 40], abs=0.3)


def test_a_bank_counts_only_while_all_are_measured(tab):
    bank = _bank(tab, _packs((0.5, 0.5), gap=(1.0, 2.0)))["figures"]
    assert bank["measured_s"] == pytest.approx(2 * _DAY_S, abs=300)
    assert bank["in_ah"] == pytest.approx(50 * 24 / np.pi * 2, rel=0.01)
    assert bank["packs"][1]["moved_percent"] == pytest.approx(50, abs=0.3)


def test_one_battery_is_no_bank(tab):
    assert _bank(tab, _packs((1.0,))) is None
