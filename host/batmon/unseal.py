"""`batmon unseal`: turns sealed shards into raw ones; only the commits are new."""

import zlib
from collections.abc import Iterator

from batmon import seal
from batmon.board import frame, shardcodec
from batmon.cli import subcommand

_MARK = b"BK"  # begins a block, see docs/FORMAT.md
_FLUSH_FRAMES = 77  # as many as the board's buffer holds beside the commit


def raw(frames: bytes) -> bytes:
    """Return the raw shard of `frames`: the same frames with a commit after each flush."""
    out = bytearray()
    step = _FLUSH_FRAMES * frame.SIZE
    for flush, at in enumerate(range(0, len(frames), step)):
        part = frames[at : at + step]
        commit = bytearray(frame.SIZE)
        time = int.from_bytes(part[-frame.SIZE :][:2], "little")
        frame.pack_commit(commit, 0, time, zlib.crc32(part), len(part) // frame.SIZE, flush)
        out += part + commit
    return bytes(out)


def blocks(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield (offset, block) for each intact block of a sealed shard's bytes.

    Bytes between two yields that no block covers are damage: the reader finds the next intact
    block by itself. Ends with the file; an intact shard ends with an end block.
    """
    pos = len(shardcodec.HEADER)
    while pos + shardcodec.HEAD_BYTES < len(data):
        length = shardcodec.block_bytes(data[pos : pos + shardcodec.HEAD_BYTES])
        if length and pos + length <= len(data):
            block = data[pos : pos + length]
            try:
                shardcodec.check(block)
                yield pos, block
                pos += length
                continue
            except shardcodec.ShardError:
                pass
        pos = data.find(_MARK, pos + 1)
        if pos < 0:
            return


def add_parser(subparsers):
    """Add `batmon unseal`."""
    parser = subcommand(
        subparsers,
        "unseal",
        "turn sealed shards into raw ones, NAME-00042.bts into NAME-00042.raw",
        "  batmon unseal data/van-00007.bts -o raw/\n\n"
        "Data, anchors and events are the same bytes as before sealing; commits are made anew.\n"
        "Nothing is overwritten or deleted.",
    )
    seal.add_arguments(parser)
    parser.set_defaults(run=lambda args: seal.convert(args, ".bts", ".raw", raw))
