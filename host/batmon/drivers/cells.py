"""What a driver's cell_voltages are, told apart when it is translated; and cells at 0 V stay.

`CELLS` of a translated BMS class is STRING if they are all cells of one string in series, so that
they add up to the pack's voltage; EXTREMES if they are the highest and the lowest of more; else 0:
the driver tells packs in parallel, or no cells.
"""

import ast

from batmon.drivers.module import Module, Rewriter, call, last_name

STRING = 1
EXTREMES = 2


def kind(tree: ast.AST) -> int:
    """Return the `CELLS` of a driver's module."""
    words = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    words |= {node.arg for node in ast.walk(tree) if isinstance(node, ast.keyword)}
    if "packs" in words or "cell_voltages" not in words:
        return 0
    # A battery has any number of cells: who asks for two has no more of them.
    return EXTREMES if any(_counts_two(node) for node in ast.walk(tree)) else STRING


def _counts_two(node: ast.AST) -> bool:
    if not isinstance(node, ast.Call) or last_name(node.func) != "_cell_voltages":
        return False
    return any(
        word.arg == "cells" and isinstance(word.value, ast.Constant) and word.value.value == 2
        for word in node.keywords
    )


def note(module: Module) -> None:
    """Write `CELLS` into the class of a driver whose cells are of interest."""
    found = kind(module.tree)
    for node in module.tree.body:
        if found and isinstance(node, ast.ClassDef) and node.name == "BMS":
            node.body.append(ast.parse(f"CELLS = {found}").body[0])
            ast.copy_location(node.body[-1], node)
            ast.fix_missing_locations(node)


class Zeros(Rewriter):
    """Upstream leaves cells at 0 V out, which gives all behind them wrong numbers: they stay.

    aiobmsble/connection.py then takes away those at the end that were never fitted. A driver that
    learns from the number of cells whether to ask for more gets what upstream would count.
    """

    def visit_FunctionDef(self, node: ast.FunctionDef):
        if node.name == "_cell_voltages":
            for inner in ast.walk(node):
                if isinstance(inner, ast.comprehension):
                    inner.ifs = [_never_false(test) for test in inner.ifs]
        return self.generic_visit(node)

    def visit_Call(self, node: ast.Call):
        self.generic_visit(node)
        if last_name(node.func) == "_cell_voltages" and "len(cells) == 0" in self.module.source:
            return call("without_zeros_behind", node)
        return node


def _never_false(test: ast.expr) -> ast.expr:
    """Return a condition in which a value that is bound and tested counts as true, also if 0."""
    if isinstance(test, ast.BoolOp):
        test.values = [_never_false(part) for part in test.values]
    elif isinstance(test, ast.NamedExpr):
        none = ast.Compare(test, [ast.IsNot()], [ast.Constant(None)])
        return ast.copy_location(none, test)
    return test
