"""A poll log through the board's sampler and store, without a radio.

Both run on MicroPython, as on a board; the log stands for the link. What they stored is then read
back and compared with the log.
"""

import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from batmon.console import UserError
from batmon.firmware.build import build
from batmon.firmware.interpreter import micropython
from batmon.log import fidelity, polllog, shards
from batmon.log.timeline import kinds
from batmon.paths import BOARD, BUILD, ROOT

# As sim/polls.py reads it.
_ROW = np.dtype(
    [
        ("ms", "<u8"), ("mv", "<u4"), ("ma", "<i4"), ("dc", "<i2"), ("soc", "<u2"),
        ("low", "<u2"), ("high", "<u2"), ("at_low", "u1"), ("at_high", "u1"),
    ]
)  # fmt: skip
_UNKNOWN = {"ma": -0x80000000, "dc": -0x8000, "soc": 0xFFFF, "low": 0xFFFF, "high": 0xFFFF}
_OLDEST_UNIX = 1_704_067_200  # a board does not believe in dates before 2024
MOST_AH = 10_000
_PLAYER = ROOT / "sim/polls.py"
_MS_PER_POLL = 5  # more than the slowest machine takes


@dataclass(frozen=True)
class Replayed:
    """What became of a log: its frames (dtype timeline.FRAME, no commits), when, and the rest."""

    frames: np.ndarray
    uptime_s: np.ndarray
    capacity_ah: int


def replay(log, folder: Path, name: str = "replay", capacity_ah: int | None = None) -> Replayed:
    """Run a polllog.PollLog through sampler and store into `folder`, which must be empty.

    `capacity_ah` is estimated when None. Raises UserError when the board's code fails.
    """
    capacity_ah = min(capacity_ah or polllog.estimate_ah(log), MOST_AH)
    build()
    first_s = int(log.time_s[0])
    unix_s = first_s if first_s >= _OLDEST_UNIX else 0
    with tempfile.NamedTemporaryFile(dir=BUILD, suffix=".polls") as packed:
        packed.write(_pack(log).tobytes())
        packed.flush()
        arguments = (packed.name, str(folder), name, capacity_ah, log.cells, unix_s)
        _play(arguments, len(log))
    (stored,) = shards.logs(shards.load(path) for path in shards.find([folder])[0])
    return Replayed(stored.frames, stored.line.uptime, capacity_ah)


def score(log, replayed: Replayed) -> dict[str, float]:
    """Return frames per day, bytes per day in sealed form, and the errors: see fidelity.score."""
    data = kinds(replayed.frames) == 0
    stored = fidelity.kept(log, replayed.frames[data], replayed.uptime_s[data])
    return fidelity.density(log, replayed.frames) | fidelity.score(log, stored)


def _pack(log) -> np.ndarray:
    out = np.zeros(len(log), _ROW)
    out["ms"] = np.rint((log.time_s - log.time_s[0]) * 1000)
    columns = {
        "mv": log.voltage * 1000,
        "ma": log.current * 1000,
        "dc": log.temperature * 10,
        "soc": log.soc * 10,
        "low": log.cell_min_mv,
        "high": log.cell_max_mv,
    }
    for name, values in columns.items():
        out[name] = np.where(np.isnan(values), _UNKNOWN.get(name, 0), np.rint(values))
    out["at_low"], out["at_high"] = log.idx_min, log.idx_max
    return out


def _play(arguments: tuple, polls: int):
    """Let the board's code store the packed log; raises UserError unless it took every poll."""
    command = [micropython(), "-X", "heapsize=4M", str(_PLAYER), str(BOARD), *map(str, arguments)]
    timeout_s = 60 + polls * _MS_PER_POLL / 1000
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s)
    except subprocess.TimeoutExpired:
        raise UserError(f"the board's code was not done after {timeout_s:.0f} s.", 1) from None
    said = (done.stdout + done.stderr).strip().splitlines()
    if done.returncode or not said or said[-1] != str(polls):
        last = said[-1] if said else f"exit code {done.returncode}"
        raise UserError(f"the board's code did not store the log: {last}.", 1)
