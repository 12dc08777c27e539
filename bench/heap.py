"""Memory of the app with Jikong after 100 polls, without a radio stack, on the 64-bit port.

Counted is what is in use after a collection beyond asyncio, the interpreter's own modules and the
stand-ins: for the radio (no bluetooth, aioble or lib/bleak), I2C, display and flash chip. An ESP32
takes about two thirds of it, for its words are half as wide.
"""

import json
import subprocess
import tempfile
from pathlib import Path

from batmon.build import BUILD, SIM, build
from batmon.interpreter import cpu, micropython
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
            for part, size in json.loads(said.stdout.splitlines()[-1]).items():
                column = "bytes" if fitted == "lcd" else "bytes_without_display"
                rows.setdefault(part, {})[column] = size
    return rows
