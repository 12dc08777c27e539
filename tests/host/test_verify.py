"""`batmon verify`: what it finds, and that it finds nothing in what a board writes."""

import json
import math

import pytest
from shardfiles import anchor, data, event, raw, sealed, write

from batmon.cli import main
from batmon.log.formats import frame

_FRAMES = [anchor(0, 1_767_247_200)] + [data(10 * i, 13 + i / 1000) for i in range(1, 400)]


def _verify(capsys, *arguments) -> tuple[int, str]:
    code = main(["verify", *map(str, arguments)])
    return code, capsys.readouterr().out


def test_good_shards(tmp_path, capsys):
    write(tmp_path, "a-00001.bts", _FRAMES)
    late = [data(65_530), event(65_540 % 65536), data(65_535), data(1, current=math.nan)]
    equal = data(1, cell_min_mv=3300, cell_max_mv=3300)
    unknown = data(2, cell_min_mv=65535, cell_max_mv=65535, index=255, soc=255, temperature=255)
    frames = [anchor(65_520), *late, equal, unknown, data(20_000), anchor(0, boot=2)]
    write(tmp_path, "a-00002.raw", frames)
    assert _verify(capsys, tmp_path) == (0, "2 shards, 405 rows, all good\n")


@pytest.mark.parametrize("content, words", [
    (raw(_FRAMES, 50) + b"torn", "torn end: 4 bytes"),
    (raw(_FRAMES, 50)[:1300], "torn end: 637 bytes"),
    (raw(_FRAMES, 50)[:700] + b"?" + raw(_FRAMES, 50)[701:], "51 frames are left out"),
    (b"", None),
])  # fmt: skip
def test_damaged_raw_shards(tmp_path, capsys, content, words):
    path = tmp_path / "a-00001.raw"
    path.write_bytes(content)
    code, out = _verify(capsys, path)
    assert (code, words is None or words in out) == (words is not None, True), out


@pytest.mark.parametrize("at", [0, 3, 7, 40, -1])
def test_every_damaged_byte_of_a_sealed_shard_is_found(tmp_path, capsys, at):
    content = bytearray(sealed(_FRAMES))
    content[at] ^= 0x10
    path = tmp_path / "a-00001.bts"
    path.write_bytes(content)
    code, out = _verify(capsys, path)
    assert code == 1 and str(path) in out and "1 file with problems" in out


@pytest.mark.parametrize("bad, words", [
    (data(20, voltage=0.0), "no voltage"),
    (data(20, voltage=-3.0), "a negative voltage"),
    (data(20, voltage=math.inf), "a voltage that is no number"),
    (data(20, current=-math.inf), "a current that is no number"),
    (data(20, cell_min_mv=3301, cell_max_mv=3300), "a lowest cell above the highest"),
    (data(20, cell_min_mv=65535), "only one of the cell voltages"),
    (data(20, cell_max_mv=65535), "only one of the cell voltages"),
    (data(65_536 - 700), "a time before that of the frame before"),
])  # fmt: skip
def test_frames_that_cannot_be(tmp_path, capsys, bad, words):
    path = write(tmp_path, "a-00001.bts", [anchor(0), data(10), bad, data(30)])
    code, out = _verify(capsys, path)
    assert code == 1 and f"{path}: frame 2 has {words}\n" in out, out


def test_a_shard_begins_with_an_anchor_of_this_format(tmp_path, capsys):
    newer = bytearray(anchor(0))
    newer[-1] = frame.VERSION + 1
    write(tmp_path, "a-00001.raw", [data(0)])
    write(tmp_path, "a-00002.raw", [bytes(newer)])
    code, out = _verify(capsys, tmp_path)
    assert code == 1
    assert "does not begin with an anchor" in out and f"format version {frame.VERSION + 1}" in out


def test_what_was_lost_may_have_taken_long(tmp_path, capsys):
    content = bytearray(raw([anchor(0), data(10), data(30_000), data(50_000)], 1))
    content[4 * 13] ^= 1  # the third frame
    path = tmp_path / "a-00001.raw"
    path.write_bytes(content)
    code, out = _verify(capsys, path)
    assert code == 1 and "are damaged" in out and "a time before" not in out


def test_long_lists_are_cut(tmp_path, capsys):
    path = write(tmp_path, "a-00001.bts", [anchor(0), *(data(i, voltage=0.0) for i in range(40))])
    _, out = _verify(capsys, path)
    assert out.count("has no voltage") == 5 and "35 more frames have no voltage" in out


def test_doubles_are_told_and_json_says_all(tmp_path, capsys):
    write(tmp_path, "a-00001.bts", _FRAMES)
    double = write(tmp_path, "a-00001.raw", _FRAMES[:100])
    code, out = _verify(capsys, "--json", tmp_path)
    said = json.loads(out)
    assert code == 1 and said["shards"] == 1 and said["rows"] == 399
    assert said["problems"] == {str(double): ["the same shard is there a second time"]}
    (tmp_path / "a-00002.bad").write_bytes(double.read_bytes() + b"torn")
    double.write_bytes(double.read_bytes() + b"torn")
    assert main(["verify", str(tmp_path)]) == 1
    said = capsys.readouterr()
    assert f"{double}: torn end: 4 bytes" in said.out and "a-00002.bad was set aside" in said.err


def test_wrong_paths_are_refused_in_a_sentence(tmp_path, capsys):
    assert main(["verify", str(tmp_path / "absent")]) == 2
    assert "does not exist" in capsys.readouterr().err
