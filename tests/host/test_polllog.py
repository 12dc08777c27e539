"""Poll logs: read, checked, packed, and played by the simulator."""

import gzip
import json
import os
import re
import struct
import subprocess

import numpy as np
import pytest

from batmon.console import UserError
from batmon.firmware import build
from batmon.log import polllog

_MICROPYTHON = os.environ.get("MICROPYTHON") or str(build.ROOT / ".venv/bin/micropython")
_HEAD = "time_s,voltage,current,temperature,soc,"
_EXTREMES = _HEAD + "cell_min_mv,cell_max_mv,idx_min,idx_max\n"
_CELLS = _HEAD + "c1_mv,c2_mv,c3_mv,c4_mv\n"
_ROWS = (
    "1760443,13.26,-1.5,13.7,99.0,3312,3318,0,2",
    "1760445,13.25,2.004,-3.2,98.5,3311,3317,3,2",
    "1760450,13.24,0.0,13.6,98.4,3310,3316,1,2",
)


def _extremes(path, rows=_ROWS, end="\n"):
    path.write_text(_EXTREMES + "\n".join(rows) + end)
    return path


def test_extremes_are_read(tmp_path):
    log = polllog.read(_extremes(tmp_path / "a.csv"))
    assert (len(log), log.cells, log.cells_mv) == (3, 4, None)
    assert log.time_s.tolist() == [1760443, 1760445, 1760450]
    assert log.current.tolist() == [-1.5, 2.004, 0]
    assert log.temperature.tolist() == [13.7, -3.2, 13.6]
    assert log.idx_min.tolist() == [0, 3, 1]
    assert log.cell_max_mv.tolist() == [3318, 3317, 3316]


def test_every_cell_is_read_from_gzip(tmp_path):
    path = tmp_path / "b.csv.gz"
    rows = "10,13.26,0,13,99,3317,3314,3316,3314\n12.5,13.27,0,13,99,3317,3314,3316,3319\n"
    path.write_bytes(gzip.compress((_CELLS + rows).encode()))
    log = polllog.read(path)
    assert log.cells == 4 and log.cells_mv.shape == (2, 4)
    assert log.idx_min.tolist() == [1, 1] and log.idx_max.tolist() == [0, 3]
    assert log.cell_min_mv.tolist() == [3314, 3314] and log.cell_max_mv.tolist() == [3317, 3319]


@pytest.mark.parametrize("point", [".", ","])
def test_semicolons_and_decimal_commas(tmp_path, point):
    want = polllog.read(_extremes(tmp_path / "a.csv"))
    path = tmp_path / "b.csv"
    text = (tmp_path / "a.csv").read_text().replace(",", ";").replace(".", point)
    for content in (text, text.replace("99.0".replace(".", point), "nan")):
        path.write_text("\ufeff" + content)
        log = polllog.read(path)
        assert log.voltage.tolist() == want.voltage.tolist()
        assert log.current.tolist() == want.current.tolist()
        assert log.cell_min_mv.tolist() == want.cell_min_mv.tolist()
    path.write_text(text.replace(f"13{point}25", "1,3,2"))
    with pytest.raises(UserError, match="line 3, column voltage: '1,3,2' is not a number"):
        polllog.read(path)


def test_order_and_number_of_columns_are_free(tmp_path):
    path = tmp_path / "c.csv"
    path.write_text(
        "\ufeffsoc,note,idx_max,idx_min,cell_max_mv,cell_min_mv,temperature,current,voltage,time_s"
        "\r\n50,x,1,0,3310,3300,20,-1,6.61,5\r\n"
    )
    log = polllog.read(path)
    assert (log.cells, log.soc[0], log.time_s[0]) == (2, 50, 5)


def test_a_car_is_read_but_not_simulated(tmp_path):
    path = _extremes(tmp_path / "car.csv", ["1,398.4,-80,20,50,4140,4160,90,3"])
    assert polllog.read(path).cells == 96
    with pytest.raises(UserError, match="has 96 cells; the simulated BMS has at most 32"):
        polllog.pack(path, tmp_path / "car.bpl")
    with pytest.raises(UserError, match="belong to 300 cells in series, not 1 to 255"):
        polllog.read(_extremes(path, ["1,996,-80,20,50,3320,3320,90,3"]))


