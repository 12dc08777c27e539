"""What Home Assistant keeps for good of a sensor: means and extremes of each hour, or a sum.

The keys are those of the board's values over MQTT (sinks/discovery.py).
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from batmon.log import resample

HOUR_S = 3600


@dataclass(frozen=True)
class Kind:
    """One value of a battery: its key and name over MQTT, and its unit."""

    key: str
    name: str
    unit: str
    sums: bool = False  # a sum that grows, else mean, min and max


KINDS = (
    Kind("soc", "State of charge", "%"),
    Kind("voltage", "Voltage", "V"),
    Kind("current", "Current", "A"),
    Kind("power", "Power", "W"),
    Kind("temperature", "Temperature", "°C"),
    Kind("cell_min", "Lowest cell", "mV"),
    Kind("cell_max", "Highest cell", "mV"),
    Kind("cell_spread", "Cell spread", "mV"),
    Kind("charge_in", "Charge in", "Ah", True),
    Kind("charge_out", "Charge out", "Ah", True),
    Kind("energy_in", "Energy in", "kWh", True),
    Kind("energy_out", "Energy out", "kWh", True),
)
_SUMS = ("charge_in_Ah", "charge_out_Ah", "energy_in_Wh", "energy_out_Wh")
_MEANS = {
    "soc": "soc_percent",
    "voltage": "voltage_V",
    "current": "current_A",
    "temperature": "temperature_degC",
}


def statistics(logs) -> dict[str, dict[str, pd.DataFrame]]:
    """Return by battery and key a table of the whole hours of `logs` (stream.Logs).

    Its index is the unix second at which the hour begins; its columns are mean, min and max, or
    for sums `sum`, counted from the beginning of the log. Hours that are not over in the log are
    left out, as are rows whose time is not sure.
    """
    found = {}
    hours = _by_battery(_sure(table) for table in resample.resample(logs.tables(), HOUR_S))
    rows = _by_battery(_sure(table) for table in logs.tables())
    for battery, table in rows.items():
        if battery not in hours or table.empty:
            continue
        last = int(_seconds(table).max()) // HOUR_S * HOUR_S
        even = _merged(hours[battery])
        found[battery] = _kinds(even[even.index < last], table)
    return found


def _sure(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["time_known"] & table["time_utc"].notna()]


def _by_battery(tables) -> dict[str, pd.DataFrame]:
    parts = {}
    for table in tables:
        if len(table):
            parts.setdefault(str(table["battery"].iloc[0]), []).append(table)
    return {battery: pd.concat(some, ignore_index=True) for battery, some in parts.items()}


def _seconds(table: pd.DataFrame) -> np.ndarray:
    return pd.DatetimeIndex(table["time_utc"]).as_unit("s").asi8


def _merged(hours: pd.DataFrame) -> pd.DataFrame:
    """Return one row for each hour: where a clock was set back, one may have come twice."""
    hours = hours.set_index(_seconds(hours))
    if hours.index.is_unique:
        return hours.sort_index()
    weight = hours["measured_s"].clip(lower=1)
    means = hours[list(_MEANS.values())]
    weights = means.notna().mul(weight, axis=0)
    merged = (means * weights).groupby(level=0).sum() / weights.groupby(level=0).sum()
    return merged.join(hours[[*_SUMS, "measured_s"]].groupby(level=0).sum())


def _kinds(hours: pd.DataFrame, rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return the table of each kind of a battery from its hours and its rows."""
    values = pd.DataFrame({key: rows[name].astype(float) for key, name in _MEANS.items()})
    values["power"] = rows["voltage_V"] * rows["current_A"]
    values["cell_min"] = rows["cell_min_mV"].astype(float)
    values["cell_max"] = rows["cell_max_mV"].astype(float)
    values["cell_spread"] = values["cell_max"] - values["cell_min"]
    # a row tells of the time before it
    begin = (_seconds(rows) - 1) // HOUR_S * HOUR_S
    grouped = values.groupby(begin)
    low, high, mean = (frame.reindex(hours.index) for frame in (grouped.min(), grouped.max(),
                                                                 grouped.mean()))  # fmt: skip
    for key, name in _MEANS.items():
        mean[key] = hours[name]
    net = hours["energy_in_Wh"] - hours["energy_out_Wh"]
    mean["power"] = (net * HOUR_S / hours["measured_s"]).where(hours["measured_s"] > 0)
    found = {}
    for kind in KINDS:
        if kind.sums:
            name = kind.key + ("_Wh" if kind.unit == "kWh" else "_Ah")
            scale = 1000 if kind.unit == "kWh" else 1
            found[kind.key] = pd.DataFrame({"sum": (hours[name] / scale).cumsum()})
            continue
        middle = mean[kind.key]
        table = pd.DataFrame({"mean": middle})
        table["min"] = np.fmin(low[kind.key], middle)
        table["max"] = np.fmax(high[kind.key], middle)
        found[kind.key] = table[middle.notna()]
    return found
