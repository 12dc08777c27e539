"""Passes for builtins and methods that MicroPython lacks or that behave differently there."""

import ast

from batmon.drivers.module import Rewriter, bound_arguments, call, last_name, name

# Methods that become a helper function with the object as first argument, with their keywords.
_HELPERS = {
    "decode": ("decoded", ["encoding", "errors"]),
    "encode": ("encoded", ["encoding"]),
    "removeprefix": ("without_prefix", ["prefix"]),
    "removesuffix": ("without_suffix", ["suffix"]),
    "bit_count": ("bit_count", []),
    "isprintable": ("is_printable", []),
    "count": ("count_of", ["part"]),
    "translate": ("translated", ["table"]),
}
# Those of them that the runtime's buffer has itself, with upstream's meaning.
_BUFFER_METHODS = {"removesuffix"}
_DEFAULTS = {"encoding": ast.Constant("utf-8"), "errors": ast.Constant("strict")}


class Views(Rewriter):
    """Compare and combine `d.keys()` as a set; MicroPython's views have no operators."""

    def visit_Compare(self, node: ast.Compare):
        node = self.generic_visit(node)
        if not all(isinstance(op, ast.In | ast.NotIn | ast.Is | ast.IsNot) for op in node.ops):
            node.left = _as_set(node.left)
            node.comparators = [_as_set(part) for part in node.comparators]
        return node

    def visit_BinOp(self, node: ast.BinOp):
        node = self.generic_visit(node)
        node.left, node.right = _as_set(node.left), _as_set(node.right)
        return node

    def visit_AugAssign(self, node: ast.AugAssign):
        node = self.generic_visit(node)
        node.value = _as_set(node.value)
        return node


def _as_set(node: ast.expr) -> ast.expr:
    view = isinstance(node, ast.Call) and getattr(node.func, "attr", "") in {"keys", "items"}
    return call("set", node) if view else node


class IntBytes(Rewriter):
    """`int.from_bytes` and `to_bytes` by position; a signed one goes through a helper."""

    def visit_Call(self, node: ast.Call):
        node = self.generic_visit(node)
        label = getattr(node.func, "attr", "")
        if label == "from_bytes" and last_name(node.func.value) == "int":
            defaults = [None, ast.Constant("big"), ast.Constant(False)]
            data, order, signed = bound_arguments(
                self.module, node, ["bytes", "byteorder", "signed"], defaults
            )
            if isinstance(signed, ast.Constant) and signed.value is False:
                return call(ast.Attribute(name("int"), "from_bytes", ast.Load()), data, order)
            return call("signed_from_bytes", data, order, signed)
        if label == "to_bytes":
            number = node.func.value
            if last_name(number) == "int":
                number = node.args.pop(0)
            defaults = [ast.Constant(1), ast.Constant("big"), ast.Constant(False)]
            length, order, signed = bound_arguments(
                self.module, node, ["length", "byteorder", "signed"], defaults
            )
            if not (isinstance(signed, ast.Constant) and signed.value is False):
                raise self.module.refuse(node, "to_bytes(signed=True)")
            return call(ast.Attribute(number, "to_bytes", ast.Load()), length, order)
        return node


class Methods(Rewriter):
    """Methods that MicroPython's text and bytes lack become helper functions."""

    def visit_Call(self, node: ast.Call):
        node = self.generic_visit(node)
        label = getattr(node.func, "attr", "")
        if label not in _HELPERS:
            return node
        owner = node.func.value
        if label in _BUFFER_METHODS and last_name(owner) == "_frame":
            return node
        helper, keys = _HELPERS[label]
        defaults = [_DEFAULTS.get(key) for key in keys]
        arguments = bound_arguments(self.module, node, keys, defaults)
        if helper == "decoded":
            return self._decode(node, owner, *map(ast.literal_eval, arguments))
        return call(helper, owner, *arguments)

    def _decode(self, node: ast.Call, owner: ast.expr, encoding: str, errors: str) -> ast.Call:
        kind = encoding.lower().replace("utf8", "utf-8")
        if (kind, errors) in {("utf-8", "ignore"), ("utf-8", "replace")}:
            return call("decoded_leniently", owner, ast.Constant(errors))
        if kind not in {"ascii", "utf-8"} or errors not in {"strict", "ignore"}:
            raise self.module.refuse(node, f"decode({encoding!r}, {errors!r})")
        return call("decoded", owner, ast.Constant(kind), ast.Constant(errors))


