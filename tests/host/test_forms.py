"""Tables for spreadsheets and for tools of the Battery Data Format; the same counts everywhere."""

import csv
import json
import os
import shutil
import subprocess
import time
import zipfile
from xml.etree import ElementTree

import pytest
from shardfiles import anchor, data, event, write

import batmon
from batmon.cli import main

_START = 1_767_247_200  # 2026-01-01 06:00 UTC
_SUMMER = 1_782_885_600  # 2026-07-01 06:00 UTC


def _log(folder, start=_START, name="a"):
    frames = [anchor(0, start), *(data(60 * i, 13 + i / 100, -i / 10) for i in range(1, 9))]
    return write(folder, f"{name}-00001.bts", frames)


def _export(tmp_path, *more, out="x.csv"):
    assert main(["export", str(tmp_path), "-o", str(tmp_path / out), *more]) == 0
    return (tmp_path / out).read_text()


def test_offsets_have_a_colon_in_summer_and_winter(tmp_path):
    for start, want in ((_START, "2026-01-01T07:01:00+01:00"), (_SUMMER, "08:01:00+02:00")):
        _log(tmp_path, start)
        assert want in _export(tmp_path, "--tz", "Europe/Berlin").splitlines()[1]
    assert "2026-07-01T06:01:00Z" in _export(tmp_path)


def test_a_spreadsheet_has_local_times_and_commas_if_asked(tmp_path, monkeypatch):
    _log(tmp_path, _SUMMER)
    monkeypatch.setenv("TZ", "Europe/Berlin")
    lines = _export(tmp_path, "--for", "spreadsheet").splitlines()
    assert "a,2026-07-01 08:01:00,true," in lines[1] and ",13.0078,-0.0999756," in lines[1]
    plain = list(csv.reader(lines))
    text = _export(tmp_path, "--for", "spreadsheet", "--decimal-comma", "--tz", "UTC")
    rows = list(csv.reader(text.splitlines(), delimiter=";"))
    assert rows[0] == plain[0] and len(rows) == len(plain)
    assert rows[1][1] == "2026-07-01 06:01:00"
    again = [[cell.replace(",", ".") for cell in row] for row in rows]
    assert [row[2:] for row in again] == [row[2:] for row in plain]


@pytest.mark.skipif(not shutil.which("soffice"), reason="LibreOffice is missing")
def test_libreoffice_takes_times_as_times(tmp_path, monkeypatch):
    _log(tmp_path, _SUMMER)
    monkeypatch.setenv("HOME", str(tmp_path))
    _export(tmp_path, "--for", "spreadsheet", "--tz", "Europe/Berlin")
    special = "--infilter=CSV:44,34,76,1,,1033,false,true"  # the box "Detect special numbers"
    command = ["soffice", "--headless", special, "--convert-to", "fods", "--outdir", tmp_path]
    subprocess.run([*command, tmp_path / "x.csv"], check=True, capture_output=True, timeout=120)
    assert 'office:date-value="2026-07-01T08:01:00"' in (tmp_path / "x.fods").read_text()
    arguments = ["export", str(tmp_path), "-o", str(tmp_path / "y.xlsx"), "--tz", "Asia/Tokyo"]
    assert main(arguments) == 0
    command = ["soffice", "--headless", "--convert-to", "fods", "--outdir", tmp_path]
    subprocess.run([*command, tmp_path / "y.xlsx"], check=True, capture_output=True, timeout=120)
    text = (tmp_path / "y.fods").read_text()
    assert 'office:date-value="2026-07-01T15:01:00"' in text  # no box to tick
    assert 'office:value="13.0078"' in text and "<text:p>TRUE</text:p>" in text


def test_a_workbook_holds_the_same_as_the_csv(tmp_path, monkeypatch):
    monkeypatch.setattr("batmon.log.tables.BATCH_ROWS", 3)
    frames = [anchor(0, 0), data(5, soc=255, cell_min_mv=65535, cell_max_mv=65535), data(9)]
    write(tmp_path, "a-00001.bts", frames)
    _log(tmp_path, name="b")
    plain = list(csv.reader(_export(tmp_path, "--tz", "UTC", "--for", "spreadsheet").splitlines()))
    assert main(["export", str(tmp_path), "-o", str(tmp_path / "x.xlsx"), "--tz", "UTC"]) == 0
    with zipfile.ZipFile(tmp_path / "x.xlsx") as book:
        assert not book.testzip()
        sheet = ElementTree.fromstring(book.read("xl/worksheets/sheet1.xml"))
    found = []
    for row in sheet.iterfind(".//{*}row"):
        found.append(["".join(cell.itertext()) for cell in row.iterfind("{*}c")])
    assert found[0] == plain[0] and len(found) == len(plain) == 11
    for row, want in zip(found[1:], plain[1:], strict=True):
        assert row[0] == want[0] and row[2] == {"true": "1", "false": "0"}[want[2]]
        days = [(float(row[1]) - 25569) * 86400] if row[1] else []
        assert [time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(round(t))) for t in days] == (
            [want[1]] if want[1] else []
        )
        assert [float(x or "nan") for x in row[3:]] == pytest.approx(
            [float(x or "nan") for x in want[3:]], nan_ok=True
        )


