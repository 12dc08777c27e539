"""Poll logs that nothing was tuned on: `python -m bench.madelogs DIR`, then LOGS=DIR.

Batteries of sim/battery.py, of other seeds, sizes, intervals and resolutions than any log given.
The models learned nothing from them, so `bench bytes` and `bench codec` over them tell whether
thresholds and codec are good for more than the logs they were chosen by.
"""

import csv
import gzip
import importlib.util
import random
import sys
from pathlib import Path
from types import ModuleType

from batmon.paths import ROOT

# name: kind, seed, days, poll interval s, cells, size (1: as simulated), resolution of V and A
_SETS = {
    "van41_2s": ("van", 41, 12, 2, 4, 1, 0.01, 0.1),
    "van53_5s_100ah": ("van", 53, 16, 5, 4, 0.36, 0.01, 0.01),
    "rv47_3s_8cells_560ah": ("house", 47, 8, 3, 8, 2, 0.01, 0.001),
    "house59_2s": ("house", 59, 8, 2, 16, 1, 0.01, 0.1),
    "house61_30s_140ah": ("house", 61, 20, 30, 16, 0.5, 0.1, 0.1),
    "boat67_60s": ("van", 67, 30, 60, 4, 1, 0.01, 0.1),
    "ebike71_2s": ("ebike", 71, 14, 2, 13, 1, 0.01, 0.01),
    "ebike73_1s_12ah": ("ebike", 73, 7, 1, 10, 0.5, 0.1, 0.1),
}
_LATE_SHARE = 0.02  # of the polls: a second late
_HEAD = "time_s,voltage,current,temperature,soc,cell_min_mv,cell_max_mv,idx_min,idx_max"


def main():
    """Write the logs into the folder named."""
    if len(sys.argv) != 2:
        sys.exit("usage: python -m bench.madelogs DIR")
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    batteries = _batteries()
    for name, (kind, seed, days, *how) in _SETS.items():
        with gzip.open(folder / f"{name}.csv.gz", "wt", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(_HEAD.split(","))
            rows.writerows(_polls(batteries.make(kind, seed), seed, days, *how))
        print(folder / f"{name}.csv.gz")


def _polls(battery, seed, days, interval_s, cells, size, volts, amps):
    late = random.Random(seed)
    t_s = 0
    while t_s < days * 86400:
        battery.advance(t_s * 1000)
        mv = battery.cells_mv[:cells]
        low, high = min(mv), max(mv)
        voltage = round(round(sum(mv) / 1000 / volts) * volts, 3)
        current = round(round(battery.current_ma * size / 1000 / amps) * amps, 3)
        temperature, soc = round(battery.temp_dc[1] / 10), round(battery.soc_milli / 1000)
        yield t_s, voltage, current, temperature, soc, low, high, mv.index(low), mv.index(high)
        t_s += interval_s + (late.random() < _LATE_SHARE)


def _batteries() -> ModuleType:
    """Return sim/battery.py, which needs no more of MicroPython than `const`."""
    micropython = ModuleType("micropython")
    micropython.const = lambda x: x
    sys.modules["micropython"] = micropython
    spec = importlib.util.spec_from_file_location("batteries", ROOT / "sim/battery.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    main()
