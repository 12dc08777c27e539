"""The start in which a full shard is packed: what the display says, the gap, and cuts anywhere."""

import json
import random
import shutil
import subprocess

import pandas as pd
import pytest
import seeds
from shardfiles import anchor, data, raw

import batmon
from batmon.firmware.build import build
from batmon.log import shards, timeline
from batmon.log.formats import frame
from batmon.paths import BOARD
from batmon.virtual import process

_POWER, _WATCHDOG = 1, 3  # reset causes
_FULL = "jk_pak01-00001"
_FRAMES = [
    anchor(0, process.START_UNIX - 40_000),
    *(data(i * 7 & 0xFFFF, 13.2 + i % 5 / 10, soc=130 + i // 100 % 9) for i in range(2200)),
]
_RESET = 75
_STARTS = 12
_LATEST = 40  # operations on flash: more than a start that packs and the next one do


class _Board:
    """A virtual board on whose flash lie a full shard and one that is begun."""

    def __init__(self, out):
        build()
        self.out = out
        tree = out / "board"
        shutil.copytree(BOARD, tree)
        (tree / "data").mkdir()
        (tree / f"data/{_FULL}.raw").write_bytes(raw(_FRAMES))
        begun = raw([anchor(0, process.START_UNIX - 9000, 1), data(3)])
        (tree / "data/jk_pak01-00002.raw").write_bytes(begun)
        self._out = out / "out"
        self._out.mkdir()

    def live(self, minutes, **changes):
        """Run the board; return what it said, and the records of its display."""
        wanted = {"days": minutes / 1440, "lcd": "16x2", "status_wall_ms": 0} | changes
        path = process.configure(self._out, self.out / "board", **wanted)
        words, records = [], []
        for _ in range(_STARTS):
            command = process.board_command(path)
            done = subprocess.run(command, stdout=subprocess.PIPE, timeout=300)
            for line in done.stdout.decode().split("\n"):
                if line.startswith("\x1e"):
                    records.append(json.loads(line[1:]))
                else:
                    words.append(line)
            if done.returncode != _RESET:
                break
        assert done.returncode == 0, words
        return "\n".join(words), records

    def left(self):
        """Return which cuts were left at the last reset."""
        return json.loads((self._out / "rtc.bin.world").read_text())["cuts"]

    def log(self):
        """Return the folder with what is on flash in the end."""
        return self._out / "data"

    def again(self):
        """Begin anew, as if nothing had been."""
        shutil.rmtree(self._out)
        self._out.mkdir()


@pytest.fixture(scope="module")
def board(tmp_path_factory):
    return _Board(tmp_path_factory.mktemp("packing"))


def test_the_display_tells_how_far_it_is_and_the_gap_is_in_the_log(board):
    board.again()
    passed = {"alarm": {"soc": 100}}  # from the first poll on
    words, records = board.live(6, watch_packing=True, settings=passed)
    assert words.count("packing the log; the BMS is polled again in a minute") == 1
    glass = [_text(record["lcd"]) for record in records if record["type"] == "glass"]
    seen = list(dict.fromkeys(text[1].strip() for text in glass if text[0] == "Packing the log "))
    percent = [int(text[:-2]) for text in seen if text.endswith(" %")]
    assert percent == sorted(percent) and len(percent) > 8, seen
    assert percent[0] < 20 and percent[-1] > 90
    _intact(board.log())
    assert (board.log() / f"{_FULL}.bts").exists()
    pauses = _pauses(board.log() / "jk_pak01-00002.raw")
    silent_s = pd.read_csv(board.log().parent / "truth.csv")["time_s"].diff().max()
    assert len(pauses) == 1 and 1 <= pauses[0] <= silent_s < 60
    table = batmon.read(board.log())
    assert set(table["boot"]) == {1, 2} and table["time_known"].all()  # the boot went on
    # and knows what it told before: no alarm comes twice, nor the numbers of health
    told = [code for code, _ in _events(board.log() / "jk_pak01-00002.raw")]
    assert told.count(timeline.LIMITS) == told.count(timeline.HEALTH) == 1, told


@pytest.mark.parametrize("cause", [_POWER, _WATCHDOG], ids=["power", "watchdog"])
def test_a_cut_anywhere_in_it_loses_nothing(board, cause):
    _cut(board, cause, random.Random(seeds.new()).randint(1, _LATEST))


@pytest.mark.campaign
@pytest.mark.parametrize("cause", [_POWER, _WATCHDOG], ids=["power", "watchdog"])
@pytest.mark.parametrize("at", range(1, _LATEST + 1))
def test_cuts_everywhere_in_it_lose_nothing(board, cause, at):
    _cut(board, cause, at)


def _cut(board, cause, at):
    """End that start, or the one after it, at its operation `at`, and what follows at another."""
    cuts = [at, random.Random(at).randint(1, _LATEST)]
    board.again()
    words, _ = board.live(9, cut_packing={"in": cuts, "cause": cause})
    said = f"cuts at {cuts}, {len(board.left())} not reached\n{words}"
    print(said)
    # a cut that comes as late as the last flush leaves no time to connect once more
    assert "\nconnected" in words.split("packing the log")[-1], said
    _intact(board.log())


def _intact(folder):
    """All that was there before the packing is there once."""
    files = sorted(path.name for path in folder.glob("*-0*"))
    full = [name for name in files if name.startswith(_FULL)]
    assert len(full) == 1 and full[0].endswith((".raw", ".bts")), files
    shard = shards.load(folder / full[0])
    assert not shard.damage and shard.frames.tobytes() == b"".join(_FRAMES)
    begun = shards.load(folder / "jk_pak01-00002.raw")
    assert not begun.damage and begun.frames.tobytes()[13:26] == data(3)


def _pauses(path):
    """Return the seconds that the events GAP of a shard tell."""
    return [a for code, a in _events(path) if code == frame.GAP]


def _events(path):
    """Return (code, a) of each event in a shard."""
    frames = shards.load(path).frames.tobytes()
    frames = [frames[at : at + frame.SIZE] for at in range(0, len(frames), frame.SIZE)]
    return [
        (one[4], int.from_bytes(one[5:9], "little")) for one in frames if one[2:4] == b"\x03\xfe"
    ]


def _text(snapshot):
    return ["".join(map(chr, row)) for row in snapshot["cells"]]
