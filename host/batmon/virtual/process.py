"""Runs the virtual board: starts MicroPython, restarts it after resets, reads what it prints.

The board prints its REPL, and between those lines records: JSON after the character \\x1e.
"""

import importlib.util
import json
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

from batmon.console import UserError
from batmon.firmware.interpreter import micropython
from batmon.paths import ROOT, SIMS


def _chips():
    spec = importlib.util.spec_from_file_location("batmon_chips", ROOT / "sim/chips.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_PERCENT = {"64": _chips().PERCENT_64, "32": 100}  # of a chip's heap
CHIPS = _chips().CHIPS  # what the virtual board can be
CHIP = "esp32"
VERSION = (1, 29, 0)  # of its MicroPython

_MARK = b"\x1e"
_RESET = 75  # the exit code of a board that wants to start again
# Ten virtual seconds, or 0.1 s of ours, pass between two records.
_SILENCE_S = 60
# So many starts without a record between them are a board that cannot run.
_STARTS = 5
# Two Ctrl-C within this time are one.
_ECHO_S = 0.3
# "chip": what the chip has; else as much as is said, on a board that has it beside the radios'.
HEAP = "chip"
START_UNIX = 1_767_247_200  # 2026-01-01 06:00 UTC
# What the simulator takes at most of the interpreter's heap, which it shares with the board. There
# is no more, for each collection looks through all of it.
_SPACE_KB = {"64": 192, "32": 144}
_BATTERY_KB = {"64": 8, "32": 5}  # and for each battery more than two
_REPLAYED = 8  # bytes of it for each of a recorded conversation, at most


def configure(out: Path, board: Path | None, **changes) -> Path:
    """Write the configuration of a virtual board; return its path.

    `out` is the folder for all it keeps and tells, `board` the tree that is on its flash at the
    beginning, None for none. `changes` are the keys that sim/board.py and sim/world.py read, and
    "interpreter", "32" for the one with a board's 32-bit pointers; what is said below is a van's
    battery that runs at the speed of the computer, without a display, on a board that never rests.
    """
    out = out.resolve()
    interpreter = changes.setdefault("interpreter", "64")
    config = {
        "board": str(board) if board else None,
        "sim": str(SIMS[interpreter]),
        "image": str(out / "flash.img"),
        "rtc": str(out / "rtc.bin"),
        "out": str(out),
        "volume": "lfs2",
        "size": 2 << 20,
        "bms": "jikong",
        "battery": "van",
        "lcd": "none",
        "seed": 1,
        "realtime": False,
        "start_unix": START_UNIX,
        "settings": {},
        "chip": CHIP,
        "heap": HEAP,
        "machine": None,
        "version": VERSION,
    } | changes
    config["settings"] = {"rest": False} | config["settings"]
    config["heap"] = 0 if config["heap"] == "chip" else _kb(config["heap"]) << 10
    config["machine"] = config["machine"] or machine_name(config["chip"])
    path = out / "config.json"
    path.write_text(json.dumps(config, indent=2))
    return path


def board_command(config: Path) -> list[str]:
    """Return the command that starts a board once; the simulator shares the heap with it."""
    settings = json.loads(config.read_text())
    program = micropython(settings["interpreter"])
    which = settings["interpreter"]
    board = settings["heap"] or CHIPS[settings["chip"]]["limit"] * _PERCENT[which] // 100
    bms, _, recording = settings["bms"].partition(":")
    if bms == "replay":
        board += _REPLAYED * Path(recording).stat().st_size
    more_kb = _BATTERY_KB[which] * max(0, settings["bms"].count(",") - 1)
    heap = f"heapsize={_SPACE_KB[which] + more_kb + (board >> 10)}k"
    return [program, "-X", heap, f"{settings['sim']}/board.py", str(config)]


def machine_name(chip: str, release: int = 0, psram: bool = False) -> str:
    """Return what a board with that chip says of itself; release 1: before MicroPython 1.29."""
    name = CHIPS[chip]["names"][-release]
    return f"Generic {name} module with {'SPIRAM with ' if psram else ''}{name}"


def run(config: Path, on_record: Callable[[dict], None], on_words: Callable[[str], None]) -> dict:
    """Run the board to its end and return its last record, with what the heap was when.

    `on_record` gets each other record, `on_words` each line of the REPL. Ctrl-C stops the
    board cleanly, a second one at once (KeyboardInterrupt). Raises UserError when it crashes.
    """
    settings = json.loads(config.read_text())
    command = board_command(config)
    stop = _Stop(Path(settings["out"]) / "stop")
    starts = 0
    heap_at, memory_at = {}, {}
    while starts < _STARTS:
        board = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            process_group=0,  # Ctrl-C comes to us alone
        )
        starts += 1
        with board, stop.watching(board):
            last = None
            for line in _lines(board):
                if not line.startswith(_MARK):
                    on_words(line.decode(errors="replace"))
                    continue
                try:
                    last = json.loads(line[1:])
                except ValueError:
                    continue  # Ctrl-C came in the middle of it
                starts = 0
                if last["type"] == "heap":
                    heap_at[last["at"]] = last["heap"]
                    memory_at[last["at"]] = last
                else:
                    on_record(last)
        if board.returncode == 0 and last and last["type"] == "end":
            return last | {"heap_at": heap_at, "memory_at": memory_at}
        if stop.presses > 1:
            raise KeyboardInterrupt
        if board.returncode != _RESET:
            raise UserError(f"the virtual board crashed (exit code {board.returncode}).", 1)
    raise UserError(f"the virtual board reset {_STARTS} times without getting anywhere.", 1)


def _kb(size: str) -> int:
    return int(size[:-1]) << {"k": 0, "m": 10}[size[-1].lower()]


class _Stop:
    """Asks the board to stop by a file, for a signal would hit its interpreter anywhere."""

    def __init__(self, request: Path):
        self.presses = 0
        self._pressed = -_ECHO_S
        self._board = None
        self._request = request
        request.unlink(missing_ok=True)

    def watching(self, board):
        self._board = board
        return self

    def __enter__(self):
        self._before = signal.signal(signal.SIGINT, self._press)

    def __exit__(self, *_):
        signal.signal(signal.SIGINT, self._before)
        self._request.unlink(missing_ok=True)
        if self._board.poll() is None:
            self._board.kill()

    def _press(self, *_):
        # A shell or a wrapper may pass on what the terminal has sent already.
        if time.monotonic() - self._pressed < _ECHO_S:
            return
        self._pressed = time.monotonic()
        self.presses += 1
        if self.presses == 1:
            self._request.touch()
        else:
            self._board.kill()


def _lines(board: subprocess.Popen):
    """Yield the board's lines; raises UserError when it falls silent."""
    lines = queue.Queue(maxsize=1000)

    def read():
        for line in board.stdout:
            lines.put(line.rstrip(b"\r\n"))
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    while True:
        try:
            line = lines.get(timeout=_SILENCE_S)
        except queue.Empty:
            raise UserError(f"the virtual board said nothing for {_SILENCE_S} s.", 1) from None
        if line is None:
            return
        yield line
