"""The reader on damaged shards: it neither stops nor hangs, takes little memory, invents nothing.

What comes out of a damaged file must have gone into it: no frame of a block whose CRC fails.
"""

import contextlib
import random
import signal
import sys
import tracemalloc
from pathlib import Path

import pytest
import seeds
from shardfiles import anchor, data, event, raw, sealed

from batmon.log import check, shards

_START = 1_767_247_200
_MOST_BYTES = 64 << 20  # that reading damaged files may take
_MOST_S = 60  # and for a batch of them: a second would do
_BATCH = 50  # files that make one table


def _frames(boot: int, step_s: int) -> list[bytes]:
    """The frames of a shard: two boots, one with a known time, events between the data."""
    frames = [anchor(0, _START, boot)]
    frames += [data(step_s * i, 13 + i / 1000, i / 10, index=boot) for i in range(1, 100)]
    frames += [event(step_s * 100), anchor(3, 0, boot + 1)]
    frames += [data(step_s * i, 13 - i / 1000, -i / 10, index=boot) for i in range(1, 90)]
    return frames


# Two shards, so that whole blocks of one can get into the other.
_SHARDS = (_frames(1, 10), _frames(3, 1000))
_KEPT = {frame for frames in _SHARDS for frame in frames}
_FILES = [("raw", raw(frames, 20)) for frames in _SHARDS]
_FILES += [("bts", sealed(frames, 64)) for frames in _SHARDS]


def _mutate(content: bytes, rnd: random.Random) -> bytes:
    content = bytearray(content)
    for _ in range(rnd.randint(1, 4)):
        at = rnd.randrange(len(content) + 1)
        other = rnd.randrange(len(content) + 1)
        part = rnd.randrange(8)
        if part == 0:
            content[at : at + 1] = bytes([rnd.randrange(256)])
        elif part == 1 and at < len(content):
            content[at] ^= 1 << rnd.randrange(8)
        elif part == 2:
            content[at:at] = rnd.randbytes(rnd.randint(1, 40))
        elif part == 3:
            del content[at : at + rnd.choice((1, 13, 200))]
        elif part == 4:
            content[at : at + 100] = content[other : other + 100]
        elif part == 5:
            _, source = rnd.choice(_FILES)
            start = rnd.randrange(len(source))
            content[at:at] = source[start : start + rnd.choice((14, 280, 1000))]
        elif part == 6:
            content[at:] = b""
        else:
            content[at : at + 64] = bytes([rnd.choice((0, 255))]) * 64
        if not content:
            break
    return bytes(content)


def _read(rounds: int, seed: int) -> int:
    """Mutate and read so many files; return how many had frames left."""
    rnd = random.Random(seed)
    full = 0
    for first in range(0, rounds, _BATCH):
        batch = []
        for number in range(first, min(first + _BATCH, rounds)):
            kind, content = rnd.choice(_FILES)
            shard = shards.parse(Path(f"a-{number:05d}.{kind}"), _mutate(content, rnd))
            out = shard.frames.tobytes()
            assert {out[i : i + 13] for i in range(0, len(out), 13)} <= _KEPT, (seed, number)
            shards.logs([shard])
            check.check(shard)
            batch.append(shard)
            full += len(shard.frames) > 0
        table = shards.table(shards.logs(batch))
        assert len(table) <= sum(len(shard.frames) for shard in batch)
        assert (table["interval_s"] >= 0).all()
    return full


def test_reader_survives_mutations():
    _read(_BATCH, seed=1)  # what is loaded when first used does not count
    tracemalloc.start()
    try:
        assert _read(4 * _BATCH, seed=seeds.new()) > _BATCH
        assert tracemalloc.get_traced_memory()[1] < _MOST_BYTES
    finally:
        tracemalloc.stop()


@contextlib.contextmanager
def _bounded():
    """Let the process take so much more memory, and stop what does not end."""
    import resource

    def stop(*_):
        raise AssertionError(f"a batch of files took more than {_MOST_S} s")

    pages = int(Path("/proc/self/statm").read_text().split()[0])
    before = resource.getrlimit(resource.RLIMIT_AS)
    most = pages * resource.getpagesize() + _MOST_BYTES
    handler = signal.signal(signal.SIGALRM, stop)
    resource.setrlimit(resource.RLIMIT_AS, (most, before[1]))
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, handler)
        resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.mark.campaign
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux bounds the memory of a process")
def test_reader_survives_a_hundred_thousand_mutations():
    _read(_BATCH, seed=1)
    full = 0
    with _bounded():
        for seed in range(1000):
            signal.alarm(_MOST_S)
            full += _read(100, seed)
    print(f"{1000 * 100} damaged files, {full} with frames left")
    assert full > 50_000
