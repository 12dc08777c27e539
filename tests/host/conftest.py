"""The virtual board as a fixture: the unmodified board code for some simulated minutes."""

import functools
import shutil

import pytest
from hypothesis import HealthCheck, settings

from batmon.firmware import payload
from batmon.firmware.build import build
from batmon.paths import BOARD, ROOT
from batmon.virtual import process

# How long an example takes tells how busy this computer is.
settings.register_profile(
    "any computer",
    settings.default,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    print_blob=True,
)
settings.load_profile("any computer")
_build = functools.cache(build)  # looking whether anything has changed takes 0.1 s


@pytest.fixture
def run(tmp_path):
    """Return a function that runs the board for a while: (last record, what the REPL said).

    It has what a board gets that is installed for one battery.
    Memory may never run out, but in a test that `starves` the board. More than half of the time
    goes into collecting it: hours that are about something else take a board with a PSRAM, with
    `heap="4m"`; that all fits into a chip's is shown by the shorter runs.
    """
    _build()

    def run(minutes, starves=False, **changes):
        tree = tmp_path / "board"
        if not tree.exists():
            shutil.copytree(BOARD, tree)
            for path in payload.SEVERAL:
                (tree / path[1:]).unlink()
        wanted = {"days": minutes / 1440, "lcd": "16x2", "status_wall_ms": 0} | changes
        path = process.configure(tmp_path, tree, **wanted)
        words = []
        glasses = []

        def see(record):
            if "lcd" in record:
                glasses.append(_text(record["lcd"]))

        end = process.run(path, see, words.append)
        if "lcd" in end:
            end["text"] = _text(end["lcd"])
            glasses.append(end["text"])
        assert end["lcd_violations"] == []
        said = "\n".join(words)
        assert starves or ("MemoryError" not in said and "memory ran out" not in said), said
        return end, said, "\n".join(glasses)

    return run


def _text(snapshot):
    return "\n".join("".join(chr(c) if c > 31 else "*" for c in row) for row in snapshot["cells"])


@pytest.fixture
def standin(monkeypatch):
    """What is built for a board has the stand-in for aioble in it; nothing is fetched."""
    monkeypatch.setenv("AIOBLE", str(ROOT / "sim"))
