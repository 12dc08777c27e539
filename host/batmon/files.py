"""What is written on the PC: files that are replaced whole or not at all, and are on the disk."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from batmon.console import UserError


@contextlib.contextmanager
def whole(path: Path, new: bool = False) -> Iterator[Path]:
    """Give a path beside `path` to write to; what is there takes its place if the block ends well.

    Whatever else ends the block, Ctrl-C or a full disk, leaves what was at `path` before; with
    `new` nothing may be there. Raises UserError for all that cannot be written.
    """
    target = Path(os.path.realpath(path))
    part = target.with_name(f".{target.name}.new")
    check(path)
    if new and target.exists():
        raise UserError(f"{path} exists; move it away or take another -o.")
    try:
        yield part
        sync(part)
        if target.exists():
            shutil.copymode(target, part)
        part.replace(target)
        sync(target.parent)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}.") from None
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def check(path: Path):
    """Raise UserError if at `path` is what must not be replaced: a device, a protected file."""
    if path.exists() and not path.is_file():
        raise UserError(f"cannot write {path}: it is no file; name one that may be replaced.")
    if path.exists() and not os.access(path, os.W_OK):
        raise UserError(f"cannot write {path}: it is write-protected; name another file.")


def sync(path: Path):
    """Wait until a file, or which files a folder has, is on the disk; raises OSError."""
    if os.name == "nt" and path.is_dir():
        return  # Windows writes folders through
    handle = os.open(path, os.O_RDWR if path.is_file() else os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
