"""Passes that take away what a board has no use for: text, types, debug output, decorators."""

import ast

from batmon.drivers.module import Module, Rewriter, call, last_name, name

_TYPING = {"typing", "collections.abc", "__future__", "abc", "types"}
_SILENT = {"debug", "info"}
_NO_EFFECT = {"final", "override", "abstractmethod", "overload", "unique"}
_CACHES = {"lru_cache", "cache"}


class Docstrings(Rewriter):
    """Drop docstrings and other statements that are a bare constant."""

    def visit_Expr(self, node: ast.Expr):
        return None if isinstance(node.value, ast.Constant) else self.generic_visit(node)


class Logging(Rewriter):
    """Drop log calls below warning; refuse one whose arguments have an effect."""

    def visit_Expr(self, node: ast.Expr):
        function = getattr(node.value, "func", None)
        if not isinstance(function, ast.Attribute) or function.attr not in _SILENT:
            return node
        if last_name(function.value) != "_log":
            return node
        if any(isinstance(part, ast.NamedExpr | ast.Await) for part in ast.walk(node)):
            raise self.module.refuse(node, f"effect inside {function.attr}()")
        return None


class Annotations(Rewriter):
    """Drop annotations, type aliases, casts and the imports that only serve them."""

    def visit_AnnAssign(self, node: ast.AnnAssign):
        if node.value is None:
            return None
        return self.generic_visit(ast.copy_location(ast.Assign([node.target], node.value), node))

    def visit_TypeAlias(self, node: ast.TypeAlias):
        return None

    def visit_ImportFrom(self, node: ast.ImportFrom):
        return None if node.module in _TYPING else node

    def visit_arg(self, node: ast.arg):
        node.annotation = None
        return node

    def visit_Call(self, node: ast.Call):
        if last_name(node.func) == "cast" and len(node.args) == 2:
            return self.visit(node.args[1])
        return self.generic_visit(node)

    def _function(self, node):
        node.returns = None
        if node.type_params or node.args.posonlyargs:
            raise self.module.refuse(node, "type parameters or positional-only arguments")
        return self.generic_visit(node)

    visit_FunctionDef = visit_AsyncFunctionDef = _function


class Decorators(Rewriter):
    """Drop decorators without effect and caches; a cached function without arguments runs once."""

    def _function(self, node):
        kept = []
        for decorator in node.decorator_list:
            called = decorator.func if isinstance(decorator, ast.Call) else decorator
            label = last_name(called)
            if label in _CACHES and not node.args.args:
                kept.append(name("once"))
            elif label in {"staticmethod", "classmethod", "property"}:
                kept.append(decorator)
            elif label not in _NO_EFFECT | _CACHES:
                raise self.module.refuse(node, f"decorator {label}")
        node.decorator_list = kept
        return self.generic_visit(node)

    visit_FunctionDef = visit_AsyncFunctionDef = _function


class Causes(Rewriter):
    """`raise X from Y` becomes `raise X`; MicroPython keeps no chain."""

    def visit_Raise(self, node: ast.Raise):
        node.cause = None
        return self.generic_visit(node)


class Asserts(Rewriter):
    """`assert` becomes an `if` that raises, so that an optimising compiler cannot drop it."""

    def visit_Assert(self, node: ast.Assert):
        node = self.generic_visit(node)
        error = call("AssertionError", *([node.msg] if node.msg else []))
        test = node.test
        if isinstance(test, ast.Compare) and len(test.ops) == 1:
            opposite = _OPPOSITE.get(type(test.ops[0]))
            if opposite:
                flipped = ast.Compare(test.left, [opposite()], test.comparators)
                return ast.If(flipped, [ast.Raise(error)], [])
        return ast.If(ast.UnaryOp(ast.Not(), test), [ast.Raise(error)], [])


_OPPOSITE = {ast.In: ast.NotIn, ast.Eq: ast.NotEq, ast.Is: ast.IsNot, ast.IsNot: ast.Is}


def empty_blocks(module: Module) -> None:
    """Fill the bodies that the other passes emptied with `pass`, and drop needless `pass`es."""
    for node in ast.walk(module.tree):
        for field in ("body", "orelse", "finalbody"):
            block = getattr(node, field, None)
            if not isinstance(block, list) or isinstance(node, ast.Module):
                continue
            kept = [part for part in block if not isinstance(part, ast.Pass)]
            if kept or field == "body":
                setattr(node, field, kept or [ast.copy_location(ast.Pass(), node)])
            else:
                setattr(node, field, [])
