"""Takes away what the chosen drivers never use: functions, classes, constants and imports.

A definition stays if its name occurs anywhere in code that stays, whatever is meant by it there:
too much may stay, nothing that is used can go.
"""

import ast
from collections.abc import Iterable
from pathlib import Path

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def drop(folder: Path, users: Iterable[Path]) -> None:
    """Rewrite the modules below `folder`, whose code is also used by the files `users`."""
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in folder.rglob("*.py")}
    uses = _Uses()
    for path in users:
        uses.of_all(ast.parse(path.read_text(encoding="utf-8")))
    while True:
        before = uses.size()
        for tree in trees.values():
            _note(tree, uses, inside_class=False)
        if uses.size() == before:
            break
    for path, tree in trees.items():
        lines = path.read_text(encoding="utf-8").splitlines()
        for start, end, text in reversed(_edits(tree, uses, inside_class=False)):
            lines[start - 1 : end] = text
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")


class _Uses:
    """The names that occur: of variables, and of attributes, which strings may name as well."""

    def __init__(self):
        self.names: set[str] = set()
        self.attributes: set[str] = set()

    def size(self) -> int:
        return len(self.names) + len(self.attributes)

    def of_all(self, tree: ast.AST) -> None:
        """Add what occurs in `tree`."""
        for node in ast.walk(tree):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
                self.names.add(node.id)
            elif isinstance(node, ast.Attribute):
                self.attributes.add(node.attr)
            elif isinstance(node, ast.alias):
                self.attributes.add(node.name)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                self.attributes.add(node.value)

    def reach(self, name: str, inside_class: bool) -> bool:
        """Whether what is defined as `name` stays; a function cannot see its class's names."""
        special = name.startswith("__") and name.endswith("__")
        return special or name in self.attributes or (not inside_class and name in self.names)


def _note(block: ast.Module | ast.ClassDef, uses: _Uses, inside_class: bool) -> None:
    """Add what the code uses that stays as far as `uses` knows."""
    for node in block.body:
        name = _defined(node)
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if uses.reach(alias.asname or alias.name, inside_class):
                    uses.attributes.add(alias.name)
        elif name is None or uses.reach(name, inside_class):
            if isinstance(node, ast.ClassDef):
                for part in (*node.bases, *node.keywords, *node.decorator_list):
                    uses.of_all(part)
                _note(node, uses, inside_class=True)
            else:
                uses.of_all(node)
                if inside_class and not isinstance(node, _FUNCTIONS):
                    uses.attributes |= {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}


def _edits(block: ast.Module | ast.ClassDef, uses: _Uses, inside_class: bool) -> list[tuple]:
    """Return (first line, last line, lines to be there instead) of what does not stay, in order."""
    edits = []
    for node in block.body:
        name = _defined(node)
        if isinstance(node, ast.ImportFrom):
            names = [a for a in node.names if uses.reach(a.asname or a.name, inside_class)]
            if names != node.names:
                text = ast.unparse(ast.ImportFrom(node.module, names, node.level))
                edits.append((node.lineno, node.end_lineno, [text] if names else []))
        elif name is not None and not uses.reach(name, inside_class):
            first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", ()))])
            edits.append((first, node.end_lineno, []))
        elif isinstance(node, ast.ClassDef):
            inner = _edits(node, uses, inside_class=True)
            if len(inner) == len(node.body):
                first = node.body[0]
                inner = [(first.lineno, node.end_lineno, [" " * first.col_offset + "pass"])]
            edits += inner
    return edits


def _defined(node: ast.stmt) -> str | None:
    """Return the one name that a statement defines, None if it may do anything else."""
    if isinstance(node, (*_FUNCTIONS, ast.ClassDef)):
        return node.name
    if isinstance(node, ast.Assign) and len(node.targets) == 1:
        target = node.targets[0]
        return target.id if isinstance(target, ast.Name) else None
    return None