def test_zero_is_an_unknown_voltage(tmp_path):
    rows = ("1,0,5,20,50,3300,3310,0,3", "2,13.2,5,20,50,0,3310,0,3", "3,,5,20,50,3300,3310,0,3")
    again = "2,13.2,6,20,50,0,3310,0,3"  # of one time the last counts
    log = polllog.read(_extremes(tmp_path / "a.csv", (*rows[:2], again, rows[2])))
    assert log.time_s.tolist() == [2] and log.current.tolist() == [6]
    assert np.isnan([log.cell_min_mv[0], log.cell_max_mv[0]]).all() and log.idx_max[0] == 0
    path = tmp_path / "b.csv"
    path.write_text(_CELLS + "1,13.2,0,13,99,3300,0,3301,3302\n2,13.2,0,13,99,3300,,3301,3302\n")
    assert np.isnan(polllog.read(path).cell_min_mv).all()


def test_an_empty_last_line_is_no_mistake(tmp_path):
    assert len(polllog.read(_extremes(tmp_path / "a.csv", end="\n\n"))) == 3


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("time_s", "1760440", "1760440 is earlier"),
        ("time_s", "-1", "-1 is not seconds"),
        ("voltage", "13,25", "10 values for 9 columns"),
        ("time_s", "", "has no value"),
        ("voltage", "0.3", "0.3 is not V within"),
        ("voltage", "inf", "inf is not V within"),
        ("current", "2.5A", "'2.5A' is not a number"),
        ("current", "-", "'-' is not a number"),
        ("temperature", "999", "999 is not degC within"),
        ("soc", "100.5", "100.5 is not % within"),
        ("cell_min_mv", "3.311", "3.311 is not mV within"),
        ("cell_min_mv", "3320", "3320 is more than cell_max_mv"),
        ("cell_max_mv", "9999", "9999 is not mV within"),
        ("idx_min", "4", "4 is no cell of 4"),
        ("idx_max", "-1", "-1 is not a cell"),
    ],
)
def test_a_mistake_is_named_with_its_place(tmp_path, column, value, words):
    fields = _ROWS[1].split(",")
    names = _EXTREMES.strip().split(",")
    fields[names.index(column)] = value
    path = _extremes(tmp_path / "bad.csv", (_ROWS[0], ",".join(fields), _ROWS[2]))
    with pytest.raises(UserError) as error:
        polllog.read(path)
    text = str(error.value)
    assert text.startswith(f"{path}, line 3") and words in text, text
    assert "," in value or f"column {column}" in text
    assert re.search(r"; (correct or delete the line|sort the lines)\.$", text), text


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "column time_s: is missing"),
        (b"\n1,2\n", "column time_s: is missing"),
        (_EXTREMES.replace("soc", "SOC").encode(), "column soc: is missing"),
        (_EXTREMES.replace("idx_max", "idx_min").encode(), "column idx_min: is there twice"),
        (_CELLS.replace("c3", "c5").encode(), "column c3_mv: is missing"),
        (_EXTREMES.encode(), "has no rows"),
        (b"\xff\xfe\x00\x80", "is not a CSV file"),
        ((_EXTREMES + "1,130,0,20,50,330,331,0,0\n").encode(), "330 is not mV"),
        ((_EXTREMES + "1,13,5,0,20,50,3300,3310,0,0\n").encode(), "line 2: 10 values for 9"),
        ((_EXTREMES + "1,0.6,0,20,50,3300,3310,0,0\n").encode(), "belong to 0 cells"),
    ],
)
def test_a_file_that_is_none_is_refused(tmp_path, content, words):
    path = tmp_path / "bad.csv"
    path.write_bytes(content)
    with pytest.raises(UserError, match="^" + re.escape(str(path))) as error:
        polllog.read(path)
    assert words in str(error.value)


