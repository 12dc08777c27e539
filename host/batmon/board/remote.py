"""A board on a serial port: its raw REPL through mpremote's own transport.

Whatever goes wrong there becomes a UserError with a sentence.
"""

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
from serial.tools import list_ports

from batmon.board.transport import Transport
from batmon.console import UserError, note, printable

FULL = (
    "the board's flash is full; make room as `batmon pull --free` or `mpremote fs rm` can, then"
    " run this again."
)

_NO_MEMORY = (
    "the board at {} has no memory left for this; press its reset button, then run the same command"
    " again."
)

# A board that is logging stores what it has and lets its radio go first; one that is just
# starting, or computes, does not hear us yet and is asked again.
_PATIENCE_S = (4, 8, 20)
_STOPS_S = 20
_SETTLE_S = 1
# One that says nothing at all may sleep, see docs/REST.md: for ten minutes mostly, by a clock that
# may be slow.
_SLEEP_S = 660
_READ_S = 5
_LINE_S = 0.5
_CLOCK_OFF_S = 2
_CHUNK = 1024  # bytes of a file at a time: the board compiles each as a line of source
_MOST_SAID = 1 << 20  # bytes that a board says to one question; more is a line gone wild
# what a line that is cut, or says nonsense, makes the transport and the reader of it raise
_LINE_ERRORS = (
    TransportError, OSError, ValueError, TypeError, SyntaxError, IndexError, struct.error,
    MemoryError, RecursionError,
)  # fmt: skip

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
        try:
            with open(path, 'rb') as file:
                while True:
                    n = file.readinto(_view)
                    if not n:
                        break
                    digest.update(_view[:n])
        except OSError:
            print('unreadable', path)
            continue
        print(binascii.hexlify(digest.digest()).decode(), path)
_view = memoryview(bytearray(512))
_walk('')
del _view, _walk
gc.collect()
"""
# The running program was interrupted and has stored what it had; its stores are still there, of
# each battery one, and need neither the links nor the tasks, which have most of the memory. Up to
# 0.1 the app was that of one battery.
_LIGHTEN = """
import asyncio
try:
    for battery in getattr(app, 'batteries', (app,)):
        battery.link = None
except (NameError, AttributeError):
    pass  # it was stopped before there was one
asyncio.new_event_loop()
"""
# It anchors the time of everything since it started, now that the clock is right.
_TELL_STORE = """
try:
    for battery in getattr(app, 'batteries', (app,)):
        if battery.store:
            battery.store.tick()
            battery.store.flush()
except (NameError, AttributeError):
    pass
