"""What a look of a board at rest does: what it loads, how long that takes, who hears it.

Loading takes no time on the virtual board. What it takes on a chip is reckoned here from figures
that docs/REST.md has with their sources, each on the slow side.
"""

import re

import pytest
from parkedboard import Run

from batmon.paths import BUILD, ROOT
from batmon.virtual import process

_WAKE_MS = 640  # from the timer to boot.py
_LOAD_MS = 9.3  # of a kB of .mpy: 330,000 instructions on a PC, half as many more, 3 cycles each
_TAKEN = 1.6  # bytes of heap for a byte of .mpy, and
_COLLECTED = 4000  # between two collections, each of
_COLLECT_MS = 22  # as with a full heap
_RADIO_MS = 200
_BOUND_MS = 4000
_MARK = "loaded "
_BOOT = f"""
import builtins
import sys

load = builtins.__import__
known = set(sys.modules)

def tell(name, *rest):
    module = load(name, *rest)
    for name in sys.modules:
        if name not in known:
            known.add(name)
            print("{_MARK}" + name)
    return module

builtins.__import__ = tell
print("{_MARK}boot")
"""
_ON_AIR = """
import bluetooth
import time

radio = type(bluetooth.BLE())
advertise = radio.gap_advertise

def told(self, interval_us, adv_data=None, **more):
    print("told", time.ticks_ms(), bytes(adv_data or b"").hex() if interval_us else "nothing")
    return advertise(self, interval_us, adv_data, **more)

radio.gap_advertise = told
"""
# Of packages nothing is loaded but their mark in sys.modules.
_EMPTY = {"boot", "app", "sampling", "shards"}
_OURS = {
    # the start, what a rest keeps, and the radio
    "app.run", "app.start", "app.version", "app.rest", "sampling.keep", "bleradio",
    "aioble", "aioble.core",
    "bleak", "bleak.client", "bleak.radio", "bleak.exc", "bleak.gatt",
    # the driver and its link
    "aiobmsble", "aiobmsble.basebms", "aiobmsble._sample_calc", "aiobmsble.compat",
    "aiobmsble.connection", "aiobmsble.bms", "aiobmsble.bms.jikong_bms", "aiobmsble.checksums",
    "aiobmsble.exact", "conn", "link", "link.plausible", "link.resting",
    # the app, what it decides and keeps
    "app.app", "app.battery", "app.errorlog", "app.look", "app.setup", "app.settings",
    "app.choice", "app.claim", "app.known", "app.opening", "app.watching", "boards", "clock",
    "half", "sampling.sampler", "shards.frame", "shards.folder", "shards.waiting",
    "shards.boot", "shards.leftover", "store",
    # finding and connecting
    "link.search", "bleak.scanner", "bleak.uuids", "bleak.beginning", "bleak.services",
}  # fmt: skip


@pytest.fixture(scope="module")
def looks(tmp_path_factory):
    """Return a run of some looks at rest, and for each what it loaded."""
    out = tmp_path_factory.mktemp("looks")
    run = Run(out, 0.8, "0-0:0", {"minutes": 10}, {"poll_s": 30}, boot=_BOOT)
    starts = []
    for line in run.words:
        if line == _MARK + "boot":
            starts.append(set())
        if line.startswith(_MARK):
            starts[-1].add(line[len(_MARK) :])
    return run, starts[1:4]


def test_a_look_loads_what_it_needs(looks):
    _, loaded = looks
    for modules in loaded:
        ours = {name for name in modules if not re.match(r"asyncio\b", name)}
        assert ours - _EMPTY == _OURS


def test_from_the_wake_to_the_sleep_take_four_seconds(looks):
    """By what is loaded; the rest, from the scan to the sleep, in the time of the simulation."""
    run, loaded = looks
    size = sum(_mpy(name).stat().st_size for name in loaded[0] if _mpy(name))
    collections = size * _TAKEN / _COLLECTED
    start_ms = _WAKE_MS + _RADIO_MS + size / 1000 * _LOAD_MS + collections * _COLLECT_MS
    world = (ROOT / "sim/world.py").read_text()
    assert start_ms < int(re.search(r"_WAKE_MS = const\((\d+)\)", world)[1])
    print(f"{len(loaded[0])} modules, {size} bytes, {start_ms:.0f} ms to the radio")
    assert run.power["look_ms"] / run.power["looks"] < _BOUND_MS


def _mpy(name):
    board = BUILD / "board-jikong"
    path = name.replace(".", "/")
    for root in (board, board / "lib"):
        for file in (root / f"{path}.mpy", root / path / "__init__.mpy"):
            if file.exists():
                return file
    return None


def test_who_listens_hears_it_at_each_look(tmp_path):
    """BTHome sends what was just polled, and has two seconds for it; the phone has longer."""
    told = {"bthome": True, "phone": "123456", "poll_s": 30}
    run = Run(tmp_path, 0.8, "0-0:0", {"minutes": 10}, told, boot=_ON_AIR)
    assert run.power["looks"] >= 3
    assert 6000 < run.power["look_ms"] / run.power["looks"] < 9000  # four of them on the air
    ticks = [line.split()[1:] for line in run.words if line.startswith("told ")]
    looks = [[]]
    for ms, data in ticks:
        if looks[-1] and int(ms) < looks[-1][-1][0]:  # counted from the wake
            looks.append([])
        looks[-1].append((int(ms), data))
    for look in looks[1:4]:
        sent_ms = [ms for ms, data in look if "16d2fc" in data]
        assert sent_ms and look[0][0] < sent_ms[0] < 6000, look


@pytest.mark.campaign
def test_a_phone_that_comes_at_a_look_keeps_the_board_awake(tmp_path):
    """From the look that it meets, until some minutes after it has gone."""
    settings = {"phone": "123456", "poll_s": 30}
    run = Run(tmp_path, 1.2, "0-0:0", {"minutes": 10}, settings, phones=[[1500, 2200]])
    begin, end, again = (at_s - process.START_UNIX for at_s, _, _ in run.rests()[:3])
    assert 600 <= begin < 660 and 1500 < end < 2200 and 2200 < again < 2600
