# Sealed blocks: round trip, damage, stored fallback
import random
import struct
from binascii import crc32

from shards import codec, frame


def _seal(frames):
    """Return the blocks of `frames`."""
    encoder = codec.Encoder()
    step = codec.CHUNK_FRAMES * frame.SIZE
    out = []
    for i in range(0, len(frames), step):
        chunk = bytearray(frames[i : i + step])
        for block in encoder.encode(chunk, len(chunk) // frame.SIZE):
            if block:
                out.append(bytes(block))
    out.append(bytes(encoder.end()))
    return out if out[-1] else out[:-1]


def _decode(block, room=codec.BLOCK_FRAMES, known=None):
    out = bytearray(room * frame.SIZE)
    got = b""
    for n in codec.decode(block, out, known):
        got += out[: n * frame.SIZE]
    return got


def _unseal(blocks):
    known = codec.new_model()
    return b"".join(_decode(block, codec.BLOCK_FRAMES, known) for block in blocks)


def _walk(n, step):
    """Frames like a battery's: every column wanders."""
    out = bytearray()
    values = [0, 0x4AA0, 0x3C00, 130, 112, 3300, 3310, 0x21]
    for _ in range(n):
        for c in range(8):
            mask = 0xFF if c in (3, 4, 7) else 0xFFFF
            values[c] = values[c] + random.getrandbits(8) % (2 * step + 1) - step & mask
        values[0] = values[0] + 60 & 0xFFFF
        out += struct.pack("<HHHBBHHB", *values)
    return bytes(out)


def test_round_trip():
    random.seed(1)
    for n in (0, 1, 2, 77, codec.BLOCK_FRAMES, 3000):
        for step in (0, 1, 3, 100):
            frames = _walk(n, step)
            assert _unseal(_seal(frames)) == frames


def test_adversarial_frames():
    random.seed(2)
    n = codec.BLOCK_FRAMES
    noise = bytes(random.getrandbits(8) for _ in range(n * frame.SIZE))
    control = bytearray(n * frame.SIZE)
    for i in range(n):
        if i % 3:
            frame.pack_event(control, i * frame.SIZE, i, 3, 0xFFFFFFFF, i)
        else:
            frame.pack_anchor(control, i * frame.SIZE, i, 0xFFFFFFFF, i, 255, 255)
    for frames in (noise, bytes(control), b"\xff" * len(noise), bytes(len(noise))):
        assert _unseal(_seal(frames)) == frames
    assert sum(len(block) for block in _seal(bytes(len(noise)))) < len(noise) // 100
    stored = _seal(noise)
    assert sum(len(block) for block in stored) <= len(noise) + 11 * len(stored)


def test_every_half_float():
    frames = bytearray(codec.BLOCK_FRAMES * frame.SIZE)
    for first in range(0, 65536, codec.BLOCK_FRAMES):
        for i in range(codec.BLOCK_FRAMES):
            bits = first + i & 0xFFFF
            struct.pack_into("<HHHBBHHB", frames, i * 13, 0, bits, bits ^ 0x8000, 0, 0, 0, 0, 0)
        assert _unseal(_seal(frames)) == bytes(frames)


def test_equal_frames():
    encoder = codec.Encoder()
    chunk = bytearray(_walk(1, 0) * codec.CHUNK_FRAMES)
    total = size = 0
    out = bytearray(codec.BLOCK_FRAMES * frame.SIZE)
    known = codec.new_model()
    for _ in range(100_000 // codec.CHUNK_FRAMES):
        for block in encoder.encode(chunk, codec.CHUNK_FRAMES):
            if block:
                size += len(block)
                for n in codec.decode(bytes(block), out, known):
                    total += n
                    for at in range(0, n * frame.SIZE, len(chunk)):
                        end = min(n * frame.SIZE, at + len(chunk))
                        assert memoryview(out)[at:end] == memoryview(chunk)[: end - at]
    last = bytes(encoder.end())
    assert total + codec.check(last) == 100_000 and size < 100_000 // 20


def test_time_wraps():
    frames = bytearray(2000 * frame.SIZE)
    for i in range(2000):
        # steps just below, at and above half of what a u16 holds
        time = i // 2 * 0x8001 + (i & 1) * (0x7FFF + i % 3)
        half = 0x4AA0 + i % 7
        struct.pack_into("<HHH", frames, i * frame.SIZE, time & 0xFFFF, half, half)
    assert _unseal(_seal(frames)) == bytes(frames)


def test_damage_is_never_silent():
    random.seed(3)
    frames = _walk(200, 3)
    block = _seal(frames)[0]
    for _ in range(300):
        bad = bytearray(block)
        bad[random.getrandbits(16) % len(bad)] ^= 1 << random.getrandbits(3)
        try:
            got = _decode(bytes(bad))
        except codec.ShardError:
            continue
        raise AssertionError("damage decoded to %d bytes" % len(got))
    for cut in range(0, len(block), 7):
        try:
            _decode(block[:cut])
        except codec.ShardError:
            continue
        raise AssertionError("cut block decoded")


def test_garbage_that_passes_its_crc():
    random.seed(4)
    good = _seal(_walk(300, 3))[0]
    for _ in range(40):
        bad = bytearray(good[: 11 + random.getrandbits(9)])
        for i in range(11, len(bad)):
            if random.getrandbits(4) == 0:
                bad[i] = random.getrandbits(8)
        struct.pack_into("<HHI", bad, 2, 300, len(bad) - 10, 0)
        struct.pack_into("<I", bad, 6, crc32(memoryview(bad)[10:], crc32(memoryview(bad)[2:6])))
        try:
            assert len(_decode(bad, 8)) == 300 * frame.SIZE
        except codec.ShardError:
            pass


def test_currents_on_a_scale_that_changes():
    """Coarse steps, finer ones, coarse again, any half float: each costs what it has to."""
    random.seed(5)
    sizes = []
    everything = b""
    for mask in (0xFFE0, 0xFFF8, 0xFFE0, 0xFFFF):
        frames = bytearray(_walk(1200, 1))
        for i in range(1200):
            bits = 0x3800 + random.getrandbits(11) & mask | (random.getrandbits(1) << 15)
            struct.pack_into("<H", frames, i * frame.SIZE + 4, bits)
        blocks = _seal(frames)
        assert _unseal(blocks) == frames
        sizes.append(sum(len(block) for block in blocks))
        everything += frames
    assert sizes[0] + 200 < sizes[1] < sizes[3] - 200, sizes
    blocks = _seal(everything)
    assert _unseal(blocks) == everything
    assert sum(len(block) for block in blocks) < sum(sizes) + 300


def test_a_block_that_goes_on_needs_the_one_before():
    random.seed(6)
    frames = _walk(3000, 3)
    blocks = _seal(frames)
    assert len(blocks) > 3
    for i in range(1, len(blocks)):
        for known in (None, codec.new_model()):
            try:
                _decode(blocks[i], 8, known)
            except codec.ShardError as exc:
                assert "depend" in str(exc)
                continue
            raise AssertionError("block %d decoded alone" % i)


def test_the_model_begins_anew_now_and_then():
    frames = _walk(12_000, 2)
    begins = [i for i, block in enumerate(_seal(frames)) if block[codec.HEAD_BYTES] == 2]
    assert len(begins) == 3 and begins[0] == 0, begins


def test_no_piece_of_memory_is_large():
    encoder = codec.Encoder()
    _, out, pieces, memory = encoder._model
    assert len(out) <= 2000 and max(len(piece) for piece in pieces) * 2 <= 2000
    assert len(memory) * 4 <= 1024