"""


class NoMemory(UserError):
    """The board has no memory left for what it was asked."""


class Remote:
    """The board at `port`, its program stopped while the context lasts; then it starts again.

    Without `port` it is the only board on USB. `fresh` clears its memory, where else the stopped
    program still is, until `clear`. Raises UserError.
    """

    def __init__(self, port: str | None = None, fresh: bool = True):
        self.port = port or find_port()
        self._fresh = fresh
        self._folders = set()  # that are there
        self.transport = self._opened()
        # Reading on while anything comes, as it does there, would never end on a babbling line.
        self.transport.is_pty = False

    def _opened(self) -> Transport:
        for again in (True, False):
            try:
                return Transport(self.port, timeout=_READ_S)
            except (TransportError, OSError, ValueError) as error:
                # some look at each new port, as ModemManager does, and let go of it soon
                if again and isinstance(error, TransportError) and os.path.exists(self.port):
                    time.sleep(_SETTLE_S)
                    continue
                raise UserError(f"{self.port} cannot be opened{_why(self.port)}") from None

    def __enter__(self):
        try:
            self._stop()
        except (TransportError, OSError) as error:
            self.transport.close()
            raise UserError(
                f"no MicroPython answers at {self.port} ({error}); if it is the right port, press"
                " the board's reset button; a new board gets MicroPython first, by `install"
                " --flash FILE` as docs/HARDWARE.md says.",
                1,
            ) from None
        except KeyboardInterrupt:
            self._leave()
            raise
        return self

    def __exit__(self, *_):
        self._leave(self.transport.in_raw_repl)

    def _leave(self, start: bool = True):
        with contextlib.suppress(TransportError, OSError):  # it may be gone
            if start:
                self.transport.serial.write(b"\x03")  # it may be amid what it was told to do
                self._start()
        with contextlib.suppress(OSError):
            self.transport.close()

    def _stop(self):
        """Stop the program and enter the raw REPL."""
        for attempt, patience_s in enumerate(_PATIENCE_S):
            try:
                self.transport.interrupt(self._fresh, patience_s)
                if attempt:  # answers to the earlier attempts may still come: begin anew
                    time.sleep(_SETTLE_S)
                    self.transport.interrupt(self._fresh, patience_s)
                return
            except TransportError:
                if attempt:
                    continue
                note(
                    f"the board at {self.port} does not answer, is busy, or sleeps at rest: its"
                    " RESET button wakes it; asking again"
                )
        if self.transport.heard or not self._await_wake():
            raise TransportError("could not enter raw repl")
        self.transport.interrupt(self._fresh, _STOPS_S)

    def _await_wake(self) -> bool:
        note(
            f"nothing comes from {self.port}; a board at rest wakes by itself and is then heard,"
            f" mostly within {_SLEEP_S // 60} minutes, for which this waits (Ctrl-C ends that);"
            " RESET wakes it at once, and costs at most the last hour of its log"
        )
        return self.transport.await_wake(_SLEEP_S)

    def clear(self):
        """Clear the board's memory: nothing that ran before is left in it."""
        self._fresh = True
        try:
            self._stop()
        except (TransportError, OSError) as error:
            raise self._lost(error) from None

    def _start(self):
        self.transport.exit_raw_repl()
        self.transport.serial.write(b"\x04")

    def run(
        self,
        code: str,
        consumer: Callable[[bytes], None] | None = None,
        meaning: Callable[[str], object] = str,
    ):
        """Run a program on the board; return what it printed, if `consumer` does not take it.

        `meaning` makes something of it, and raises ValueError or TypeError for what is garbled.
        """
        said = bytearray()

        def collect(data: bytes):
            said.extend(data)
            if len(said) > _MOST_SAID:
                raise ValueError("it never ends")

        try:
            with contextlib.redirect_stdout(io.StringIO()):
                self.transport.exec(code, consumer or collect)
            return meaning(said.rstrip(b"\x04").decode().replace("\r\n", "\n"))
        except TransportExecError as error:
            reason = (error.error_output.strip().splitlines() or ["it does not say why"])[-1]
            if "MemoryError" in reason:
                raise NoMemory(_NO_MEMORY.format(self.port), 1) from None
            if "ENOSPC" in reason or reason.endswith("OSError: 28"):
                raise UserError(FULL, 1) from None
            raise UserError(
                f"the board at {self.port} refused ({reason}); run this again.", 1
            ) from None
        except _LINE_ERRORS as error:
            garbled = "what it said is garbled"
            why = error if isinstance(error, (TransportError, OSError)) else garbled
            raise self._lost(why) from None

    def _lost(self, why) -> UserError:
        return UserError(
            f"lost the board at {self.port} ({why}); check the cable, then run the same"
            " command again: it goes on where it stopped.",
            1,
        )

    def get(self, code: str, expression: str, kind: type = tuple):
        """Run `code`; return the value of `expression`, a plain one of this kind."""

        def value(said: str):
            found = ast.literal_eval(said)
            if not isinstance(found, kind):
                raise TypeError(found)
            return found

        return self.run(f"{code}\nprint(repr({expression}))", meaning=value)

    def hashes(self) -> dict[str, str]:
        """Return {path: SHA-256} of all files but the log's."""
        return self.run(_WALK, meaning=_digests)

    def space(self) -> tuple[int, int]:
        """Return how many bytes of its flash volume are free, and how many it has; (0, 0): none."""
        code = "import os\ntry:\n _s = os.statvfs('/')[:4]\nexcept OSError:\n _s = 0, 0, 0, 0"
        block, _, blocks, free = self.run(f"{code}\nprint(*_s)", meaning=_four)
        # littlefs may count a block twice; then a full volume says -1 (or, with 64 bits, 4e9)
        return block * (free if 0 <= free <= blocks else 0), block * blocks

    def read(self, path: str) -> bytes:
        """Return what is in a small file; b"" if there is none."""
        code = f"try:\n with open({path!r}, 'rb') as f:\n  d = f.read()\nexcept OSError:\n d = b''"
        return self.get(code, "d", bytes)

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

    def set_clock(self) -> int:
        """Set the board's clock to UTC if it is wrong; return by how many seconds it was.

        A stopped program that is still in memory dates what it logged since its start. If there
        is no memory for that, it goes on without, and says so.
        """
        try:
            if not self._fresh:
                self.run(_LIGHTEN)
            return self._set_clock()
        except NoMemory:
            if self._fresh:
                raise
        self.clear()
        note("the board had no memory left to date what it logged since its start")
        return self._set_clock()

    def _set_clock(self) -> int:
        now = tuple(time.gmtime())[:8]
        off_s = self.get("import time", f"int(time.time() - time.mktime({now}))", int)
        if abs(off_s) > _CLOCK_OFF_S:
            now = time.gmtime()
            when = (*now[:3], now.tm_wday, *now[3:6], 0)
            tell = "" if self._fresh else _TELL_STORE
            self.run(f"import machine\nmachine.RTC().datetime({when})\n{tell}")
        return off_s

    def restart(self, seconds: float) -> Iterator[str]:
        """Restart the board with its program; yield the lines it says, for so long."""
        serial = self.transport.serial
        try:
            self._start()
            line = b""
            serial.timeout = _LINE_S
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                line += serial.read(max(1, serial.in_waiting))
                *whole, line = line.split(b"\n")
                for text in whole:
                    yield printable(text.decode(errors="replace").strip("\r>\x02 "))
        except OSError:
            raise UserError(f"the board at {self.port} went away after its restart.", 1) from None


