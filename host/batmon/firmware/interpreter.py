"""The MicroPython that runs the virtual board and the device tests."""

import os
import subprocess
import sys
from functools import cache
from pathlib import Path

from batmon.console import UserError
from batmon.paths import BUILD

# CPUs by their number in sys.implementation._mpy, as mpy-cross calls them
_CPUS = (
    None, "x86", "x64", "armv6", "armv6m", "armv7m", "armv7em", "armv7emsp", "armv7emdp",
    "xtensa", "xtensawin", "rv32imc", "rv64imc",
)  # fmt: skip

_NATURE = """
from sys import implementation, maxsize
version = "%d.%d.%d" % implementation.version[:3]
print(64 if maxsize >> 32 else 32, version, implementation._mpy >> 10 & 15)
"""

BUILT_32 = BUILD / "micropython32" / "micropython"


def micropython(which: str = "64") -> str:
    """Return the program of an interpreter.

    "64" is $MICROPYTHON, or the one installed beside this Python; "32" is $MICROPYTHON32, or
    Debian's, which host/micropython32.sh fetches. Raises UserError when it is not there.
    """
    variable = "MICROPYTHON" if which == "64" else "MICROPYTHON32"
    chosen = os.environ.get(variable)
    installed = BUILT_32 if which == "32" else Path(sys.executable).with_name("micropython")
    path = chosen or str(installed)
    if os.access(path, os.X_OK):
        return path
    if chosen:
        raise UserError(f"{variable}={path} is no program; unset it to use the usual interpreter.")
    if which == "32":
        raise UserError(
            "the 32-bit MicroPython is missing; on Debian `sh host/micropython32.sh` fetches it, "
            "elsewhere set MICROPYTHON32 to a 32-bit unix port of MicroPython that you built."
        )
    raise UserError(
        f"{path} is missing; if `make build` cannot install it for this machine, "
        "set MICROPYTHON to a unix port of MicroPython 1.29 that you built."
    )


def present() -> list[str]:
    """Return the interpreters that are meant to be used: the 32-bit one need not be there."""
    return ["64", "32"] if os.environ.get("MICROPYTHON32") or BUILT_32.exists() else ["64"]


def label(which: str) -> str:
    """Return what an interpreter is in truth, like "32-bit 1.25.0"; it may also be missing."""
    try:
        bits, version, _ = _nature(micropython(which))
    except UserError:
        return f"{which}-bit missing"
    return f"{bits}-bit {version}"


def cpu(which: str = "64") -> str | None:
    """Return the CPU that the interpreter takes native code for, None if it takes none."""
    return cpu_name(int(_nature(micropython(which))[2]))


@cache
def _nature(program: str) -> tuple[str, str, str]:
    """Return the bits of an interpreter's pointers, its version and the number of its CPU."""
    done = subprocess.run([program, "-c", _NATURE], capture_output=True, text=True)
    bits, version, cpu = done.stdout.split() if done.returncode == 0 else ("?", "unknown", "0")
    return bits, version, cpu


def cpu_name(number: int) -> str | None:
    """Return what mpy-cross calls the CPU of that number in sys.implementation._mpy."""
    return _CPUS[number] if number < len(_CPUS) else None
