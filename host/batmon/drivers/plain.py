"""Derived values in the board's own floats: on a chip their last digit may differ from the PC's.

What a driver decodes and decides stays exact. Power, capacity, runtime and the like serve the
display and InfluxDB only, and exact arithmetic for them takes 2.5 kB. If then nobody asks for a
quotient's exact value any more, quotients are plain too and nothing is remembered of them.
"""

import ast
from pathlib import Path

_DERIVED = ("_sample_calc.py", "_sample_packs.py")
_OPERATIONS = {
    "exact_add": ast.Add,
    "exact_sub": ast.Sub,
    "exact_mul": ast.Mult,
    "exact_div": ast.Div,
}
_FUNCTIONS = {"exact_sum": "sum", "exact_mean": "mean", "exact_round": "round", "trunc": "int"}
_EXACT = {*_OPERATIONS, *_FUNCTIONS, "as_float"}  # functions of aiobmsble/exact.py


def derive(folder: Path) -> None:
    """Rewrite the modules of a translated `aiobmsble` that derive values from others."""
    for path in (folder / name for name in _DERIVED):
        if path.exists():
            tree = _Plain().visit(ast.parse(path.read_text(encoding="utf-8")))
            source = "from aiobmsble.compat import mean\n"
            _write(path, source + ast.unparse(ast.fix_missing_locations(tree)))
    exact = folder / "exact.py"
    users = [path for path in folder.rglob("*.py") if path != exact]
    if exact.exists() and not any(_names(path) & _EXACT for path in users):
        tree = _Quotients().visit(ast.parse(exact.read_text(encoding="utf-8")))
        _write(exact, ast.unparse(ast.fix_missing_locations(tree)))


class _Plain(ast.NodeTransformer):
    """Takes calls of exact functions back to operators and builtins."""

    def visit_Call(self, node: ast.Call):
        self.generic_visit(node)
        label = getattr(node.func, "id", "")
        if label in _OPERATIONS:
            return ast.BinOp(node.args[0], _OPERATIONS[label](), node.args[1])
        if label == "as_float":
            return node.args[0]
        return node

    def visit_Name(self, node: ast.Name):
        node.id = _FUNCTIONS.get(node.id, node.id)
        return node

    def visit_ImportFrom(self, node: ast.ImportFrom):
        return None if node.module == "aiobmsble.exact" else node


class _Quotients(ast.NodeTransformer):
    """Makes quotient(n, d) a division where a function of the module calls it."""

    def visit_Call(self, node: ast.Call):
        self.generic_visit(node)
        if getattr(node.func, "id", "") == "quotient":
            return ast.BinOp(node.args[0], ast.Div(), node.args[1])
        return node


def _names(path: Path) -> set[str]:
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    return {node.id for node in nodes if isinstance(node, ast.Name)}


def _write(path: Path, code: str):
    """Write code with the comments that say where it is from."""
    lines = path.read_text(encoding="utf-8").splitlines()
    head = [line for line in lines[:2] if line.startswith("#")]
    path.write_text("\n".join([*head, code]) + "\n", encoding="utf-8")
