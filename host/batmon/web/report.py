"""The page of `batmon report`: what there is to say about batteries, and all that shows it."""

import base64
import importlib.metadata
import json
import zlib
from pathlib import Path

from batmon.paths import ROOT
from batmon.version import VERSION

_WEB = Path(__file__).parent
# Where the chart library lies in its package, which is not imported: it would bring IPython.
_UPLOT = "uplot/static/uPlot.iife.js", "uplot/static/uPlot.min.css"


def battery(rows, events: list, tz: str) -> dict:
    """Return all that the page shows of one battery; `rows` as `figures.tables` gives them."""
    from batmon.log import figures

    daily = figures.days(rows, tz)
    weekly = figures.spread(rows, tz)
    resistance = figures.resistance(rows, tz)
    return {
        "summary": figures.summary(rows),
        "columns": _columns(rows),
        "days": {
            "time": _times(daily),
            **{
                name: _list(daily[name]) if len(daily) else []
                for name in (
                    "charge_in_Ah", "charge_out_Ah", "energy_in_Wh", "energy_out_Wh",
                    "soc_min", "soc_max",
                )
            },
        },
        "spread": {"time": weekly.index.tolist(), **{n: _list(weekly[n]) for n in weekly}},
        "resistance": {"time": resistance.index.tolist(), "mohm": _list(resistance["median"])},
        "extremes": figures.extremes(rows),
        "cells": figures.cells(rows),
        "gaps": figures.gaps(rows),
        "events": events,
    }  # fmt: skip


def _times(daily) -> list[int]:
    return [int(time.timestamp()) for time in daily["time_utc"]] if len(daily) else []


def _list(values) -> list:
    """Return numbers with four digits, which is plenty for a chart; unknown ones as null."""
    return [None if value != value else float(f"{value:.4g}") for value in values.tolist()]


def _columns(rows) -> dict[str, str]:
    """Pack the rows: differences from row to row, deflated, in base64; web/data.js unpacks."""
    import numpy as np
    import pandas as pd

    unix = pd.DatetimeIndex(rows["time_utc"]).as_unit("s").asi8
    begins = (rows["interval_s"].to_numpy() == 0).astype(np.uint8)

    def halves(name, offset=0):
        values = (rows[name].to_numpy() + offset) * 2
        return np.where(np.isnan(values), 255, values).astype(np.uint8)

    def cells(name):
        return rows[name].to_numpy(np.uint16, na_value=65535)

    packed = {
        "time": (unix - unix[0]).astype(np.uint32),
        "begins": begins,
        "voltage": rows["voltage_V"].to_numpy().astype(np.float16).view(np.uint16),
        "current": rows["current_A"].to_numpy().astype(np.float16).view(np.uint16),
        "temperature": halves("temperature_degC", 40),
        "soc": halves("soc_percent"),
        "low": cells("cell_min_mV"),
        "high": cells("cell_max_mV"),
    }
    return {name: _pack(values) for name, values in packed.items()}


def _pack(values) -> str:
    import numpy as np

    with np.errstate(over="ignore"):
        steps = np.diff(values, prepend=values.dtype.type(0))
    # Byte planes: the high bytes of small differences are all alike.
    planes = steps.view(np.uint8).reshape(len(steps), -1).T
    return base64.b64encode(zlib.compress(planes.tobytes(), 6)).decode()


def page(batteries: list[dict], tz: str) -> str:
    """Return the page as text; everything it needs is in it."""
    library, style = (_library(name) for name in _UPLOT)
    parts = {
        "style": style + _web("report.css"),
        "version": VERSION,
        "notice": (ROOT / "NOTICE").read_text(encoding="utf-8"),  # uPlot is passed on with the page
        "library": library,
        "script": _web("data.js") + _web("charts.js") + _web("report.js"),
        # "</" would end the script element
        "data": json.dumps({"tz": tz, "batteries": batteries}).replace("</", "<\\/"),
    }
    text = _web("report.html")
    for name, part in parts.items():
        text = text.replace(f"{{{{{name}}}}}", part, 1)
    return text


def _web(name: str) -> str:
    return (_WEB / name).read_text(encoding="utf-8")


def _library(name: str) -> str:
    path = importlib.metadata.distribution("uplot-python").locate_file(name)
    return Path(path).read_text(encoding="utf-8")
