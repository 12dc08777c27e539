"""Runs tests/device/test_*.py on MicroPython and reports each of their functions to pytest.

tests/device/runner.py runs one file on an interpreter and prints a JSON line per function.
A file runs once on each interpreter there is, when its first function is wanted, and all of it on
one worker: test_x[64-bit 1.29.0], test_x[32-bit 1.25.0].

The 64-bit one runs the plain build, whose tracebacks name lines of the sources; the 32-bit one runs
what a board gets, with shortened names. Tests that look into objects run there as copies in which
those names are short too.
"""

import ast
import contextlib
import functools
import json
import linecache
import os
import re
import signal
import subprocess
from pathlib import Path

import pytest
from batmon.console import UserError
from batmon.firmware import build, interpreter, shorten
from batmon.paths import BOARD, BUILD, PLAIN, SIMS

_DEVICE = Path(__file__).parent / "device"
_TIMEOUT_S = 600
_HEAP = "heapsize=8M"  # tests keep what a board would not: days of samples, whole volumes
# What the second interpreter would only repeat, by file: slow, and nothing in it depends on one.
_NOT_ON_32 = {
    "test_peripherals.py": "the simulated batteries and BMSs, which no board runs; integers only",
}

# A shell that runs the tests in the background has them ignore Ctrl-C, and so all they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


class DeviceFailure(Exception):
    """A test function failed on the interpreter; the text is its traceback there."""


class DeviceFile(pytest.File):
    """A file of tests/device."""

    def collect(self):
        tree = ast.parse(self.path.read_text(), str(self.path))
        functions = (ast.FunctionDef, ast.AsyncFunctionDef)
        tests = [n for n in tree.body if isinstance(n, functions) and n.name.startswith("test_")]
        for which in interpreter.present():
            if which == "32" and self.path.name in _NOT_ON_32:
                continue
            label = interpreter.label(which)
            for test in tests:
                item = DeviceItem.from_parent(self, name=f"{test.name}[{label}]")
                item.test, item.which, item.line = test.name, which, test.lineno - 1
                item.add_marker(pytest.mark.xdist_group(self.path.name))
                yield item

    @functools.cache  # noqa: B019 - a file lives as long as the tests
    def outcome(self, which: str) -> tuple[dict[str, dict], str]:
        """Run the file on an interpreter: results by function name, and all other output."""
        if problem := _build():
            return {}, f"the board's files could not be built: {problem}"
        path, board = (self.path, PLAIN) if which == "64" else (_shortened(self.path), BOARD)
        environment = {"BOARD": str(board), "SIM": str(SIMS[which]), **os.environ}
        program = interpreter.micropython(which)
        command = [program, "-X", _HEAP, str(_DEVICE / "runner.py"), str(path)]
        try:
            done = subprocess.run(
                command, env=environment, cwd=build.ROOT, capture_output=True, timeout=_TIMEOUT_S
            )
            output, end = done.stdout + done.stderr, f"ended with code {done.returncode}"
        except subprocess.TimeoutExpired as error:
            output = (error.stdout or b"") + (error.stderr or b"")
            end = f"was stopped after {_TIMEOUT_S} s"
        results, rest = {}, []
        for line in output.decode(errors="replace").split("\n"):
            if line.startswith("\x1e"):
                result = json.loads(line[1:])
                results[result["test"]] = result
            else:
                rest.append(line)
        return results, "\n".join([*rest, f"the interpreter {end}"])


class DeviceItem(pytest.Item):
    """A test function of a DeviceFile."""

    def runtest(self):
        results, output = self.parent.outcome(self.which)
        result = results.get(self.test)
        if not (result and result["ok"]):
            self.add_report_section("call", "MicroPython", output)
            error = _with_source(result["error"]) if result else "the test did not end; see below"
            raise DeviceFailure(error)

    def repr_failure(self, excinfo):
        if isinstance(excinfo.value, DeviceFailure):
            return str(excinfo.value)
        return super().repr_failure(excinfo)

    def reportinfo(self):
        return self.path, self.line, self.name


@functools.cache
def _build() -> str:
    """Bring the board's files up to date, once; return what prevents it, or nothing."""
    try:
        build.build(PLAIN, short=False)
        build.build()
    except UserError as error:
        return str(error)
    names = build.names()
    copies = BUILD / "tests" / _DEVICE.name
    copies.mkdir(parents=True, exist_ok=True)
    for path in _DEVICE.glob("*.py"):
        if path.name != "runner.py":
            _write(copies / path.name, shorten.renamed(path.read_text(), names))
    with contextlib.suppress(FileExistsError):
        copies.with_name("data").symlink_to(_DEVICE.with_name("data"))
    return ""


def _shortened(path: Path) -> Path:
    return BUILD / "tests" / _DEVICE.name / path.name


def _write(path: Path, text: str):
    """Write a file at one stroke: several workers do, and one may be reading it."""
    if not path.exists() or path.read_text() != text:
        new = path.with_suffix(f".{os.getpid()}")
        new.write_text(text)
        new.replace(path)


def _with_source(traceback: str) -> str:
    """Add to a traceback the lines of source, which MicroPython does not know."""
    lines = []
    for line in traceback.rstrip().split("\n"):
        lines.append(line)
        if place := re.match(r'  File "(.+)", line (\d+)', line):
            # A compiled module gives the name by which it is imported.
            folders = (build.ROOT, build.ROOT / "lib", build.ROOT / "sim")
            name = place[1].replace(".", "/")
            names = (f"{name}.py", f"{name}/__init__.py")
            files = [place[1], *(str(folder / name) for folder in folders for name in names)]
            source = (linecache.getline(file, int(place[2])).strip() for file in files)
            lines += [f"    {code}" for code in source if code][:1]
    return "\n".join(lines)


def pytest_pycollect_makemodule(module_path: Path, parent):
    """Keep pytest from importing device code into CPython."""
    if module_path.is_relative_to(_DEVICE):
        return DeviceFile.from_parent(parent, path=module_path)
    return None


def pytest_collection_modifyitems(items):
    """Begin with what one worker has to run as a whole: last, it would leave the others idle."""
    items.sort(key=lambda item: item.get_closest_marker("xdist_group") is None)
