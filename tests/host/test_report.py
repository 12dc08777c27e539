"""`batmon report` in headless Chromium: a million frames, zooming, phones, and what is counted."""

import json

import needs
import numpy as np
import pandas as pd
import pytest
import test_happened
import test_lifetime
from browser import browser
from shardfiles import anchor, data, event, write

from batmon.cli import main
from batmon.log.formats import frame
from batmon.paths import ROOT
from batmon.web import counting, report

_START = 1_767_247_200
_DAY_S = 86_400
_CHARTS = 7
# The pixels of a chart, read from a copy: Chromium warns when the canvas itself is read twice.
_PIXELS = (
    "const copy = document.createElement('canvas'); copy.width = u.ctx.canvas.width;"
    "copy.height = u.ctx.canvas.height;"
    "const ctx = copy.getContext('2d', {willReadFrequently: true});"
    "ctx.drawImage(u.ctx.canvas, 0, 0);"
)
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
    page.write_text(report.page([report.battery("house", rows)], "UTC"), encoding="utf-8")
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
    assert tab.run("(({ answered, ready }) => answered - ready)(document.body.dataset)") < 0
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
    assert "221 rows" in capsys.readouterr().out
    tab.window(1280, 900)
    tab.open(out)
    tab.wait(_READY)
    assert "lost the BMS" in tab.run("document.getElementById('tables').textContent")
    span = tab.run("document.getElementById('span').textContent")
    assert "2026-01-01 07:00" in span and "Europe/Berlin" in span
    assert not tab.complaints
    odd_page = report.page([report.battery(name, _million(10))], "UTC")
    out.write_text(odd_page, encoding="utf-8")
    tab.open(out)
    tab.wait(_READY)
    assert tab.run("document.querySelector('#batteries button').textContent") == name


def _case(tab, out, folder, *options):
    assert main(["report", str(folder), "-o", str(out), *options]) == 0
    tab.window(1280, 900)
    tab.open(out)
    tab.wait(_READY)
    assert not tab.complaints


@pytest.mark.xdist_group("report")
def test_a_short_gap_is_drawn_as_short_as_it_was(tmp_path, tab):
    # rows half an hour apart, and between two of them 40 s without data
    times = [0, 1800, 3600, 3640, 5440, 7240]
    frames = [anchor(0, _START)] + [data(t, 13.2, -5.0) for t in times]
    frames.insert(4, event(3640, frame.GAP, 40))
    write(tmp_path, "a-00001.raw", frames)
    _case(tab, tmp_path / "page.html", tmp_path)
    left, right = tab.run(
        "(([xs, ys]) => { const i = ys.indexOf(null); return [xs[i - 1], xs[i + 1]]; })"
        "(page.charts[2].plot.data)"
    )
    assert right - left == 40
    tab.run(f"page.range({_START + 3420}, {_START + 3820})")
    tab.wait("page.to - page.from == 400 && !page.asked")
    # the line of the steady current, pixel by pixel: dark but for a tenth of the width
    dark = tab.run(
        f"(u => {{ {_PIXELS}"
        "const {left, width} = u.bbox, y = Math.round(u.valToPos(-5, 'y', true));"
        "const rows = [-2, -1, 0, 1].map(d => ctx.getImageData(left, y + d, width, 1).data);"
        "return Array.from({length: width}, (_, x) => rows.some(p => p[4 * x + 3] > 60"
        " && p[4 * x + 2] - p[4 * x] > 50)); })(page.charts[2].plot)"  # blue, as no grid is
    )
    blank = [i / len(dark) for i, drawn in enumerate(dark) if not drawn and 2 < i < len(dark) - 2]
    assert 0.085 < len(blank) / len(dark) < 0.115
    assert blank[0] > 0.44 and blank[-1] < 0.56


