"""Takes away what the chosen drivers never use: functions, classes, constants and imports.

A definition stays if its name occurs anywhere in code that stays, whatever is meant by it there:
too much may stay, nothing that is used can go. Before that go methods that every class which is
nobody's base has a method of its own for, if nobody asks a base for them; what a class has in the
place of a method of bytes that nobody calls on what holds one; and what only prints an object.
"""

import ast
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_PRINTING = ("__repr__", "__str__")


def drop(folder: Path, users: Iterable[Path]) -> None:
    """Rewrite the modules below `folder`, whose code is also used by the files `users`."""
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in folder.rglob("*.py")}
    uses = _Uses()
    others = [ast.parse(path.read_text(encoding="utf-8")) for path in users]
    for tree in others:
        uses.of_all(tree, outside=True)
    uses.hidden = _hidden([*trees.values(), *others]) | _uncalled([*trees.values()])
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
        self.hidden: set[ast.AST] = set()  # methods that nobody can reach whatever their names

    def size(self) -> int:
        return len(self.names) + len(self.attributes)

    def of_all(self, tree: ast.AST, outside: bool = False) -> None:
        """Add what occurs in `tree`. Outside, the private parts of a class are no driver's, nor is
        a name by itself, if it is not imported."""
        for node in ast.walk(tree):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
                if not outside:
                    self.names.add(node.id)
            elif isinstance(node, ast.Attribute):
                own = outside and node.attr.startswith("_") and _last(node.value) == "self"
                if not own:
                    self.attributes.add(node.attr)
            elif isinstance(node, ast.alias):
                self.attributes.add(node.name)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                self.attributes.add(node.value)

    def reach(self, name: str, inside_class: bool, node: ast.AST | None = None) -> bool:
        """Whether what is defined as `name` stays; a function cannot see its class's names."""
        if node in self.hidden:
            return False
        special = name.startswith("__") and name.endswith("__") and name not in _PRINTING
        return special or name in self.attributes or (not inside_class and name in self.names)


def _hidden(trees: list[ast.Module]) -> set[ast.AST]:
    """Return the methods of bases that each of their heirs has of its own, and nobody asks for.

    A class is known by its name: where several have it, all have to be so.
    """
    classes = defaultdict(list)  # by name
    heirs = defaultdict(list)  # of the class of that name
    bases = set()  # the places where a class is named as a base
    for node in (node for tree in trees for node in ast.walk(tree)):
        if isinstance(node, ast.ClassDef):
            classes[node.name].append(node)
            bases.update(node.bases)
            for base in node.bases:
                heirs[_last(base)].append(node)
    alone = set()  # names that occur by themselves: such a class may have objects of its own
    asked = set()  # what is asked of a base: super().x, Base.x
    for node in (node for tree in trees for node in ast.walk(tree)):
        if isinstance(node, ast.Attribute):
            itself = isinstance(node.value, ast.Call) and _last(node.value.func) == "super"
            if itself or _last(node.value) in heirs:
                asked.add(node.attr)
                bases.add(node.value)
    for node in (node for tree in trees for node in ast.walk(tree)):
        if isinstance(node, ast.Name | ast.Attribute) and node not in bases:
            alone.add(_last(node))

    def overridden(name: str, method: str) -> bool:
        return name not in alone and all(
            method in _methods(heir) or (heirs[heir.name] and overridden(heir.name, method))
            for heir in heirs[name]
        )

    return {
        node
        for name in [name for name in heirs if heirs[name]]
        for klass in classes[name]
        for method, node in _methods(klass).items()
        if not method.startswith("__") and method not in asked and overridden(name, method)
    }


def _uncalled(trees: list[ast.Module]) -> set[ast.AST]:
    """Return the methods of bytes that classes of bytes have of their own, and nobody calls.

    Objects of such a class are in attributes and variables that are set to one, or to another such.
    """
    nodes = [node for tree in trees for node in ast.walk(tree)]
    classes = [node for node in nodes if isinstance(node, ast.ClassDef)
               and "bytearray" in map(_last, node.bases)]  # fmt: skip
    holders = {klass.name for klass in classes}
    while True:
        before = len(holders)
        for node in nodes:
            if isinstance(node, ast.Assign) and _words(node.value) & holders:
                holders |= {_last(target) for target in node.targets} - {""}
        if len(holders) == before:
            break
    called = {node.attr for node in nodes
              if isinstance(node, ast.Attribute) and _words(node.value) & holders}  # fmt: skip
    return {
        method
        for klass in classes
        for name, method in _methods(klass).items()
        if hasattr(bytearray, name) and not name.startswith("__") and name not in called
    }


def _words(node: ast.AST) -> set[str]:
    return {_last(part) for part in ast.walk(node)}


def _methods(node: ast.ClassDef) -> dict[str, ast.AST]:
    return {part.name: part for part in node.body if isinstance(part, _FUNCTIONS)}


def _last(node: ast.AST) -> str:
    """Return the last name of a.b.c."""
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def _note(block: ast.Module | ast.ClassDef, uses: _Uses, inside_class: bool) -> None:
    """Add what the code uses that stays as far as `uses` knows."""
    for node in block.body:
        name = _defined(node)
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if uses.reach(alias.asname or alias.name, inside_class):
                    uses.attributes.add(alias.name)
        elif name is None or uses.reach(name, inside_class, node):
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
        elif name is not None and not uses.reach(name, inside_class, node):
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
