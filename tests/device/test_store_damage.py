# Damaged shards: recovery takes what is whole, invents nothing, and the log goes on
import os
import random
import struct

from shardlog import (
    DATA,
    SEED,
    Clock,
    StoredEncoder,
    Volume,
    file_names,
    log,
    noise,
    open_store,
    pack,
    stored_frames,
    stored_numbers,
)
from shards import codec, frame

_AFTER = 100_000  # what is logged after the damage counts from here
_ROUNDS = 2000 if os.getenv("CAMPAIGN") else 60


def _mutate(name):
    """Change a few bytes of a file, or take some out, put some in, or cut it."""
    with open(name, "rb") as f:
        content = f.read()
    for _ in range(1 + random.getrandbits(2)):
        at = random.getrandbits(20) % (len(content) + 1)
        kind = random.getrandbits(3)
        if kind < 3:
            content = content[:at] + bytes((random.getrandbits(8),)) + content[at + 1 :]
        elif kind == 3:
            content = content[:at] + noise(1 + random.getrandbits(5)) + content[at:]
        elif kind == 4:
            content = content[:at] + content[at + (1, 13, 200)[random.getrandbits(8) % 3] :]
        elif kind == 5:
            content = content[:at] + bytes(64) + content[at + 64 :]
        elif kind == 6:
            content = content[:at] + content[: random.getrandbits(8)] + content[at:]
        else:
            content = content[:at]
    with open(name, "wb") as f:
        f.write(content)


def test_recovery_of_damaged_shards():
    encoder = codec.Encoder
    codec.Encoder = StoredEncoder
    random.seed(int.from_bytes(SEED, "little"))
    volume = Volume("lfs2", 128 * 1024)
    try:
        clock = Clock(1_780_272_000)
        store = open_store(clock)
        log(store, clock, 0, 2500)
        pack(store)
        log(store, clock, 2500, 1400)  # a raw shard that is full, and one that is not
        store.flush()
        written = set(bytes(f) for f in stored_frames())
        image = volume.image()
        for round in range(_ROUNDS):
            volume.replug(image)
            names = file_names()
            _mutate(DATA + "/" + names[random.getrandbits(8) % len(names)])
            clock = Clock(1_790_000_000)
            store = open_store(clock)
            log(store, clock, _AFTER, 200)
            pack(store)
            assert store.flush() and store.dropped == 0, round
            assert not [name for name in file_names() if name.endswith(".tmp")], round
            got = stored_numbers(strict=False)
            assert got[-200:] == list(range(_AFTER, _AFTER + 200)), (round, got[-1])
            # one damaged file costs no other: at least three of the four shards are whole
            assert len(got) > 2500, (round, len(got))
            for f in stored_frames(strict=False):
                number = struct.unpack_from("<HH", f, 8)
                if frame.kind(f, 0) == 0 and number[0] | number[1] << 16 < _AFTER:
                    assert bytes(f) in written, (round, f)
    finally:
        codec.Encoder = encoder
        volume.remove()


def test_damage_inside_a_raw_shard_costs_one_flush():
    volume = Volume("lfs2")
    try:
        clock = Clock(1_780_272_000)
        store = open_store(clock)
        log(store, clock, 0, 1000)
        store.flush()
        with open(DATA + "/jk_pak01-00001.raw", "r+b") as f:
            f.seek(13 * 100)
            f.write(b"?")
        store = open_store(clock)
        store.tick()
        pack(store)
        log(store, clock, 1000, 100)
        store.flush()
        got = stored_numbers()
        assert len(got) == 1100 - 75 and got[-100:] == list(range(1000, 1100)), len(got)
        assert "jk_pak01-00001.bad" in file_names()  # and a human may look at it
    finally:
        volume.remove()
