"""What a battery's whole log has for `batmon report`: its rows in the order of time, its events."""

import numpy as np
import pandas as pd

from batmon.log import happened, shards, timeline
from batmon.log.formats import frame
from batmon.log.stream import Logs
from batmon.log.timeline import EVENTS

_LONGEST_LISTS = 500
# Between boots of a board that never knew the time: nobody knows how long it was off.
_BETWEEN_BOOTS_S = 60


def tables(logs: Logs) -> dict[str, tuple[pd.DataFrame, int]]:
    """Return of each battery the rows in the order of time, and how many had to be left out.

    A battery none of whose rows has a time keeps them all, in the order of storing.
    """
    parts: dict[str, list[pd.DataFrame]] = {name: [] for name in logs.batteries}
    for table in logs.tables():
        parts[table["battery"].iloc[0]].append(table)
    found = {}
    for name, of_battery in parts.items():
        if not of_battery:
            continue
        rows = pd.concat(of_battery, ignore_index=True)
        timed = rows["time_utc"].notna()
        left_out = int((~timed).sum()) if timed.any() else 0
        if left_out:
            rows = rows[timed].reset_index(drop=True)
        if timed.any() and not rows["time_utc"].is_monotonic_increasing:  # a clock was set back
            order = rows["time_utc"].argsort(kind="stable").to_numpy()
            rows = rows.iloc[order].reset_index(drop=True)
            # what has other neighbours now stands for itself
            rows.loc[np.diff(order, prepend=-1) != 1, "interval_s"] = 0
        found[name] = rows, left_out
    return found


def uptimes(rows: pd.DataFrame) -> np.ndarray:
    """Return seconds since the first boot, as if each later one had begun a minute after it."""
    uptime = rows["uptime_s"].to_numpy(np.int64)
    steps = np.diff(uptime, prepend=0)
    boots = rows["boot"].to_numpy(np.int64, na_value=timeline.NO_BOOT)
    restarts = (np.diff(boots, prepend=boots[0]) != 0) | (steps < 0)
    restarts[0] = False
    return np.cumsum(np.where(restarts, uptime + _BETWEEN_BOOTS_S, steps))


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


def happenings(logs: Logs) -> dict[str, list[tuple[int, int, str, str]]]:
    """Return (unix time, that of its end, kind, words) of what happened to each battery.

    Dated ones only, newest first; what is about the log alone is left out.
    """
    found: dict[str, list] = {name: [] for name in logs.batteries}
    for each in happened.happenings(logs):
        if each.unix != timeline.NO_TIME and each.kind != "log":
            found[each.battery].append((each.unix, each.end_unix, each.kind, each.words))
    return {name: sorted(of, reverse=True)[:_LONGEST_LISTS] for name, of in found.items()}


def cells(logs: Logs, battery: str) -> int:
    """Return the number of cells in series that the anchors tell, 0 if none does."""
    return shards.most_cells(next(log.skeleton for log in logs.logs if log.battery == battery))


def several(rows: pd.DataFrame) -> dict[int, str]:
    """Return by the cell of a row the words for it where it may be one of several: "13 or 14"."""
    found = {}
    for name in ("cell_min_index", "cell_max_index"):
        if f"{name}_to" in rows:
            pairs = rows[[name, f"{name}_to"]].dropna().drop_duplicates()
            for first, last in pairs.itertuples(index=False):
                if last > first:
                    words = "or" if last == first + 1 else "to"
                    found[int(first)] = f"{first} {words} {last}"
    return found
