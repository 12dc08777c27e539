"""`batmon seal` and `batmon unseal`: the same frames there and back."""

import hashlib
import random
import struct
import subprocess
import sys
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shardfiles import anchor, data, event, raw

from batmon import cli
from batmon.firmware import build
from batmon.firmware.interpreter import micropython
from batmon.log import formats, sealing, shards
from batmon.log.formats import codec, frame

_FRAMES = [anchor(0, 1_780_000_000), *(data(i * 7, 13.2 + i % 5 / 10) for i in range(700)), event()]
_REAL = sorted((build.ROOT / "tests/data/frames").glob("*.bin"))
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


@settings(max_examples=30)
@given(st.lists(_BYTES, max_size=60), st.integers(1, 5))
def test_any_frames(frames, times):
    _round_trip(frames * times)


def _round_trip(frames):
    encoder = codec.Encoder()
    out = bytearray(codec.HEADER)
    for i in range(0, len(frames), codec.CHUNK_FRAMES):
        part = frames[i : i + codec.CHUNK_FRAMES]
        for block in encoder.encode(bytearray(b"".join(part)), len(part)):
            out += block or b""
    out += encoder.end()
    got = b""
    known = codec.new_model()
    for _, block in sealing.blocks(bytes(out)):
        room = bytearray(codec.check(block) * frame.SIZE)
        for _ in codec.decode(block, room, known):
            pass
        got += room
    assert got == b"".join(frames)


def test_blocks_finds_what_is_intact():
    parts = [sealing.sealed(b"".join(_FRAMES[i : i + 50]))[5:-14] for i in range(4)]
    data = bytearray(codec.HEADER + b"".join(parts) + codec.end_block(200))
    found = [block for _, block in sealing.blocks(bytes(data))]
    assert found[:4] == parts and codec.end_total(found[4]) == 200
    data[len(codec.HEADER) + len(parts[0]) + 30] ^= 4
    found = [block for _, block in sealing.blocks(bytes(data))]
    assert found[0] == parts[0] and found[1:3] == parts[2:]


@settings(max_examples=50)
@given(st.binary(max_size=300), st.integers(1, codec.BLOCK_FRAMES), st.integers(0, 2))
def test_garbage_with_a_good_crc_is_frames_or_damage(payload, n, method):
    head = struct.pack("<HH", n, len(payload) + 1)
    payload = bytes([method]) + payload
    block = b"BK" + head + struct.pack("<I", zlib.crc32(head + payload)) + payload
    out = bytearray(77 * frame.SIZE)
    got = 0
    try:
        for count in codec.decode(block, out):
            got += count
    except codec.ShardError:
        pass
    assert got <= n and len(out) == 77 * frame.SIZE


# What MicroPython does with the files named on its command line; 1500 frames: two blocks
_ON_THE_BOARD = """
import hashlib, sys
sys.path[:] = [sys.argv[1], sys.argv[1] + "/lib", ".frozen"]
from shards import codec
for name in sys.argv[2:]:
    encoder = codec.Encoder()
    out = hashlib.sha256(codec.HEADER)
    chunk = bytearray(codec.CHUNK_FRAMES * 13)
    with open(name, "rb") as f:
        left = 1500
        while left:
            n = min(left, codec.CHUNK_FRAMES)
            f.readinto(memoryview(chunk)[: n * 13])
            for block in encoder.encode(chunk, n):
                out.update(block or b"")
            left -= n
    out.update(encoder.end())
    out.update(codec.end_block(1500))
    print("".join("%02x" % byte for byte in out.digest()))
"""
_WITHOUT_NUMBA = """
import hashlib, sys
sys.modules["numba"] = None
from batmon.log import sealing
for name in sys.argv[1:]:
    with open(name, "rb") as f:
        print(hashlib.sha256(sealing.sealed(f.read(1500 * 13))).hexdigest())
"""


