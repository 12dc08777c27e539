"""Memory of the whole app on the 32-bit interpreter: Jikong, display 16x2, one battery.

What is measured is the virtual board in one process: the board's build as it is installed, with
lib/bleak and aioble, on a simulated stack. aioble is the stand-in of sim/, or with AIOBLE=DIR that
in DIR/aioble; either is cut to what is called, and compiled as the rest. The simulated world shares
the heap; it is measured before the board starts and subtracted, as is what its asyncio takes more
than the real one; what it takes later (the peer's side of a link) counts as the board's. Names are
counted apart, on an interpreter that has no others, because the world has some in common with the
board. Added are an idle interpreter with its littlefs volume, and asyncio. A float takes a block of
16 bytes, be it single or double.

polling        in use after a collection, the most of 60 looks between and in polls; without what
               the setting events brings, which all other figures have
peak           the least heap in which start, polls, a lost link, a logged error and a sealing do
               the same, line by line, as with plenty of memory
largest_alloc  the same with holes: the least size of hole in which all of that works after the
               start
largest_free   the largest piece that can be had in two pieces of 56 KiB, the least of two hours
"""

import functools
import os
import re
import subprocess
import tempfile
from pathlib import Path

from batmon.firmware import trace
from batmon.firmware.build import build
from batmon.firmware.interpreter import cpu, micropython
from batmon.firmware.payload import digest
from batmon.paths import BUILD, ROOT, SIMS
from batmon.virtual import process
from bench import mpynames

KEY = "heap32"
_CHIP = 112 << 10  # of heap once Bluetooth is on
_PLENTY = "350k"  # every collection looks at all of it
_STARTS = 5
_RESET = 75  # the exit code of a board that wants to start again
_MINUTE = 1 / 1440  # days
_SETTINGS = {"dev_name": "jk-pak01", "capacity_ah": 280, "lcd": {}, "poll_s": 2}
_SETTINGS["rest"] = {"minutes": 10, "percent": 0.01}  # it may rest, and never does
# whose names a board has in its firmware
_BUILT_IN = ("bluetooth", "esp32", "machine", "network", "socket", "time")
_BASE = """
import gc
def used():
    gc.collect()
    return gc.mem_alloc()
idle = used()
import asyncio
for name in ("Event", "Lock", "ThreadSafeFlag", "gather", "sleep", "wait_for", "wait_for_ms"):
    getattr(asyncio, name)
print("base", idle, used() - idle)
import vfs
class RAM:
    data = bytearray(8 * 4096)
    def readblocks(self, n, buf, off=0):
        buf[:] = self.data[n * 4096 + off : n * 4096 + off + len(buf)]
    def writeblocks(self, n, buf, off=0):
        self.data[n * 4096 + off : n * 4096 + off + len(buf)] = buf
    def ioctl(self, op, arg):
        return {4: 8, 5: 4096, 6: 0}.get(op)
flash = RAM()
vfs.VfsLfs2.mkfs(flash)
before = used()
volume = vfs.VfsLfs2(flash)
print("volume", used() - before)
"""
# from a file: those in its own code would be there before
_INTERN = """
import micropython, sys
micropython.qstr_info()
with open(sys.argv[1]) as f:
    for line in f:
        getattr(None, line.strip(), None)
micropython.qstr_info()
"""


def measure() -> dict[str, dict[str, float]]:
    """Return the figures of the app, and what each module takes of them."""
    board = BUILD / "board-jikong"
    build_board(board)
    with tempfile.TemporaryDirectory() as name:
        bench = Bench(Path(name), board)
        rows = bench.modules(settings={"events": False})
        app = {
            "polling": rows.pop("polling"),
            "with events": bench.modules()["polling"],
            "peak": bench.peak(),
            "largest_alloc": bench.largest_alloc(),
            "largest_free": bench.largest_free(),
        }
    parts = {part if part != "app" else "app/": {"polling": size} for part, size in rows.items()}
    return {"app": app, **parts}  # the whole, and its packages and modules


def build_board(board: Path, short: bool = True, drivers: tuple[str, ...] = ("jikong_bms",)):
    """Make the tree of a board with these drivers and aioble."""
    build()  # the virtual board, as its sources are now
    radio = Path(os.environ.get("AIOBLE") or ROOT / "sim")
    build(board, list(drivers), cpu("32"), short, radio)


