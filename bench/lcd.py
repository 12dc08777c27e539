"""What a refresh of the display costs on the bus at 100 kHz and on the heap of the 64-bit port.

`typical` is the median over ten minutes of a van's battery, one refresh a second; `most` the
dearest of them, when a page turns; `full` is every character. `heap_refresh` is what render and
show take, `heap_sample` what render takes besides when the sample is new.
"""

import json
import subprocess

from batmon.firmware.build import build
from batmon.firmware.interpreter import micropython
from batmon.paths import BOARD, ROOT

_SIZES = ((16, 2), (20, 2), (16, 4), (20, 4))
_METRICS = (
    "typical_bytes",
    "typical_ms",
    "mean_ms",
    "most_ms",
    "full_bytes",
    "full_ms",
    "heap_refresh",
    "heap_sample",
    "heap_code",
    "heap_objects",
)


def measure() -> dict[str, dict[str, float]]:
    """Refresh a display of each size on the virtual bus."""
    build()
    rows = {}
    for cols, lines in _SIZES:
        command = [micropython(), str(ROOT / "bench" / "refresh.py"), str(ROOT / "sim")]
        done = subprocess.run(
            [*command, str(BOARD), str(cols), str(lines)], stdout=subprocess.PIPE, check=True
        )
        figures = json.loads(done.stdout)
        rows[f"{cols}x{lines}"] = {name: figures[name] for name in _METRICS}
    return rows
