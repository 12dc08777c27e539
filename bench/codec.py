"""Bytes per frame of sealed shards and of general compressors.

Over tests/data/frames, or the folder $FRAMES of files *.bin and *.raw, whole frames. `ours` is a
whole sealed shard. The others get each file in one piece; those called *_columns get differences
of columns: half floats in the order of their values, zigzag, low bytes and high bytes apart. ppmd
is the best of orders 2 to 6.
"""

import bz2
import lzma
import os
from pathlib import Path

import brotli
import heatshrink2
import numpy as np
import pyppmd
import tamp
import zstandard
from pcodec import ChunkConfig, standalone

from batmon.console import UserError, note
from batmon.log import sealing
from batmon.log.timeline import FRAME
from batmon.paths import ROOT

_COLUMNS = ("time", "voltage", "current", "temperature", "soc", "cell_min", "cell_max")


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
    rows = {}
    for path in files():
        raw = path.read_bytes()
        count, rest = divmod(len(raw), FRAME.itemsize)
        if rest:
            note(f"{path}: the last {rest} bytes are no whole frame, left out")
        sizes = _sizes(raw[: len(raw) - rest])
        rows[path.name] = {name: size / count for name, size in sizes.items()}
    names = next(iter(rows.values()))
    means = {name: np.exp(np.mean([np.log(row[name]) for row in rows.values()])) for name in names}
    best = [min(v for k, v in row.items() if k.endswith("_columns")) for row in rows.values()]
    ours = [row["ours"] for row in rows.values()]
    rows["geometric mean"] = {name: float(mean) for name, mean in means.items()}
    rows["ours in parts of it"] = {
        name: float(means["ours"] / mean) for name, mean in means.items()
    }
    rows["ours in parts of the best *_columns"] = {
        "ours": float(np.exp(np.mean(np.log(np.array(ours) / best))))
    }
    return rows


def _sizes(raw: bytes) -> dict[str, int]:
    frames = np.frombuffer(raw, FRAME)
    columns = [frames[name] for name in _COLUMNS] + [frames["cell_index"]]
    numbers = [c.view("<f2") if i in (1, 2) else c.astype("<u2") for i, c in enumerate(columns)]
    apart = b"".join(_differences(c, i in (1, 2)) for i, c in enumerate(columns))
    config = ChunkConfig(compression_level=12)
    return {
        "ours": len(sealing.sealed(raw)),
        "zstd22": _zstd(raw),
        "brotli11": _brotli(raw),
        "xz9e": _xz(raw),
        "bzip2": len(bz2.compress(raw, 9)),
        "tamp10": len(tamp.compress(raw, window=10)),
        "tamp12": len(tamp.compress(raw, window=12)),
        "heatshrink": len(heatshrink2.compress(raw, window_sz2=11, lookahead_sz2=4)),
        "pcodec": sum(
            len(standalone.simple_compress(np.ascontiguousarray(c), config)) for c in numbers
        ),
        "zstd22_columns": _zstd(apart),
        "brotli11_columns": _brotli(apart),
        "xz9e_columns": _xz(apart),
        "ppmd_columns": min(
            len(pyppmd.compress(apart, max_order=order, mem_size=64 << 20))
            for order in (2, 3, 4, 6)
        ),
    }


def _zstd(data: bytes) -> int:
    return len(zstandard.ZstdCompressor(level=22).compress(data))


def _brotli(data: bytes) -> int:
    return len(brotli.compress(data, quality=11, lgwin=24))


def _xz(data: bytes) -> int:
    return len(lzma.compress(data, preset=9 | lzma.PRESET_EXTREME))


def _differences(column: np.ndarray, floats: bool) -> bytes:
    """Return the zigzag differences of a column, first all low bytes, then all high bytes."""
    if floats:
        column = np.where(column & 0x8000, column ^ 0xFFFF, column | 0x8000)
    bits = 8 * column.itemsize
    signed = np.diff(column.astype(np.int32), prepend=0).astype(f"<i{column.itemsize}")
    zigzag = (signed << 1 ^ signed >> bits - 1).astype(f"<u{column.itemsize}")
    data = zigzag.tobytes()
    return data if bits == 8 else data[::2] + data[1::2]
