"""What logging costs the flash: erases, bytes programmed, the longest call into the store.

The frames of a log are stored again and again for `days`, on a littlefs volume that is full of
sealed shards, as it is after years; they are sealed as on a board.
`most_erased_a_year` is the block that is erased most, `percent_a_year` of the 100,000 erases it
lasts; `programmed_per_byte` counts bytes programmed per byte of data frames. A call is append,
tick or one slice of sealing: the worst in reads, programs and erases, each of up to a block.
NO_HOLD=1 leaves out the frame that is held and saved every ten minutes, to see what that costs.
"""

import json
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from batmon.firmware.build import build
from batmon.firmware.interpreter import micropython
from batmon.log import polllog, timeline
from batmon.paths import BOARD, BUILD, ROOT, SIM
from batmon.virtual import replay

_LOGS = {"van": "van4s", "house": "house16s", "ebike": "ebike16s"}
# By KiB. A year on the small volume, where a shorter time would tell too much: sealed shards stay
# where they are, and others wear the rest, until they are deleted.
_DAYS = {2048: 60, 576: 365}
_LIFE = 100_000  # erases of a block
_ROW = np.dtype([("uptime", "<u4"), ("frame", timeline.FRAME)])
_PLAYER = Path(__file__).with_name("wearing.py")


def measure() -> dict[str, dict[str, float]]:
    """Return the figures of each log on each size of volume."""
    build()
    rows = {}
    for name, file in _LOGS.items():
        with tempfile.TemporaryDirectory(dir=BUILD) as folder:
            frames = Path(folder) / "frames"
            frames.write_bytes(_frames(ROOT / f"tests/data/logs/{file}.csv.gz", folder))
            for kib, days in _DAYS.items():
                image = Path(folder) / "flash.img"
                rows[f"{name}, {kib} KiB"] = _play(frames, image, kib, days)
    return rows


def _frames(log: Path, folder: str) -> bytes:
    """Return the data frames that the sampler makes of a log, each behind its uptime in s."""
    data = Path(folder) / "data"
    data.mkdir()
    replayed = replay.replay(polllog.read(log), data)
    rows = timeline.kinds(replayed.frames) == 0
    out = np.zeros(np.count_nonzero(rows), _ROW)
    out["uptime"] = replayed.uptime_s[rows]
    out["frame"] = replayed.frames[rows]
    return out.tobytes()


def _play(frames: Path, image: Path, kib: int, days: int) -> dict[str, float]:
    image.unlink(missing_ok=True)
    command = [micropython(), "-X", "heapsize=4M", _PLAYER, SIM, BOARD, frames, image]
    command += [str(kib << 10), str(days)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    result = json.loads(done.stdout.splitlines()[-1])
    a_year = result["most_erased"] * 365 / result["days"]
    calls = {name: result[name] for name in result if name.startswith(("call_", "start_"))}
    return {
        "shards": result["shards"],
        "frames_a_day": result["frames"] / result["days"],
        "erases_a_day": result["erases"] / result["days"],
        "most_erased_a_year": a_year,
        "percent_a_year": a_year * 100 / _LIFE,
        "programmed_per_byte": result["programmed"] / (13 * result["frames"]),
    } | calls
