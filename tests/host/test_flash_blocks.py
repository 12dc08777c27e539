"""A block of the flash is lost: the whole board, on real littlefs, logs again within four starts.

What it costs of the log is in the files which that block was of, and the log says so. A program
file cannot be made anew by the board: there it is told, and nothing of the log is touched.
"""

import json
import os
import random
import re
import shutil
from pathlib import Path

import flashimage
import pytest
import shardfiles
from test_campaign import note

import batmon
from batmon.board.remote import Remote
from batmon.console import UserError
from batmon.firmware.build import build
from batmon.log import shards
from batmon.virtual import process
from batmon.virtual.serialboard import SerialBoard

_SIZE = 768 << 10  # room for a log beside the program with one driver, which takes 530 kB
_BLOCK = 4096
_BLOCKS = _SIZE // _BLOCK
_BEGIN_MS = 3_600_000  # of uptime of the virtual board, when the log is there
_LOSS_MS = 8_000_000  # and when the block is lost
_MINUTES = 14  # so long it runs then: the log is written every ten
_POLL_S = 20
_STARTS = 4
_SHARDS = {1: 2600, 2: 3000, 3: 2400, 4: 1500}  # frames by number; the last is being written
_UNREADABLE = 11  # the event
_DELETED = 4
_MEND = re.compile(r"nothing can be logged, (\S+) cannot be read: delete it, and install batmon")
_SLICE = 2  # blocks that may hold anything, beside those that keep littlefs from writing

SEED = os.environ.get("SEED") or f"{random.SystemRandom().randrange(1 << 32):08x}"


