"""Passes for arithmetic: single floats must not change an integer or a decision."""

import ast

from batmon.drivers.module import Module, Rewriter, call, last_name, literal, name

_SHARED = {
    "lambda x: x": "same",
    "lambda x: x / 10": "div10",
    "lambda x: x / 100": "div100",
    "lambda x: x / 1000": "div1000",
    "lambda x: x // 10": "int10",
    "lambda x: x // 100": "int100",
    "lambda x: x // 1000": "int1000",
}
_OPERATIONS = {
    ast.Add: "exact_add",
    ast.Sub: "exact_sub",
    ast.Mult: "exact_mul",
    ast.Div: "exact_div",
}
_SUMS = {"sum": "exact_sum", "fmean": "exact_mean"}
# Here every quotient and sum may end in an integer or a comparison, so all are exact.
_EXACT_MODULES = {"aiobmsble._sample_calc", "aiobmsble._sample_packs"}


class SharedLambdas(Rewriter):
    """The conversions that many fields have in common are one function each."""

    def visit_Lambda(self, node: ast.Lambda):
        shared = _SHARED.get(ast.unparse(node))
        return name(shared) if shared else self.generic_visit(node)


class Quotients(Rewriter):
    """A lambda that divides or scales by a constant keeps the exact value for later arithmetic."""

    def visit_Lambda(self, node: ast.Lambda):
        body = node.body
        if not isinstance(body, ast.BinOp):
            return node
        constant = _constant(body.right)
        if isinstance(body.op, ast.Div) and constant and constant == int(constant):
            node.body = call("quotient", body.left, literal(int(constant)))
        elif isinstance(body.op, ast.Mult) and self._is_float(body.right):
            node.body = call("as_float", call("exact_mul", body.left, body.right))
        return node

    def _is_float(self, node: ast.expr) -> bool:
        if isinstance(node, ast.Attribute):
            return isinstance(getattr(self.module.host_class(), node.attr, None), float)
        return isinstance(_constant(node), float)


def _constant(node: ast.expr) -> float:
    try:
        return ast.literal_eval(node)
    except ValueError:
        return 0


class ExactNumbers(Rewriter):
    """`int()` and `round()` of a computed float are done in the PC's double precision."""

    def visit_Call(self, node: ast.Call):
        label = node.func.id if isinstance(node.func, ast.Name) else ""
        if label == "round":
            return self._rounded(node)
        if label == "int" and len(node.args) == 1 and _is_float(node.args[0]):
            return call("trunc", self._exact(node.args[0]))
        return self.generic_visit(node)

    def visit_Name(self, node: ast.Name):
        return name(_SUMS[node.id]) if node.id in _SUMS and self._everything() else node

    def visit_BinOp(self, node: ast.BinOp):
        constant = isinstance(node.left, ast.Constant) and isinstance(node.right, ast.Constant)
        if self._everything() and isinstance(node.op, ast.Div | ast.Mult) and not constant:
            return call("as_float", self._exact(node))
        return self.generic_visit(node)

    def _everything(self) -> bool:
        return self.module.name in _EXACT_MODULES

    def _rounded(self, node: ast.Call) -> ast.expr:
        digits = node.args[1:] or [ast.Constant(None)]
        return call("exact_round", self._exact(node.args[0]), *digits)

    def _exact(self, node: ast.expr) -> ast.expr:
        """The expression in terms of exact operations; what is no arithmetic is a leaf."""
        if isinstance(node, ast.BinOp) and type(node.op) in _OPERATIONS:
            return call(_OPERATIONS[type(node.op)], self._exact(node.left), self._exact(node.right))
        return self.visit(node)


def _is_float(node: ast.expr) -> bool:
    """Whether an expression computes a float: it divides or rounds."""
    if isinstance(node, ast.Call) and last_name(node.func) == "round":
        return True
    return isinstance(node, ast.BinOp) and any(
        isinstance(part, ast.BinOp) and isinstance(part.op, ast.Div) for part in ast.walk(node)
    )


def check_floor(module: Module) -> None:
    """Refuse `//` and `%` with a float constant; of single floats they can be off by one."""
    for node in ast.walk(module.tree):
        if not isinstance(node, ast.BinOp) or not isinstance(node.op, ast.FloorDiv | ast.Mod):
            continue
        if any(isinstance(getattr(side, "value", 0), float) for side in (node.left, node.right)):
            raise module.refuse(node, "floor of a float")
