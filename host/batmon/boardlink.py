"""A board's raw REPL by mpremote's Python API: its clock, its files, its log."""

import base64
import binascii
import contextlib
import io
import struct
import time
from collections.abc import Callable

from batmon.cli import UserError

_DATA = "/data"
_CHUNK = 768
_READ_S = 2
_SETTLE_S = 1
_CLOCK_OFF_S = 2
# A board that is logging stores what it has and lets its radio go first; one that is just
# starting does not hear us yet, and is asked again.
_STOP_S = (4, 8, 20)
_LOST = "lost the board at {}: {}; run the same command again, it goes on where it stopped."

# What the board does for us. Each line is a chunk with its CRC, so that nothing wrong is kept.
_HELPERS = f"""
import binascii, os, sys
def _list():
    for e in os.ilistdir({_DATA!r}):
        if e[1] == 0x8000:
            print(e[3] if len(e) > 3 else os.stat({_DATA!r} + '/' + e[0])[6], e[0])
def _send(name, at):
    with open({_DATA!r} + '/' + name, 'rb') as f:
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
# The running program was interrupted and has stored what it had; its store is still there.
# It anchors the time of everything since it started, now that the clock is right.
_TELL_STORE = """
try:
    app.store.tick()
    app.store.flush()
except (NameError, AttributeError):
    pass
"""


def find_port() -> str:
    """Return the only serial port that may be a board; raises UserError for none or several."""
    from serial.tools import list_ports

    ports = sorted(port.device for port in list_ports.comports() if port.vid is not None)
    if not ports:
        raise UserError("found no board on USB; connect it with a data cable, or name its port.")
    if len(ports) > 1:
        raise UserError(f"there are several boards ({', '.join(ports)}); name one of these ports.")
    return ports[0]


class BoardLink:
    """A board whose program is stopped while the context lasts; then it starts again.

    All methods raise UserError when the board does not answer or fails.
    """

    def __init__(self, port: str):
        self.port = port
        self._transport = None

    def __enter__(self):
        from mpremote.transport import TransportError
        from mpremote.transport_serial import SerialTransport

        try:
            self._transport = SerialTransport(self.port, timeout=_READ_S)
            # Reading on while anything comes, as it does there, would never end on a babbling line.
            self._transport.is_pty = False
        except (TransportError, OSError) as error:
            raise UserError(
                f"cannot open {self.port} ({error}); is it the right port, may you use it, "
                "and does nothing else (a terminal, mpremote) hold it?"
            ) from None
        try:
            self._enter()
            self._exec(_HELPERS)
        except (TransportError, OSError) as error:
            self._transport.close()
            raise UserError(f"no MicroPython answers at {self.port} ({error}).", 1) from None
        except UserError:
            self._transport.close()
            raise
        return self

    def _enter(self):
        """Stop the program and enter the raw REPL."""
        from mpremote.transport import TransportError

        for i, patience_s in enumerate(_STOP_S):
            try:
                with contextlib.redirect_stdout(io.StringIO()):
                    self._transport.enter_raw_repl(soft_reset=False, timeout_overall=patience_s)
                    if i:  # answers to the earlier attempts may still come: begin anew
                        time.sleep(_SETTLE_S)
                        self._transport.enter_raw_repl(soft_reset=False, timeout_overall=patience_s)
                return
            except TransportError:
                if patience_s == _STOP_S[-1]:
                    raise

    def __exit__(self, *_):
        with contextlib.suppress(OSError):  # it may be gone
            self._transport.exit_raw_repl()
            self._transport.serial.write(b"\x04")  # Ctrl-D: the program starts again
        with contextlib.suppress(OSError):
            self._transport.close()

    def set_clock(self) -> int:
        """Set the board's clock to UTC if it is wrong; return by how many seconds it was."""
        now = time.gmtime()
        off = int(self._exec(f"import time\nprint(time.time() - time.mktime({tuple(now)[:8]}))"))
        if abs(off) > _CLOCK_OFF_S:
            now = time.gmtime()
            when = (*now[:3], now.tm_wday, *now[3:6], 0)
            self._exec(f"import machine\nmachine.RTC().datetime({when})\n{_TELL_STORE}")
        return off

    def files(self) -> dict[str, int]:
        """Return the sizes of the files of the log by name; empty if there is no log yet."""
        said = self._exec("try:\n _list()\nexcept OSError:\n pass").decode()
        pairs = (line.split(" ", 1) for line in said.splitlines())
        return {name: int(size) for size, name in pairs}

    def crc(self, name: str, size: int) -> int:
        """Return the CRC-32 of the first `size` bytes of a file."""
        return int(self._exec(f"_crc({name!r}, {size})"))

    def fetch(self, name: str, at: int, take: Callable[[bytes], None]):
        """Call `take` with the bytes of a file from `at` on, chunk by chunk, each intact."""
        line = bytearray()

        def consume(data: bytes):
            line.extend(data)
            if data == b"\n":
                take(_chunk(bytes(line)))
                line.clear()

        self._exec(f"_send({name!r}, {at})", consume)

    def remove(self, name: str):
        """Delete a file of the log."""
        self._exec(f"os.remove({_DATA + '/' + name!r})")

    def _exec(self, code: str, consumer=None) -> bytes:
        from mpremote.transport import TransportError, TransportExecError

        try:
            # It prints what it does not understand.
            with contextlib.redirect_stdout(io.StringIO()):
                return self._transport.exec(code, data_consumer=consumer)
        except TransportExecError as error:
            last = error.error_output.strip().splitlines()[-1]
            raise UserError(f"the board at {self.port} says: {last}.", 1) from None
        except (TransportError, OSError) as error:
            raise UserError(_LOST.format(self.port, error), 1) from None
        except (ValueError, IndexError, struct.error):
            garbled = "what it said is garbled"
            raise UserError(_LOST.format(self.port, garbled), 1) from None


def _chunk(line: bytes) -> bytes:
    """Return the bytes of a line of `_send`; raises ValueError if they are not intact."""
    crc, text = line.split()
    chunk = base64.b64decode(text, validate=True)
    if binascii.crc32(chunk) != int(crc, 16):
        raise ValueError("wrong CRC")
    return chunk
