"""`batmon unseal`: turns sealed shards into raw ones; only the commits are new."""

import zlib

from batmon import seal
from batmon.board import frame
from batmon.cli import subcommand

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