def several(*makes: str, display: bool = False) -> dict:
    """Return what to give a Bench for a battery of each of these makes, without `events`."""
    batteries = [
        {"bms": f"{make}_bms", "dev_name": f"{make}-{i}", "capacity_ah": 280}
        for i, make in enumerate(makes)
    ]
    return {
        "settings": {"events": False, "rest": False, "batteries": batteries}
        | ({} if display else {"lcd": {"fitted": False}}),
        "bms": ",".join(makes),
        "battery": ",".join(["van"] * len(makes)),
        "names": [one["dev_name"] for one in batteries],
        # one that does not refuse them; the heap is the bench's own
        "chip": "s3",
        "machine": process.machine_name("s3", psram=True),
    }


class Bench:
    """Runs of one build of the board; `usual` is for each run, as of `run`."""

    def __init__(self, folder: Path, board: Path, **usual):
        self._folder = folder
        self._usual = usual  # as of `run`
        self._board = board
        known = trace.load(board / trace.FILE)  # None if names are not shortened
        modules = known.modules.values() if known else ()
        self._shortened = {long: short for names in modules for short, long in names.items()}
        self._base = {}
        self._names = 0  # of the board, alone and in the world
        self._names_in_world = 0

    # ---- what is in use

    def modules(self, phone: bool = False, **config) -> dict[str, int]:
        """Return what the app has in use, as `polling`, and its parts; `config` as of `run`.

        `phone`: with one connected that reads the log without a break.
        """
        said = self.run(days=17 * _MINUTE, watch=True, measure=True, phone=phone, **config)
        stack, sizes, loaded = [], {}, set()
        world = all_ = most = None
        for what, numbers, names in _said(said):
            if what == "world":
                world = numbers[0], names
            elif what == "all":
                all_ = numbers[0], names
            elif what == "polling":
                most = max(most or 0, numbers[0])
            elif what.startswith("loaded "):
                loaded.add(what[7:])
            elif what.startswith("enter "):
                stack.append([numbers[0] - names, 0])
            elif what.startswith("leave "):
                before, inner = stack.pop()
                taken = numbers[0] - names - before
                sizes[what[6:]] = sizes.get(what[6:], 0) + taken - inner
                if stack:
                    stack[-1][1] += taken
        self._names_in_world = all_[1] - world[1]
        self._base = self._measure_base()
        self._names = self._measure_names(list(sizes))
        rows = {**self._base, "names of all parts": self._names}
        rows |= {name: size for name, size in sizes.items() if size > 0 and name in loaded}
        total = most - world[0] - self._names_in_world + self._names + sum(self._base.values())
        rows["objects"] = total - sum(rows.values())
        return {"polling": total, **rows}

    def _measure_base(self) -> dict[str, int]:
        said = self._interpret("-c", _BASE)
        idle, asyncio, volume = map(int, re.findall(r"\d+", said))
        return {"idle interpreter": idle, "asyncio": asyncio, "volume": volume}

    def _measure_names(self, modules: list[str]) -> int:
        """Return what the names of the board's modules take on an interpreter of their own."""
        rom = mpynames.offered(ROOT / f"sim/{module}.py" for module in _BUILT_IN)
        rom |= {*_BUILT_IN}
        names = [name for name in mpynames.of(self._files(modules)) if name not in rom]
        path = self._folder / "names"
        path.write_text("\n".join(names))
        said = self._interpret("-c", _INTERN, str(path))
        first, last = re.findall(r"n_total_bytes=(\d+)", said)
        return int(last) - int(first)

    def _files(self, modules: list[str]) -> list[Path]:
        roots = self._board, self._board / "lib"
        found = [self._board / name for name in ("boot.py", "main.py", "conn.py")]
        for module in modules:
            path = module.replace(".", "/")
            for root in roots:
                for file in (f"{path}.mpy", f"{path}.py", f"{path}/__init__.mpy"):
                    found += [root / file] if (root / file).exists() else []
        return list(dict.fromkeys(found))

    # ---- with less

    def peak(self) -> int:
        """Return the least heap that does."""
        return _least(self.does_in, 80_000, 128_000, 1500)

    def does_in(self, size: int) -> bool:
        """Whether the board does in a heap of that size what it does with plenty of it."""
        others = sum(self._base.values()) + self._names - self._names_in_world
        return self._outcome(events=True, free=size - others) == self.with_plenty

    def largest_alloc(self) -> int:
        """Return the least size of holes that does."""
        return _least(self.does_with_holes, 256, 4096, 256)

    def does_with_holes(self, size: int) -> bool:
        """Whether it does the same after the start where no hole of the heap is larger."""
        return self._outcome(events=True, hole=size) == self.with_plenty

    @functools.cached_property
    def with_plenty(self) -> str:
        """What the board says and has stored when there is plenty of memory."""
        said = self._outcome(events=True)
        if ".bts" not in said:
            raise RuntimeError(f"nothing was sealed: {said[-500:]}")
        return said

    def largest_free(self) -> int:
        """Return the largest piece on a chip's heap, the least of a day."""
        free = _CHIP - sum(self._base.values()) - self._names + self._names_in_world
        said = self.run(days=0.1, free=free, walled=True, probe=True)
        return min(numbers[0] for what, numbers, _ in _said(said) if what == "largest")

    def _outcome(self, **config) -> str:
        try:
            said = self.run(days=27 * _MINUTE, **config)
        except RuntimeError as error:
            return str(error)
        # not what is measured, and what the simulator tells of itself
        lines = (line for line in said.splitlines() if not line.startswith(("heap ", "qstr", "{")))
        return "\n".join(line for line in lines if line)

    def run(self, days: float, settings: dict | None = None, **config) -> str:
        """Return what the board says, by settings beyond the usual; RuntimeError if it crashes."""
        config = self._usual | config
        asked = config.pop("settings", {}) | (settings or {})
        asked |= {"phone": "123456" if config.get("phone") else "off"}
        out = Path(tempfile.mkdtemp(dir=self._folder))
        usual = {"watch": False, "measure": False, "events": False, "probe": False}
        usual |= {"free": 0, "walled": False, "hole": 0, "aioble": str(self._board / "lib")}
        usual["short_names"] = self._shortened
        usual["phone"] = False
        path = process.configure(
            out,
            self._board,
            days=days,
            sim=str(SIMS["32"]),
            status_wall_ms=1 << 29,
            settings=_SETTINGS | asked,
            **usual | {"lcd": "16x2"} | config,
        )
        watched = Path(__file__).with_name("appheap.py")
        said = ""
        for _ in range(_STARTS):
            command = ["-X", f"heapsize={_PLENTY}", str(watched), str(path)]
            code, words = self._start(*command)
            said += words
            if code != _RESET:
                break
        return said + "\n".join(f"{file.name} {digest(file.read_bytes())}"
                                for file in sorted(out.glob("data/*")))  # fmt: skip

    def _interpret(self, *args: str) -> str:
        return self._start(*args)[1]

    def _start(self, *args: str) -> tuple[int, str]:
        command = [micropython("32"), *args]
        done = subprocess.run(command, capture_output=True, text=True, timeout=600)
        if done.returncode not in (0, _RESET):
            raise RuntimeError(done.stdout[-2000:] + done.stderr)
        return done.returncode, done.stdout


def _least(good, low: int, high: int, step: int) -> int:
    """Return the least multiple of `step` from `low` that is good, found by halving."""
    low, high = low // step, high // step
    if not good(high * step):
        raise RuntimeError(f"not even {high * step} will do")
    while high - low > 1:
        middle = (low + high) // 2
        if good(middle * step):
            high = middle
        else:
            low = middle
    return high * step


def _said(text: str) -> list[tuple[str, list[int], int]]:
    """Return (name, numbers, bytes of the table of names or 0) of each line `heap NAME N…`."""
    found = re.findall(
        r"^heap (.+?)((?: \d+)+)$(?:\nqstr pool:.*n_total_bytes=(\d+))?", text, re.M
    )
    return [(name, [int(n) for n in numbers.split()], int(names or 0))
            for name, numbers, names in found]  # fmt: skip
