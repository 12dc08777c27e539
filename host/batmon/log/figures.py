"""What a battery did, in figures: per day, in total, over the months; for `batmon report`."""

import numpy as np
import pandas as pd

from batmon.log import resample, timeline
from batmon.log.formats import frame
from batmon.log.stream import Logs
from batmon.log.timeline import EVENTS

# State of charge: a change of less is the BMS making up its mind.
_SOC_NOISE = 1.0
# A current step as good as a test: within two polls, and large.
_STEP_S = 12
_STEP_OF_MAX = 0.1
_STEP_LEAST_A = 2.0
_STEPS_LEAST = 5
# At rest: less current than this part of the largest.
_REST_OF_MAX = 0.02
_GAP_S = 60
_LONGEST_LISTS = 500
# name, what is compared, limit and direction; cells in mV
_EXTREMES = (
    ("SoC 95 % or more", "soc_percent", 95, 1),
    ("SoC 20 % or less", "soc_percent", 20, -1),
    ("0 °C or less", "temperature_degC", 0, -1),
    ("45 °C or more", "temperature_degC", 45, 1),
    ("a cell at 3.55 V or more", "cell_max_mV", 3550, 1),
    ("a cell at 2.90 V or less", "cell_min_mV", 2900, -1),
)


def tables(logs: Logs) -> dict[str, pd.DataFrame]:
    """Return the rows of each battery that have a time, in the order of time."""
    parts: dict[str, list[pd.DataFrame]] = {name: [] for name in logs.batteries}
    for table in logs.tables():
        parts[table["battery"].iloc[0]].append(table[table["time_utc"].notna()])
    found = {}
    for name, of_battery in parts.items():
        rows = pd.concat(of_battery, ignore_index=True) if of_battery else pd.DataFrame()
        if not len(rows):
            continue
        if not rows["time_utc"].is_monotonic_increasing:  # a clock was set back
            order = rows["time_utc"].argsort(kind="stable").to_numpy()
            rows = rows.iloc[order].reset_index(drop=True)
            # what has other neighbours now stands for itself
            rows.loc[np.diff(order, prepend=-1) != 1, "interval_s"] = 0
        found[name] = rows
    return found


def summary(rows: pd.DataFrame) -> dict:
    """Return totals of one battery, as numbers and words for the head of the report."""
    hours = rows["interval_s"] / 3600
    charge = (rows["current_A"] * hours).to_numpy()
    energy = rows["energy_Wh"].to_numpy()
    out_ah = -charge[charge < 0].sum()
    out_wh, in_wh = -energy[energy < 0].sum(), energy[energy > 0].sum()
    dropped = _soc_dropped(rows["soc_percent"].to_numpy())
    last = rows.iloc[-1]
    return {
        "frames": len(rows),
        "first": int(rows["time_utc"].iloc[0].timestamp()),
        "last": int(last["time_utc"].timestamp()),
        "undated": int((~rows["time_known"]).sum()),
        "soc": _number(last["soc_percent"], 1),
        "voltage": _number(last["voltage_V"], 2),
        "hours": round(float(hours.sum()), 1),
        "in_ah": round(float(charge[charge > 0].sum()), 1),
        "out_ah": round(float(out_ah), 1),
        "in_kwh": round(float(in_wh) / 1000, 2),
        "out_kwh": round(float(out_wh) / 1000, 2),
        "efficiency": _number(100 * out_wh / in_wh if in_wh else np.nan, 1),
        "cycles": round(dropped / 100, 1),
        # Ah for 100 % of SoC; half a cycle is the least to tell it from
        "capacity_ah": _number(out_ah / dropped * 100 if dropped > 50 else np.nan, 1),
    }


def _soc_dropped(soc: np.ndarray) -> float:
    """Return the sum of all falls of the state of charge in percent, without its noise."""
    soc = soc[~np.isnan(soc)]
    if not len(soc):
        return 0.0
    soc = soc[np.flatnonzero(np.diff(soc, prepend=np.nan))]
    total, high, low = 0.0, soc[0], soc[0]
    for value in soc.tolist():
        if value > low + _SOC_NOISE:
            total += high - low
            high = low = value
        elif value > high:
            high = low = value
        low = min(low, value)
    return float(total + high - low)


def days(rows: pd.DataFrame, tz: str) -> pd.DataFrame:
    """Return a row per day: what `resample` gives, and SoC's extremes."""
    parts = list(resample.resample([rows], 86400, tz))
    if not parts:
        return pd.DataFrame()
    daily = pd.concat(parts, ignore_index=True)
    begins = daily["time_utc"].to_numpy()
    day = np.searchsorted(begins, rows["time_utc"].to_numpy(), side="right") - 1
    soc = rows["soc_percent"].groupby(day).agg(["min", "max"]).reindex(range(len(daily)))
    return daily.assign(soc_min=soc["min"].to_numpy(), soc_max=soc["max"].to_numpy())


