"""The page of `batmon report`: rows of batteries, packed, and all that counts and shows them."""

import base64
import importlib.metadata
import json
import zlib
from pathlib import Path

import numpy as np
import pandas as pd

from batmon.log import history
from batmon.paths import ROOT
from batmon.version import VERSION

_WEB = Path(__file__).parent
# What unpacks and counts knows no page: `batmon report --json` runs it too.
COUNTING = "zone.js", "data.js", "cells.js", "figures.js", "verdicts.js", "bank.js"
SHOWING = "charts.js", "view.js", "report.js", "bank-page.js"
_HERE = ("embedded.js",)
# Where the chart library lies in its package, which is not imported: it would bring IPython.
_UPLOT = "uplot/static/uPlot.iife.js", "uplot/static/uPlot.min.css"


def battery(
    name: str,
    rows,
    events: list = (),
    cells: int = 0,
    left_out: int = 0,
    happened: list = (),
    ever: dict | None = None,
) -> dict:
    """Return what the page gets of one battery, from which it counts all that it shows.

    `rows` are as `history.tables` gives them, by their time or, if that was never known, by
    uptime; `cells` is the number of cells in series, 0 if unknown; `left_out` counts the rows
    before the first known time, which are not in `rows`; `happened` are tuples of unix time, that
    of its end, kind and words, as history.happenings gives them; `ever` are the board's lifetime
    counters by name, None if there are none.
    """
    clock = bool(rows["time_utc"].notna().all())
    times = pd.DatetimeIndex(rows["time_utc"]).as_unit("s").asi8
    if not clock:
        times = history.uptimes(rows)
    return {
        "name": name,
        "rows": len(rows),
        "clock": clock,
        "first": int(times[0]),
        "undated": int((~rows["time_known"]).sum()) if clock else 0,
        "left_out": left_out,
        "cells": cells,
        "several": history.several(rows),
        "columns": _columns(rows, times),
        "events": events if clock else [],
        **({"happened": happened} if clock and happened else {}),
        **({"ever": ever} if ever else {}),
    }


def _columns(rows: pd.DataFrame, times: np.ndarray) -> dict[str, str]:
    """Pack the rows: differences from row to row, deflated, in base64; web/data.js unpacks."""
    begins = (rows["interval_s"].to_numpy() == 0).astype(np.uint8)

    def halves(name, offset=0):
        values = (rows[name].to_numpy() + offset) * 2
        return np.where(np.isnan(values), 255, values).astype(np.uint8)

    def whole(name, dtype):
        return rows[name].to_numpy(dtype, na_value=np.iinfo(dtype).max)

    packed = {
        "time": (times - times[0]).astype(np.uint32),
        "begins": begins,
        "voltage": rows["voltage_V"].to_numpy().astype(np.float16).view(np.uint16),
        "current": rows["current_A"].to_numpy().astype(np.float16).view(np.uint16),
        "temperature": halves("temperature_degC", 40),
        "soc": halves("soc_percent"),
        "low": whole("cell_min_mV", np.uint16),
        "high": whole("cell_max_mV", np.uint16),
        "low_cell": whole("cell_min_index", np.uint8),
        "high_cell": whole("cell_max_index", np.uint8),
    }
    return {name: _pack(values) for name, values in packed.items()}


def _pack(values) -> str:
    with np.errstate(over="ignore"):
        steps = np.diff(values, prepend=values.dtype.type(0))
    # Byte planes: the high bytes of small differences are all alike.
    planes = steps.view(np.uint8).reshape(len(steps), -1).T
    return base64.b64encode(zlib.compress(planes.tobytes(), 6)).decode()


def page(batteries: list[dict], tz: str | None) -> str:
    """Return the page as text; everything it needs is in it. `tz` None: the reader's own zone."""
    scripts = "".join(map(script, (*COUNTING, *SHOWING, *_HERE)))
    # "</" would end the script element
    embedded = data(batteries, tz).replace("</", "<\\/")
    return filled("report.html", script=scripts, data=embedded)


def filled(name: str, **parts: str) -> str:
    """Return the page that a file of this folder is the frame of, with what every page needs."""
    library, style = (_library(each) for each in _UPLOT)
    known = {
        "style": style + script("report.css"),
        "sections": script("sections.html"),
        "version": VERSION,
        "notice": (ROOT / "NOTICE").read_text(encoding="utf-8"),  # uPlot is passed on with the page
        "library": library,
    }
    text = script(name)
    for each, part in (known | parts).items():
        text = text.replace(f"{{{{{each}}}}}", part, 1)
    return text


def data(batteries: list[dict], tz: str | None) -> str:
    """Return as JSON what the scripts get."""
    return json.dumps({"tz": tz, "batteries": batteries})


def script(name: str) -> str:
    """Return the text of a file of this folder."""
    return (_WEB / name).read_text(encoding="utf-8")


def _library(name: str) -> str:
    path = importlib.metadata.distribution("uplot-python").locate_file(name)
    return Path(path).read_text(encoding="utf-8")
