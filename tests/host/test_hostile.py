"""Made-up shards, with numba and without: a few sentences, little work, nothing that stops."""

import importlib.util
import random
import zlib
from pathlib import Path

import hostile
import pytest
import seeds

import batmon
from batmon.cli import main
from batmon.log import check, formats, shards, version3

_MOST_SENTENCES = 10  # of the reader, and of what its frames cannot be
_MOST_FRAMES = 100_000


@pytest.fixture(params=["numba", "plain"])
def reader(request, monkeypatch):
    """The reader as it is, and as it is where numba is not installed."""
    if request.param == "plain":
        monkeypatch.setattr(shards, "codec", formats.load()[5])
        spec = importlib.util.spec_from_file_location("plain_version3", version3.__file__)
        plain = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(plain)
        plain._compiled = True
        monkeypatch.setattr(shards, "version3", plain)
    return shards


def _read(reader, rnd, number):
    kind, content = hostile.shard(rnd, number)
    path = Path(f"a-{number:05}.{kind}")
    shard = reader.parse(path, content)
    assert len(shard.frames) <= _MOST_FRAMES
    assert len(shard.damage) <= _MOST_SENTENCES
    for sentence in [*shard.damage, *check.check(shard)]:
        assert sentence.isprintable() and "Error" not in sentence
    return shard


def _survives(reader, seed, rounds):
    rnd = random.Random(seed)
    batch = [_read(reader, rnd, number) for number in range(1, rounds + 1)]
    table = reader.table(reader.logs([shard for shard in batch if len(shard.frames) < 20_000]))
    assert (table["interval_s"] >= 0).all()
    return sum(bool(shard.damage) for shard in batch)


def test_hostile_shards(reader):
    assert _survives(reader, seeds.new(), 30) > 10


@pytest.mark.campaign
def test_thousands_of_hostile_shards(reader):
    damaged = sum(_survives(reader, seed, 30) for seed in range(100))
    print(f"3000 hostile shards, {damaged} of them told as damaged, 0 failures")


@pytest.mark.parametrize("make", hostile.KINDS)
def test_the_work_grows_with_the_file_alone(make, monkeypatch):
    """A byte of a raw shard is in one CRC at most, of a sealed one in as many as blocks reach."""
    done, crc32 = 0, zlib.crc32

    def counted(data, *start):
        nonlocal done
        done += len(data)
        return crc32(data, *start)

    kind, content = make(random.Random(1))
    monkeypatch.setattr(shards.zlib, "crc32", counted)
    monkeypatch.setattr(formats.codec, "crc32", counted)
    shards.parse(Path(f"a-00001.{kind}"), content)
    assert done <= len(content) * (1 if kind == "raw" else 400)


def test_what_is_far_too_long_is_not_read(tmp_path):
    path = tmp_path / "a-00001.raw"
    with open(path, "wb") as file:
        file.truncate(1 << 40)  # sparse: reading it would end the test
    shard = shards.load(path)
    assert not len(shard.frames) and "too many for a shard" in shard.damage[0]


def test_forty_kilobytes_are_not_two_million_frames(tmp_path, capsys):
    content = formats.codec.HEADER + hostile.block(1280, bytes([1] + [0] * 9)) * 2000
    (tmp_path / "a-00001.bts").write_bytes(content + formats.codec.end_block(2_560_000))
    assert len(content) < 43_000 and len(batmon.read(tmp_path)) == 0
    assert main(["export", str(tmp_path), "-o", str(tmp_path / "x.csv")]) == 1
    said = capsys.readouterr().err
    assert "claims 2560000 frames" in said and len(said.splitlines()) == 1


def test_a_shard_is_a_file(tmp_path, capsys):
    import os

    os.mkfifo(tmp_path / "a-00001.raw")  # reading it would wait for ever
    assert main(["info", str(tmp_path / "a-00001.raw")]) == 1
    assert "no shards in" in capsys.readouterr().err
