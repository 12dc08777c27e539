"""Passes for grammar that MicroPython's compiler does not accept."""

import ast

from batmon.drivers.module import Module, Rewriter, call, name


class FormatStrings(Rewriter):
    """An f-string becomes a call of `str.format`, which allows any quotes inside."""

    def visit_JoinedStr(self, node: ast.JoinedStr):
        values = []
        text = "".join(self._part(part, values) for part in node.values)
        if not values:
            return ast.Constant("".join(part.value for part in node.values))
        return call(ast.Attribute(ast.Constant(text), "format", ast.Load()), *values)

    def _part(self, part: ast.expr, values: list[ast.expr]) -> str:
        if isinstance(part, ast.Constant):
            return part.value.replace("{", "{{").replace("}", "}}")
        values.append(self.visit(part.value))
        conversion = f"!{chr(part.conversion)}" if part.conversion != -1 else ""
        spec = part.format_spec.values if part.format_spec else []
        if not all(isinstance(piece, ast.Constant) for piece in spec):
            raise self.module.refuse(part, "computed format of an f-string")
        width = "".join(piece.value for piece in spec)
        return f"{{{conversion}{':' if width else ''}{width}}}"


class Stars(Rewriter):
    """`[*a, b]`, `(*a, b)` and `{*a, b}` become sums of their parts."""

    def visit_List(self, node: ast.List):
        return self._joined(node, "list", ast.Add())

    def visit_Tuple(self, node: ast.Tuple):
        return self._joined(node, "tuple", ast.Add())

    def visit_Set(self, node: ast.Set):
        return self._joined(node, "set", ast.BitOr())

    def _joined(self, node, kind: str, operator: ast.operator):
        node = self.generic_visit(node)
        if not any(isinstance(part, ast.Starred) for part in node.elts):
            return node
        if not isinstance(getattr(node, "ctx", None) or ast.Load(), ast.Load):
            raise self.module.refuse(node, "starred assignment")
        groups: list[ast.expr] = []
        plain: list[ast.expr] = []
        for part in [*node.elts, None]:
            if isinstance(part, ast.Starred) or part is None:
                if plain:
                    groups.append(_display(kind, plain))
                    plain = []
                if part is not None:
                    groups.append(call(kind, part.value))
            else:
                plain.append(part)
        result = groups[0]
        for group in groups[1:]:
            result = ast.BinOp(result, operator, group)
        return result


def _display(kind: str, parts: list[ast.expr]) -> ast.expr:
    if kind == "set":
        return ast.Set(parts)
    return (ast.List if kind == "list" else ast.Tuple)(parts, ast.Load())


class Matches(Rewriter):
    """`match` on plain values becomes a chain of `if`."""

    def visit_Match(self, node: ast.Match):
        node = self.generic_visit(node)
        if not isinstance(node.subject, ast.Name | ast.Attribute):
            raise self.module.refuse(node, "match on an expression")
        chain: list[ast.stmt] = []
        for case in reversed(node.cases):
            pattern = case.pattern
            if case.guard is not None:
                raise self.module.refuse(case.guard, "guard in match")
            if isinstance(pattern, ast.MatchAs) and pattern.pattern is None and not pattern.name:
                chain = case.body
            elif isinstance(pattern, ast.MatchValue):
                test = ast.Compare(node.subject, [ast.Eq()], [pattern.value])
                chain = [ast.copy_location(ast.If(test, case.body, chain), pattern)]
            else:
                raise self.module.refuse(pattern, f"pattern {ast.unparse(pattern)}")
        return chain


class SliceDeletes(Rewriter):
    """`del frame[a:b]` becomes `frame[a:b] = b""`; only a bytearray may be cut like this."""

    def visit_Delete(self, node: ast.Delete):
        made = []
        for target in node.targets:
            cut = isinstance(target, ast.Subscript) and isinstance(target.slice, ast.Slice)
            if not cut:
                made.append(ast.copy_location(ast.Delete([target]), node))
                continue
            label = getattr(target.value, "attr", "")
            if label != "_frame" and self.module.kinds.get(label) != "bytearray":
                raise self.module.refuse(node, "del of a slice")
            target.ctx = ast.Store()
            made.append(ast.copy_location(ast.Assign([target], ast.Constant(b"")), node))
        return [self.generic_visit(part) for part in made]


class Slices(Rewriter):
    """`slice(a, b)` becomes `cut[a:b]`; MicroPython's slice type cannot be called."""

    def visit_Call(self, node: ast.Call):
        node = self.generic_visit(node)
        if not isinstance(node.func, ast.Name) or node.func.id != "slice":
            return node
        bounds = [None if _is_none(arg) else arg for arg in node.args]
        if len(bounds) == 1:
            bounds.insert(0, None)
        return ast.Subscript(name("cut"), ast.Slice(*bounds), ast.Load())

    def visit_Subscript(self, node: ast.Subscript):
        node = self.generic_visit(node)
        part = node.slice
        if isinstance(part, ast.Slice) and part.step is not None:
            bounds = [bound or ast.Constant(None) for bound in (part.lower, part.upper, part.step)]
            return call("every_nth", node.value, *bounds)
        return node


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def check_generators(module: Module) -> None:
    """Refuse asynchronous comprehensions and generators."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.comprehension) and node.is_async:
            raise module.refuse(node.iter, "asynchronous comprehension")