def _four(said: str) -> list[int]:
    numbers = [int(word) for word in said.split()]
    if len(numbers) != 4:
        raise ValueError(said)
    return numbers


def _digests(said: str) -> dict[str, str]:
    found = {}
    for line in said.splitlines():
        digest, path = line.split(" ", 1)
        if digest == "unreadable":
            raise UserError(
                f"{path} on the board cannot be read, a block of its flash is spoilt: delete it"
                f" with `mpremote rm :{path}`, then run this again.",
                1,
            )
        if len(digest) != 64 or path[0] != "/":
            raise ValueError(line)
        found[path] = digest
    return found


def find_port() -> str:
    """Return the only serial port that may be a board; raises UserError for none or several."""
    ports = _ports()
    if not ports:
        raise UserError(
            "found no board on USB; connect it with a data cable, or name its port; one that sleeps"
            " at rest and has its USB in the chip is there after RESET."
        )
    if len(ports) > 1:
        raise UserError(f"there are several boards ({', '.join(ports)}); name one of these ports.")
    return ports[0]


def _ports() -> list[str]:
    return sorted(port.device for port in list_ports.comports() if port.vid is not None)


def _why(port: str) -> str:
    if os.path.exists(port):
        if os.access(port, os.R_OK | os.W_OK):
            return ": another program uses it, or it is no serial port."
        return ": you may not use it; add yourself to its group, mostly dialout, and log in again."
    ports = _ports()
    known = f"there are {', '.join(ports)}" if ports else "no board is on USB"
    return f", there is no such port; {known}."