def test_the_battery_data_format(tmp_path):
    _log(tmp_path)
    # a second start, whose clock is behind: test time stands still, unix time is as it was
    frames = [anchor(0, _START + 300, 2), *(data(60 * i, current=1.5) for i in range(1, 5))]
    write(tmp_path, "a-00002.bts", frames)
    text = _export(tmp_path, "--for", "bdf", out="x.bdf")
    rows = list(csv.DictReader(text.splitlines()))
    assert list(rows[0])[:4] == ["Test Time / s", "Unix Time / s", "Voltage / V", "Current / A"]
    test = [int(row["Test Time / s"]) for row in rows]
    assert test == [0, 60, 120, 180, 240, 300, 360, 420, 420, 420, 420, 480]
    unix = [int(row["Unix Time / s"]) for row in rows]
    want = batmon.read([tmp_path])["time_utc"].astype("datetime64[s, UTC]").astype("int64")
    assert unix == want.tolist()
    assert rows[-1]["Current / A"] == "1.5"
    assert _export(tmp_path, "--for", "bdf", out="x.bdf.csv") == text


def test_a_log_without_clock_in_the_battery_data_format(tmp_path, monkeypatch):
    monkeypatch.setattr("batmon.log.tables.BATCH_ROWS", 3)
    first = [anchor(0, 0), *(data(60 * i) for i in range(1, 9))]
    write(tmp_path, "a-00001.bts", first)
    write(tmp_path, "a-00002.bts", [anchor(0, 0, 2), *(data(9 * i) for i in range(1, 9))])
    write(tmp_path, "a-00003.bts", [anchor(0, _START, 3), *(data(5 * i) for i in range(1, 5))])
    rows = list(csv.DictReader(_export(tmp_path, "--for", "bdf", out="x.bdf").splitlines()))
    test = [int(row["Test Time / s"]) for row in rows]
    assert test == [*range(0, 421, 60), *range(420, 484, 9), 483, 488, 493, 498]
    assert [row["Unix Time / s"] for row in rows][:16] == [""] * 16
    assert rows[-1]["Unix Time / s"] == str(_START + 20)


@pytest.mark.parametrize("arguments, words", [
    (["-o", "x.parquet", "--for", "spreadsheet"], ".csv file"),
    (["-o", "x.csv", "--decimal-comma"], "--for spreadsheet"),
    (["-o", "x.bdf"], ".xlsx or .parquet"),
    (["-o", "x.bdf", "--for", "bdf", "--tz", "UTC"], "--tz out"),
    (["-o", "x.bdf", "--for", "bdf"], "here are a, b"),
])  # fmt: skip
def test_what_does_not_go_together(tmp_path, capsys, arguments, words):
    _log(tmp_path)
    _log(tmp_path, name="b")
    assert main(["export", str(tmp_path), *arguments]) == 2
    error = capsys.readouterr().err
    assert words in error and len(error.splitlines()) == 1
    assert not os.path.exists(arguments[1])


def test_the_same_things_are_counted_under_the_same_names(tmp_path, capsys):
    frames = [anchor(0, _START), data(1), event(2), data(3), anchor(4, _START + 4), data(5)]
    write(tmp_path, "a-00001.bts", frames)
    write(tmp_path, "a-00001.raw", frames[:3])
    write(tmp_path, "a-00002.raw", [anchor(6, _START + 6), data(7)])
    said = {}
    for command in ("verify", "info", "export"):
        more = ["-o", str(tmp_path / "x.csv")] if command == "export" else []
        main([command, "--json", str(tmp_path), *more])
        said[command] = json.loads(capsys.readouterr().out)
        main([command, str(tmp_path), *more])
        text = capsys.readouterr().out
        assert "2 shards" in text and "4 rows" in text
        (tmp_path / "x.csv").unlink(missing_ok=True)
    files = [fact for fact in said["info"] if "double" not in fact]
    assert sum(fact["rows"] for fact in files) == said["verify"]["rows"] == said["export"]["rows"]
    assert len(files) == said["verify"]["shards"] == said["export"]["shards"] == 2
    assert said["verify"]["doubles"] == said["export"]["doubles"]
