"""A day on the virtual board: how long it takes us, what it costs the board, how true the log is.

`heap` is that of the board's code, on the 64-bit port.
"""

import json
import subprocess
import sys

from batmon.paths import BUILD

_RUNS = (("van", "jikong"), ("house", "jikong"), ("ebike", "jbd"))
_METRICS = (
    "frames",
    "bytes",
    "bytes_per_frame",
    "charge_error_percent",
    "voltage_max_error_mv",
    "heap_first_hour",
    "heap_end",
)


def measure() -> dict[str, dict[str, float]]:
    """Simulate one day of each battery."""
    rows = {}
    for battery, bms in _RUNS:
        out = BUILD / "bench" / f"{battery}-{bms}"
        command = [sys.executable, "-m", "batmon", "sim", "--days", "1", "--json"]
        command += ["--battery", battery, "--bms", bms, "--out", str(out)]
        done = subprocess.run(command, stdout=subprocess.PIPE)
        if done.returncode:
            sys.exit(f"bench: {' '.join(command)} failed")
        result = json.loads(done.stdout)
        rows[f"{battery}, {bms}"] = {"wall_s_per_day": result["seconds"] / result["days"]} | {
            name: result[name] for name in _METRICS if result[name] is not None
        }
    return rows
