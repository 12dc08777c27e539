# Lifetime counters equal the sums of the log: after power cuts anywhere, sealing, other batteries
import asyncio
import os
import random
import struct

import half
from flash import PowerCut
from shardlog import (
    DATA,
    SEED,
    Clock,
    StoredEncoder,
    Volume,
    open_store,
    pack,
    stored_frames,
)
from app import counting
from shards import codec, frame, sums

_NAMES = sums.NAMES.split()


def _count(store):
    return dict(zip(_NAMES, sums.values(asyncio.run(counting.add_up(store)))))


def _sums(frames):
    """Add up frames as docs/FORMAT.md says, in floats, apart from the code under test."""
    sums = dict.fromkeys(_NAMES, 0)
    sums["soc_min_percent"] = 1000
    sums["cell_min_mV"] = 99999
    boot = None
    last_v = 0
    up = last_up = last_time = None
    begins = True
    armed = False
    for f in frames:
        kind = frame.kind(f, 0)
        time = struct.unpack_from("<H", f)[0]
        if last_time is None:
            last_time = time
            up = 0
        up += (time - last_time + 32768) % 65536 - 32768
        last_time = time
        if kind == frame.ANCHOR:
            begins = begins or struct.unpack_from("<H", f, 8)[0] != boot
            boot = struct.unpack_from("<H", f, 8)[0]
        elif kind == frame.EVENT:
            begins = begins or f[4] == frame.GAP
        elif kind == 0:
            _, v, i, _, soc, low, high, _ = struct.unpack("<HHHBBHHB", f)
            volts = half.decode(v)
            amps = half.decode(i)
            if not begins and up > last_up:
                hours = (up - last_up) / 3600
                sums["logged_h"] += hours
                if amps == amps:
                    way = "in" if amps > 0 else "out"
                    sums["charge_%s_Ah" % way] += abs(amps) * hours
                    if volts == volts and last_v == last_v:
                        wh = abs(amps) * hours * (volts + last_v) / 2
                        sums["energy_%s_kWh" % way] += wh / 1000
            begins = False
            last_up = up
            last_v = volts
            sums["rows"] += 1
            if low != 65535:
                sums["cell_min_mV"] = min(sums["cell_min_mV"], low)
                sums["cell_max_mV"] = max(sums["cell_max_mV"], high)
            if soc != 255:
                sums["soc_min_percent"] = min(sums["soc_min_percent"], soc / 2)
                sums["full_charges"] += armed and soc >= 200
                armed = soc <= 190 or armed and soc < 200
    return sums


def _check(found, frames, where):
    wanted = _sums(frames)
    for name in _NAMES:
        if name in ("full_unix_s", "since_full_h", "first_unix_s"):
            continue
        close = abs(found[name] - wanted[name]) <= 1e-3 + 1e-4 * abs(wanted[name])
        assert close, (where, name, found[name], wanted[name])


class _Life:
    """A board that logs a battery at random: intervals, gaps, currents, unknown values."""

    def __init__(self, clock):
        self.clock = clock
        self.soc = 120

    def frames(self, store, n):
        data = bytearray(frame.SIZE)
        for _ in range(n):
            step = random.randrange(1, 40)
            if not random.randrange(60):
                step = random.randrange(40, 1800)
            self.clock.now_s += step
            if not random.randrange(50):
                store.event(frame.GAP, step)
            if not random.randrange(30):  # a minute around a fault: its time goes back
                record = bytearray(frame.SIZE)
                values = 0x4AA0, 0x3C00, 3, 4, 1
                struct.pack_into(
                    "<HHHHHHB", record, 0, self.clock.now_s - 100 & 0xFFFF, 0xFE04, *values
                )
                store.append(record)
            amps = half.NAN
            if random.randrange(20):
                amps = half.rounded(half.from_milli(random.randrange(-90000, 90000)), 5)
            volts = half.NAN if not random.randrange(20) else half.from_milli(
                random.randrange(9000, 60000)
            )  # fmt: skip
            self.soc = max(0, min(200, self.soc + random.randrange(-12, 13)))
            soc = 255 if not random.randrange(20) else self.soc
            low = 65535 if not random.randrange(20) else random.randrange(2500, 3000)
            high = 65535 if low == 65535 else low + random.randrange(600)
            frame.pack_data(data, 0, self.clock.now_s, volts, amps, 120, soc, low, high, 1)
            store.append(data)
            store.tick()


