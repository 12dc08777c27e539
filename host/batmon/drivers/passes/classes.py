"""Passes for the kinds of class that MicroPython lacks: typed dicts, named tuples, enums, data."""

import ast
import copy

from batmon.drivers.module import (
    Module,
    Rewriter,
    bound_arguments,
    call,
    is_record,
    last_name,
    literal,
    name,
)

_ABSTRACT = {"ABC", "Generic", "Protocol"}


class TypedDicts(Rewriter):
    """A typed dict is a dict: the class goes, its calls become displays."""

    def visit_ClassDef(self, node: ast.ClassDef):
        if node.name in self.module.tables.typed_dicts:
            return None
        return self.generic_visit(node)

    def visit_ImportFrom(self, node: ast.ImportFrom):
        node.names = [a for a in node.names if a.name not in self.module.tables.typed_dicts]
        return node if node.names else None

    def visit_Call(self, node: ast.Call):
        node = self.generic_visit(node)
        if last_name(node.func) not in self.module.tables.typed_dicts:
            return node
        if node.args and not node.keywords:
            return node.args[0]
        keys = [ast.Constant(keyword.arg) for keyword in node.keywords]
        return ast.Dict(keys, [keyword.value for keyword in node.keywords])


class NamedTuples(Rewriter):
    """Named tuples and frozen records become `namedtuple`; calls get all arguments by position."""

    def __init__(self, module: Module) -> None:
        super().__init__(module)
        self._made: dict[tuple[str, ...], str] = {}  # one type serves all with the same fields

    def visit_ClassDef(self, node: ast.ClassDef):
        if not (is_record(node) or any(last_name(base) == "NamedTuple" for base in node.bases)):
            return self.generic_visit(node)
        if any(isinstance(part, ast.FunctionDef) for part in node.body):
            raise self.module.refuse(node, "named tuple with methods")
        fields, _ = self.module.tables.tuples[node.name]
        twin = self._made.setdefault(tuple(fields), node.name)
        if twin != node.name:
            return ast.Assign([ast.Name(node.name, ast.Store())], name(twin))
        made = call("namedtuple", ast.Constant(node.name), literal(tuple(fields)))
        return ast.Assign([ast.Name(node.name, ast.Store())], made)

    def visit_Call(self, node: ast.Call):
        node = self.generic_visit(node)
        tuples = self.module.tables.tuples
        label = last_name(node.func)
        if label in tuples and not any(isinstance(arg, ast.Starred) for arg in node.args):
            node.args = [
                copy.deepcopy(arg) for arg in bound_arguments(self.module, node, *tuples[label])
            ]
            node.keywords = []
        elif label == "_replace":
            return self._replaced(node)
        return node

    def _replaced(self, node: ast.Call) -> ast.Call:
        """`t._replace(f=x)` of a plain name becomes the call that makes the new tuple."""
        changed = {keyword.arg: keyword.value for keyword in node.keywords}
        owners = [
            label
            for label, (fields, _) in self.module.tables.tuples.items()
            if set(changed) <= set(fields) and label != "BMSPDp"
        ]
        source = node.func.value
        if len(owners) != 1 or not isinstance(source, ast.Name):
            raise self.module.refuse(node, "_replace() of an unknown tuple")
        fields, _ = self.module.tables.tuples[owners[0]]
        values = [
            changed.get(field, ast.Attribute(name(source.id), field, ast.Load()))
            for field in fields
        ]
        return call(owners[0], *values)


class Enums(Rewriter):
    """Enum members are their values; iterating, testing and calling an enum use a tuple of them."""

    def visit_ClassDef(self, node: ast.ClassDef):
        values = self.module.tables.enums.get(node.name)
        if values is None or not any("Enum" in last_name(base) for base in node.bases):
            return self.generic_visit(node)
        node.bases = []
        node.decorator_list = []
        node.body = [
            ast.Assign([ast.Name(key, ast.Store())], literal(value))
            for key, value in values.items()
        ]
        ast.fix_missing_locations(node)
        return node

    def visit_ImportFrom(self, node: ast.ImportFrom):
        return None if node.module == "enum" else node

    def visit_Attribute(self, node: ast.Attribute):
        if last_name(node.value) in self.module.tables.enums and node.attr[0] != "_":
            return node  # a member, by name
        if node.attr == "value" and self._is_member(node.value):
            return self.visit(node.value)
        return self._members(node) or self.generic_visit(node)

    def visit_Name(self, node: ast.Name):
        return self._members(node) or node

    def visit_Call(self, node: ast.Call):
        members = self._members(node.func)
        if members is None:
            return self.generic_visit(node)
        return call("enum_member", self.visit(node.args[0]), members)

    def _members(self, node: ast.expr) -> ast.expr | None:
        values = self.module.tables.enums.get(last_name(node))
        if values is None or isinstance(node, ast.Subscript):
            return None
        if isinstance(node, ast.Name) and node.id in self.module.tables.nested:
            return None  # a variable of that name
        return literal(tuple(values.values())) if isinstance(node.ctx, ast.Load) else None

    def _is_member(self, node: ast.expr) -> bool:
        return self.module.kinds.get(last_name(node)) == "enum"


class DataClasses(Rewriter):
    """A dataclass with defaults or methods gets the `__init__` that the decorator would make."""

    def visit_ClassDef(self, node: ast.ClassDef):
        node = self.generic_visit(node)
        decorators = {
            last_name(part.func) if isinstance(part, ast.Call) else last_name(part)
            for part in node.decorator_list
        }
        if decorators - {"dataclass", "unique", "final"}:
            raise self.module.refuse(node, f"class decorator {sorted(decorators)}")
        node.decorator_list = []
        if "dataclass" in decorators:
            self._make_init(node)
        return node

    def _make_init(self, node: ast.ClassDef) -> None:
        fields = [part for part in node.body if isinstance(part, ast.AnnAssign)]
        labels = [part.target.id for part in fields]
        arguments = ast.arguments(
            [],
            [ast.arg(label) for label in ["self", *labels]],
            None,
            [],
            [],
            None,
            [part.value for part in fields if part.value is not None],
        )
        body = [
            ast.Assign([ast.Attribute(name("self"), label, ast.Store())], name(label))
            for label in labels
        ]
        init = ast.FunctionDef("__init__", arguments, body, [], None, type_params=[])
        ast.copy_location(init, node)
        where = node.body.index(fields[0])
        node.body = [part for part in node.body if part not in fields]
        node.body.insert(where, init)
        ast.fix_missing_locations(node)

    def visit_ImportFrom(self, node: ast.ImportFrom):
        return None if node.module == "dataclasses" else node


class Bases(Rewriter):
    """Drop abstract bases and type parameters of classes."""

    def visit_ClassDef(self, node: ast.ClassDef):
        node = self.generic_visit(node)
        if node.keywords or node.type_params:
            raise self.module.refuse(node, "class keywords or type parameters")
        node.bases = [base for base in node.bases if last_name(base) not in _ABSTRACT]
        return node


def enum_names(module: Module) -> None:
    """Note which names hold an enum member: arguments annotated with one, loops over one."""
    enums = module.tables.enums
    for node in ast.walk(module.tree):
        if isinstance(node, ast.arg) and last_name(node.annotation) in enums:
            module.kinds[node.arg] = "enum"
        elif isinstance(node, ast.comprehension | ast.For) and last_name(node.iter) in enums:
            module.kinds[last_name(node.target)] = "enum"
