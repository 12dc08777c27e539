"""Passes that keep the order of sets and dicts, which MicroPython does not."""

import ast

from batmon.drivers.module import Module, Rewriter, call, last_name, literal

_ITERATES = {"list", "tuple", "next", "iter", "enumerate", "zip"}
_VIEWS = {"keys", "values", "items"}


def note_kinds(module: Module) -> None:
    """Note which names and attributes hold a dict, a set or a bytearray, from their annotations."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.AnnAssign):
            target, kind = node.target, _annotated(node.annotation)
        elif isinstance(node, ast.arg):
            target, kind = node, _annotated(node.annotation)
        elif isinstance(node, ast.Assign):
            target = node.targets[0]
            kind = last_name(node.value.func) if isinstance(node.value, ast.Call) else ""
        else:
            continue
        label = target.arg if isinstance(target, ast.arg) else last_name(target)
        if label and kind in {"dict", "set", "frozenset", "bytearray"}:
            module.kinds[label] = kind.removeprefix("frozen")


def _annotated(node: ast.expr | None) -> str:
    if isinstance(node, ast.Subscript) and last_name(node) == "Final":
        node = node.slice
    return last_name(node)


class HostOrder(Rewriter):
    """Where a driver iterates a constant set or dict, give a tuple in the order the PC has."""

    def visit_For(self, node: ast.For):
        node = self.generic_visit(node)
        node.iter = self._ordered(node.iter)
        return node

    def visit_ListComp(self, node):
        node = self.generic_visit(node)
        for part in node.generators:
            part.iter = self._ordered(part.iter)
        return node

    def visit_GeneratorExp(self, node: ast.GeneratorExp):
        return self.visit_ListComp(node)

    def visit_Call(self, node: ast.Call):
        node = self.generic_visit(node)
        if last_name(node.func) in _ITERATES and isinstance(node.func, ast.Name):
            node.args = [self._ordered(arg) for arg in node.args]
        return node

    def visit_Assign(self, node: ast.Assign):
        """`self.x = BMS.SET` where `self.x` is iterated somewhere: the tuple from the start."""
        node = self.generic_visit(node)
        target = node.targets[0]
        if isinstance(target, ast.Attribute) and target.attr in self._iterated_sets():
            if isinstance(node.value, ast.Set):
                if len(node.value.elts) != 1:
                    raise self.module.refuse(node, f"order of the set {target.attr}")
            else:
                node.value = self._ordered(node.value)
        return node

    def _iterated_sets(self) -> set[str]:
        sets = {label for label, kind in self.module.kinds.items() if kind == "set"}
        return sets & iterated(self.module.tree)

    def _ordered(self, node: ast.expr) -> ast.expr:
        view, source = "", node
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") in _VIEWS:
            view, source = node.func.attr, node.func.value
        owner = self.module.host_class()
        if not isinstance(source, ast.Attribute) or last_name(source.value) not in {"BMS", "self"}:
            return node
        value = getattr(owner, source.attr, None)
        if not isinstance(value, set | frozenset | dict):
            return node
        if isinstance(value, set | frozenset):
            items = host_order(value)
        else:
            items = tuple(getattr(value, view)() if view else value)
        try:
            return ast.copy_location(literal(items), node)
        except ValueError:
            raise self.module.refuse(node, f"order of {source.attr}") from None


def host_order(values: set | frozenset) -> tuple:
    """A set's items in the order in which the PC iterates it; by value if that varies by run."""
    # The hash of text and bytes is salted, so the order of such a set differs from run to run.
    salted = any(isinstance(part, str | bytes) for part in _flat(values))
    return tuple(sorted(values) if salted else values)


def _flat(values):
    for value in values:
        if isinstance(value, tuple | set | frozenset):
            yield from _flat(value)
        else:
            yield value


class OrderedDicts(Rewriter):
    """A dict made by a display and iterated by the driver becomes an OrderedDict."""

    def visit_Module(self, node: ast.Module):
        dicts = {label for label, kind in self.module.kinds.items() if kind == "dict"}
        self._iterated = dicts & iterated(node)
        return self.generic_visit(node)

    def _assignment(self, node):
        node = self.generic_visit(node)
        target = node.targets[0] if isinstance(node, ast.Assign) else node.target
        if last_name(target) in self._iterated and isinstance(node.value, ast.Dict):
            pairs = zip(node.value.keys, node.value.values, strict=True)
            items = [ast.Tuple(list(pair), ast.Load()) for pair in pairs]
            contents = [ast.Tuple(items, ast.Load())] if items else []
            node.value = ast.copy_location(call("OrderedDict", *contents), node.value)
        return node

    visit_Assign = visit_AnnAssign = _assignment


def iterated(tree: ast.AST) -> set[str]:
    """Names and attributes that some statement or call walks through in order."""
    found = set()
    for node in ast.walk(tree):
        walked = []
        if isinstance(node, ast.For):
            walked = [node.iter]
        elif isinstance(node, ast.ListComp | ast.GeneratorExp):
            walked = [part.iter for part in node.generators]
        elif isinstance(node, ast.Call) and last_name(node.func) in _ITERATES | {"all", "any"}:
            walked = node.args
        for source in walked:
            while isinstance(source, ast.Call):
                if getattr(source.func, "attr", "") in _VIEWS:
                    source = source.func.value
                elif source.args:
                    source = source.args[0]
                else:
                    break
            found.add(last_name(source))
    return found - {""}
