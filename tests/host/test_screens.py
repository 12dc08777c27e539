"""The screens of the documentation are those of the board's code."""

import ast
import shutil
import subprocess
import textwrap
import zlib

import pytest

from batmon.firmware import build
from batmon.firmware.interpreter import micropython
from batmon.virtual import glass, screens


@pytest.mark.parametrize(("cols", "rows"), screens.SIZES)
def test_every_screen_is_as_it_was(cols, rows):
    kept = (screens.GOLDEN / f"{cols}x{rows}.txt").read_text()
    told = "run `python -m batmon.virtual.screens` and look at the difference"
    assert screens.golden(cols, rows).splitlines() == kept.splitlines(), told


@pytest.mark.parametrize(("cols", "rows"), screens.SIZES)
def test_the_board_shows_the_recorded_sample(cols, rows):
    cases = [(cols, rows, screens.SAMPLE, {}, second) for second in range(0, 16, 4)]
    text = "\n".join(line for shown in screens.from_board(cases) for line in glass.frame(shown))
    for wanted in ("▅♥ 56 %", "52.97 V", "2.33 A", "3308/3314mV", "+123 W"):
        assert wanted in text
    assert ("Δ" in text) == (cols == 20)


def test_the_page_in_docs_is_not_old():
    kept = (screens.DOCS / "LCD.md").read_text()
    told = "run `python -m batmon.virtual.screens` and look at the difference"
    assert screens.page() == kept, told


def test_the_pictures_in_docs_are_not_old(tmp_path):
    screens.pictures(tmp_path)
    names = [path.name for path in tmp_path.iterdir()]
    assert len(names) >= 2
    for name in names:
        drawn, kept = dots(tmp_path / name), dots(screens.DOCS / name)
        assert drawn == kept, f"docs/{name} is old; run `python -m batmon.virtual.screens`"


def dots(path) -> bytes:
    # the rows of the only IDAT chunk: another zlib may compress the same picture differently
    data = path.read_bytes()
    at = data.index(b"IDAT")
    return zlib.decompress(data[at + 4 : data.index(b"IEND") - 8])


def test_a_failure_of_the_boards_code_is_told():
    with pytest.raises(RuntimeError, match="the board's code failed"):
        screens.from_board([(16, 2, {}, {"age_s": "not a number"}, 0)])


_ELSEWHERE = """
import sys
sys.path[:] = [{sim!r}, {folder!r}, ".frozen"]
import vclock
vclock.install()
import asyncio, lcd, machine
module = machine.i2c_devices[0x27] = lcd.LCD(16, 2)
{example}
try:
    asyncio.run(asyncio.wait_for(main(), 3.5))
except asyncio.TimeoutError:
    print(module.text()[:2], module.violations)
"""


def test_the_driver_works_in_other_projects_as_its_docstring_says(tmp_path):
    source = build.ROOT / "lcd_hd44780.py"
    shutil.copy(source, tmp_path)  # and nothing else of this project
    text = ast.get_docstring(ast.parse(source.read_text()), clean=False)
    lines = [line for line in text.splitlines() if line.startswith("    ")]
    example = textwrap.dedent("\n".join(lines)).replace("asyncio.run(main())", "")
    program = _ELSEWHERE.format(sim=str(build.ROOT / "sim"), folder=str(tmp_path), example=example)
    done = subprocess.run([micropython(), "-c", program], capture_output=True, text=True)
    wanted = f"{['Hello'.ljust(16), '3 seconds'.ljust(16)]} []"
    assert done.stdout.strip() == wanted, done.stdout + done.stderr
