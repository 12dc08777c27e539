"""`batmon seal`: packs raw shards on the PC, with the code and into the bytes of the board."""

from pathlib import Path

from batmon.board import frame, shardcodec
from batmon.cli import UserError, note, subcommand


def sealed(frames: bytes) -> bytes:
    """Return the sealed shard of `frames`, control frames among them but no commits."""
    encoder = shardcodec.Encoder()
    out = bytearray(shardcodec.HEADER)
    step = shardcodec.CHUNK_FRAMES * frame.SIZE
    for at in range(0, len(frames), step):
        chunk = bytearray(frames[at : at + step])
        for block in encoder.encode(chunk, len(chunk) // frame.SIZE):
            out += block or b""
    out += encoder.end()
    return bytes(out + shardcodec.end_block(len(frames) // frame.SIZE))


def convert(args, kind: str, other: str, make) -> int:
    """Turn each shard of `kind` named in `args` into one of the kind `other`.

    `make` makes the new bytes from the intact frames. Returns 1 if any shard was damaged.
    """
    from batmon import shards

    out = Path(args.out) if args.out else None
    if out and not out.is_dir():
        raise UserError(f"there is no folder {out}; make it first.")
    found, foreign = shards.find(args.paths)
    for path in foreign:
        note(f"{path} is not a shard, left out")
    code = 0
    for path in found:
        if path.suffix != kind:
            continue
        shard = shards.load(path)
        for sentence in shard.damage:
            note(f"{path}: {sentence}")
            code = 1
        if not len(shard.frames):
            note(f"{path} holds no intact frame, nothing is written")
            code = 1
            continue
        target = (out or path.parent) / path.with_suffix(other).name
        data = make(shard.frames.tobytes())
        try:
            with open(target, "xb") as f:
                f.write(data)
        except FileExistsError:
            raise UserError(f"{target} exists; move it away or take another -o.") from None
        except OSError as error:
            raise UserError(f"cannot write {target}: {error.strerror}.") from None
        count = len(shard.frames)
        print(f"{target}: {count} frames, {len(data) / count:.2f} bytes each")
    if not any(path.suffix == kind for path in found):
        raise UserError(f"none of the shards named is called *{kind}; name one.")
    return code


def add_arguments(parser):
    """Add what `batmon seal` and `batmon unseal` take."""
    parser.add_argument("paths", metavar="PATH", nargs="+", help="shards, or folders of them")
    parser.add_argument("-o", "--out", metavar="DIR", help="default: beside the old file")


def add_parser(subparsers):
    """Add `batmon seal`."""
    parser = subcommand(
        subparsers,
        "seal",
        "pack raw shards as the board does, NAME-00042.raw into NAME-00042.bts",
        "  batmon seal data/van-00007.raw\n"
        "  batmon seal data/ -o packed/\n\n"
        "Nothing is overwritten or deleted. Damaged parts are left out and told; then the exit\n"
        "code is 1.",
    )
    add_arguments(parser)
    parser.set_defaults(run=lambda args: convert(args, ".raw", ".bts", sealed))
