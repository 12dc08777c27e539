"""Turns a finished tree into readable source with upstream's project, licence and version."""

import ast
import re
import textwrap
from collections.abc import Iterator
from itertools import pairwise

from batmon.drivers.module import Module, origin

_WIDTH = 100


def source_of(module: Module, version: str) -> str:
    """The module as MicroPython source text, the same for the same input."""
    _spell_numbers(module)
    imports = [part for part in module.tree.body if isinstance(part, ast.Import | ast.ImportFrom)]
    rest = [part for part in module.tree.body if part not in imports]
    texts = [ast.unparse(ast.Module(part, [])) for part in (imports, rest)]
    lines = [part for text in texts for line in [*text.splitlines(), ""] for part in _wrapped(line)]
    return f"{_header(module, version)}\n" + "\n".join(lines)


def _header(module: Module, version: str) -> str:
    project, licence = _rights(module.source)
    if not licence:
        # A few modules of older releases leave that to their package.
        package = module.path.with_name("__init__.py")
        project, licence = _rights(package.read_text(encoding="utf-8") if package.exists() else "")
    source = origin(module.name)
    if "Apache-2.0" not in licence:
        raise module.refuse(module.tree, "no Apache-2.0 licence line")
    return (
        f"# Translated for MicroPython by batmon, do not edit. From {source} {version}.\n"
        f"# {project} {licence}"
    )


def _rights(source: str) -> tuple[str, str]:
    """The lines of a module's docstring that name project and licence, or "" for each."""
    lines = [line.strip() for line in (ast.get_docstring(ast.parse(source)) or "").splitlines()]
    return tuple(
        next((line for line in lines if line.startswith(start)), "")
        for start in ("Project:", "License:")
    )


def _spell_numbers(module: Module) -> None:
    """Keep hexadecimal numbers as upstream wrote them."""
    lines = module.source.splitlines()
    for node in ast.walk(module.tree):
        for field, value in ast.iter_fields(node):
            parts = value if isinstance(value, list) else [value]
            for index, part in enumerate(parts):
                spelled = _hexadecimal(part, lines)
                if spelled and isinstance(value, list):
                    value[index] = spelled
                elif spelled:
                    setattr(node, field, spelled)


def _hexadecimal(node: object, lines: list[str]) -> ast.Name | None:
    if not isinstance(node, ast.Constant) or type(node.value) is not int:
        return None
    line = getattr(node, "lineno", 0)
    text = lines[line - 1].encode()[node.col_offset :] if 0 < line <= len(lines) else b""
    found = re.match(rb"0x[0-9A-Fa-f]+", text)
    if found and int(found[0], 16) == node.value:
        return ast.Name(found[0].decode(), ast.Load())
    return None


def _wrapped(line: str) -> list[str]:
    """A line broken at the commas of its outermost brackets until it fits."""
    if len(line) <= _WIDTH:
        return [line]
    if line.startswith("from "):
        head, _, names = line.partition(" import ")
        return [f"{head} import (", *_wrapped_names(names), ")"]
    indent = line[: len(line) - len(line.lstrip())]
    opening, closing, cuts = _outermost(line)
    if opening < 0:
        return [line]
    bounds = [opening + 1, *cuts, closing]
    pieces = [line[: opening + 1]]
    for start, end in pairwise(bounds):
        part = line[start:end].strip()
        if part:
            pieces += _wrapped(f"{indent}    {part}")
    return [*pieces, indent + line[closing:]]


def _wrapped_names(names: str) -> list[str]:
    return textwrap.wrap(f"{names},", _WIDTH, initial_indent="    ", subsequent_indent="    ")


def _outermost(line: str) -> tuple[int, int, list[int]]:
    """The longest bracket pair that can be cut: where it opens and closes, where to cut it."""
    best: tuple[int, int, list[int]] = (-1, -1, [])
    stack: list[list] = []  # start, cuts, is a comprehension
    for at, char in _code_characters(line):
        if char in "([{":
            stack.append([at, [], False])
        elif not stack:
            continue
        elif char == "," and not stack[-1][2]:
            stack[-1][1].append(at + 1)
        elif line.startswith(" for ", at):
            if not stack[-1][2]:
                stack[-1][1:] = [[], True]
            stack[-1][1].append(at)
        elif char in ")]}":
            start, cuts, _ = stack.pop()
            if cuts and at - start > best[1] - best[0]:
                best = (start, at, cuts)
    return best


def _code_characters(line: str) -> Iterator[tuple[int, str]]:
    """Positions and characters of a line outside of its string literals."""
    quote, escaped = "", False
    for at, char in enumerate(line):
        if quote:
            if escaped:
                escaped = False
            elif char == "\\":
                escaped = True
            elif char == quote:
                quote = ""
        elif char in "\"'":
            quote = char
        else:
            yield at, char
