# The virtual board on a serial port: the REPL, friendly and raw, as mpremote knows it
# stdin and stdout are the line. Ctrl-C is seen where the board's clock waits; see Console.
import sys

import machine
import select
import vclock
from micropython import const

_IDLE_MS = const(20)
_WINDOW = const(2048)  # bytes of raw paste between two acknowledgements
_CTRL_A = const(1)
_CTRL_B = const(2)
_CTRL_C = const(3)
_CTRL_D = const(4)
_CTRL_E = const(5)
_RAW_BANNER = "raw REPL; CTRL-B to exit\n>"


class Console:
    """The receiving side of the line."""

    def __init__(self):
        self.running = False  # a program, which Ctrl-C interrupts
        self._file = sys.stdin.buffer
        self._poll = select.poll()
        self._poll.register(self._file, select.POLLIN)
        self._chunk = b""
        self._at = 0

    def wait(self, ms):
        """Let `ms` of real time pass; less if somebody at the REPL types."""
        end_ms = _real_ms() + ms
        while self._poll.poll(max(0, end_ms - _real_ms())):
            chunk = self._file.read(256)
            if not chunk:
                raise SystemExit  # the other side has gone
            if self.running and _CTRL_C in chunk:
                self._chunk, self._at = chunk[chunk.rfind(b"\x03") + 1 :], 0
                raise KeyboardInterrupt
            self._chunk, self._at = self._chunk[self._at :] + chunk, 0
            if not self.running or _real_ms() >= end_ms:
                return

    def read(self):
        """Return the next byte."""
        while self._at == len(self._chunk):
            vclock.sleep_ms(_IDLE_MS)
        self._at += 1
        return self._chunk[self._at - 1]


class Repl:
    """Runs boot.py and main.py of a booted World, then what comes over the line."""

    def __init__(self, world):
        self._world = world
        self._names = world.program
        self._console = Console()
        vclock.real_sleep_ms = self._console.wait

    def run(self, raw):
        """Go on in the raw REPL, or with main.py; ends with machine.Reset."""
        for name in ("/boot.py",) if raw else ("/boot.py", "/main.py"):
            try:
                with open(name) as f:
                    source = f.read()
            except OSError:
                continue
            problem = self._execute(source, name)
            if problem:
                sys.print_exception(problem)
                break  # interrupted in boot.py, a board does not run main.py
        while True:
            raw = self._friendly() if not raw else not self._raw()

    def _execute(self, source, name="<stdin>", mode="exec"):
        """Run a program; return what it failed with."""
        self._console.running = True
        try:
            exec(compile(source, name, mode), self._names)
        except SystemExit:
            self._reset(False)
        except (Exception, KeyboardInterrupt) as exc:
            return exc
        finally:
            self._console.running = False

    def _reset(self, raw):
        print("MPY: soft reboot")
        self._world.start_raw = raw
        machine.soft_reset()

    def _raw(self):
        """Take programs until Ctrl-B; returns True."""
        read = self._console.read
        sys.stdout.write(_RAW_BANNER)
        source = bytearray()
        while True:
            byte = read()
            if byte == _CTRL_A:
                sys.stdout.write(_RAW_BANNER)
                source = bytearray()
            elif byte == _CTRL_B:
                return True
            elif byte == _CTRL_C:
                source = bytearray()
            elif byte == _CTRL_D and not source:
                sys.stdout.write("OK\n")
                self._reset(True)
            elif byte == _CTRL_E and not source:
                read(), read()  # "A" and Ctrl-A
                source = self._paste()
                if source is None:
                    self._end(KeyboardInterrupt())
                else:
                    self._finish(source)
                source = bytearray()
            elif byte == _CTRL_D:
                sys.stdout.write("OK")
                self._finish(source)
                source = bytearray()
            else:
                source.append(byte)

    def _paste(self):
        """Receive a program in windows; return it, or None if Ctrl-C ends it."""
        read = self._console.read
        sys.stdout.write("R\x01\x00%s\x01" % chr(_WINDOW >> 8))
        source = bytearray()
        left = 2 * _WINDOW
        while True:
            byte = read()
            if byte in (_CTRL_C, _CTRL_D):
                sys.stdout.write("\x04")
                return source if byte == _CTRL_D else None
            source.append(byte)
            left -= 1
            if left == _WINDOW:
                left += _WINDOW
                sys.stdout.write("\x01")

    def _finish(self, source):
        self._end(self._execute(bytes(source)))

    def _end(self, problem):
        sys.stdout.write("\x04")
        if problem:
            sys.print_exception(problem)
        sys.stdout.write("\x04>")

    def _friendly(self):
        """Take typed lines until Ctrl-A; returns True."""
        print("MicroPython on a virtual board; Ctrl-C interrupts, Ctrl-D restarts")
        source = ""
        while True:
            sys.stdout.write("... " if source else ">>> ")
            line = self._line()
            if line is None:
                return True
            if line == "\x03":
                source = ""
                continue
            source += line + "\n"
            if _goes_on(source):
                continue
            problem = source.strip() and self._execute(source, mode="single")
            if problem:
                sys.print_exception(problem)
            source = ""

    def _line(self):
        """Return a typed line, Ctrl-C itself, or None for Ctrl-A."""
        line = ""
        while True:
            byte = self._console.read()
            if byte == _CTRL_A:
                return None
            if byte in (_CTRL_B, _CTRL_C):
                print()
                return "\x03"
            if byte == _CTRL_D:
                if not line:
                    print()
                    self._reset(False)
            elif byte in (10, 13):
                print()
                return line
            elif byte in (8, 127):
                if line:
                    line = line[:-1]
                    sys.stdout.write("\x08 \x08")
            elif byte >= 32:
                line += chr(byte)
                sys.stdout.write(chr(byte))


def _goes_on(source):
    """Return whether typed lines are not a statement yet: open brackets, an unfinished block."""
    opened = sum(source.count(c) for c in "([{") - sum(source.count(c) for c in ")]}")
    block = source.split("\n", 1)[0].rstrip().endswith(":")
    return opened > 0 or (block and not source.endswith("\n\n"))


def _real_ms():
    import utime

    return utime.ticks_ms()
