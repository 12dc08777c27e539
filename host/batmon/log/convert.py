"""Shards of one kind into files of the other, for `batmon seal` and `batmon unseal`."""

from collections.abc import Callable
from pathlib import Path

from batmon import files
from batmon.console import UserError, many, note
from batmon.log import shards


def convert(
    paths: list[str], out: str | None, kind: str, other: str, make: Callable[[bytes], bytes]
) -> int:
    """Write each shard of `kind` in `paths` as one of the kind `other` into `out`, or beside it.

    `make` makes the new bytes from the intact frames. Returns 1 if any shard was damaged; raises
    UserError when nothing can be written.
    """
    out = Path(out) if out else None
    found, foreign = shards.find(paths)
    if out:
        try:
            out.mkdir(exist_ok=True)
        except OSError as error:
            raise UserError(f"cannot make the folder {out}: {error.strerror}.") from None
    for path in foreign:
        note(shards.left_out(path))
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
        with files.whole(target, new=True) as part:
            part.write_bytes(data)
        count = len(shard.frames)
        print(f"{target}: {many(count, 'frame')}, {len(data) / count:.2f} bytes each")
    if not any(path.suffix == kind for path in found):
        raise UserError(f"none of the shards named is called *{kind}; name one.")
    return code
