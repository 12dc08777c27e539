"""A year of three batteries: export, report and send; frames per second of one core, peak memory.

The year is written by the board's own sampler and store (sim/fleet.py), once, into build/bench.
`energy_error_percent` is the largest of the months, by DuckDB on the partitioned tables.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

from batmon.firmware.build import build
from batmon.firmware.interpreter import micropython
from batmon.paths import BUILD, ROOT

_KINDS = ("van", "house", "ebike")
_YEAR = BUILD / "bench/year"
_DAYS = 365
_POLL_S = 10
_CODE = """
import json, resource, sys
import pandas, pyarrow, batmon.log.stream
def usage():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime, used.ru_maxrss / 1024
from batmon.cli import main
before, imports_mb = usage()
sys.stdout = open("/dev/null", "w")
code = main(sys.argv[1:])
after, peak_mb = usage()
sys.stdout = sys.__stdout__
print(json.dumps({"code": code, "cpu_s": after - before, "peak": peak_mb, "imports": imports_mb}))
"""
_ENERGY = """
SELECT battery, month, sum(energy_Wh) FILTER (energy_Wh > 0) AS energy_in_Wh,
    -sum(energy_Wh) FILTER (energy_Wh < 0) AS energy_out_Wh
FROM read_parquet('{}/*/*/*.parquet') GROUP BY ALL
"""


def write_fleet(folder: Path, days: int, kinds=_KINDS, seal: bool = False) -> dict[str, dict]:
    """Log some days of simulated batteries below `folder`; return the truth by battery.

    Each has "frames" and "months": charge in Ah and energy in Wh that went in and out.
    """
    build()
    for kind in kinds:
        (folder / kind).mkdir(parents=True)
    command = [micropython(), "-X", "heapsize=8M", str(ROOT / "sim/fleet.py")]
    command += [str(BUILD), str(folder), str(days), str(_POLL_S), str(int(seal)), *kinds]
    said = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout
    return {truth["battery"]: truth for truth in map(json.loads, said.splitlines())}


def energy_error(tables: Path, truth: dict[str, dict]) -> float:
    """Return by how many percent a month's energy in or out differs from the truth, at most."""
    import duckdb

    found = duckdb.sql(_ENERGY.format(tables)).fetchall()
    months = {(name, month) for name, of in truth.items() for month in of["months"]}
    if {(name, month) for name, month, _, _ in found} != months:
        sys.exit(f"bench: the tables have other months than {sorted(months)}")
    errors = []
    for name, month, went_in, went_out in found:
        true = truth[name]["months"][month]
        errors += [went_in / true["energy_in_Wh"] - 1, went_out / true["energy_out_Wh"] - 1]
    return 100 * max(map(abs, errors))


def year() -> dict[str, dict]:
    """Write the year unless it is there, and return its truth; one cut off does not count."""
    truths = _YEAR / "truth.json"
    if not truths.exists():
        shutil.rmtree(_YEAR, ignore_errors=True)
        truth = write_fleet(_YEAR, _DAYS, seal=True)
        new = truths.with_suffix(".new")
        new.write_text(json.dumps(truth))
        new.rename(truths)
    return json.loads(truths.read_text())


def measure() -> dict[str, dict[str, float]]:
    """Measure each way to get the year out."""
    truth = year()
    frames = sum(each["frames"] for each in truth.values())
    folders = [str(_YEAR / kind) for kind in _KINDS]
    out = BUILD / "bench/out"
    out.mkdir(parents=True, exist_ok=True)
    tables = out / "tables"
    rows = {}
    for name, command in {
        "CSV": ["export", *folders, "-o", str(out / "year.csv")],
        "Parquet": ["export", *folders, "-o", str(out / "year.parquet")],
        "Parquet, partitioned": ["export", *folders, "-o", str(tables), "--partition"],
        "CSV, every 1min": ["export", *folders, "-o", str(out / "even.csv"), "--every", "1min"],
        "report": ["report", *folders, "-o", str(out / "year.html")],
        "send to stdout": ["send", *folders, "--influx", "-"],
    }.items():
        done = subprocess.run([sys.executable, "-c", _CODE, *command], stdout=subprocess.PIPE)
        used = json.loads(done.stdout)
        if used["code"]:
            sys.exit(f"bench: batmon {' '.join(command)} failed")
        rows[name] = {
            "frames": frames,
            "frames_per_s": round(frames / used["cpu_s"]),
            "peak_mb": used["peak"],
            "of_it_imports_mb": used["imports"],
        }
    rows["Parquet, partitioned"]["energy_error_percent"] = energy_error(tables, truth)
    return rows
