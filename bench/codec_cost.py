"""Speed and memory of the shard codec: sealing as the board does it, reading on the PC."""

import collections
import json
import subprocess
import sys
import time
import zlib
from pathlib import Path

from batmon.firmware import build
from batmon.firmware.interpreter import cpu, micropython
from batmon.log import formats, sealing
from bench import codec

_SEAL = Path(__file__).with_name("codec_cost_board.py")
_PLAIN = "import sys; sys.modules['numba'] = None; from bench import codec_cost; codec_cost.main()"
_REPEATS = 3


def measure() -> dict[str, dict[str, float]]:
    """Return frames per second and bytes of RAM, for the largest file of frames."""
    path = max(codec.files(), key=lambda path: path.stat().st_size)
    board = _sealing(path, cpu())
    source = _sealing(path, None)
    data = path.read_bytes()
    start = time.perf_counter()
    zlib.compress(data, 9)
    zlib_rate = len(data) / 13 / (time.perf_counter() - start)
    plain = _json([sys.executable, "-c", _PLAIN])
    return {
        "seal on the unix port": board | {"in_parts_of_zlib9": board["frames_per_s"] / zlib_rate},
        "the same, native code from source": source,
        "zlib level 9": {"frames_per_s": zlib_rate},
        "read on the PC": {"frames_per_s": reading_rate(path)},
        "read on the PC without numba": plain,
    }


def _sealing(path: Path, chip: str | None) -> dict:
    """Return the best of some runs in 64 kB; `chip` as for a build, which an install names."""
    board = build.BUILD / "codec_cost"
    build.build(board, ["jikong_bms"], chip)
    command = [micropython(), "-X", "heapsize=64k", str(_SEAL), str(board), str(path)]
    runs = [_json(command) for _ in range(_REPEATS)]
    return max(runs, key=lambda run: run["frames_per_s"])


def reading_rate(path: Path, frames=1 << 20) -> float:
    """Return how many frames a core reads per second from the sealed form of a file."""
    data = sealing.sealed(path.read_bytes()[: frames * 13])
    best = 0.0
    for _ in range(_REPEATS):
        count = 0
        known = formats.codec.new_model()
        start = time.process_time()
        for _, block in sealing.blocks(data):
            if formats.codec.end_total(block) < 0:
                n = formats.codec.check(block)
                collections.deque(formats.codec.decode(block, bytearray(n * 13), known), maxlen=0)
                count += n
        best = max(best, count / (time.process_time() - start))
    return best


def main():
    """Print the rate of reading, for the run without numba."""
    path = max(codec.files(), key=lambda path: path.stat().st_size)
    print(json.dumps({"frames_per_s": reading_rate(path, 4000)}))


def _json(command: list[str]) -> dict:
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=build.ROOT)
    return json.loads(done.stdout)
