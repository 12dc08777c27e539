"""Holds the sources against docs/ARCHITECTURE.md: who imports whom, and what is nobody else's.

`problems(root)` names each thing in the checkout `root` that is not as it says there.
"""

import ast
import functools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

TOP_LEVEL_FILES = 8
_BATTERY = re.compile(r"batter(y|ies)|(?<![a-z])(bms|soc|cells?|voltages?)(?![a-z])", re.I)

_parse = functools.cache(ast.parse)


@dataclass(frozen=True)
class Module:
    """A source file, by the name it is imported by, and the room of the document it lies in."""

    name: str
    path: Path
    room: str

    @property
    def package(self) -> str:
        """What a relative import starts from."""
        return self.name if self.path.stem == "__init__" else self.name.rpartition(".")[0]


def problems(root: Path) -> list[str]:
    """Return a sentence for each rule that is broken and by what; none if all is well."""
    found = []
    text = (root / "docs/ARCHITECTURE.md").read_text()
    board, pc = rooms(text, "On the board"), rooms(text, "On the PC")
    for allowed, modules in ((board, board_modules(root, board)), (pc, pc_modules(root))):
        found += _order(allowed)
        found += _walls(modules, allowed)
        found += _circles(modules) + _private(modules)
    simulator = _modules(root / "sim", "", "sim/")
    found += _unreal(board_modules(root, board), simulator, text)
    found += _circles(simulator) + _private(simulator)
    files = sorted(path.name for path in root.glob("*.py"))
    if len(files) > TOP_LEVEL_FILES:
        found.append(f"the top level has {len(files)} Python files: {' '.join(files)}")
    return found + _batteries(root / "lib")


def rooms(text: str, heading: str) -> dict[str, list[str]]:
    """Return {room: rooms it may import} of the table below a heading, the highest room first."""
    section = text.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    rows = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("| `")]
    return {row[0].strip(" `"): re.findall("`([^`]+)`", row[-1]) for row in rows}


def board_modules(root: Path, names: Iterable[str]) -> list[Module]:
    """Return the board's modules: those at the top level, and those in the rooms `names`."""
    found = [Module(path.stem, path, path.name) for path in sorted(root.glob("*.py"))]
    for room in names:
        if room.endswith("/"):
            prefix = "" if room == "lib/" else room[:-1]
            found += _modules(root / room, prefix, room)
    return found


def pc_modules(root: Path) -> list[Module]:
    """Return the modules of the command `batmon`; a room is a folder or a file of its package."""
    found = []
    for path in sorted((root / "host/batmon").iterdir()):
        if path.is_dir():
            found += _modules(path, f"batmon.{path.name}", f"{path.name}/")
        elif path.suffix == ".py":
            name = "batmon" if path.stem == "__init__" else f"batmon.{path.stem}"
            found.append(Module(name, path, path.name))
    return found


def _modules(folder: Path, prefix: str, room: str) -> list[Module]:
    found = []
    for path in sorted(folder.rglob("*.py")):
        parts = [prefix, *path.relative_to(folder).with_suffix("").parts]
        name = ".".join(part for part in parts if part not in ("", "__init__"))
        found.append(Module(name, path, room))
    return found


def _imports(module: Module, known: set[str]) -> Iterator[tuple[str, ast.alias, int]]:
    """Yield each import anywhere in a module: the other's dotted name, what of it, the line."""
    for node in ast.walk(_parse(module.path.read_text())):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, alias, node.lineno
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = module.package.split(".")
                parts = parts[: len(parts) - node.level + 1]
                base = ".".join([*parts, base] if base else parts)
            for alias in node.names:
                name = f"{base}.{alias.name}"
                yield name if name in known else base, alias, node.lineno


def _order(allowed: dict[str, list[str]]) -> list[str]:
    """A room may import from rooms below it in the table only, so that there is no way back."""
    found = [] if allowed else ["docs/ARCHITECTURE.md has no table of rooms"]
    order = list(allowed)
    for room, below in allowed.items():
        for other in below:
            if other not in order:
                found.append(f"{room} may import {other}, which is no room")
            elif order.index(other) <= order.index(room):
                found.append(f"{room} may import {other}, which is not below it")
    return found


def _walls(modules: list[Module], allowed: dict[str, list[str]]) -> list[str]:
    """No import goes into a room that the table does not say; every module is in a room."""
    found = [f"{m.name} is in no room of the table" for m in modules if m.room not in allowed]
    lies_in = {module.name: module.room for module in modules}
    for room in allowed:  # some of a room may be made at build time
        if room.endswith("/") and room != "lib/":
            lies_in.setdefault(room[:-1], room)
    for module in modules:
        for name, _, line in _imports(module, set(lies_in)):
            room = lies_in.get(name) or lies_in.get(name.split(".")[0])
            if room and room != module.room and room not in allowed.get(module.room, ()):
                found.append(f"{module.name}:{line} in {module.room} imports {name} of {room}")
    return found


def _unreal(board: list[Module], simulator: list[Module], text: str) -> list[str]:
    """The board's code imports of the simulator only what a real board has."""
    real = re.search(r"no more than these names:\s+`([^`]+)`", text)
    unreal = {module.name for module in simulator} - {module.name for module in board}
    found = []
    for module in board:
        for name, _, line in _imports(module, set()):
            if name in unreal and name.split(".")[0] not in (real[1].split() if real else ()):
                found.append(f"{module.name}:{line} imports {name}, which only the simulator has")
    return found


def _circles(modules: list[Module]) -> list[str]:
    """Return the circles of imports, also of those inside functions."""
    known = {module.name for module in modules}
    ways = {m.name: {name for name, _, _ in _imports(m, known)} & known for m in modules}
    done, found = set(), []

    def walk(name, path):
        if name in path:
            found.append("circle of imports: " + " > ".join([*path[path.index(name) :], name]))
        elif name not in done:
            for other in sorted(ways[name]):
                walk(other, [*path, name])
            done.add(name)

    for name in ways:
        walk(name, [])
    return found


def _private(modules: list[Module]) -> list[str]:
    """No module imports or takes from another what begins with an underscore."""
    known = {module.name for module in modules}
    found = []
    for module in modules:
        others = set()  # what is a module of ours here
        for name, alias, line in _imports(module, known):
            if name in known and name.split(".")[-1] == alias.name.split(".")[-1]:
                others.add(alias.asname or alias.name)
            elif name in known and _hidden(alias.name):
                found.append(f"{module.name}:{line} imports {alias.name} of {name}")
        for node in ast.walk(_parse(module.path.read_text())):
            hidden = isinstance(node, ast.Attribute) and _hidden(node.attr)
            if hidden and ast.unparse(node.value) in others:
                found.append(f"{module.name}:{node.lineno} uses {ast.unparse(node)}")
    return found


def _hidden(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def _batteries(lib: Path) -> list[str]:
    """Nothing that lib/ names or says, other than in comments, is about batteries."""
    found = []
    for path in sorted(lib.rglob("*.py")):
        for node in ast.walk(_parse(path.read_text())):
            for field in ("id", "attr", "arg", "name", "module", "value"):
                word = getattr(node, field, None)
                if isinstance(word, str) and (match := _BATTERY.search(word)):
                    found.append(
                        f"{path.relative_to(lib.parent)}:{node.lineno} is about {match[0]}"
                    )
    return found
