"""The virtual board as a serial port, for mpremote and whatever else talks to one.

Behind a pseudo-terminal runs MicroPython with the board's flash in a file; sim/repl.py speaks.
"""

import contextlib
import fcntl
import json
import os
import select
import subprocess
import termios
import threading
import time
import tty
from pathlib import Path

from batmon.firmware.build import build
from batmon.paths import BOARD
from batmon.virtual import sim
from batmon.virtual.process import CHIP, HEAP, VERSION, board_command, configure

_RESET = 75  # the exit code of a board that wants to start again
_DEAF_S = 2  # a program that computes for so long without hearing Ctrl-C is interrupted
_SLOW_S = 0.2
_LOST_S = 5  # what nobody reads for so long is lost, as on a real line; a busy PC reads late
_TURN_S = 0.02
_CTRL_C = b"\x03"
RADIO = ("radio.in", "radio.out")
FILES = (*RADIO, *sim.TRUTHS, "flash.img", "rtc.bin", "rtc.bin.world", "config.json")


class SerialBoard:
    """A virtual board whose flash lives in `folder`; a context manager, runs until its end.

    port: the path of its serial port, for mpremote. installed: a new flash holds build/board, or
    the tree it names, with `settings` as its settings.json; else it is bare. bms: "jikong", "jbd",
    or "" for none in reach; several with commas, as in battery. machine, version: what MicroPython
    says of itself, if not as such a board. size: of the flash volume in bytes. battery, seed, chip,
    heap and interpreter as `batmon sim` has them. lcd: as 16x2, or none. radio: a phone outside is
    in reach, see sim/outside.py. goes_on: what a board that ran in `folder` before left in RTC
    memory is still there. sleep_s: a deep sleep, in which the line is deaf, takes so much of our
    time at most.
    """

    def __init__(
        self,
        folder: Path,
        *,
        installed: bool | Path = False,
        settings: dict | None = None,
        bms: str = "jikong",
        battery: str = "van",
        seed: int = 1,
        lcd: str = "16x2",
        size: int = 2 << 20,
        volume: str = "lfs2",
        chip: str = CHIP,
        heap: str = HEAP,
        machine: str | None = None,
        version: tuple[int, int, int] = VERSION,
        interpreter: str = "64",
        radio: bool = False,
        goes_on: bool = False,
        sleep_s: float = 3600,
    ):
        folder = folder.resolve()
        folder.mkdir(parents=True, exist_ok=True)
        build()
        self._rtc = folder / "rtc.bin"
        self._goes_on = goes_on
        self._sleep_s = sleep_s
        self._asleep = False
        for pipe in RADIO if radio else ():
            (folder / pipe).unlink(missing_ok=True)
            os.mkfifo(folder / pipe)
        several = sim.several(bms, battery) if "," in bms + battery else []
        if several:
            bms, battery = (",".join(one[key] for one in several) for key in ("bms", "battery"))
        self._config = configure(
            folder,
            BOARD if installed is True else installed or None,
            serial=True,
            realtime=True,
            start_unix=0,
            settings=settings or {},
            volume=volume,
            size=size,
            bms=bms,
            battery=battery,
            names=[one["dev_name"] for one in several],
            lcd=lcd,
            seed=seed,
            chip=chip,
            heap=heap,
            machine=machine,
            version=version,
            interpreter=interpreter,
            radio=radio,
        )

    def __enter__(self):
        if not self._goes_on:
            self._forget()
        self._line, self._end = os.openpty()
        tty.setraw(self._end)  # nothing may come back as an echo before somebody opens it
        os.set_blocking(self._line, False)
        self.port = os.ttyname(self._end)
        self._stdin, self._input = os.pipe()
        os.set_blocking(self._stdin, False)
        self._stopping = threading.Event()
        self._start()
        self._threads = [threading.Thread(target=run) for run in (self._receive, self._send)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stopping.set()
        for thread in self._threads:
            while thread.is_alive():
                self._process.kill()  # which may be one that has just started
                thread.join(_SLOW_S)
        for fd in (self._line, self._end, self._stdin, self._input):
            os.close(fd)

    def power_cycle(self):
        """Take the power away, at whatever moment, and give it back."""
        self._power_lost = True
        self._process.kill()

    @property
    def asleep(self) -> bool:
        """Whether the board sleeps deeply, and hears nothing."""
        return self._asleep

    @property
    def running(self) -> bool:
        """Whether the board has not crashed."""
        return self._threads[1].is_alive()

    def _start(self):
        self._power_lost = False
        self._process = subprocess.Popen(
            board_command(self._config),
            stdin=self._stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            process_group=0,  # Ctrl-C of a terminal is for us alone
        )

    def _forget(self):
        """What the power kept alive is gone; the flash is not."""
        for path in (self._rtc, self._rtc.with_name("rtc.bin.world")):
            path.unlink(missing_ok=True)

    def _receive(self):
        """Pass on what comes over the line to the board, whichever process that is.

        A program that computes without ever waiting leaves its input; Ctrl-C interrupts it too.
        """
        deaf = None  # the board that has not heard Ctrl-C, and when it is to be interrupted
        while not self._stopping.is_set():
            if select.select([self._line], [], [], _SLOW_S)[0]:
                with contextlib.suppress(BlockingIOError):
                    data = os.read(self._line, 1024)
                    os.write(self._input, data)
                    if _CTRL_C in data:
                        deaf = deaf or (self._process, _busy_s(self._process) + _DEAF_S)
            if deaf and (deaf[0] is not self._process or not self._input_waits()):
                deaf = None
            elif deaf and _busy_s(deaf[0]) > deaf[1]:
                deaf[0].send_signal(2)
                deaf = None

    def _input_waits(self) -> bool:
        return any(fcntl.ioctl(self._stdin, termios.FIONREAD, bytes(4)))

    def _send(self):
        """Pass on what the board says, and start it again when it resets."""
        while True:
            while data := os.read(self._process.stdout.fileno(), 4096):
                self._put(data.replace(b"\n", b"\r\n"))
            self._process.stdout.close()
            code = self._process.wait()
            if self._stopping.is_set():
                return
            if self._power_lost:
                self._forget()
            elif code != _RESET:
                self._put(b"\r\nthe virtual board crashed\r\n")
                return
            else:
                self._sleep()
            self._start()

    def _sleep(self):
        """Let the time of a deep sleep pass, if that is what it does: nothing hears the line."""
        past = json.loads(self._rtc.with_name("rtc.bin.world").read_text())
        slept_s = (past["t_ms"] - past.get("asleep_at_ms", past["t_ms"])) / 1000
        end = time.monotonic() + min(slept_s, self._sleep_s)
        self._asleep = end > time.monotonic()
        while time.monotonic() < end and not (self._stopping.is_set() or self._power_lost):
            select.select([self._stdin], [], [], _TURN_S)
            with contextlib.suppress(BlockingIOError):
                os.read(self._stdin, 4096)
        self._asleep = False
        if self._power_lost:
            self._forget()

    def _put(self, data: bytes):
        read_s = time.monotonic()
        while data and not self._stopping.is_set():
            try:
                data = data[os.write(self._line, data) :]
                read_s = time.monotonic()
            except BlockingIOError:
                if select.select([], [self._line], [], _SLOW_S)[1]:
                    continue
                if time.monotonic() - read_s > _LOST_S or self._process.poll() is not None:
                    return


def _busy_s(process: subprocess.Popen) -> float:
    """Return the CPU time of a process: one that does not get any, for others do, is not deaf.

    Where the system does not tell it, as macOS, it is the time of day.
    """
    try:
        fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return time.monotonic()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
