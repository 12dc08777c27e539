"""Names in a source: where they are, and what else may be written in their place."""

import ast
import builtins
import re
import string
from collections import defaultdict
from collections.abc import Iterable, Iterator

from batmon.firmware import rom

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_SCOPES = (ast.Global, ast.Nonlocal)
_LETTERS = string.ascii_letters + string.digits


def places(tree: ast.AST) -> Iterator[tuple[str, tuple]]:
    """Yield (name, place) of all but arguments; a place is (line, column in bytes, name)."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            yield node.id, (node.lineno, node.col_offset, node.id)
        elif isinstance(node, ast.Attribute):
            column = node.end_col_offset - len(node.attr.encode())
            yield node.attr, (node.end_lineno, column, node.attr)
        elif isinstance(node, (*FUNCTIONS, ast.ClassDef)):
            yield node.name, (node.lineno, node.col_offset, node.name)  # somewhere behind it
        elif isinstance(node, ast.alias):
            yield node.name, (node.lineno, node.col_offset, node.name)
        elif isinstance(node, ast.Global | ast.Nonlocal):
            for name in node.names:
                yield name, (node.lineno, node.col_offset, name)


def replaced(text: str, edits: list[tuple[tuple, str]]) -> str:
    """Return the text with the word at or behind each place replaced."""
    lines = [line.encode() for line in text.split("\n")]
    by_line = defaultdict(dict)
    for (line, column, old), new in edits:
        if old != new:
            pattern = re.compile(rb"\b%s\b" % old.encode())
            match = pattern.search(lines[line - 1], column)
            by_line[line][match.start()] = match.end(), new.encode()
    for line, found in by_line.items():
        code = lines[line - 1]
        for start in sorted(found, reverse=True):
            end, new = found[start]
            code = code[:start] + new + code[end:]
        lines[line - 1] = code
    return b"\n".join(lines).decode()


def constants(tree: ast.Module) -> set[str]:
    """Return the private names that the compiler replaces by their values: they cost nothing."""
    names = set()
    for node in tree.body:
        value = getattr(node, "value", None)
        if isinstance(node, ast.Assign) and last(getattr(value, "func", None)) == "const":
            names |= {last(target) for target in node.targets}
    return {name for name in names if name.startswith("_")}


def families(trees: Iterable[ast.Module]) -> dict[str, str]:
    """Return the family of each class by its name; of none whose bases are not all known."""
    bases = defaultdict(set)
    for tree in trees:
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                bases[node.name] |= {last(base) for base in node.bases}
    family = {klass: klass for klass in bases}

    def root(klass: str) -> str:
        while family[klass] != klass:
            klass = family[klass]
        return klass

    strangers = set()
    for klass, its_bases in bases.items():
        for base in its_bases:
            if base in bases:
                family[root(klass)] = root(base)
            elif not hasattr(builtins, base):
                strangers.add(klass)
    strange = {root(klass) for klass in strangers}
    return {klass: root(klass) for klass in bases if root(klass) not in strange}


def taken(trees: Iterable[ast.Module]) -> set[str]:
    """Return all words that sources use: names of anything, and words in strings."""
    used = set()
    for tree in trees:
        for node in ast.walk(tree):
            used |= {str(getattr(node, name, "")) for name in ("id", "attr", "arg", "asname")}
            used |= words([str(getattr(node, name, "")) for name in ("name", "module", "value")])
            used |= set(getattr(node, "names", ())) if isinstance(node, _SCOPES) else set()
    return used


def fresh(used: set[str]) -> Iterator[str]:
    """Yield names that are not in use: those that cost nothing, then short private ones."""
    yield from (name for name in rom.FREE if name not in used)
    for tail in ("", *_LETTERS):
        for letter in _LETTERS:
            if f"_{letter}{tail}" not in used:
                yield f"_{letter}{tail}"


def words(texts) -> set[str]:
    return {word for text in texts for word in re.findall(r"\w+", text)}


def last(node: ast.AST) -> str:
    """Return the last name of a.b.c."""
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")
