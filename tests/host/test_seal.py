"""`batmon seal` and `batmon unseal`: the same frames there and back."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shardfiles import anchor, data, event, raw

from batmon import cli, shards
from batmon.board import frame, shardcodec

_FRAMES = [anchor(0, 1_780_000_000), *(data(i * 7, 13.2 + i % 5 / 10) for i in range(700)), event()]
_BYTES = st.binary(min_size=frame.SIZE, max_size=frame.SIZE)


def _seal(tmp_path, frames):
    source = tmp_path / "a-00001.raw"
    source.write_bytes(raw(frames))
    (tmp_path / "sealed").mkdir()
    assert cli.main(["seal", str(source), "-o", str(tmp_path / "sealed")]) == 0
    return tmp_path / "sealed" / "a-00001.bts"


def test_there_and_back(tmp_path):
    path = _seal(tmp_path, _FRAMES)
    assert path.stat().st_size < 13 * len(_FRAMES) / 4
    (tmp_path / "back").mkdir()
    assert cli.main(["unseal", str(path), "-o", str(tmp_path / "back")]) == 0
    back = shards.load(tmp_path / "back" / "a-00001.raw")
    assert not back.damage and back.frames.tobytes() == b"".join(_FRAMES)


def test_nothing_is_overwritten(tmp_path, capsys):
    path = _seal(tmp_path, _FRAMES[:5])
    before = path.read_bytes()
    assert cli.main(["seal", str(tmp_path / "a-00001.raw"), "-o", str(path.parent)]) == 2
    assert "exists" in capsys.readouterr().err and path.read_bytes() == before


@pytest.mark.parametrize("frames", [[], [b"\xff" * 13], [bytes(13)] * 3000])
def test_extremes(frames):
    _round_trip(frames)


@settings(max_examples=30, deadline=None)
@given(st.lists(_BYTES, max_size=60), st.integers(1, 5))
def test_any_frames(frames, times):
    _round_trip(frames * times)


def _round_trip(frames):
    encoder = shardcodec.Encoder()
    out = bytearray(shardcodec.HEADER)
    for i in range(0, len(frames), shardcodec.CHUNK_FRAMES):
        part = frames[i : i + shardcodec.CHUNK_FRAMES]
        for block in encoder.encode(bytearray(b"".join(part)), len(part)):
            out += block or b""
    out += encoder.end()
    got = b""
    for _, block in shardcodec.blocks(bytes(out)):
        room = bytearray(shardcodec.check(block) * frame.SIZE)
        for _ in shardcodec.decode(block, room):
            pass
        got += room
    assert got == b"".join(frames)