def test_missing_and_damaged_files_are_refused(tmp_path):
    with pytest.raises(UserError, match="cannot be read"):
        polllog.read(tmp_path / "none.csv")
    whole = gzip.compress((_EXTREMES + "\n".join(_ROWS * 400)).encode(), mtime=0)
    path = tmp_path / "cut.csv.gz"
    for content in (whole[: len(whole) // 2], whole[:20], _EXTREMES.encode()):
        path.write_bytes(content)
        with pytest.raises(UserError, match=re.escape(str(path))):
            polllog.read(path)
    with pytest.raises(UserError, match="cannot be written"):
        polllog.pack(_extremes(tmp_path / "a.csv"), tmp_path / "no" / "folder")


def test_the_packed_form_is_as_documented(tmp_path):
    polllog.pack(_extremes(tmp_path / "a.csv"), tmp_path / "a.bpl", design_ah=280)
    data = (tmp_path / "a.bpl").read_bytes()
    assert struct.unpack_from("<4sBBHII", data) == (b"BPL1", 4, 0, 280, 3, 1760443)
    rows = [struct.unpack_from("<IIihHHHBB", data, 16 + 22 * i) for i in range(3)]
    assert rows[0] == (0, 13260, -1500, 137, 9900, 3312, 3318, 0, 2)
    assert rows[1] == (2, 13250, 2004, -32, 9850, 3311, 3317, 3, 2)
    assert rows[2][0] == 7 and len(data) == 16 + 3 * 22


def test_the_last_row_of_a_second_counts(tmp_path):
    rows = [f"{100 + k / 3:.3f},6.6,{k},20,50,3300,3301,0,1" for k in range(10)]
    polllog.pack(_extremes(tmp_path / "a.csv", rows), tmp_path / "a.bpl")
    data = (tmp_path / "a.bpl").read_bytes()[16:]
    rows = [struct.unpack_from("<IIi", data, at)[::2] for at in range(0, len(data), 22)]
    assert rows == [(0, 2000), (1, 5000), (2, 8000), (3, 9000)]


def test_capacity_is_estimated(tmp_path):
    # 10 A for an hour move the state of charge by 20 %: 50 Ah
    rows = [f"{10 * k},6.6,10,20,{50 + k / 18:.2f},3300,3301,0,1" for k in range(361)]
    polllog.pack(_extremes(tmp_path / "a.csv", rows), tmp_path / "a.bpl")
    assert struct.unpack_from("<H", (tmp_path / "a.bpl").read_bytes(), 6)[0] == 50
    rows[5] = rows[5].replace(",10,20,", ",,20,")  # replay has rows with an unknown current too
    assert polllog.estimate_ah(polllog.read(_extremes(tmp_path / "a.csv", rows))) == 50


_PLAY = """
import json, sys
sys.path[:] = [sys.argv[1], ".frozen"]
import battery
b = battery.make(sys.argv[2])
for t_s in json.loads(sys.argv[3]):
    b.advance(t_s * 1000)
    print(json.dumps([b.voltage_mv, b.current_ma, b.soc_milli, b.temp_dc[0], list(b.cells_mv),
                      b.charge_in_mas, b.charge_out_mas]))
"""


@pytest.mark.parametrize("every_cell", [False, True])
def test_the_simulator_plays_what_was_packed(tmp_path, every_cell):
    rng = np.random.default_rng(7)
    n = 2000
    seconds = 5000 + np.cumsum(rng.choice([1, 2, 3, 10, 11, 400], n))
    current = np.round(rng.normal(0, 30, n), 3)
    cells = rng.integers(3000, 3400, (n, 4))
    lines = []
    for t, amp, mv in zip(seconds, current, cells, strict=True):
        tail = mv if every_cell else (mv.min(), mv.max(), mv.argmin(), mv.argmax())
        lines.append(f"{t},{mv.sum() / 1000:.3f},{amp:.3f},21.5,60,{','.join(map(str, tail))}")
    source = tmp_path / "log.csv"
    source.write_text((_CELLS if every_cell else _EXTREMES) + "\n".join(lines) + "\n")
    polllog.pack(source, tmp_path / "log.bpl")

    # the same, the slow way: current of each second, drawn where rows are at most 10 s apart
    seconds -= seconds[0]
    ma = np.rint(current * 1000)
    grid = np.arange(seconds[-1] + 1)
    at = np.searchsorted(seconds, grid, side="right") - 1
    drawn = np.floor(np.interp(grid, seconds, ma) + 0.5)
    gap = np.diff(seconds, append=seconds[-1] + 1)[at]
    expected = np.where(gap <= 10, drawn, ma[at])[1:]

    times = [0, *seconds[[1, 2, 500, 1998, 1999]].tolist(), int(seconds[-1]) + 99]
    done = subprocess.run(
        [_MICROPYTHON, "-c", _PLAY, str(build.ROOT / "sim"), str(tmp_path / "log.bpl"),
         json.dumps(times)],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for t, line in zip(times, done.stdout.splitlines(), strict=True):
        voltage, amp, soc, temperature, mv, taken_in, taken_out = json.loads(line)
        row = np.searchsorted(seconds, t, side="right") - 1
        assert (voltage, soc, temperature) == (cells[row].sum(), 60000, 215)
        assert amp == (ma[row] if t <= seconds[-1] else 0)
        if every_cell:
            assert mv == cells[row].tolist()
        else:
            assert (min(mv), max(mv)) == (cells[row].min(), cells[row].max())
            assert (mv.index(min(mv)), mv.index(max(mv))) == (
                cells[row].argmin(),
                cells[row].argmax(),
            )
        past = expected[:t]
        assert (taken_in, taken_out) == (past[past > 0].sum(), -past[past < 0].sum())
