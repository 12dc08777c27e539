"""Plays the same cases through aiobmsble on CPython and the translated drivers, and compares."""

import json
import subprocess
import sys
from pathlib import Path

from batmon.firmware import build, interpreter

_HERE = Path(__file__).parent
_DEVICE = _HERE.parent / "device"
sys.path.append(str(_DEVICE))

from conversation import differences  # noqa: E402

_VECTORS = _HERE.parent / "data/vectors"
# What CPython raises and MicroPython has under another name.
_ERRORS = {"JSONDecodeError": "ValueError", "UnicodeDecodeError": "UnicodeError"}

type Case = tuple[str, dict]  # driver module, case as in tests/data/vectors


class Hang(Exception):
    """One side did not end, or ended early; the text says where."""


def recorded() -> list[Case]:
    """All recorded conversations."""
    files = (json.loads(path.read_text()) for path in sorted(_VECTORS.glob("*.json")))
    return [(part["module"], case) for part in files for case in part["cases"]]


def on_pc(cases: list[Case], folder: Path, package: Path | None = None) -> list:
    """What aiobmsble in the folder `package` answers, or the installed one; see conversation.py.

    `folder` is for temporary files.
    """
    command = [sys.executable, str(_HERE / "reference.py")]
    return _answers(command, cases, folder / "pc.jsonl", [package] if package else [])


def on_board(cases: list[Case], folder: Path, tree: Path, which: str = "64") -> list:
    """What the drivers in `tree` answer on an interpreter; see conversation.py."""
    command = [interpreter.micropython(which), "-X", "heapsize=8M", str(_DEVICE / "replay.py")]
    return _answers(command, cases, folder / "board.jsonl", _paths(tree))


def run_on_board(code: str, tree: Path) -> str:
    """Run device code with the drivers in `tree`; returns what it prints."""
    paths = [str(path) for path in _paths(tree)]
    command = [interpreter.micropython(), "-c", f"import sys\nsys.path[:] = {paths!r}\n{code}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    return done.stdout + done.stderr


def _paths(tree: Path) -> list:
    return [build.ROOT / "sim", tree, build.ROOT / "lib", _DEVICE, ".frozen"]


def _answers(command: list[str], cases: list[Case], file: Path, paths: list) -> list:
    file.write_text("".join(json.dumps(case) + "\n" for case in cases))
    try:
        done = subprocess.run(
            [*command, str(file), *map(str, paths)],
            capture_output=True,
            text=True,
            timeout=60 + len(cases),
        )
        output, end = done.stdout, done.stderr or done.stdout
    except subprocess.TimeoutExpired as error:
        output, end = (error.stdout or b"").decode(), "it hangs"
    answers = [json.loads(line[1:]) for line in output.split("\n") if line.startswith("\x1e")]
    if len(answers) < len(cases):
        module, case = cases[len(answers)]
        raise Hang(f"{command[-1]}: {module} {case['case']}: {end[-2000:]}")
    return answers


def disagreements(expected: list, got: list, strict: bool = False) -> list[str]:
    """Where the board's answer to a case is not the PC's, as text; [] if nowhere.

    An error on both sides agrees; if strict, only the same error does.
    """
    found = []
    for (i, kind, want), (_, its, value) in zip(expected[0], got[0], strict=True):
        if its == "undocumented":
            found.append(f"event {i}: {value} is not documented")
        elif (kind == "sample") != (its == "sample"):
            found.append(f"event {i}: {its} {value} instead of {kind} {want}")
        elif kind == "sample":
            found += [f"event {i}: {text}" for text in differences(want, value)]
        elif strict and _ERRORS.get(want, want) != value:
            found.append(f"event {i}: {value} instead of {want}")
    return found
