"""Tables as other programs want them: spreadsheets, and the Battery Data Format."""

import os
from collections.abc import Callable
from pathlib import Path

from batmon.console import UserError

# https://github.com/battery-data-alliance/battery-data-format names these columns.
_BDF = ("Test Time / s", "Unix Time / s", "Voltage / V", "Current / A", "Temperature T1 / degC")
_MEASURED = ("voltage_V", "current_A", "temperature_degC")


def local_zone() -> str:
    """Return the name of this PC's time zone; raises UserError where it has none to be found."""
    name = os.environ.get("TZ", "").removeprefix(":")
    if not name:
        name = os.path.realpath("/etc/localtime").rpartition("/zoneinfo/")[2]
    if not name or name.startswith("/"):
        raise UserError("this PC does not name its time zone; take one with --tz Europe/Berlin.")
    return name


def spreadsheet(table):
    """Return a table whose times are text that LibreOffice and Excel take as times."""
    import pandas as pd

    times = table.select_dtypes("datetimetz").columns
    local = {name: table[name].dt.strftime("%Y-%m-%d %H:%M:%S") for name in times}
    return pd.DataFrame({name: local.get(name, table[name]) for name in table})


def bdf() -> Callable:
    """Return a function that makes tables of one battery, in their order, into those of the BDF.

    Test time begins with 0 and never falls: where a clock was set back it stands still. Unix time
    is left out where it is not sure.
    """
    import numpy as np
    import pandas as pd

    high, test_s = None, 0  # the latest unix time so far, and the test time then

    def form(table):
        nonlocal high, test_s
        unix = pd.DatetimeIndex(table["time_utc"]).as_unit("s").asi8
        dated = table["time_utc"].notna().to_numpy()  # once a time is known all later ones are
        undated = np.where(dated, 0, table["interval_s"].to_numpy())
        if dated.any():
            first = unix[dated][0] if high is None else high
            latest = np.maximum.accumulate(np.where(dated, unix, first).clip(first))
            elapsed, high = latest - first, int(latest[-1])
        else:
            elapsed = np.zeros(len(table), np.int64)
        test = test_s + np.cumsum(undated) + elapsed
        test_s = int(test[-1]) if len(test) else test_s
        sure = pd.Series(unix).where((dated & table["time_known"]).to_numpy()).astype("Int64")
        columns = (test, sure, *(table[name].to_numpy() for name in _MEASURED))
        return pd.DataFrame(dict(zip(_BDF, columns, strict=True)))

    return form


def check(args, batteries: list[str], out: Path):
    """Raise UserError for options of `batmon export` that do not go together."""
    if args.form == "spreadsheet" and (args.partition or out.suffix not in (".csv", ".xlsx")):
        raise UserError("--for spreadsheet writes an .xlsx or .csv file; name one with -o.")
    if args.decimal_comma and (args.form != "spreadsheet" or out.suffix != ".csv"):
        raise UserError("--decimal-comma goes with --for spreadsheet and a .csv file.")
    if args.form == "bdf" and (args.partition or args.every or args.tz):
        raise UserError("--for bdf has times as numbers: leave --partition, --every and --tz out.")
    if args.form == "bdf" and len(batteries) > 1:
        names = ", ".join(batteries)
        raise UserError(f"--for bdf takes one battery, here are {names}; name shards of one.")
