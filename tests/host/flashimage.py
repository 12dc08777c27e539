"""Looks into the flash image of a virtual board and changes it, through MicroPython's littlefs."""

import json
import subprocess
from pathlib import Path

from batmon.firmware.interpreter import micropython
from batmon.paths import ROOT

_COMMAND = "-X", "heapsize=16M", ROOT / "tests/device/flashfiles.py", ROOT / "sim"


def put(image: Path, new: dict[str, Path], gone=()) -> dict[str, str]:
    """Write files into an image, and remove others; return {path: SHA-256} of all there are."""
    request = {"put": {path: str(source.resolve()) for path, source in new.items()}}
    return _ask(image, request | {"gone": list(gone)})[0]


def files(image: Path) -> dict[str, str]:
    """Return {path: SHA-256} of the files in an image."""
    return _ask(image, {})[0]


def damaged(image: Path) -> tuple[dict[str, str | None] | None, bool]:
    """Return the same of a damaged image, and whether anything can be written there.

    None stands for a file that cannot be read, and for all of it if nothing can be mounted.
    """
    return tuple(_ask(image, {"damaged": True})[0])


def blocking(image: Path) -> list[int]:
    """Return of which blocks, each spoilt alone, littlefs then finds no room to write."""
    return _ask(image, {"blocking": True})[0]


def read(image: Path, path: str) -> str:
    """Return the text of a file in an image."""
    return _ask(image, {"read": path})[0]


def get(image: Path, folder: str, out: Path):
    """Copy the files of a folder in an image to `out`, which is made."""
    out.mkdir(parents=True)
    _ask(image, {"get": folder, "out": str(out.resolve())})


def cut(image: Path, program: str, cuts: list[tuple[int, int]]) -> list[tuple[dict, int]]:
    """Run `program` on copies of an image, cut the power at operations of it and of the next boot.

    Each pair of `cuts` says at which, 0 for never. Returns for each pair the files as a second
    boot leaves them, and how many operations the program came to.
    """
    return _ask(image, {"program": program, "cuts": cuts})


def _ask(image: Path, request: dict) -> list:
    image = image.resolve()
    request |= {"image": str(image), "size": image.stat().st_size}
    path = image.with_suffix(".json")
    path.write_text(json.dumps(request))
    command = [micropython(), *_COMMAND, path]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return [json.loads(answer) for answer in done.stdout.split("\x1e")[1:]]
