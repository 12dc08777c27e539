"""Runs tests/device/test_*.py on MicroPython and reports each of their functions to pytest.

tests/device/runner.py runs one file on the interpreter and prints a JSON line per function.
A file runs once, when its first function is wanted, and all its functions on one worker.
"""

import ast
import functools
import json
import linecache
import os
import re
import subprocess
from pathlib import Path

import pytest
from batmon.firmware import build
from batmon.console import UserError
from batmon.firmware.interpreter import micropython

_DEVICE = Path(__file__).parent / "device"
_TIMEOUT_S = 600
_HEAP = "heapsize=8M"  # tests keep what a board would not: days of samples, whole volumes


class DeviceFailure(Exception):
    """A test function failed on the interpreter; the text is its traceback there."""


class DeviceFile(pytest.File):
    """A file of tests/device."""

    def collect(self):
        for node in ast.parse(self.path.read_text(), str(self.path)).body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                if node.name.startswith("test_"):
                    item = DeviceItem.from_parent(self, name=node.name)
                    item.line = node.lineno - 1
                    item.add_marker(pytest.mark.xdist_group(self.path.name))
                    yield item

    @functools.cached_property
    def outcome(self) -> tuple[dict[str, dict], str]:
        """Run the file: results by function name, and all other output."""
        if problem := _build():
            return {}, f"the board's files could not be built: {problem}"
        environment = {"BOARD": str(build.BOARD), **os.environ}
        command = [micropython(), "-X", _HEAP, str(_DEVICE / "runner.py"), str(self.path)]
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

    line = 0

    def runtest(self):
        results, output = self.parent.outcome
        result = results.get(self.name)
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
        build.build()
    except UserError as error:
        return str(error)
    return ""


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
