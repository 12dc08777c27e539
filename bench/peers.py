"""General compressors, on whole frames and on columns: what the shard codec is measured by."""

import bz2
import lzma

import brotli
import heatshrink2
import numpy as np
import openzl.ext as openzl
import pyppmd
import tamp
import zstandard
from pcodec import ChunkConfig, standalone

from batmon.log.timeline import FRAME


def sizes(raw: bytes) -> dict[str, int]:
    """Return the bytes that each makes of whole frames."""
    frames = np.frombuffer(raw, FRAME)
    columns = [frames[name] for name in FRAME.names]
    numbers = [c.view("<f2") if i in (1, 2) else c.astype("<u2") for i, c in enumerate(columns)]
    apart = b"".join(_differences(c, i in (1, 2)) for i, c in enumerate(columns))
    config = ChunkConfig(compression_level=12)
    return {
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
        "openzl_columns": sum(
            _openzl(_ordered(c) if i in (1, 2) else c.astype("<u2")) for i, c in enumerate(columns)
        ),
    }


def _zstd(data: bytes) -> int:
    return len(zstandard.ZstdCompressor(level=22).compress(data))


def _brotli(data: bytes) -> int:
    return len(brotli.compress(data, quality=11, lgwin=24))


def _xz(data: bytes) -> int:
    return len(lzma.compress(data, preset=9 | lzma.PRESET_EXTREME))


def _openzl(column: np.ndarray) -> int:
    """Return the size by the best of many graphs, as a trainer would choose for the column."""
    graphs, nodes = openzl.graphs, openzl.nodes
    ends = (
        lambda c: graphs.FieldLz()(c),
        lambda c: nodes.ConvertNumToSerialLE()(c, graphs.Zstd(compression_level=19)(c)),
        lambda c: nodes.ConvertNumToStructLE()(c, nodes.TransposeSplit()(c, graphs.Compress()(c))),
        lambda c: graphs.Entropy()(c),
        lambda c: graphs.Bitpack()(c),
    )
    starts = (
        lambda c, end: end,
        lambda c, end: nodes.DeltaInt()(c, end),
        lambda c, end: nodes.DeltaInt()(c, nodes.Zigzag()(c, end)),
        lambda c, end: nodes.TokenizeNumeric(sort=False)(c, alphabet=end, indices=end),
    )
    best = None
    for start in starts:
        for end in ends:
            compressor = openzl.Compressor()
            compressor.set_parameter(openzl.CParam.FormatVersion, openzl.MAX_FORMAT_VERSION)
            compressor.select_starting_graph(start(compressor, end(compressor)))
            context = openzl.CCtx()
            context.ref_compressor(compressor)
            data = openzl.Input(openzl.Type.Numeric, np.ascontiguousarray(column))
            try:
                size = len(context.compress([data]))
            except RuntimeError:
                continue  # not every graph takes every column
            best = min(best or size, size)
    return best


def _ordered(halves: np.ndarray) -> np.ndarray:
    """Return half floats as integers in the order of their values."""
    return np.where(halves & 0x8000, halves ^ 0xFFFF, halves | 0x8000).astype("<u2")


def _differences(column: np.ndarray, floats: bool) -> bytes:
    """Return the zigzag differences of a column, first all low bytes, then all high bytes."""
    if floats:
        column = _ordered(column)
    bits = 8 * column.itemsize
    signed = np.diff(column.astype(np.int32), prepend=0).astype(f"<i{column.itemsize}")
    zigzag = (signed << 1 ^ signed >> bits - 1).astype(f"<u{column.itemsize}")
    data = zigzag.tobytes()
    return data if bits == 8 else data[::2] + data[1::2]
