"""The poll logs that are measured: those in tests/data/logs, or in the folder $LOGS."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from batmon.console import UserError, note
from batmon.log import polllog
from batmon.paths import ROOT
from batmon.virtual import replay

_LOGS = ROOT / "tests/data/logs"
# Where state of charge and current do not tell; else, and for unknown logs, it is estimated.
_CAPACITY_AH = {
    "van4s": 280,
    "van4s_busy": 280,
    "house16s": 280,
    "house16s_winter": 280,
    "venus16": 280,
    "ebike16s": 24,
    "ebike13s": 24,
}


def logs() -> Iterator[tuple[str, polllog.PollLog]]:
    """Yield name and log; one that cannot be read is told and left out. Raises UserError."""
    folder = Path(os.environ.get("LOGS") or _LOGS)
    paths = sorted([*folder.glob("*.csv"), *folder.glob("*.csv.gz")])
    if not paths:
        raise UserError(f"LOGS={folder} has no .csv or .csv.gz; name a folder with poll logs.")
    for path in paths:
        try:
            yield path.name.partition(".")[0], polllog.read(path)
        except UserError as error:
            note(str(error))  # the others are worth measuring


def replayed(name: str, log: polllog.PollLog) -> replay.Replayed:
    """Run a log through the board's sampler and store."""
    with tempfile.TemporaryDirectory() as folder:
        return replay.replay(log, Path(folder), name, _CAPACITY_AH.get(name))
