"""For an image of MicroPython with the program in it: sources with short names, and a manifest.py.

The manifest is in MicroPython's own form, docs.micropython.org/en/latest/reference/manifest.html.
"""

import shutil
from pathlib import Path

from batmon.console import UserError

MANIFEST = "manifest.py"
_HEAD = """# Freezes batmon into an image of MicroPython for an ESP32, see docs/HARDWARE.md
# make BOARD=... FROZEN_MANIFEST=.../manifest.py in ports/esp32 of MicroPython's sources
include("$(PORT_DIR)/boards/manifest.py")
"""
_USERS = ("conn.py",)  # stay on the board's flash, where they are edited
_LIB = "lib"


def write(sources: Path, out: Path) -> Path:
    """Write the board's `sources` and a manifest for them to the folder `out`; return its path.

    `out` is replaced if this made it. Raises UserError if it holds something else.
    """
    manifest = out / MANIFEST
    if out.exists() and any(out.iterdir()) and not manifest.exists():
        raise UserError(f"{out} holds other files; take a new or an empty folder.")
    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree(sources, out, ignore=shutil.ignore_patterns(*_USERS, "names.txt"))
    lines = _lines(out, "") + _lines(out / _LIB, f', base_path="{_LIB}"')
    manifest.write_text(_HEAD + "".join(lines), encoding="utf-8")
    return manifest


def _lines(folder: Path, base: str) -> list[str]:
    lines = []
    for path in sorted(folder.iterdir()):
        if path.suffix == ".py":
            lines.append(f'module("{path.name}"{base}, opt=3)\n')
        elif path.is_dir() and path.name != _LIB:
            lines.append(f'package("{path.name}"{base}, opt=3)\n')
    return lines
