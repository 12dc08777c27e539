"""What the page makes of shards beside what `batmon report` does: equal, field by field."""

import collections
import json
import random
import re
import struct
import zlib
from pathlib import Path

import pagejs
import pytest
import seeds
import test_happened
from shardfiles import anchor, data, event, write
from test_stream import _frames

from batmon.cli import main
from batmon.log import history, stream, timeline
from batmon.log.formats import frame, half
from batmon.web import report

_START = 1_767_247_200
_BATTERIES = """
const TYPES = { time: Uint32Array, begins: Uint8Array, voltage: Uint16Array,
  current: Uint16Array, temperature: Uint8Array, soc: Uint8Array, low: Uint16Array,
  high: Uint16Array, low_cell: Uint8Array, high_cell: Uint8Array };

async function unpacked(battery) {
  const columns = {};
  for (const name in battery.columns)
    columns[name] = [...await unpack(battery.columns[name], TYPES[name])];
  let counted = null;
  if (given.tz) {
    const { found, answers } = await count(battery, given.tz);
    counted = { found, answers };
  }
  return { ...battery, columns, counted };
}

const logs = logsOf(files.map(([name, data]) => readShard(name, data)));
const made = logs.map((log) => log.forReport()).filter((battery) => battery);
Promise.all([made, given.batteries].map((all) => Promise.all(all.map(unpacked)))).then(tell);
"""
_CSV = "tell(csv(logsOf(files.map((file) => readShard(...file)))).join(''));"


def _batteries(folder) -> list[dict]:
    logs = stream.Logs([folder])
    events = history.events(logs)
    told = history.happenings(logs)
    return [
        report.battery(name, rows, events[name], history.cells(logs, name), left_out, told[name])
        for name, (rows, left_out) in history.tables(logs).items()
    ]


def _csv(tmp_path, files) -> list[str]:
    return pagejs.run(tmp_path, report.script("data.js") + _CSV, files).splitlines()


def _exported(tmp_path, folder) -> list[str]:
    out = tmp_path / "all.csv"
    assert main(["export", str(folder), "-o", str(out)]) in (0, 1)
    return out.read_text(encoding="utf-8").splitlines()


def _compare(tmp_path, folder, tz=None):
    files = [(path.name, path.read_bytes()) for path in sorted(folder.iterdir())]
    batteries = json.loads(json.dumps(_batteries(folder)))
    code = "".join(map(report.script, report.COUNTING)) + _BATTERIES
    theirs, ours = pagejs.run(tmp_path, code, files, batteries=batteries, tz=tz)
    assert _csv(tmp_path, files) == _exported(tmp_path, folder)
    assert [each["name"] for each in theirs] == [each["name"] for each in ours]
    for mine, other in zip(ours, theirs, strict=True):
        for name in mine["columns"]:
            assert mine["columns"][name] == other["columns"][name], name
        assert mine == other
    return ours


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "data"
    made.mkdir()
    return made


@pytest.mark.parametrize("seed", range(3))
def test_boots_clocks_gaps_and_damage(tmp_path, folder, seed):
    rnd = random.Random(seed)
    for battery in ("boat", "boat_2", "van"):
        frames, number = _frames(rnd, 4), 1
        while frames:
            count = rnd.choice((1, rnd.randint(1, 200)))
            name = f"{battery}-{number:05}.{rnd.choice(('raw', 'bts'))}"
            path = write(folder, name, frames[:count])
            if rnd.random() < 0.2:
                content = bytearray(path.read_bytes())
                content[rnd.randrange(len(content))] ^= 1
                path.write_bytes(b"" if rnd.random() < 0.3 else content)
            frames, number = frames[count:], number + rnd.choice((1, 1, 1, 2))
    assert len(_compare(tmp_path, folder, "Europe/Berlin")) == 3


def test_more_than_16_cells_unknown_values_and_a_clock_that_was_set_back(tmp_path, folder):
    big = bytearray(anchor(0, _START))
    big[11] = 20
    frames = [bytes(big)] + [data(60 * i, 60.0, i % 7 - 3, index=i % 256) for i in range(1, 300)]
    unknown = {"temperature": 255, "soc": 255, "cell_min_mv": 65535}
    frames += [data(18_100, float("inf"), float("nan"), **unknown)]
    frames += [anchor(18_200, _START + 100, 2), *(data(18_200 + 9 * i, 60.0) for i in range(50))]
    frames += [event(18_700, frame.SHARD_DELETED, 3, 70_000), event(18_701, 77, 1)]
    write(folder, "big-00001.bts", frames)
    never = [anchor(0, 0), *(data(i * 40) for i in range(9)), anchor(3, 0, 2), data(5)]
    write(folder, "never-00001.raw", never)
    write(folder, "empty-00001.raw", [anchor(0, _START)])
    first, second = _compare(tmp_path, folder, "UTC")
    assert first["several"] and first["clock"] and not second["clock"]


