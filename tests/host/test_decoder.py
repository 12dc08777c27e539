"""The page's decoder of shards, written from docs/FORMAT.md, beside the Python one."""

import random
import struct
import zlib
from pathlib import Path

import pagejs
import pytest
import seeds
from shardfiles import sealed
from test_shards_fuzz import _FILES, _mutate

from batmon.log import sealing, shards
from batmon.paths import ROOT

_READ = """
tell(files.map(([name, data]) => {
  const { frames, breaks, damage } = readShard(name, data);
  return [frames.length, crc32(frames), breaks, damage];
}));
"""
_ENOUGH = 10_000  # bytes of a file that is damaged: some blocks


def _samples() -> list[tuple[str, bytes]]:
    """Shards of every version: of each sample of frames, of noise, and of the versions before."""
    old = sorted(ROOT.glob("tests/data/shards/*.bts"))
    found = [(path.name, path.read_bytes()) for path in old]
    for path in sorted(ROOT.glob("tests/data/frames/*.bin")):
        frames = path.read_bytes()
        found += [("a-00001.bts", sealing.sealed(frames)), ("a-00001.raw", sealing.raw(frames))]
    rnd = random.Random(1)
    noise = [rnd.randbytes(13) for _ in range(2000)]
    return [*found, ("a-00001.bts", sealed(noise)), ("a-00001.bts", b""), ("a-00001.raw", b"")]


def _spoil(content: bytes, rnd: random.Random) -> bytes:
    """Change payloads of blocks and mend their CRC: what no flash does, but a reader must stand."""
    content, at = bytearray(content), 5
    while at + 10 < len(content):
        n, length = struct.unpack_from("<HH", content, at + 2)
        if at + 10 + length > len(content):
            break
        if rnd.random() < 0.5 and n != 0xFFFF:
            for _ in range(rnd.randint(1, 5)):
                content[at + 10 + rnd.randrange(length)] = rnd.randrange(256)
            payload = content[at + 10 : at + 10 + length]
            crc = zlib.crc32(payload, zlib.crc32(content[at + 2 : at + 6]))
            struct.pack_into("<I", content, at + 6, crc)
        at += 10 + length
    return bytes(content)


def _compare(folder: Path, files: list[tuple[str, bytes]]) -> list[int]:
    """Hold what JavaScript reads of files to what Python does; return the bytes of each."""
    told = pagejs.run(folder, _READ, files)
    for (name, content), theirs in zip(files, told, strict=True):
        shard = shards.parse(Path(name), content)
        frames = shard.frames.tobytes()
        ours = [len(frames), zlib.crc32(frames), [int(at) for at in shard.breaks], shard.damage]
        assert theirs == ours, (name, len(content))
    return [length for length, *_ in told]


def _damaged(samples, count: int, seed: int) -> list[tuple[str, bytes]]:
    rnd, files = random.Random(seed), []
    small = [(f"a-00001.{kind}", content) for kind, content in _FILES]
    sealed_ones = [each for each in samples if each[0].endswith(".bts")]
    for i in range(count):
        name, content = rnd.choice((small, small, samples, sealed_ones)[i % 4])
        content = content[: rnd.choice((_ENOUGH // 4, _ENOUGH))]
        files.append((name, _spoil(content, rnd) if i % 4 == 3 else _mutate(content, rnd)))
    return files


def test_every_sample(tmp_path):
    _compare(tmp_path, _samples())


def test_damaged_shards(tmp_path):
    _compare(tmp_path, _damaged(_samples(), 400, seeds.new()))


@pytest.mark.campaign
def test_a_hundred_thousand_damaged_shards(tmp_path):
    samples, left = _samples(), []
    for seed in range(100):
        left += _compare(tmp_path, _damaged(samples, 1000, seed))
    frames, some = sum(left) // 13, sum(length > 0 for length in left)
    print(f"{len(left)} damaged shards read alike: {frames} frames left in {some} of them")
    assert len(left) == 100_000 and some > 50_000