class Searches(Rewriter):
    """`data.rfind(0xFF)` becomes `data.rfind(b"\\xff")`: releases of MicroPython find no number."""

    def visit_Call(self, node: ast.Call):
        node = self.generic_visit(node)
        if getattr(node.func, "attr", "") in {"find", "rfind"} and node.args:
            wanted = self.module.constant(node.args[0])
            if isinstance(wanted, int):
                node.args[0] = ast.Constant(bytes([wanted]))
        return node


class Bytearrays(Rewriter):
    """A bytearray checks its values and can be cleared and appended to, as upstream expects."""

    def visit_Call(self, node: ast.Call):
        node = self.generic_visit(node)
        label = last_name(node.func)
        if isinstance(node.func, ast.Name):
            listed = len(node.args) == 1 and isinstance(node.args[0], ast.List | ast.GeneratorExp)
            if label == "bytearray" and listed:
                # bytes() raises for values that bytearray() would cut to eight bits in silence
                node.args = [call("bytes", node.args[0])]
            return node
        if not isinstance(node.func, ast.Attribute) or not self._is_bytearray(node.func.value):
            return node
        if label == "append":
            node.func.attr = "extend"
            node.args = [call("bytes", ast.Tuple(node.args, ast.Load()))]
        elif label == "clear":
            return call("clear_bytes", node.func.value)
        return node

    def _is_bytearray(self, node: ast.expr) -> bool:
        return self.module.kinds.get(last_name(node)) == "bytearray"


class BufferSums(Rewriter):
    """`self._frame += x` becomes `extend`; a subclass of bytearray would lose its type."""

    def visit_AugAssign(self, node: ast.AugAssign):
        node = self.generic_visit(node)
        if isinstance(node.op, ast.Add) and getattr(node.target, "attr", "") == "_frame":
            target = ast.Attribute(node.target.value, "_frame", ast.Load())
            return ast.Expr(call(ast.Attribute(target, "extend", ast.Load()), node.value))
        return node


class Builtins(Rewriter):
    """Builtins whose MicroPython form takes fewer types or keywords."""

    def visit_Call(self, node: ast.Call):
        node = self.generic_visit(node)
        if not isinstance(node.func, ast.Name):
            return node
        label = node.func.id
        if label == "int" and len(node.args) == 2:
            return call("int_base", *node.args)
        if label == "isinstance" and _tests_int(node.args[1]):
            return call("is_instance", *node.args)
        if label == "zip" and node.keywords:
            if [keyword.arg for keyword in node.keywords] != ["strict"]:
                raise self.module.refuse(node, "keywords of zip()")
            return call("zip_strict", *node.args)
        return node


def _tests_int(node: ast.expr) -> bool:
    kinds = node.elts if isinstance(node, ast.Tuple) else [node]
    return any(last_name(kind) == "int" for kind in kinds)


class UnixTime(Rewriter):
    """`int(datetime.now().timestamp())` becomes `unix_time()`, an int that no float can cut."""

    def visit_Call(self, node: ast.Call):
        if ast.unparse(node) == "int(datetime.now().timestamp())":
            return call("unix_time")
        return self.generic_visit(node)

    def visit_ImportFrom(self, node: ast.ImportFrom):
        return None if node.module == "datetime" else node


class Uuids(Rewriter):
    """`normalize_uuid_str("ffe0")` becomes the long form that it stands for."""

    def visit_Call(self, node: ast.Call):
        node = self.generic_visit(node)
        argument = node.args[0] if node.args else None
        if last_name(node.func) != "normalize_uuid_str" or not isinstance(argument, ast.Constant):
            return node
        short = argument.value.lower()
        if len(short) not in (4, 8, 36):
            raise self.module.refuse(node, f"uuid {short}")
        tail = "-0000-1000-8000-00805f9b34fb"
        return ast.Constant(short if len(short) == 36 else short.rjust(8, "0") + tail)