class Board:
    """A virtual board whose flash has a log on it, and what belongs to which file."""

    def __init__(self, folder: Path):
        self.folder = folder
        self._tree = folder / "tree"
        build(self._tree, ["jikong_bms"])
        self.run(1, 0)
        written = _write_shards(folder)
        flashimage.put(folder / "flash.img", written, ["/data/jk_pak01-00001.raw"])
        self.run(12, _BEGIN_MS)
        self.image = (folder / "flash.img").read_bytes()
        self.blocking = flashimage.blocking(folder / "flash.img")
        self.files = flashimage.files(folder / "flash.img")
        self.frames = _frames(folder / "data")
        # of all checks: the most starts until it logs; frames lost, and those of the files hit
        self.starts = self.lost = self.of = 0

    def run(self, minutes: int, begin_ms: int, image: bytes | None = None) -> tuple[list, str]:
        """Switch the power on, with this on the flash; return (records, what the REPL said)."""
        for name in ("rtc.bin", "rtc.bin.world"):
            (self.folder / name).unlink(missing_ok=True)
        shutil.rmtree(self.folder / "data", ignore_errors=True)
        if begin_ms:
            past = {"t_ms": begin_ms, "unix_ms": process.START_UNIX * 1000 + begin_ms}
            (self.folder / "rtc.bin.world").write_text(json.dumps(past))
        if image:
            (self.folder / "flash.img").write_bytes(image)
        settings = {"dev_name": "jk-pak01", "poll_s": _POLL_S, "lcd": {"fitted": False}}
        days = (begin_ms / 60_000 + minutes) / 1440
        config = process.configure(
            self.folder, self._tree, size=_SIZE, days=days, settings=settings, status_wall_ms=0
        )
        records, words = [], []
        try:
            records.append(process.run(config, records.append, words.append))
        except UserError as error:  # it cannot run without some files
            words.append(str(error))
        return records, "\n".join(words)

    def hit(self, block: int, content: bytes) -> tuple[bytes, set[str] | None, bool]:
        """Lose a block; return (the flash, which files that hit or None if nothing mounts, and
        whether anything can be written)."""
        image = bytearray(self.image)
        image[block * _BLOCK : (block + 1) * _BLOCK] = content
        path = self.folder / "hit.img"
        path.write_bytes(image)
        left, writes = flashimage.damaged(path)
        if left is None:
            return image, None, False
        return image, {name for name in self.files if left.get(name) != self.files[name]}, writes

    def check(self, block: int, content: bytes) -> str:
        """Lose a block; return what became of it. An AssertionError names what is wrong."""
        image, hit, writes = self.hit(block, content)
        if hit is None:
            return "no volume"
        _, words = self.run(_MINUTES, _LOSS_MS, image)
        frames, told = _frames(self.folder / "data"), _told(self.folder / "data")
        new = {key for of in frames.values() for key in of} - _all(self.frames)
        new = {key for key in new if key[0] >= process.START_UNIX + _LOSS_MS // 1000}
        lost = _all(self.frames) - _all(frames)
        gone = {number for code, number in told if code == _DELETED}
        may_go = {f"/data/jk_pak01-{number:05d}.bts" for number in gone} | hit
        allowed = {key for path in may_go for key in self.frames.get(path, ())}
        if frames:
            self.lost, self.of = self.lost + len(lost), self.of + len(allowed)
        if not hit or all(path.startswith("/data/") for path in hit):
            starts = words.count("press Ctrl-C now")
            assert starts <= _STARTS, words
            self.starts = max(starts, self.starts)
            assert new, words
            assert lost <= allowed, (len(lost - allowed), hit, words)
            mended = _UNREADABLE in dict(told)
            assert mended == ("could not be read: deleted" in words) == (not writes), words
            return "mended" if mended else "logs"
        if "/data/state" in hit:
            return "older folder"  # with its program and the log as they were, or without
        left, _ = flashimage.damaged(self.folder / "flash.img")
        assert left.keys() >= self.frames.keys(), (hit, words)  # nothing of the log is deleted
        assert not frames or lost <= allowed, (len(lost), hit, words)
        sentence = _MEND.search(words)
        if sentence:
            assert sentence[1] in hit and not new
            return "program, told"
        return "program, logs" if new else "program, does not run"


def _write_shards(folder: Path) -> dict[str, Path]:
    """Write shards as a board may have; return {path on the board: file}."""
    rng = random.Random(7)
    unix_s, written = process.START_UNIX - 40 * 86400, {}
    for number, count in _SHARDS.items():
        time_s = 10
        frames = [shardfiles.anchor(time_s, unix_s + time_s, number)]
        for _ in range(count):
            time_s += rng.randrange(5, 120)
            values = {"cell_min_mv": 3300 + rng.randrange(60), "cell_max_mv": 3400}
            volts, amps = 13 + rng.random(), rng.uniform(-50, 50)
            frames.append(shardfiles.data(time_s & 0xFFFF, volts, amps, **values))
        kind = "bts" if number < len(_SHARDS) else "raw"
        path = shardfiles.write(folder, f"jk_pak01-{number:05d}.{kind}", frames)
        written[f"/data/{path.name}"] = path
        unix_s += time_s + 1000
    index = folder / "index"
    index.write_text("".join(f"{number} {_SHARDS[number]} 0\n" for number in (1, 2, 3)))
    return written | {"/data/index": index}


def _frames(data: Path) -> dict[str, set]:
    """Return the frames of each shard, as (unix s, V, A), by the path that it has on the board."""
    found = {}
    for path in sorted(data.glob("*-*.*")) if data.exists() else ():
        if path.suffix in (".raw", ".bts") and path.stat().st_size:
            table = batmon.read(path)
            times = table["time_utc"].astype("datetime64[s, UTC]").astype("int64")
            values = table["voltage_V"].fillna(-1), table["current_A"].fillna(-1)
            found[f"/data/{path.name}"] = set(zip(times, *values, strict=True))
    return found


def _all(frames: dict[str, set]) -> set:
    return set().union(*frames.values())


def _told(data: Path) -> list[tuple[int, int]]:
    """Return the events in all shards, as (code, a)."""
    told = []
    for path in sorted(data.glob("*-*.*")) if data.exists() else ():
        if path.suffix in (".raw", ".bts"):
            frames = shards.load(path).frames
            events = frames[shards.timeline.kinds(frames) == shards.frame.EVENT]
            said = events.view(shards.timeline.EVENT)
            told += zip(said["code"].tolist(), said["a"].tolist(), strict=True)
    return told


@pytest.fixture(scope="module")
def board(tmp_path_factory):
    return Board(tmp_path_factory.mktemp("blocks"))


def _contents(rng: random.Random) -> list[bytes]:
    return [b"\xff" * _BLOCK, rng.randbytes(_BLOCK)]


def test_a_lost_block_of_a_shard_or_of_anything(board):
    print(f"random choices: repeat them with SEED={SEED}")
    rng = random.Random(SEED)
    kinds = {}  # of files that keep littlefs from writing: the first block found of each
    for block in rng.sample(board.blocking, len(board.blocking)):
        _, hit, _ = board.hit(block, b"\xff" * _BLOCK)
        kinds.setdefault(Path(min(hit)).suffix, block)
    for kind in (".bts", ".raw"):
        assert board.check(kinds[kind], rng.choice(_contents(rng))) == "mended"
    for block in rng.sample(range(_BLOCKS), _SLICE):
        board.check(block, rng.choice(_contents(rng)))


def test_an_unreadable_program_file_is_named_and_installed_again(board, tmp_path, standin):
    for block in board.blocking:
        image, hit, _ = board.hit(block, b"\xff" * _BLOCK)
        if hit == {"/shards/model.py"}:
            break
    else:
        raise AssertionError("no block of that file keeps littlefs from writing")
    with SerialBoard(tmp_path, size=_SIZE) as serial:
        (tmp_path / "flash.img").write_bytes(image)
        serial.power_cycle()
        with Remote(serial.port) as link:
            with pytest.raises(UserError, match=r"/shards/model\.py on the board cannot be read"):
                link.hashes()
            link.run("import os\nos.remove('/shards/model.py')")
            assert "/shards/model.py" not in link.hashes()
            link.run("with open('/new', 'wb') as f:\n f.write(bytes(5000))")


@pytest.mark.campaign
def test_each_block_is_lost(board):
    rng = random.Random(SEED)
    became, failures = {}, []
    for block in range(_BLOCKS):
        if board.image[block * _BLOCK : (block + 1) * _BLOCK].count(0xFF) == _BLOCK:
            continue  # never used
        for content in _contents(rng):
            try:
                kind = board.check(block, content)
            except AssertionError as wrong:
                kind = "failure"
                failures.append((block, str(wrong)[:2000]))
            became[kind] = became.get(kind, 0) + 1
    lost = sum(became.values())
    told = [
        f"SEED={SEED}",
        f"{lost} lost blocks of {_SIZE >> 10} kB, {len(failures)} failures",
        f"{board.lost} frames lost, of {board.of} in the files hit; {board.starts} starts at most",
        str(became),
    ]
    print("\n".join(told), *failures, sep="\n")
    note("flash blocks", told)
    assert not failures
