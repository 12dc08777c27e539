"""Sealed shards of older versions of the format are read for ever, and damage in them is told."""

import subprocess
import sys
import zlib

import pytest

from batmon.log import shards
from batmon.paths import ROOT

_SHARDS = ROOT / "tests/data/shards"


def test_version_3_gives_the_frames_it_was_made_of():
    shard = shards.load(_SHARDS / "ups-00001.bts")
    assert not shard.damage
    assert shard.frames.tobytes() == (ROOT / "tests/data/frames/ups4s.bin").read_bytes()
    mixed = shards.load(_SHARDS / "mixed-00001.bts")
    assert not mixed.damage and len(mixed.frames) == 2466
    assert zlib.crc32(mixed.frames.tobytes()) == 0x73C19646


def test_version_3_without_numba():
    code = "import sys; sys.modules['numba'] = None; from pathlib import Path; import zlib\n"
    code += "from batmon.log import shards\n"
    code += "print(zlib.crc32(shards.load(Path(sys.argv[1])).frames.tobytes()))"
    command = [sys.executable, "-c", code, _SHARDS / "mixed-00001.bts"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout) == 0x73C19646


@pytest.mark.parametrize("at", [200, 3000, 5000, 8000])
def test_damage_in_version_3_costs_its_block_alone(at):
    data = bytearray((_SHARDS / "mixed-00001.bts").read_bytes())
    whole = shards.parse(_SHARDS / "mixed-00001.bts", bytes(data))
    data[at] ^= 16
    shard = shards.parse(_SHARDS / "mixed-00001.bts", bytes(data))
    assert 0 < len(whole.frames) - len(shard.frames) <= 1280
    assert any("damaged" in sentence for sentence in shard.damage)
    left = shard.frames.tobytes()
    first = len(left) // 13 - len(whole.frames)
    assert whole.frames.tobytes().startswith(left[: shard.breaks[0] * 13])
    assert whole.frames.tobytes().endswith(left[shard.breaks[0] * 13 :]) and first < 0