@pytest.mark.xdist_group("report")
def test_no_line_crosses_days_without_data(tmp_path, tab):
    frames = [anchor(0, _START)] + [data(600 * i, 13.2, -5.0) for i in range(100)]
    later = [anchor(10, _START + 20 * _DAY_S, boot=2)]
    later += [data(10 + 600 * i, 13.2, -5.0) for i in range(400)]
    write(tmp_path, "a-00001.raw", frames)
    write(tmp_path, "a-00002.raw", later)
    _case(tab, tmp_path / "page.html", tmp_path, "--tz", "UTC")
    for chart in ("counts[0]", "counts[1]", "charts[0]"):
        clear = tab.run(
            f"(u => {{ {_PIXELS} const {{left, top, width, height}} = u.bbox;"
            f"const x = Math.round(u.valToPos({_START + 10 * _DAY_S}, 'x', true));"
            "const p = ctx.getImageData(x, top, 3, height - 4).data, line = [225, 231, 237];"
            "for (let i = 0; i < p.length; i += 4) if (p[i + 3] > 60"
            " && line.some((c, k) => Math.abs(p[i + k] - c) > 30)) return false;"
            f"return true; }})(page.{chart}.plot)"
        )
        assert clear, chart
    days = tab.run("page.counts[1].plot.scales.x.min")
    assert days == _START - 6 * 3600  # midnight before the first row


@pytest.mark.xdist_group("report")
def test_a_first_day_has_the_axis_of_that_day(tmp_path, tab):
    frames = [anchor(0, _START)] + [data(600 * i, 13.2, -5.0) for i in range(144)]
    frames[1] = data(0, 2000.0, -5.0)  # and a reading gone wrong does not set the other axis
    write(tmp_path, "a-00001.raw", frames)
    _case(tab, tmp_path / "page.html", tmp_path, "--tz", "UTC")
    scales = tab.run("page.charts.map(c => [c.plot.scales.x.min, c.plot.scales.x.max])")
    assert scales == [[_START, _START + 600 * 143]] * _CHARTS
    assert tab.run("by('overview-part').hidden")
    assert tab.run("page.charts[1].plot.scales.y.max") < 14
    assert "2000" in tab.run("by('notes').textContent")


@pytest.mark.xdist_group("report")
def test_a_board_that_never_knew_the_time(tmp_path, tab):
    for boot in (1, 2):
        frames = [anchor(0, 0, boot)] + [data(60 * i, 13.2, -2.0) for i in range(60)]
        write(tmp_path, f"a-0000{boot}.raw", frames)
    _case(tab, tmp_path / "page.html", tmp_path)
    assert tab.run("page.rows.length") == 120 and tab.run("page.last - page.first") == 2 * 3540 + 60
    assert "uptime" in tab.run("by('span').textContent")
    assert tab.run("page.charts[0].plot.data[1].filter(x => x === null).length") == 1


@pytest.mark.xdist_group("report")
def test_dark_mode_and_print(tmp_path, tab):
    write(tmp_path, "a-00001.raw", [anchor(0, _START)] + [data(60 * i) for i in range(60)])
    _case(tab, tmp_path / "page.html", tmp_path)
    look = "[getComputedStyle(document.body).backgroundColor, ink('first')]"
    light = tab.run(look)
    tab.media(scheme="dark")
    dark = tab.run(look)
    assert dark[0] == "rgb(18, 23, 29)" and light[1] != dark[1]
    tab.media(kind="print", scheme="dark")
    assert tab.run(look) == ["rgb(255, 255, 255)", light[1]]
    assert tab.run("getComputedStyle(by('tools')).display") == "none"
    within = "getComputedStyle(document.querySelector('{}')).breakInside"
    assert {tab.run(within.format(each)) for each in (".chart", ".table", "tr")} == {"avoid"}
    tab.media()


