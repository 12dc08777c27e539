"""The names in compiled MicroPython modules: what the interpreter keeps in its table for ever."""

import ast
from collections.abc import Iterable
from pathlib import Path


def of(files: Iterable[Path]) -> list[str]:
    """Return the names in .mpy files and sources, in order, each once."""
    names = {}
    for file in files:
        data = file.read_bytes()
        names |= dict.fromkeys(_source(data) if file.suffix == ".py" else _mpy(data))
    return list(names)


def offered(files: Iterable[Path]) -> set[str]:
    """Return the public names that the sources of modules define, and those of their classes."""
    names = set()
    for file in files:
        tree = ast.parse(file.read_bytes())
        for block in (tree, *(node for node in tree.body if isinstance(node, ast.ClassDef))):
            for node in block.body:
                names |= {getattr(node, "name", "_")}
                names |= {target.id for target in getattr(node, "targets", ())
                          if isinstance(target, ast.Name)}  # fmt: skip
    return {name for name in names if not name.startswith("_")}


def _source(data: bytes) -> list[str]:
    names = []
    for node in ast.walk(ast.parse(data)):
        for field in ("id", "attr", "name", "arg", "asname", "module"):
            names += str(getattr(node, field, None) or "").split(".")
        if isinstance(getattr(node, "value", None), str):
            names.append(node.value)
    return [name for name in names if name]


def _mpy(data: bytes) -> list[str]:
    if data[:1] != b"M":
        raise ValueError("not a .mpy file")
    at = 4

    def number() -> int:
        nonlocal at
        value = 0
        while True:
            byte = data[at]
            at += 1
            value = value << 7 | byte & 0x7F
            if not byte & 0x80:
                return value

    count, _ = number(), number()
    names = []
    for _ in range(count):
        size = number()
        if size & 1:  # one that every interpreter has
            continue
        size >>= 1
        names.append(data[at : at + size].decode())
        at += size + 1
    return names
