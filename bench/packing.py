"""The start that packs a full shard: how long a board takes, by the PC's time, and polls missed.

The time is the processor's for an interpreter on this PC, reading back included, times what a board
at 160 MHz is slower by; erasing flash is not in it. Around it there is what a start takes from the
last poll to the next, as the virtual board tells it, on which to import takes no time.
"""

import resource
import shutil
import subprocess
import tempfile
import zlib
from pathlib import Path

from batmon.firmware import build
from batmon.firmware.interpreter import cpu, micropython
from batmon.log.formats import frame
from bench import codec

_SCRIPT = Path(__file__).with_name("packing_board.py")
_FACTOR = 100  # a board's time in that of a PC, by the codec's instructions on RV32
_START_S = 6  # between two polls, tests/host/test_packing_start.py: a shard that takes no time
_POLL_S = 2
_SHARD = 262_144
_PER_FLUSH = 74


def measure() -> dict[str, dict[str, float]]:
    """Return the seconds of a shard of 256 kB, and polls missed."""
    board = build.BUILD / "codec_cost"
    build.build(board, ["jikong_bms"], cpu())
    source = max(codec.files(), key=lambda path: path.stat().st_size)
    with tempfile.TemporaryDirectory() as name:
        full = Path(name) / "full"
        full.mkdir()
        (full / "jk_pak01-00001.raw").write_bytes(_raw(source.read_bytes())[:_SHARD])
        (full / "jk_pak01-00002.raw").write_bytes(b"")
        rest = _seconds(board, full, "nothing")
        seconds = _FACTOR * (min(_seconds(board, full) for _ in range(3)) - rest)
    silent_s = seconds + _START_S
    return {
        "a shard of 256 kB": {
            "packing_board_s": seconds,
            "silent_board_s": silent_s,
            "polls_missed": round(silent_s / _POLL_S),
        }
    }


def _raw(frames: bytes) -> bytes:
    """Return frames with a commit behind so many, repeated until a shard is full."""
    out = bytearray()
    at = number = 0
    while len(out) < _SHARD - (_PER_FLUSH + 1) * frame.SIZE:
        body = frames[at : at + _PER_FLUSH * frame.SIZE]
        if len(body) < _PER_FLUSH * frame.SIZE:
            at = 0
            continue
        at += len(body)
        commit = bytearray(frame.SIZE)
        frame.pack_commit(commit, 0, 0, zlib.crc32(body), _PER_FLUSH, number & 0xFFFF)
        out += body + commit
        number += 1
    return bytes(out)


def _seconds(board: Path, full: Path, *words: str) -> float:
    """Return the processor's seconds of one run on a copy of the folder."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "data"
        shutil.copytree(full, folder)
        command = [micropython(), "-X", "heapsize=1M", str(_SCRIPT), str(board), str(folder)]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run([*command, *words], capture_output=True, text=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        if done.returncode or (not words and "bts" not in done.stdout):
            raise RuntimeError(done.stdout + done.stderr)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