def test_a_clock_that_drifts_at_rest(tmp_path, folder):
    frames = [anchor(0, _START), data(10)]
    for day in range(6):
        begin = 86_400 * day + 1000
        frames.append(event(begin, frame.REST, 600))
        frames += [data(begin + 1800 * i) for i in range(1, 20 + day)]
        frames += [event(begin + 40_000, frame.REST, 0, 600), event(begin + 40_000, frame.GAP, 600)]
        frames.append(data(begin + 40_005))
        if day in (1, 3, 5):
            frames.append(anchor(begin + 50_000, _START + begin + 50_000 + 900 * day))
    write(folder, "a-00001.bts", frames[:70])
    write(folder, "a-00002.raw", frames[70:])
    (battery,) = _compare(tmp_path, folder, "UTC")
    assert battery["clock"]


def _anything(rnd, n):
    """Events and records of every kind, as nobody would tell them, in any order."""
    frames = [anchor(0, _START, cells=rnd.choice((0, 4, 16, 20, 32)))]
    uptime_s = 0
    for _ in range(n):
        uptime_s = max(0, uptime_s + rnd.choice((1, 1, 2, 30, 300, 9000, -120)))
        what = rnd.random()
        if what < 0.05:
            frames.append(data(uptime_s))
        elif what < 0.07:
            boot = rnd.randrange(1, 4)
            frames.append(anchor(uptime_s, rnd.choice((0, _START + uptime_s)), boot, cells=20))
        elif what < 0.5:
            code = rnd.choice((*range(9, 18), 12, 13, 15, 99))
            bits = rnd.choice((0, rnd.getrandbits(4), rnd.getrandbits(32), 0xFFFFFFFF, 0x800))
            make = zlib.crc32(rnd.choice((b"jikong_bms", b"daly_bms", b"seplos_bms", b"other")))
            more = rnd.choice((0, bits, rnd.getrandbits(32), rnd.getrandbits(4)))
            frames.append(event(uptime_s, code, make if code == timeline.MAKE else bits, more))
        else:
            low = rnd.choice((65535, rnd.randrange(2000, 3000), 125 * rnd.randrange(16, 30)))
            current = rnd.choice((rnd.getrandbits(16), half.encode(rnd.randrange(-80, 80) / 4)))
            record = bytearray(frame.SIZE)
            values = 0xFE04, half.encode(13.2), current, low, low + rnd.randrange(900) & 0xFFFF
            struct.pack_into("<HHHHHHB", record, 0, uptime_s & 0xFFFF, *values, rnd.getrandbits(8))
            frames.append(bytes(record))
    return frames


@pytest.mark.parametrize("seed", [*range(4), "other ones each time"])
def test_what_happened_is_told_word_by_word(tmp_path, folder, seed):
    if isinstance(seed, str):
        seed = seeds.new()
    rnd = random.Random(seed)
    for battery in "abcdefgh":
        frames = [anchor(0, _START), data(1), *_anything(rnd, rnd.randrange(400))]
        half_way = rnd.randrange(2, len(frames) + 1)
        write(folder, f"{battery}-00001.bts", frames[:half_way])
        write(folder, f"{battery}-00002.raw", frames[half_way:] or [data(2)])
    told = [each for one in _compare(tmp_path, folder) for each in one.get("happened", ())]
    assert {kind for _, _, kind, _ in told} == {"alarm", "switch", "health", "limit", "fault"}


def test_a_fault_stands_in_the_story(tmp_path, folder):
    test_happened.write_fault(folder)
    (battery,) = _compare(tmp_path, folder, "UTC")
    story = "cell 7 fell from 3.05 to 2.41 V within 40 s"
    assert any(story in words for _, _, _, words in battery["happened"])


def test_no_two_scripts_give_one_name():
    """They share a page, where the second function of a name replaces the first."""
    given = collections.Counter()
    for script in Path(report.__file__).parent.glob("*.js"):
        text = script.read_text(encoding="utf-8")
        given.update(re.findall(r"^(?:async )?(?:function\*?|class|const|let) (\w+)", text, re.M))
    assert [name for name, times in given.items() if times > 1] == []


def test_one_shard_twice(tmp_path, folder):
    frames = [anchor(0, _START)] + [data(60 * i) for i in range(100)]
    write(folder, "a-00001.bts", frames)
    write(folder, "a-00001.raw", [*frames[:50], data(9999)])
    (battery,) = _compare(tmp_path, folder)
    assert battery["rows"] == 100
