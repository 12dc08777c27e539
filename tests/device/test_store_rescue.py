# What is saved of a shard when a block of it is lost: on real littlefs, each block of the volume
import os
import random

from shardlog import (
    DATA,
    SEED,
    Clock,
    StoredEncoder,
    Volume,
    file_names,
    frames_of,
    log,
    noise,
    open_store,
    pack,
)
from shards import codec, frame, rescue

_BLOCK = 4096
_MOST = 49152  # bytes that are saved of a shard
_STEP = 13  # from block to block; it divides the blocks of no volume here, so all have their turn
_FILES = 999 if os.getenv("CAMPAIGN") else 2  # that are rescued


def _volume(kib):
    """Return (volume, image) with a sealed shard and two raw ones, the last not full."""
    volume = Volume("lfs2", kib * 1024)
    clock = Clock(1_780_272_000)
    store = open_store(clock)
    number = 0
    while store.waiting.shard < 2:
        log(store, clock, number, 50)
        number += 50
    pack(store)
    while store.waiting.shard < 3 or store._size < store.limit * 2 // 3:
        log(store, clock, number, 50)
        number += 50
    assert store.flush()
    return volume, volume.image()


def _with_holes(path):
    """Return the content of a file, zeros where it cannot be read."""
    out = b""
    with open(path, "rb") as f:
        for at in range(0, os.stat(path)[6], frame.SIZE):
            try:
                f.seek(at)
                out += f.read(frame.SIZE)
            except OSError:
                out += bytes(frame.SIZE)
    return out


def _lose(volume, image, block):
    """Replace a block of the chip, which holds `image`."""
    at = block * _BLOCK
    was = bytes(image[at : at + _BLOCK])
    image[at : at + _BLOCK] = (noise(_BLOCK), b"\xff" * _BLOCK)[random.getrandbits(1)]
    volume.replug(image)
    image[at : at + _BLOCK] = was


def _can_write():
    try:
        os.statvfs(DATA)
        return True
    except OSError as exc:
        assert exc.errno == 84, exc
        return False


def _unreadable():
    for name in file_names():
        try:
            with open(DATA + "/" + name, "rb") as f:
                while f.read(_BLOCK):
                    pass
        except OSError:
            yield name


def _each_block(kib):
    """Lose blocks, and rescue what cannot be read then."""
    encoder = codec.Encoder
    codec.Encoder = StoredEncoder
    random.seed(int.from_bytes(SEED, "little"))
    volume, image = _volume(kib)
    image = bytearray(image)
    files = blocked = 0
    first = random.getrandbits(8)
    blocks = kib // 4 - 2
    try:
        for i in range(blocks):
            _lose(volume, image, 2 + (first + i * _STEP) % blocks)
            try:
                names = list(_unreadable())
            except OSError:
                continue  # the folder itself
            for name in names:
                files += 1
                blocked += not _can_write()
                _check(DATA + "/" + name)
                assert _can_write()
            if files >= _FILES:
                break
        assert files
        told = "%d kB: %d files rescued, %d of which kept all from writing, 0 failures"
        print(told % (kib, files, blocked))
    finally:
        codec.Encoder = encoder
        volume.remove()


def _check(path):
    content = _with_holes(path)
    raw = path.endswith("raw")
    older = max(0, len(content) - _MOST)
    if raw:
        content = content[older // 13 * 13 :]
    elif older:
        content = content[:5] + bytes(13) + content[older:]
    want = frames_of(path, content, strict=False)
    got = []
    size = rescue.rescue(path, int(path[-9:-4]))
    if size:
        with open(path[:-4] + ".bts", "rb") as f:
            data = f.read()
        assert len(data) == size
        got = frames_of("bts", data, strict=False)
    if raw:
        assert got == want, (path, len(got), len(want))
    elif size:  # in pieces: a block is lost at each end of a hole
        assert set(got) <= set(want) and len(got) >= len(want) - 400, (path, len(got), len(want))


def test_all_that_can_be_read_of_a_small_shard_is_saved():
    _each_block(256)


def test_the_newest_48_kb_of_a_large_shard_are_saved():
    _each_block(640)


def test_what_a_sealed_shard_makes_superfluous_is_deleted_only():
    volume = Volume("lfs2", 256 * 1024)
    try:
        os.mkdir(DATA)
        for name, left in (("a-00001.raw", 0), ("a-00002.tmp", 0), ("a-00003.bad", 0)):
            with open(DATA + "/" + name, "wb") as f:
                f.write(bytes(5000))
        with open(DATA + "/a-00001.bts", "wb") as f:
            f.write(b"whole")
        for name, number in (("a-00001.raw", 1), ("a-00002.tmp", 2), ("a-00003.bad", 3)):
            assert rescue.rescue(DATA + "/" + name, number) == 0
        assert file_names() == ["a-00001.bts"]
    finally:
        volume.remove()
