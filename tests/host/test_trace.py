"""What a board says reads as the source: tracebacks of a real build, error logs of any version."""

import io
import subprocess
import sys

import pytest

from batmon.cli import main
from batmon.firmware import build, shorten, trace
from batmon.firmware.interpreter import micropython

_MODULES = {"app.app": {"_a": "_show", "_b": "_lcd"}, "store": {"_a": "_number"}}
_NAMES = trace.Names("0.3.0", _MODULES)
_LOG = """2026-01-01 06:00:01Z batmon {} boot 1 +0 s display: Traceback (most recent call last):
  File "app.app", line 1, in _a
  File "conn.py", line 18, in run
  File "app.app", line 1, in <module>
AttributeError: 'App' object has no attribute '_b'
2026-01-01 06:00:09Z batmon 0.3.0 boot 1 +9 s link: _a is lost
"""
_READ = """2026-01-01 06:00:01Z batmon 0.3.0 boot 1 +0 s display: Traceback (most recent call last):
  File "app.app", in _show
  File "conn.py", line 18, in run
  File "app.app", in <module>
AttributeError: 'App' object has no attribute '_lcd'
2026-01-01 06:00:09Z batmon 0.3.0 boot 1 +9 s link: _a is lost
"""


def test_an_error_log_reads_as_the_source():
    assert trace.as_source(_LOG.format("0.3.0"), _NAMES) == _READ
    other = _LOG.format("0.2.0")  # names it another way
    assert trace.as_source(other, _NAMES) == other
    assert trace.as_source(_READ, _NAMES) == _READ


def test_the_names_survive_the_file(tmp_path):
    assert trace.parse(_NAMES.text()) == _NAMES
    for text in ("", "<html>\n", "\n"):
        with pytest.raises(ValueError):
            trace.parse(text)


def test_a_traceback_of_a_build_names_the_functions_of_the_source(tmp_path):
    text = (
        "class Meter:\n"
        "    def __init__(self):\n"
        "        self._first_deeper()\n"
        "    def _first_deeper(self):\n"
        "        self._then_broken(3)\n"
        "    def _then_broken(self, many):\n"
        "        return many / 0\n"
    )
    short = shorten.shorten({"meter.py": text}, {})
    (tmp_path / "meter.py").write_text(short.texts["meter.py"])
    target = tmp_path / "out" / "meter.mpy"
    target.parent.mkdir()
    build._compile(build._Job(tmp_path / "meter.py", "meter.py", ("-O3",)), target)
    code = f"import sys; sys.path[:] = [{str(target.parent)!r}]\nimport meter\nmeter.Meter()"
    done = subprocess.run([micropython(), "-c", code], capture_output=True, text=True)
    said = done.stdout + done.stderr
    assert "_then_broken" not in said
    names = trace.Names("1", {build._module(k): v for k, v in short.by_module().items()})
    said = trace.as_source(said, names)
    assert 'File "meter", in _first_deeper' in said and 'File "meter", in _then_broken' in said


def test_the_command_takes_the_names_beside_the_log(tmp_path, capsys, monkeypatch):
    log = tmp_path / "errors.txt"
    log.write_text(_LOG.format("0.3.0"))
    (tmp_path / "names.txt").write_text(_NAMES.text())
    assert main(["trace", str(log)]) == 0
    assert capsys.readouterr().out == _READ
    monkeypatch.setattr(sys, "stdin", io.StringIO(_LOG.format("0.3.0")))
    assert main(["trace", "--names", str(tmp_path / "names.txt")]) == 0
    assert capsys.readouterr().out == _READ
    assert main(["trace", "--names", str(log), str(log)]) == 2
    assert "is no names.txt" in capsys.readouterr().err
    assert main(["trace", str(tmp_path / "absent")]) == 2
    assert "cannot be read" in capsys.readouterr().err


def test_somebody_at_the_keyboard_is_told_what_it_waits_for(tmp_path, monkeypatch, capsys):
    class Typed(io.StringIO):
        def isatty(self):
            return True

    (tmp_path / "names.txt").write_text(_NAMES.text())
    for typed, said in ((Typed("x\n"), 1), (io.StringIO("x\n"), 0)):
        monkeypatch.setattr("sys.stdin", typed)
        assert main(["trace", "--names", str(tmp_path / "names.txt")]) == 0
        assert capsys.readouterr().err.count("paste what the board printed") == said