@pytest.mark.xdist_group("report")
@pytest.mark.parametrize(
    "name, rows, span, said, absent",
    [
        ("one-day", 393, "2026-01-01 06:00 to 2026-01-02 05:59, time zone UTC", "86 %", "Day by"),
        ("restarts", 89, "2026-11-25 22:23 to 2026-11-25 22:59, time zone UTC", "62 %", "Day by"),
        ("voltage-only", 60, "2025-11-01 12:26 to 2025-11-01 13:25", "no state of charge", "NaN"),
        ("no-clock", 60, "59 min of uptime; the board never knew the time of day", "65 %", "1970"),
        ("restart-same-seconds", 120, "2025-11-01 12:26 to 2025-11-01 12:41", "10 min", "NaN"),
        ("short-gap-wide-hole", 3752, "2026-02-22 11:41 to 2026-02-25 13:04", "24.0 Ah", "NaN"),
    ],
)
def test_logs_that_people_had_trouble_with(tmp_path, capsys, tab, name, rows, span, said, absent):
    folder = ROOT / "tests/data/cases/pc" / name
    _case(tab, tmp_path / "page.html", folder, "--tz", "UTC")
    text = tab.run("document.body.innerText")
    assert span in text and said in text and absent not in text
    assert tab.run("page.rows.length") == rows
    low, high = tab.run("[page.charts[0].plot.scales.x.min, page.charts[0].plot.scales.x.max]")
    assert (low, high) == tuple(tab.run("[page.rows.time[0], page.rows.time.at(-1)]"))
    capsys.readouterr()
    assert main(["send", str(folder), "--influx", "-"]) == 0
    lines = capsys.readouterr().out.splitlines()
    points = {(line.split(" ")[0], line.split(" ")[2]) for line in lines}
    dated = name != "no-clock"  # which has no times for a server
    assert len(points) == len(lines) == (rows if dated else 0)


@pytest.mark.xdist_group("report")
def test_a_log_of_which_nothing_is_known(tmp_path, tab):
    nothing = data(60, voltage=float("nan"), current=float("nan"), temperature=255, soc=255,
                   cell_min_mv=65535, cell_max_mv=65535, index=255)  # fmt: skip
    write(tmp_path, "a-00001.raw", [anchor(0, _START), nothing])
    _case(tab, tmp_path / "page.html", tmp_path, "--tz", "UTC")
    assert tab.run("by('detail-part').hidden") and "NaN" not in tab.run("document.body.innerText")


@pytest.mark.parametrize("program", ["node", "chromium"])
def test_json_is_counted_by_what_is_there(tmp_path, capsys, monkeypatch, program):
    path = needs.program(program, program)
    monkeypatch.setattr(counting.shutil, "which", lambda name: path if name == program else None)
    frames = [anchor(0, _START)] + [data(600 * i, 13.2, -6.0) for i in range(200)]
    write(tmp_path, "a-00001.raw", frames)
    assert main(["report", str(tmp_path), "--json", "--tz", "UTC"]) == 0
    (battery,) = json.loads(capsys.readouterr().out)["batteries"]
    assert battery["figures"]["out_ah"] == pytest.approx(199.0)
    assert battery["figures"]["use"]["ah_per_day"] == pytest.approx(144.0)


