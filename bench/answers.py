"""What the report says of a made year, stored as a board would, against what is true of it.

A van's battery of 4 cells, polled once a minute: 28 days without data, capacity fading from 280 to
263 Ah, cell 1 drifting up and cell 3 down, cell 3 empty before the others. Its resistance is asked
of ten days that were polled every 2 s, for which a minute is too long. Nan is what the page does
not tell.
"""

import math
import random
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from batmon.log import history, polllog, stream
from batmon.virtual import replay
from batmon.web import counting, report

_BEGIN = 1_735_689_600  # 2025-01-01 UTC
_DAY_S = 86_400
_AWAY = range(40, 68)  # days
_FULL_AH, _FADE = 280.0, 0.06  # of the year
_DRIFT_MV = 18  # of the year, of cell 1 where the curve is steep
_OF_IT_AT_REST = 0.3
_CELL_MOHM, _WORN = 0.25, 0.4  # more by the end of the year
_WEAK_MV, _WEAK_SOC = 150, 8
_APART = 1.6  # of its drift: cell 3 goes the other way
_LOW_SOC, _REST_DAYS = 15, 30


@dataclass(frozen=True)
class Made:
    """A poll log, and of each row the day, the capacity in Ah, mV between extremes, mΩ, the Ah."""

    log: polllog.PollLog
    day: np.ndarray
    capacity_ah: np.ndarray
    apart_mv: np.ndarray
    mohm: np.ndarray
    charge_ah: np.ndarray


def make(first_day: int, days: int, poll_s: int) -> Made:
    """Simulate the battery from a day of the year on."""
    rnd = random.Random(7)
    soc, rows = 70.0, []
    for second in range(first_day * _DAY_S, (first_day + days) * _DAY_S, poll_s):
        day, hour = second // _DAY_S, second % _DAY_S / 3600
        if day in _AWAY:
            continue
        capacity = _FULL_AH * (1 - _FADE * day / 365)
        current = _current(day, hour, soc)
        ah = current * poll_s / 3600
        soc = min(100.0, max(0.0, soc + 100 * ah / capacity))
        drift = 2 + _DRIFT_MV * day / 365 * (1 if soc > 95 or soc < _LOW_SOC else _OF_IT_AT_REST)
        mohm = _CELL_MOHM * (1 + _WORN * day / 365)
        rest = _open_mv(soc) + current * mohm
        cells = [rest + drift, rest - 0.3 * drift + rnd.random(), rest - 0.6 * drift]
        cells.append(rest + 0.1 * drift)
        cells[2] -= _WEAK_MV if soc < _WEAK_SOC else 0
        degc = 12 + 10 * _season(day) + 4 * math.sin((hour - 9) / 24 * 2 * math.pi)
        told = _BEGIN + second, sum(cells) / 1000, current, degc, round(soc), *map(round, cells)
        rows.append((*told, day, capacity, _APART * drift, 4 * mohm, ah, soc))
    return _made(np.array(rows))


def _made(rows: np.ndarray) -> Made:
    cells = rows[:, 5:9]
    log = polllog.PollLog(
        rows[:, 0], rows[:, 1].round(2), rows[:, 2].round(2), rows[:, 3].round(1), rows[:, 4],
        cells.min(1), cells.max(1), cells.argmin(1), cells.argmax(1), 4, cells,
    )  # fmt: skip
    day, capacity, apart, mohm, ah, soc = rows[:, 9:].T
    return Made(log, day, capacity, apart + np.where(soc < _WEAK_SOC, _WEAK_MV, 0), mohm, ah)


def _season(day: int) -> float:
    return 0.35 + 0.65 * math.sin(math.pi * min(max((day - 40) / 280, 0), 1))


def _current(day: int, hour: float, soc: float) -> float:
    sun = 0.0
    if 6 < hour < 18:
        clear = 0.4 + 0.6 * (day * 7919 % 10) / 9
        sun = max(0.0, math.sin(math.pi * (hour - 6) / 12)) * 18 * _season(day) * clear
    load = 0.6 + (9 if 17 < hour < 22 else 0)
    load += 4.5 if (day * 1440 + int(hour * 60)) % 50 < 15 else 0  # the fridge
    load += 90 if 7.5 <= hour < 7.6 else 0  # the kettle
    current = sun - load
    if soc >= 100 and current > 0:
        return 0.1
    return -0.05 if soc <= 5 and current < 0 else current


def _open_mv(soc: float) -> float:
    if soc < 10:
        return 3000 + 20 * soc
    return 3335 + 40 * (soc - 97) if soc > 97 else 3200 + 1.5 * (soc - 10)


def _figures(made: Made) -> dict:
    """Return what the page counts of it, after the board's sampler and store."""
    with tempfile.TemporaryDirectory() as folder:
        replay.replay(made.log, Path(folder), "van", round(_FULL_AH))
        logs = stream.Logs([folder])
        ((rows, _),) = history.tables(logs).values()
        (counted,) = counting.count([report.battery("van", rows, cells=4)], "UTC")["batteries"]
    return counted["figures"]


def measure() -> dict[str, dict[str, float]]:
    """Return of each answer what the page says, what is true, and how far that is apart."""
    year = make(0, 365, 60)
    found = _figures(year)
    rows = {}

    def compare(what, page, truth):
        page = math.nan if page is None else page
        rows[what] = {"page": page, "truth": truth, "off_percent": 100 * (page / truth - 1)}

    time_s = year.log.time_s
    for month in found["months"]:
        inside = (time_s >= month["begin"]) & (time_s < month["end"])
        truth = year.capacity_ah[inside].mean()
        compare(f"capacity in {month['name']}, Ah", month["capacity_ah"], truth)
    first = next(row["truth"] for row in rows.values() if row["page"] == row["page"])
    fade = -100 * _FULL_AH * _FADE / first * 365.25 / 365
    compare("its change, % a year", found["capacity"]["per_year_percent"], fade)
    newest = year.day >= 365 - round(found["use"]["days"])
    used = -np.minimum(year.charge_ah, 0) * newest
    days = newest.sum() / 1440
    compare("used per day, Ah", found["use"]["ah_per_day"], used.sum() / days)
    watts = used * year.log.voltage
    compare("used per day, Wh", found["use"]["wh_per_day"], watts.sum() / days)
    cells = found["cells"]
    drift = _APART * _DRIFT_MV * _OF_IT_AT_REST * 365.25 / 365
    compare("cell 1 from cell 3 at rest, mV a year", cells["rest"]["per_year_mv"], drift)
    low = (year.log.soc <= _LOW_SOC) & (year.day >= 365 - _REST_DAYS)
    compare("cell 3 when low, mV", cells["bottom"]["mv"], np.median(year.apart_mv[low]))
    for place, end, cell in ("rest", "highest", 1), ("rest", "lowest", 3), ("bottom", "lowest", 3):
        compare(f"{end} cell, {place}", float(cells[place][end]["cell"]), cell)
    compare("days without data", found["gaps"]["sum_s"] / _DAY_S, len(_AWAY))
    compare("resistance, mΩ", found["resistance"]["mohm"], year.mohm.mean())
    often = make(170, 10, 2)
    mohm = _figures(often)["resistance"]["mohm"]
    compare("resistance polled every 2 s, mΩ", mohm, often.mohm.mean())
    return rows
