"""The MicroPython that runs the virtual board and the device tests."""

import os
import subprocess
import sys
from functools import cache
from pathlib import Path

from batmon.cli import UserError

# CPUs by their number in sys.implementation._mpy, as mpy-cross calls them
_CPUS = (
    None, "x86", "x64", "armv6", "armv6m", "armv7m", "armv7em", "armv7emsp", "armv7emdp",
    "xtensa", "xtensawin", "rv32imc", "rv64imc",
)  # fmt: skip


def micropython() -> str:
    """Return the interpreter: $MICROPYTHON, or the one installed beside this Python.

    Raises UserError when there is none.
    """
    chosen = os.environ.get("MICROPYTHON")
    path = chosen or str(Path(sys.executable).with_name("micropython"))
    if not os.access(path, os.X_OK):
        raise UserError(
            f"MICROPYTHON={path} is no program; unset it to use the installed one."
            if chosen
            else f"{path} is missing; if `make build` cannot install it for this machine, "
            "set MICROPYTHON to a unix port of MicroPython 1.29 that you built."
        )
    return path


def cpu() -> str | None:
    """Return the CPU that the interpreter takes native code for, None if it takes none."""
    return _cpu(micropython())


@cache
def _cpu(interpreter: str) -> str | None:
    command = [interpreter, "-c", "import sys; print(sys.implementation._mpy >> 10 & 15)"]
    said = subprocess.run(command, capture_output=True, text=True).stdout.strip()
    return cpu_name(int(said) if said.isdigit() else 0)


def cpu_name(number: int) -> str | None:
    """Return what mpy-cross calls the CPU of that number in sys.implementation._mpy."""
    return _CPUS[number] if number < len(_CPUS) else None