def test_json_without_anything_to_count_with(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(counting.shutil, "which", lambda name: None)
    write(tmp_path, "a-00001.raw", [anchor(0, _START), data(1)])
    assert main(["report", str(tmp_path), "--json"]) == 2
    assert "node 18" in capsys.readouterr().err


def test_mistakes(tmp_path, capsys):
    write(tmp_path, "a-00001.raw", [anchor(0, 0), data(1)])
    for arguments, code, word in (
        (["-o", "x.pdf"], 2, ".html"),
        (["-o", "/absent/x.html"], 2, "no folder"),
        (["-o", str(tmp_path / "x.html"), "--tz", "Mars"], 2, "Mars"),
        ([], 2, "-o FILE.html is missing"),
    ):
        assert main(["report", str(tmp_path), *arguments]) == code
        error = capsys.readouterr().err
        assert word in error and len(error.splitlines()) == 1


@pytest.mark.xdist_group("report")
def test_what_happened_leads_to_its_minutes(tmp_path, tab):
    """The fault stands in words; its mark below the curves and its line lead to its minutes."""
    (tmp_path / "data").mkdir()
    off_s = test_happened.write_fault(tmp_path / "data")
    test_lifetime.write_counters(tmp_path / "data", "van")
    page = tmp_path / "van.html"
    assert main(["report", str(tmp_path / "data"), "-o", str(page), "--tz", "UTC"]) == 0
    tab.window(1280, 900)
    tab.open(page)
    assert tab.wait(_READY) and not tab.complaints
    story = tab.run("document.querySelector('#story').innerText")
    assert "cell 7 fell from 3.05 to 2.41 V within 40 s" in story
    assert "discharge switched on after 6 h 12 min" in story
    ever = tab.run("document.querySelector('#ever').innerText")
    assert "59.4 Ah" in ever and "3290 to 3310 mV" in ever and "50.0 %" in ever, ever
    events = tab.run("document.querySelector('#events').innerText")
    assert "none" in events and "alarm" not in events  # they stand in the story
    for click in (
        "document.querySelector('#happened .fault').click()",
        "[...document.querySelectorAll('#story tr')]"
        ".find(row => row.innerText.includes('fell')).click()",
    ):
        tab.run("page.range(page.first, page.last)")
        tab.wait("page.whole() && !page.asked")
        tab.run(click)
        tab.wait("!page.whole() && !page.asked")
        first, last = tab.run("[page.from, page.to]")
        assert first <= off_s <= last and last - first < 900
        where = "document.querySelector('#happened .fault').getBoundingClientRect()"
        over = "page.charts[0].plot.over.getBoundingClientRect()"
        left, inside = tab.run(f"[{where}.left, {over}.left]")
        share = (off_s - first) / (last - first)
        width = tab.run(f"{over}.width")
        assert left == pytest.approx(inside + share * width, abs=3)
    assert not tab.complaints


@pytest.mark.xdist_group("report")
def test_parallel_packs_on_one_axis_and_their_sum(tmp_path, tab):
    for k, (name, volts) in enumerate((("bow", 13.2), ("mid", 13.25), ("starter", 12.5))):
        frames = [anchor(0, _START)] + [data(60 * i + k, volts, -2.0 * (k + 1)) for i in range(120)]
        write(tmp_path, f"{name}-00001.raw", frames)
    page = tmp_path / "all.html"
    _case(tab, page, tmp_path, "--tz", "UTC")
    tab.run("by('bank').click()")
    tab.wait("page instanceof BankPage")
    on = "[...document.querySelectorAll('#packs .on')].map(b => b.textContent).join(' ')"
    assert tab.run(on) == "bow mid"
    drawn = "page.charts[0].plot.data.slice(1).map(ys => ys[60])"
    assert tab.run(drawn) == [-2, -4, -6, -6]  # each, and the sum of the two that are parallel
    tab.run("document.querySelectorAll('#packs button')[2].click()")
    assert tab.run(on) == "bow mid starter" and tab.run(drawn)[3] == -12
    assert "sum" in tab.run("by('split').innerText")
    # zoomed as the others, and back to one battery
    tab.run(f"page.range({_START + 600}, {_START + 1200})")
    tab.wait("page.to - page.from == 600 && !page.asked")
    assert tab.run("page.charts.every(c => c.plot.scales.x.max - c.plot.scales.x.min == 600)")
    tab.run("by('batteries').firstChild.click()")
    tab.wait("page instanceof Page && page.charts.length")
    assert tab.run("document.querySelectorAll('#detail canvas').length") == _CHARTS
    tab.window(390, 844, phone=True)
    tab.run("by('bank').click()")
    tab.wait("page instanceof BankPage")
    assert tab.run("document.documentElement.scrollWidth") == 390
    assert not tab.complaints
