"""The files of the log on a board: listed, compared, fetched so that what comes is intact."""

import ast
import base64
import binascii
from collections.abc import Callable

from batmon.board.remote import Remote
from batmon.firmware import trace
from batmon.firmware.payload import CONN, SETTINGS

_DATA = "/data"
_CHUNK = 768

_LONGEST_LINE = 1200  # of a chunk

# What the board does for us. Each line is a chunk with its CRC, so that nothing wrong is kept.
# FAT may have names that a power cut tore: no text at all, or with what ends a line.
_HELPERS = f"""
import binascii, os, sys
def _list():
    entries = os.ilistdir({_DATA!r})
    while True:
        try:
            e = next(entries)
        except StopIteration:
            return
        except UnicodeError:
            continue
        if e[1] == 0x8000:
            print(e[3] if len(e) > 3 else os.stat({_DATA!r} + '/' + e[0])[6], repr(e[0]))
def _send(path, at):
    with open(path, 'rb') as f:
        f.seek(at)
        while True:
            b = f.read({_CHUNK})
            if not b:
                break
            sys.stdout.write('%08x ' % (binascii.crc32(b) & 0xffffffff))
            sys.stdout.write(binascii.b2a_base64(b))
def _crc(name, size):
    crc = 0
    with open({_DATA!r} + '/' + name, 'rb') as f:
        while size:
            b = f.read(min(size, 1024))
            if not b:
                break
            crc = binascii.crc32(b, crc)
            size -= len(b)
    print(crc & 0xffffffff)
"""


class BoardLog:
    """The log on `board`. All methods raise UserError."""

    def __init__(self, board: Remote):
        self._board = board
        board.run(_HELPERS)

    def files(self) -> dict[str, int]:
        """Return the sizes of the files of the log by name; empty if there is no log yet."""
        return self._board.run("try:\n _list()\nexcept OSError:\n pass", meaning=_sizes)

    def crc(self, name: str, size: int) -> int:
        """Return the CRC-32 of the first `size` bytes of a file."""
        return self._board.run(f"_crc({name!r}, {size})", meaning=int)

    def fetch(self, name: str, at: int, size: int, take: Callable[[bytes], None]):
        """Call `take` with bytes `at` to `size` of a file, chunk by chunk, each intact."""
        self._fetch(f"{_DATA}/{name}", at, size, take)

    def _fetch(self, path: str, at: int, size: int, take: Callable[[bytes], None]):
        line = bytearray()
        left = size - at

        def consume(data: bytes):
            nonlocal left
            line.extend(data)
            if len(line) > _LONGEST_LINE:
                raise ValueError("no line of a chunk")
            if data == b"\n":
                chunk = _chunk(bytes(line))
                left -= len(chunk)
                if left < 0:
                    raise ValueError("more than there is")
                take(chunk)
                line.clear()

        self._board.run(f"_send({path!r}, {at})", consume)

    def names(self) -> bytes:
        """Return what the build on the board says of its names; b"" if it shortened none."""
        path, came = "/" + trace.FILE, bytearray()
        code = f"try:\n s = os.stat({path!r})[6]\nexcept OSError:\n s = 0"
        if size := self._board.get(code, "s", int):
            self._fetch(path, 0, size, came.extend)  # larger than a board's memory has room for
        return bytes(came)

    def told(self) -> tuple[str, str]:
        """Return the texts of the board's settings.json and conn.py, "" for none."""
        return tuple(
            self._board.read(path).decode(errors="replace") for path in (SETTINGS, CONN)
        )

    def remove(self, name: str):
        """Delete a file of the log."""
        self._board.run(f"os.remove({_DATA + '/' + name!r})")


def _sizes(said: str) -> dict[str, int]:
    sizes = {}
    for line in said.splitlines():
        size, name = line.split(" ", 1)
        sizes[ast.literal_eval(name)] = int(size)
    if any(not isinstance(name, str) or size < 0 for name, size in sizes.items()):
        raise ValueError(said)
    return sizes


def _chunk(line: bytes) -> bytes:
    """Return the bytes of a line of `_send`; raises ValueError if they are not intact."""
    crc, text = line.split()
    chunk = base64.b64decode(text, validate=True)
    if binascii.crc32(chunk) != int(crc, 16):
        raise ValueError("wrong CRC")
    return chunk