def test_counters_equal_the_sums_of_a_log():
    random.seed(int.from_bytes(SEED, "little"))
    volume = Volume("lfs2", 1024 * 1024)
    clock = Clock(1_780_272_000)
    life = _Life(clock)
    for _ in range(6):
        store = open_store(clock)
        for _ in range(random.randrange(1, 5)):
            life.frames(store, random.randrange(400))
            store.flush()
            _check(_count(store), stored_frames(), "life")
        clock.now_s = random.randrange(100)  # the uptime begins anew
    found = _count(store)
    assert found["lost"] == 0 and found["first_unix_s"] >= 1_780_272_000
    volume.remove()


def test_a_second_battery_takes_numbers_between():
    random.seed(int.from_bytes(SEED, "little"))
    volume = Volume("lfs2", 1024 * 1024)
    clock = Clock(1_780_272_000)
    life = _Life(clock)
    store = open_store(clock)
    life.frames(store, 100)
    store.flush()
    before = _count(store)
    other = open_store(clock, name="other")
    life.frames(other, 50)
    other.flush()
    _check(_count(other), [f for f in _of("other")], "other")
    assert _count(store) == before
    store = open_store(clock)
    life.frames(store, 30)
    store.flush()
    assert _count(store)["rows"] == 130
    volume.remove()


def _of(name):
    from shardlog import frames_of

    for file in sorted(os.listdir(DATA)):
        if file.startswith(name + "-") and file.endswith(".raw"):
            with open(DATA + "/" + file, "rb") as f:
                yield from frames_of(file, f.read())


def test_a_spoilt_file_leaves_the_older_one():
    volume = Volume("lfs2", 1024 * 1024)
    clock = Clock(1_780_272_000)
    life = _Life(clock)
    store = open_store(clock)
    for _ in range(3):
        life.frames(store, 100)
        store.flush()
        wanted = _count(store)
    for kind in ("sum", "sum2"):
        path = DATA + "/jk-pak01.".replace("-", "_") + kind
        with open(path, "rb") as f:
            good = f.read()
        for bad in (b"", good[:50], good[:20] + b"x" + good[21:], good + b"x"):
            with open(path, "wb") as f:
                f.write(bad)
            assert _count(store) == wanted
    volume.remove()


def test_an_upgrade_counts_what_is_still_raw_and_says_what_is_not():
    volume = Volume("lfs2", 1024 * 1024)
    clock = Clock(0)
    store = open_store(clock)
    _Life(clock).frames(store, 40)
    store.flush()
    found = _count(store)
    assert found["rows"] == 40 and found["first_unix_s"] is None and found["lost"] == 0
    assert all(found[name] >= 0 for name in ("charge_in_Ah", "charge_out_Ah", "logged_h"))
    volume.remove()


# ---- power cuts


def _prepare(kind):
    """Return a volume with a log that is about to roll over, counted, and its clock."""
    volume = Volume(kind, 256 * 1024)  # the store rolls over at 32 kB
    clock = Clock(1_780_272_000)
    store = open_store(clock)
    life = _Life(clock)
    life.frames(store, 1700)
    store.flush()
    _count(store)
    life.frames(store, 400)
    return volume, clock


def _run(clock, seed):
    """Log, count, roll over and seal, as a board does, until the power is cut."""
    random.seed(seed)
    try:
        store = open_store(clock)
        life = _Life(clock)
        for _ in range(6):
            life.frames(store, 150)
            store.flush()
            _count(store)
            if store.packing_due:
                pack(store)
    except (PowerCut, OSError):
        pass


def _cuts(kind, step):
    encoder = codec.Encoder
    codec.Encoder = StoredEncoder
    random.seed(int.from_bytes(SEED, "little"))
    volume, clock = _prepare(kind)
    image = volume.image()
    begin_s = clock.now_s
    seed = random.getrandbits(30)
    at = 1 + random.getrandbits(16) % step
    cuts = 0
    try:
        while True:
            volume.replug(image)
            clock.now_s = begin_s
            volume.flash.cut_in = at
            _run(clock, seed)
            if volume.flash.cut_in:
                return cuts
            volume.replug()
            store = open_store(clock)
            found = _count(store)
            assert found["lost"] == 0, (at, found)
            _check(found, stored_frames(), at)
            cuts += 1
            random.seed(seed + at)
            at += 1 + random.getrandbits(16) % step if step > 1 else 1
    finally:
        codec.Encoder = encoder
        volume.remove()


def test_power_cuts_on_littlefs():
    cuts = _cuts("lfs2", 1 if os.getenv("CAMPAIGN") else 60)
    print("littlefs: %d power cuts, counters equal the log's sums" % cuts)
    assert cuts > 5


def test_power_cuts_on_fat():
    cuts = _cuts("fat", 1 if os.getenv("CAMPAIGN") else 40)
    print("FAT: %d power cuts, counters equal the log's sums" % cuts)
    assert cuts > 5
