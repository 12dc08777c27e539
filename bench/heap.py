"""Memory of the app with Jikong after 100 polls, without a radio stack, on the 64-bit port.

Counted is what is in use after a collection beyond asyncio, the interpreter's own modules and the
stand-ins: for the radio (no bluetooth, aioble or lib/bleak), I2C, display and flash chip. An ESP32
takes about two thirds of it, for its words are half as wide.
"""

import re
import subprocess
import tempfile
from pathlib import Path

from batmon.firmware.build import build
from batmon.firmware.interpreter import cpu, micropython
from batmon.paths import BUILD, SIM
from bench import drivers

_AIOBLE = "def stop(): pass\n"
_BLEAK = drivers.BLEAK + "BleakScanner = BleakClient = None\n"


def measure() -> dict[str, dict[str, float]]:
    """Return the heap by part, with a display and without."""
    board = BUILD / "board-jikong"
    build(board, ["jikong_bms"], cpu())
    rows = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for module, code in (
            ("aioble", _AIOBLE),
            ("bleak", _BLEAK),
            ("peer", drivers.peer("jikong_bms")),
            ("client", Path(__file__).with_name("client.py").read_text()),
            ("appheap", Path(__file__).with_name("appheap.py").read_text()),
        ):
            drivers.compile_to(folder / f"{module}.mpy", code)
        for fitted in ("lcd", "none"):
            code = f"import sys\nsys.path[:] = [{name!r}, '.frozen']\nimport appheap\n"
            code += f"appheap.main({name!r}, {str(SIM)!r}, {str(board)!r}, {fitted!r})"
            said = subprocess.run([micropython(), "-c", code], capture_output=True, text=True)
            if said.returncode:
                raise RuntimeError(said.stdout + said.stderr)
            column = "bytes" if fitted == "lcd" else "bytes_without_display"
            for part, size in _parts(said.stdout).items():
                rows.setdefault(part, {})[column] = size
    return rows


def _parts(said: str) -> dict[str, int]:
    """Return the bytes of each part, those for its names counted apart.

    The table of names grows in steps of up to 7 kB, which would fall on whichever part comes then.
    """
    said_of_part = r"^(start|import \S+|running|all after .*) (\d+)\n.*n_total_bytes=(\d+)"
    found = re.findall(said_of_part, said, re.M)
    (_, _, first), *found = found
    parts, names = {}, int(first)
    for part, size, total in found:
        parts[part] = int(size) - (int(total) - names if part != "all after 100 polls" else 0)
        names = int(total)
    return {"names of all parts": names - int(first), **parts}
