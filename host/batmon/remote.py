"""A board on a serial port, through mpremote's own transport; trouble gets a sentence."""

import ast
import base64
import contextlib
import io
import os
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath

from mpremote.transport import TransportError, TransportExecError
from mpremote.transport_serial import SerialTransport
from serial import SerialException
from serial.tools import list_ports

from batmon.boardlink import find_port
from batmon.cli import UserError

FULL = (
    "the board's flash is full; make room as `batmon pull --free` or `mpremote fs rm` can, then"
    " run this again."
)

_TRIES = 2
_ANSWER_S = 3  # a board that runs something long when it is interrupted
_READ_S = 5
_LINE_S = 0.5
_CHUNK = 1024  # bytes of a file at a time: the board compiles each as a line of source

# /data has its own ways, and may be large
_WALK = """
import binascii, gc, hashlib, os
def _walk(folder):
    for entry in os.ilistdir(folder or '/'):
        path = folder + '/' + entry[0]
        if entry[1] == 0x4000:
            if path != '/data':
                _walk(path)
            continue
        digest = hashlib.sha256()
        with open(path, 'rb') as file:
            while True:
                n = file.readinto(_view)
                if not n:
                    break
                digest.update(_view[:n])
        print(binascii.hexlify(digest.digest()).decode(), path)
_view = memoryview(bytearray(512))
_walk('')
del _view, _walk
gc.collect()
"""


class Remote:
    """The board at `port`, its program interrupted; a context manager. Raises UserError.

    Without `port` it is the only board on USB.
    """

    def __init__(self, port: str | None = None):
        self.port = port or find_port()
        self._folders = set()  # that are there
        try:
            self.transport = SerialTransport(self.port, timeout=_READ_S)
            # Reading on while anything comes, as it does there, would never end on a babbling line.
            self.transport.is_pty = False
        except (TransportError, SerialException, OSError):
            raise UserError(f"{self.port} cannot be opened{_why(self.port)}") from None

    def __enter__(self):
        for attempt in range(_TRIES):
            try:
                with contextlib.redirect_stdout(io.StringIO()):  # it prints what it does not know
                    self.transport.enter_raw_repl(timeout_overall=_ANSWER_S)
                return self
            except (TransportError, SerialException, OSError):
                if attempt == _TRIES - 1:
                    self.transport.close()
                    raise UserError(
                        f"no MicroPython answers at {self.port}; if it is the right port, press"
                        " the board's reset button, or flash it as docs/HARDWARE.md says.",
                        1,
                    ) from None

    def __exit__(self, *_):
        with contextlib.suppress(TransportError, SerialException, OSError):
            if self.transport.in_raw_repl:
                self.transport.exit_raw_repl()
        with contextlib.suppress(SerialException, OSError):
            self.transport.close()

    def run(self, code: str) -> str:
        """Run a program on the board; return what it printed."""
        try:
            return self.transport.exec(code).decode().replace("\r\n", "\n")
        except TransportExecError as error:
            reason = error.error_output.strip().splitlines()[-1]
            if "ENOSPC" in reason or reason.endswith("OSError: 28"):
                raise UserError(FULL, 1) from None
            raise UserError(f"the board refused ({reason}); run this again.", 1) from None
        except (TransportError, SerialException, OSError, ValueError, IndexError, struct.error):
            raise UserError(
                f"the board at {self.port} went away; check the cable, then run this"
                " again: it goes on where it was.",
                1,
            ) from None

    def get(self, code: str, expression: str):
        """Run `code`; return the value of `expression`, a plain one."""
        return ast.literal_eval(self.run(f"{code}\nprint(repr({expression}))"))

    def hashes(self) -> dict[str, str]:
        """Return {path: SHA-256} of all files but the log's."""
        lines = self.run(_WALK).splitlines()
        return {path: digest for digest, path in (line.split(" ", 1) for line in lines)}

    def read(self, path: str) -> bytes:
        """Return what is in a small file; b"" if there is none."""
        code = f"try:\n with open({path!r}, 'rb') as f:\n  d = f.read()\nexcept OSError:\n d = b''"
        return self.get(code, "d")

    def write(self, path: str, data: bytes, progress: Callable[[int], None]):
        """Write a file, whose folders are made; calls `progress` with the bytes of each step."""
        for folder in reversed(PurePosixPath(path).parents[:-1]):
            if folder not in self._folders:
                self.run(f"import os\ntry:\n os.mkdir({str(folder)!r})\nexcept OSError:\n pass")
                self._folders.add(folder)
        self.run(f"from binascii import a2b_base64 as _b\n_f = open({path!r}, 'wb')")
        for at in range(0, len(data), _CHUNK):
            chunk = data[at : at + _CHUNK]
            self.run(f"_f.write(_b({base64.b64encode(chunk)!r}))")
            progress(len(chunk))
        self.run("_f.close()\ndel _f, _b")

    def set_clock(self):
        """Set the board's clock to UTC."""
        now = time.gmtime(time.time() + 0.5)
        fields = (*now[:3], now.tm_wday, *now[3:6], 0)
        self.run(f"import machine\nmachine.RTC().datetime({fields})")

    def restart(self, seconds: float) -> Iterator[str]:
        """Restart the board with its program; yield the lines it says, for so long."""
        serial = self.transport.serial
        try:
            self.transport.exit_raw_repl()
            serial.write(b"\x04")
            line = b""
            serial.timeout = _LINE_S
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                line += serial.read(max(1, serial.in_waiting))
                *whole, line = line.split(b"\n")
                for text in whole:
                    yield text.decode(errors="replace").strip("\r>\x02 ")
        except (SerialException, OSError):
            raise UserError(f"the board at {self.port} went away after its restart.", 1) from None


def _why(port: str) -> str:
    if os.path.exists(port):
        if os.access(port, os.R_OK | os.W_OK):
            return ": another program uses it, or it is no serial port."
        return ": you may not use it; add yourself to its group, mostly dialout, and log in again."
    ports = [known.device for known in list_ports.comports() if known.vid is not None]
    known = f"there are {', '.join(ports)}" if ports else "no board is on USB"
    return f", there is no such port; {known}."
