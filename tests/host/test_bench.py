"""The bench over frames of the user's own: every file measured, nothing else on the screen."""

import subprocess
import sys

import needs
import pytest

from batmon.console import UserError
from batmon.paths import ROOT
from bench import answers, codec, export, page

_FRAMES = (ROOT / "tests/data/frames/ups4s.bin").read_bytes()


def test_files_of_any_length(tmp_path, monkeypatch, capsys):
    (tmp_path / "a.bin").write_bytes(_FRAMES[:1300])
    (tmp_path / "a.raw").write_bytes(_FRAMES[: 13 * 50 + 7])
    (tmp_path / "one.bin").write_bytes(_FRAMES[:13])
    (tmp_path / "none.bin").write_bytes(_FRAMES[:12])
    (tmp_path / "notes.txt").write_text("not frames")
    monkeypatch.setenv("FRAMES", str(tmp_path))
    rows = codec.measure()
    assert list(rows)[:3] == ["a.bin", "a.raw", "one.bin"] and "none.bin" not in rows
    assert all(size > 0 for name in list(rows)[:3] for size in rows[name].values())
    assert capsys.readouterr().err.count("the last 7 bytes") == 1


@pytest.mark.parametrize("name", ["", "missing"])
def test_a_folder_without_frames_is_named(tmp_path, monkeypatch, name):
    monkeypatch.setenv("FRAMES", str(tmp_path / name))
    with pytest.raises(UserError, match="FRAMES="):
        codec.files()
    done = subprocess.run(
        [sys.executable, "-m", "bench", "codec"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode and not done.stdout
    assert done.stderr.count("\n") == 1 and str(tmp_path) in done.stderr


def test_a_year_that_was_cut_off_is_begun_anew(tmp_path, monkeypatch):
    write, year = export.write_fleet, tmp_path / "bench/year"

    def cut(folder, *_, **options):
        write(folder, 1, ("van",))
        raise KeyboardInterrupt

    monkeypatch.setattr(export, "_YEAR", year)
    monkeypatch.setattr(export, "_DAYS", 1)
    monkeypatch.setattr(export, "write_fleet", cut)
    with pytest.raises(KeyboardInterrupt):
        export.year()
    monkeypatch.setattr(export, "write_fleet", write)
    truth = export.year()
    names = {path.name for path in year.iterdir()}
    assert names == {*truth, "truth.json"} == {"van", "house", "ebike", "truth.json"}
    monkeypatch.setattr(export, "write_fleet", cut)
    assert export.year() == truth


@pytest.mark.campaign
def test_what_the_report_says_of_a_year_is_true():
    rows = answers.measure()
    off = {what: row["off_percent"] for what, row in rows.items()}
    told = {what for what, percent in off.items() if percent == percent}
    assert all(abs(off[what]) <= 2 for what in told), off
    # absent is what a minute between polls, or narrow swings, do not tell
    capacities = [what for what in off if what.startswith("capacity")]
    assert set(off) - told <= {"resistance, mΩ", *capacities}
    assert len(told & set(capacities)) >= 8


@pytest.mark.campaign
def test_the_report_opens_without_much_work():
    needs.program("node", "nodejs")
    took = page.measure()["all"]["of_sorting"]
    assert took < 10, took  # 6.8 when this was written, 10.8 before
