"""The virtual board as a fixture: the unmodified board code for some simulated minutes."""

import json
import shutil

import pytest

from batmon import virtual
from batmon.build import BOARD, SIM, build

_START = 1_767_247_200


@pytest.fixture
def run(tmp_path):
    """Return a function that runs the board for a while: (last record, what the REPL said)."""
    build()

    def run(minutes, **changes):
        tree = tmp_path / "board"
        if not tree.exists():
            shutil.copytree(BOARD, tree)
        config = {
            "board": str(tree),
            "sim": str(SIM),
            "image": str(tmp_path / "flash.img"),
            "rtc": str(tmp_path / "rtc.bin"),
            "out": str(tmp_path),
            "volume": "lfs2",
            "size": 2 << 20,
            "bms": "jikong",
            "battery": "van",
            "days": minutes / 1440,
            "lcd": "16x2",
            "seed": 1,
            "realtime": False,
            "start_unix": _START,
            "status_wall_ms": 0,
            "settings": {},
        } | changes
        path = tmp_path / "config.json"
        path.write_text(json.dumps(config))
        words = []
        glasses = []

        def see(record):
            if "lcd" in record:
                glasses.append(_text(record["lcd"]))

        end = virtual.run(path, see, words.append)
        if "lcd" in end:
            end["text"] = _text(end["lcd"])
            glasses.append(end["text"])
        assert end["lcd_violations"] == []
        return end, "\n".join(words), "\n".join(glasses)

    return run


def _text(snapshot):
    return "\n".join("".join(chr(c) if c > 31 else "*" for c in row) for row in snapshot["cells"])
