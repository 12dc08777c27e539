"""Opening the report of a million rows: what its scripts take of one core, in node.

`of_sorting` is that in times that sorting a million random numbers takes there. What a browser
adds, reading 3 MB of HTML and drawing, is not in it.
"""

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from batmon.web import report

_ROWS = 1_000_000
_BEGIN = 1_767_247_200
_DAY_S = 86_400
_MEASURE = """
const data = JSON.parse(require("fs").readFileSync(0, "utf8")), battery = data.batteries[0];
const cpu = () => process.cpuUsage().user / 1e3;
async function once() {
  const found = {}, begin = cpu();
  const rows = await Rows.of(battery), zone = new Zone(data.tz, true);
  found.unpacking = cpu() - begin;
  answers(Object.assign(figures(rows, zone, 16), { alarms: [] }), zone);
  found.counting = cpu() - begin - found.unpacking;
  for (const name in rows.values) if (!name.endsWith("Cell")) rows.pyramid(name);
  found.merging = cpu() - begin - found.unpacking - found.counting;
  const numbers = Float64Array.from({ length: 1e6 }, Math.random), before = cpu();
  numbers.sort();
  found.sorting = cpu() - before;
  return found;
}
(async () => {  // a page is opened once: nothing has been compiled before
  process.stdout.write(JSON.stringify(await once()));
})();
"""
_TIMES = 5


def _rows() -> pd.DataFrame:
    """Return two years of a house: charge by day, steps of the current, a gap of nine days."""
    rnd = np.random.default_rng(1)
    interval = rnd.integers(20, 106, _ROWS)
    interval[0], interval[_ROWS // 2] = 0, 9 * _DAY_S
    unix = _BEGIN + np.cumsum(interval)
    interval[_ROWS // 2] = 0
    phase = 2 * np.pi * unix / _DAY_S
    current = 40 * np.sin(phase) + np.where(rnd.random(_ROWS) < 0.02, -60, 0)
    volts = 52.8 + 0.02 * current
    low = (volts / 16 * 1000 - 3).astype(np.uint16)
    return pd.DataFrame(
        {
            "time_utc": pd.to_datetime(unix, unit="s", utc=True),
            "time_known": True,
            "voltage_V": volts,
            "current_A": current,
            "temperature_degC": 20 + 5 * np.sin(phase / 365),
            "soc_percent": np.round(2 * (50 - 40 * np.cos(phase))) / 2,
            "cell_min_mV": pd.array(low, "UInt16"),
            "cell_max_mV": pd.array(low + 7, "UInt16"),
            "cell_min_index": pd.array(np.full(_ROWS, 3), "UInt8"),
            "cell_max_index": pd.array(np.full(_ROWS, 7), "UInt8"),
            "interval_s": interval,
        }
    )


def measure() -> dict[str, dict[str, float]]:
    """Measure each step, as the least of some openings."""
    node = shutil.which("node") or shutil.which("nodejs")
    if not node:
        sys.exit("bench: the page is measured in node, which is not here")
    data = report.data([report.battery("house", _rows(), cells=16)], "UTC").encode()
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder, "page.cjs")
        script.write_text("".join(map(report.script, report.COUNTING)) + _MEASURE)
        runs = [
            json.loads(subprocess.run([node, script], input=data, capture_output=True).stdout)
            for _ in range(_TIMES)
        ]
    least = {step: min(run[step] for run in runs) for step in runs[0]}
    least["all"] = sum(least.values()) - least["sorting"]
    return {
        step: {"cpu_ms": round(ms), "of_sorting": round(ms / least["sorting"], 2)}
        for step, ms in least.items()
    }
