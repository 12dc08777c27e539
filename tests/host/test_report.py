"""`batmon report` in headless Chromium: a million frames, zooming, phones, and what is counted."""

import numpy as np
import pandas as pd
import pytest
from browser import browser
from shardfiles import anchor, data, event, write

from batmon.cli import main
from batmon.log import figures, stream
from batmon.log.formats import frame
from batmon.web import report

_START = 1_767_247_200
_DAY_S = 86_400
_CHARTS = 7
_READY = "document.body && document.body.dataset.ready"


def _million(frames=1_000_000):
    """Rows of two years: a sine of charge by day, steps of current, a gap of nine days."""
    rnd = np.random.default_rng(1)
    seconds = rnd.integers(20, 106, frames)
    seconds[0] = 0
    seconds[frames // 2] = 9 * _DAY_S
    unix = _START + np.cumsum(seconds)
    phase = 2 * np.pi * unix / _DAY_S
    current = np.round(40 * np.sin(phase) + np.where(rnd.random(frames) < 0.02, -60, 0), 1)
    volts = 52.8 + 0.02 * current + 0.3 * np.cos(phase)
    low = (volts / 16 * 1000 - 3).astype(np.uint16)
    interval = seconds.copy()
    interval[[0, frames // 2]] = 0
    return pd.DataFrame(
        {
            "battery": pd.Categorical(["house"] * frames),
            "time_utc": pd.to_datetime(unix, unit="s", utc=True).as_unit("ms"),
            "time_known": True,
            "voltage_V": volts.astype(np.float16).astype(float),
            "current_A": current.astype(np.float16).astype(float),
            "temperature_degC": np.round(20 + 5 * np.sin(phase / 365)) / 1,
            "soc_percent": np.round(2 * (50 - 40 * np.cos(phase))) / 2,
            "cell_min_mV": pd.array(low, "UInt16"),
            "cell_max_mV": pd.array(low + 7, "UInt16"),
            "cell_min_index": pd.array([3] * frames, "UInt8"),
            "cell_max_index": pd.array([7] * frames, "UInt8"),
            "interval_s": interval,
            "energy_Wh": current * volts * interval / 3600,
        }
    )


@pytest.fixture(scope="module")
def million(tmp_path_factory):
    rows = _million()
    page = tmp_path_factory.mktemp("page") / "million.html"
    battery = {"name": "house", **report.battery(rows, [], "UTC")}
    page.write_text(report.page([battery], "UTC"), encoding="utf-8")
    return page, rows


@pytest.fixture(scope="module")
def tab(tmp_path_factory):
    with browser(tmp_path_factory.mktemp("chromium")) as opened:
        yield opened


@pytest.mark.xdist_group("report")
def test_a_million_frames(million, tab):
    page, rows = million
    assert page.stat().st_size < 12e6
    tab.window(1280, 900)
    tab.open(page)
    # what the page itself counts, since it began to load; the target on a quiet PC is 3 s
    assert tab.wait(_READY) and not tab.complaints
    charts = tab.run("document.querySelectorAll('#detail canvas').length")
    assert charts == _CHARTS
    # every canvas has something drawn on it
    assert tab.run(
        "[...document.querySelectorAll('canvas')].every(c => c.getContext('2d')"
        ".getImageData(0, 0, c.width, c.height).data.some(x => x))"
    )
    assert tab.run("page.rows.length") == len(rows)
    points = int(tab.run("document.body.dataset.points"))
    assert 1000 < points < 30_000
    # nothing short is lost: the extremes are drawn even when all is merged
    lowest = tab.run("Math.min(...page.charts[2].plot.data[1].filter(x => x !== null))")
    assert lowest == rows["current_A"].min()
    highest = tab.run("Math.max(...page.charts[2].plot.data[1].filter(x => x !== null))")
    assert highest == rows["current_A"].max()
    gap = tab.run("page.charts[0].plot.data[1].filter(x => x === null).length")
    assert gap == 1


@pytest.mark.xdist_group("report")
def test_zooming_by_mouse_and_buttons(million, tab):
    page, rows = million
    tab.window(1280, 900)
    tab.open(page)
    tab.wait(_READY)
    tab.run("page.charts[1].div.scrollIntoView()")
    x, y, width = tab.run(
        "(r => [r.left, r.top + r.height / 2, r.width])"
        "(page.charts[1].plot.over.getBoundingClientRect())"
    )
    before = tab.run("page.to - page.from")
    tab.drag(x + width * 0.2, y, x + width * 0.3, y)
    tab.wait(f"page.to - page.from < {before * 0.11} && !page.asked")
    low, high = tab.run("[page.from, page.to]")
    first = rows["time_utc"].iloc[0].timestamp()
    assert low == pytest.approx(first + 0.2 * before, abs=0.01 * before)
    scales = tab.run("page.charts.map(c => [c.plot.scales.x.min, c.plot.scales.x.max])")
    assert scales == [[low, high]] * _CHARTS  # all show the same
    tab.run("[...by('tools').children].find(b => b.textContent == 'Day').click()")
    tab.wait(f"page.to - page.from == {_DAY_S} && !page.asked")
    # now every row is drawn as it is
    inside = "t => t >= page.from && t <= page.to"
    shown = tab.run(f"page.charts[0].plot.data[0].filter({inside}).length")
    middle = (low + high) / 2
    times = rows["time_utc"].astype("datetime64[s, UTC]").astype("int64")
    assert shown == ((times >= middle - _DAY_S / 2) & (times <= middle + _DAY_S / 2)).sum()
    tab.run("[...document.querySelectorAll('#tools button')][0].click()")
    tab.wait("page.whole() && !page.asked")
    assert not tab.complaints


@pytest.mark.xdist_group("report")
def test_on_a_phone(million, tab):
    tab.window(390, 844, phone=True)
    tab.open(million[0])
    tab.wait(_READY)
    assert tab.run("document.documentElement.scrollWidth") == 390
    tab.run("page.charts[0].div.scrollIntoView()")
    x, y, width = tab.run(
        "(r => [r.left, r.top + r.height / 2, r.width])"
        "(page.charts[0].plot.over.getBoundingClientRect())"
    )
    before = tab.run("page.to - page.from")
    middle = x + width / 2
    tab.touch("touchStart", (middle - 20, y), (middle + 20, y))
    tab.touch("touchMove", (middle - 100, y), (middle + 100, y))
    tab.touch("touchEnd")
    tab.wait(f"page.to - page.from < {before * 0.3} && !page.asked")
    assert not tab.complaints


def test_from_shards_with_odd_things(tmp_path, capsys, tab):
    name = "</script><b>"
    frames = [anchor(0, _START)] + [data(30 * i, 13.2, -5.0) for i in range(200)]
    frames += [event(7000, frame.LINK_LOST), event(9000, frame.GAP, 2000)]
    odd = (float("nan"), float("inf"))
    frames += [data(9000 + 30 * i, 13.3, odd[i % 2], soc=255) for i in range(20)]
    write(tmp_path, "a-00001.bts", frames)
    write(tmp_path, "b-00001.raw", [anchor(0, 0), data(1)])
    out = tmp_path / "page.html"
    assert main(["report", str(tmp_path), "-o", str(out), "--tz", "Europe/Berlin"]) == 0
    assert "220 rows" in capsys.readouterr().out
    tab.window(1280, 900)
    tab.open(out)
    tab.wait(_READY)
    assert "lost the BMS" in tab.run("document.getElementById('tables').textContent")
    assert "2026-01-01 07:00" in tab.run("document.getElementById('summary').textContent")
    assert not tab.complaints
    battery = {"name": name, **report.battery(_million(10), [], "UTC")}
    out.write_text(report.page([battery], "UTC"), encoding="utf-8")
    tab.open(out)
    tab.wait(_READY)
    assert tab.run("document.querySelector('#batteries button').textContent") == name


def test_figures():
    rows = _million(50_000)
    totals = figures.summary(rows)
    hours = rows["interval_s"] / 3600
    charge = rows["current_A"] * hours
    assert totals["out_ah"] == pytest.approx(-charge[charge < 0].sum(), abs=0.1)
    days = figures.days(rows, "UTC")
    assert days["charge_out_Ah"].sum() == pytest.approx(totals["out_ah"], abs=0.1)
    # the state of charge goes down from 90 to 10 once a day
    assert totals["cycles"] == pytest.approx(0.8 * totals["hours"] / 24, rel=0.05)
    ohm = figures.resistance(rows, "UTC")["median"]
    assert len(ohm) == 0  # no two rows are close enough for a step
    assert figures.gaps(rows) == [(pytest.approx(_START, abs=10**7), 9 * _DAY_S)]
    assert dict((cell, low) for cell, low, _ in figures.cells(rows))[3] == 100


def test_resistance_from_steps(tmp_path):
    frames, up = [anchor(0, _START)], 0
    for i in range(40):
        current = -50.0 if i % 2 else -2.0
        up += 600
        frames.append(data(up, 13.2, -2.0 if i % 2 else -50.0))
        up += 2
        frames.append(data(up, 13.2 + 0.005 * current, current))
    write(tmp_path, "a-00001.raw", frames)
    rows = figures.tables(stream.Logs([tmp_path]))["a"]
    rows["voltage_V"] = 13.2 + 0.005 * rows["current_A"]
    assert figures.resistance(rows, "UTC")["median"].tolist() == [pytest.approx(5.0)]


def test_mistakes(tmp_path, capsys):
    write(tmp_path, "a-00001.raw", [anchor(0, 0), data(1)])
    for arguments, code, word in (
        (["-o", "x.pdf"], 2, ".html"),
        (["-o", "/absent/x.html"], 2, "no folder"),
        (["-o", str(tmp_path / "x.html"), "--tz", "Mars"], 2, "Mars"),
        (["-o", str(tmp_path / "x.html")], 1, "no row"),
    ):
        assert main(["report", str(tmp_path), *arguments]) == code
        error = capsys.readouterr().err
        assert word in error and len(error.splitlines()) == 1