@pytest.fixture(scope="module")
def extremes(tmp_path_factory):
    """A file of frames whose values jump between the ends of their ranges, and hold there."""
    rnd = random.Random(5)
    halves = (0, 0x8000, 1, 0x8001, 0x3C00, 0x7BFF, 0xFBFF, 0x7C00, 0xFC00, 0x7E00, 0x5640, 0x56FF)
    wide = (0, 1, 0x7FFF, 0x8000, 0xFFFF, 3300)
    now = [0] * 8
    frames = b""
    for _ in range(1500):
        for column in range(8):
            if rnd.random() < 0.1:
                choice = (wide, halves, halves, range(256), range(256), wide, wide, range(256))
                now[column] = rnd.choice(choice[column])
        frames += struct.pack("<HHHBBHHB", *now)
    path = tmp_path_factory.mktemp("extremes") / "extremes.bin"
    path.write_bytes(frames)
    return path


def test_the_same_bytes_everywhere(extremes):
    build.build()
    names = [*map(str, _REAL), str(extremes)]
    board = [micropython(), "-c", _ON_THE_BOARD, str(build.BOARD)]
    plain = [sys.executable, "-c", _WITHOUT_NUMBA]
    frames = [path.read_bytes()[: 1500 * frame.SIZE] for path in (*_REAL, extremes)]
    want = [hashlib.sha256(sealing.sealed(data)).hexdigest() for data in frames]
    for command in (board, plain):
        done = subprocess.run(command + names, capture_output=True, text=True, check=True)
        assert done.stdout.split() == want, command[0]


def test_a_changed_format_gets_a_new_version():
    path = build.ROOT / "tests/data/frames/van4s.bin"
    sealed = sealing.sealed(path.read_bytes()[: 1500 * frame.SIZE])
    assert (sealed[3], len(sealed), zlib.crc32(sealed)) == (4, 3970, 1954165115)


@pytest.mark.parametrize("path", _REAL, ids=lambda path: path.stem)
def test_real_frames(tmp_path, path):
    frames = path.read_bytes()
    sealed = tmp_path / "a-00001.bts"
    sealed.write_bytes(sealing.sealed(frames))
    back = shards.load(sealed)
    assert not back.damage and back.frames.tobytes() == frames
    assert len(sealed.read_bytes()) < len(frames) / 4


class _Narrow(int):
    """An int that a 32-bit register holds, and so is all that is made of it."""


def _checked(name):
    def operate(*numbers):
        x = getattr(int, name)(*numbers)
        assert x is NotImplemented or -(1 << 31) <= x < 1 << 31, (name, numbers)
        return x if x is NotImplemented else _Narrow(x)

    return operate


for _name in ("add", "sub", "mul", "floordiv", "lshift", "rshift", "and", "or", "xor"):
    for _side in ("__{}__", "__r{}__"):
        setattr(_Narrow, _side.format(_name), _checked(_side.format(_name)))
_Narrow.__abs__ = _checked("__abs__")


class _Memory:
    """What a pointer gives: numbers that are watched."""

    def __init__(self, data):
        self._data = data

    def __getitem__(self, i):
        return _Narrow(self._data[i])

    def __setitem__(self, i, x):
        self._data[i] = x


def test_no_number_needs_more_than_32_bits(extremes):
    rangecoder, numbers, model = formats.load()[2:5]
    for module in (rangecoder, numbers, model):
        vars(module).update(int=_Narrow, ptr8=_Memory, ptr16=_Memory, ptr32=_Memory)
    frames = extremes.read_bytes()[: 600 * frame.SIZE]
    data = bytearray(len(frames) * 3)
    k = model.new(data)
    model.begin(k)
    rangecoder.start(k[0], data, 0, 0)
    model.code(k, bytearray(frames), 0, 600)
    end = rangecoder.finish(k[0], data)
    back = bytearray(len(frames))
    model.begin(k)
    rangecoder.start(k[0], data, 0, end)
    model.code(k, back, 0, 600)
    assert back == frames
