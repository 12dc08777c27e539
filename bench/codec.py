"""Bytes per frame of sealed shards and of general compressors.

First over the frames that our own sampler makes of the poll logs in tests/data/logs (or the folder
$LOGS), then over tests/data/frames, of an older sampling rule. With $FRAMES, a folder of files
*.bin and *.raw, whole frames, over these alone. `ours` is a whole sealed shard. The others get each
file in one piece; those called *_columns get differences of columns: half floats in the order of
their values, zigzag, low bytes and high bytes apart. ppmd is the best of orders 2 to 6, openzl the
best of 20 graphs for each column, as training would choose. In the rows `ours in parts of` the last
is over files of 20 kB or more: the worst that ours is in parts of the best peer there.
"""

import os
from pathlib import Path

import numpy as np

from batmon.console import UserError, note
from batmon.log import sealing, timeline
from batmon.log.timeline import FRAME
from batmon.paths import ROOT
from bench import peers
from bench.logs import logs, replayed

_LARGE_BYTES = 20_000


def files() -> list[Path]:
    """Return the files to measure; raises UserError if none holds a frame."""
    folder = Path(os.environ.get("FRAMES") or ROOT / "tests/data/frames")
    found = sorted(path for path in folder.glob("*.*") if path.suffix in (".bin", ".raw"))
    found = [path for path in found if path.stat().st_size >= FRAME.itemsize]
    if not found:
        raise UserError(f"no *.bin or *.raw with frames in FRAMES={folder}; name a folder of them.")
    return found


def measure() -> dict[str, dict[str, float]]:
    """Return bytes per frame by file and codec, and the geometric mean of each codec."""
    older = dict(_older())
    if os.environ.get("FRAMES"):
        return _compared(older, "")
    own = {name: _data(replayed(name, log).frames) for name, log in logs()}
    return _compared(own, "") | _compared(older, "older frames: ")


def _older():
    for path in files():
        raw = path.read_bytes()
        rest = len(raw) % FRAME.itemsize
        if rest:
            note(f"{path}: the last {rest} bytes are no whole frame, left out")
        yield path.name, raw[: len(raw) - rest]


def _data(frames: np.ndarray) -> bytes:
    return frames[timeline.kinds(frames) == 0].tobytes()


def _compared(files: dict[str, bytes], prefix: str) -> dict[str, dict[str, float]]:
    rows = {}
    for name, raw in files.items():
        sizes = {"ours": len(sealing.sealed(raw))} | peers.sizes(raw)
        rows[name] = {peer: size * FRAME.itemsize / len(raw) for peer, size in sizes.items()}
    means = {
        peer: float(np.exp(np.mean([np.log(row[peer]) for row in rows.values()])))
        for peer in next(iter(rows.values()))
    }
    ours = np.array([row["ours"] for row in rows.values()])
    columns = [min(v for k, v in row.items() if k.endswith("_columns")) for row in rows.values()]
    best = [min(v for k, v in row.items() if k != "ours") for row in rows.values()]
    large = [len(raw) >= _LARGE_BYTES for raw in files.values()]
    parts = "ours in parts of"
    rows[f"{prefix}geometric mean"] = means
    rows[f"{prefix}{parts} it"] = {peer: means["ours"] / mean for peer, mean in means.items()}
    rows[f"{prefix}{parts} the best *_columns"] = {
        "ours": float(np.exp(np.mean(np.log(ours / columns))))
    }
    if any(large):
        rows[f"{prefix}{parts} the best peer, worst"] = {"ours": float((ours / best)[large].max())}
    return rows