def extremes(rows: pd.DataFrame) -> list[tuple[str, float, float]]:
    """Return (what, hours, percent of the time) of each extreme state."""
    seconds = rows["interval_s"].to_numpy()
    total = max(1, seconds.sum())
    result = []
    for name, column, limit, way in _EXTREMES:
        values = rows[column].to_numpy(np.float64, na_value=np.nan)
        if np.isnan(values).all():
            continue
        spent = seconds[values >= limit if way > 0 else values <= limit].sum()
        result.append((name, round(spent / 3600, 1), round(100 * spent / total, 2)))
    return result


def spread(rows: pd.DataFrame, tz: str) -> pd.DataFrame:
    """Return per week the median cell spread in mV: all the time, and at rest."""
    current = rows["current_A"].abs()
    rest = current <= current.max() * _REST_OF_MAX
    apart = _spread_mv(rows)
    week = _weeks(rows, tz)
    return pd.DataFrame(
        {"all": apart.groupby(week).median(), "rest": apart[rest].groupby(week[rest]).median()}
    ).dropna(how="all")


def _spread_mv(rows: pd.DataFrame) -> pd.Series:
    return rows["cell_max_mV"].astype("float64") - rows["cell_min_mV"].astype("float64")


def cells(rows: pd.DataFrame) -> list[tuple[int | str, float, float]]:
    """Return (cell, percent of the time lowest, percent highest) of each that ever was.

    A cell is its number, from 1, or a text such as "13 or 14" where a frame does not tell.
    """
    seconds = rows["interval_s"].to_numpy(np.float64)
    shares = []
    for column in ("cell_min_index", "cell_max_index"):
        last = rows.get(f"{column}_to", rows[column])
        spent = pd.Series(seconds).groupby([rows[column].to_numpy(), last.to_numpy()]).sum()
        shares.append(100 * spent / max(1, spent.sum()))
    low, high = shares
    return [
        (_cell(*key), round(float(low.get(key, 0)), 1), round(float(high.get(key, 0)), 1))
        for key in sorted({*low.index[low > 0], *high.index[high > 0]})
    ]


def _cell(first: int, last: int) -> int | str:
    if last == first:
        return int(first)
    return f"{first} {'or' if last == first + 1 else 'to'} {last}"


def resistance(rows: pd.DataFrame, tz: str) -> pd.DataFrame:
    """Return per week the pack's resistance in mOhm (median, n steps), from steps of current.

    A step is two rows within 12 s of one run with very different currents; the second row's
    current is then that of its moment. The voltage between them changes by R times the step.
    """
    current = rows["current_A"].to_numpy()
    least = max(_STEP_LEAST_A, np.nanmax(np.abs(current), initial=0) * _STEP_OF_MAX)
    interval = rows["interval_s"].to_numpy()
    di = np.diff(current, prepend=np.nan)
    dv = np.diff(rows["voltage_V"].to_numpy(), prepend=np.nan)
    with np.errstate(invalid="ignore", divide="ignore"):
        steps = (interval > 0) & (interval <= _STEP_S) & (np.abs(di) >= least)
        ohm = np.where(steps, dv / di, np.nan)
    steps &= (ohm > 0) & (ohm < 1)
    by_week = pd.Series(ohm[steps] * 1000).groupby(_weeks(rows, tz)[steps].to_numpy())
    found = by_week.agg(["median", "size"])
    return found[found["size"] >= _STEPS_LEAST]


def _weeks(rows: pd.DataFrame, tz: str) -> pd.Series:
    """Return the unix time of the Monday that begins the week of each row."""
    local = rows["time_utc"].dt.tz_convert(tz).dt.tz_localize(None)
    monday = local.dt.normalize() - pd.to_timedelta(local.dt.day_of_week, unit="D")
    return monday.dt.as_unit("s").astype("int64")


def gaps(rows: pd.DataFrame) -> list[tuple[int, int]]:
    """Return (unix time, seconds) of the times without rows, longest first."""
    unix = pd.DatetimeIndex(rows["time_utc"]).as_unit("s").asi8
    seconds = np.diff(unix, prepend=unix[:1])
    at = np.flatnonzero((rows["interval_s"].to_numpy() == 0) & (seconds > _GAP_S))
    at = at[np.argsort(-seconds[at], kind="stable")][:_LONGEST_LISTS]
    return [(int(unix[i] - seconds[i]), int(seconds[i])) for i in at]


def events(logs: Logs) -> dict[str, list[tuple[int, str, int, int]]]:
    """Return (unix time, words, a, b) of the dated events of each battery, newest first."""
    found: dict[str, list] = {name: [] for name in logs.batteries}
    for dated in logs.dated():
        at = np.flatnonzero(timeline.kinds(dated.frames) == frame.EVENT)
        said = dated.frames[at].view(timeline.EVENT)
        for i, event in zip(at.tolist(), said, strict=True):
            if dated.line.unix[i] != timeline.NO_TIME and event["code"] != frame.GAP:
                words = EVENTS.get(int(event["code"]), f"event {event['code']}")
                what = (int(dated.line.unix[i]), words, int(event["a"]), int(event["b"]))
                found[dated.battery].append(what)
    return {name: sorted(of, reverse=True)[:_LONGEST_LISTS] for name, of in found.items()}


def _number(value, digits: int) -> float | None:
    return None if value != value else round(float(value), digits)
