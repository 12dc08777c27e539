"""Passes that turn class constants and enum members into `const`, which costs a board no memory."""

import ast

from batmon.drivers.module import Module, Rewriter, call, last_name, literal, name


class ClassConstants(Rewriter):
    """`_X = 5` in a driver's class, read as `BMS._X`, becomes `_X = const(5)` of the module.

    Not where an instance or a subclass might give it another value: names that anything in
    upstream or in our runtime reads from something else than the class by name.
    """

    def visit_ClassDef(self, node: ast.ClassDef):
        if node.name in {"BMS", "BaseBMS"}:
            owner = getattr(self.module.host, node.name)
            node.body = [part for part in node.body if not self._moved(part, owner)]
        return self.generic_visit(node)

    def _moved(self, part: ast.stmt, owner: type) -> bool:
        target = getattr(part, "target", None) or getattr(part, "targets", [None])[0]
        if not isinstance(part, ast.Assign | ast.AnnAssign) or part.value is None:
            return False
        if not isinstance(target, ast.Name) or self._value(owner, target.id) is None:
            return False
        plain = isinstance(part.value, ast.Constant)
        value = part.value if plain else literal(int(getattr(owner, target.id)))
        self.module.constants[target.id] = value
        return True

    def visit_Attribute(self, node: ast.Attribute):
        if not isinstance(node.value, ast.Name) or node.value.id not in {"BMS", "BaseBMS"}:
            return self.generic_visit(node)
        owner = getattr(self.module.host, node.value.id, None)
        if not isinstance(node.ctx, ast.Load) or self._value(owner, node.attr) is None:
            return node
        self.module.constants.setdefault(node.attr, literal(self._value(owner, node.attr)))
        return name(node.attr)

    def _value(self, owner: type | None, label: str) -> int | None:
        value = getattr(owner, label, None)
        fixed = label[:1] == "_" and label.isupper() and label not in self.module.shared_attributes
        return int(value) if fixed and isinstance(value, int) and value is not bool(value) else None


class EnumMembers(Rewriter):
    """`BMS.Cmd.RT` of an enum of ints becomes `_Cmd_RT = const(2)`; the class goes, if private."""

    def visit_Attribute(self, node: ast.Attribute):
        members = self.module.tables.enums.get(last_name(node.value))
        value = members.get(node.attr) if members else None
        if not isinstance(value, int):
            return self.generic_visit(node)
        label = f"_{last_name(node.value)}_{node.attr}"
        self.module.constants[label] = literal(value)
        return name(label)

    def visit_ClassDef(self, node: ast.ClassDef):
        node = self.generic_visit(node)
        members = self.module.tables.enums.get(node.name, {})
        ints = members and all(isinstance(value, int) for value in members.values())
        return None if ints and self.module.name.startswith("aiobmsble.bms.") else node


def define(module: Module) -> None:
    """Put the constants that are used in front of the module, after its imports."""
    used = {
        node.id
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
    }
    bound = {
        node.id
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }
    lines = []
    for label, value in module.constants.items():
        if label in bound:
            raise module.refuse(module.tree.body[0], f"{label} is also a variable")
        if label in used:
            made = call("const", value)
            lines.append(ast.Assign([ast.Name(label, ast.Store())], made))
            ast.fix_missing_locations(ast.copy_location(lines[-1], value))
    body = module.tree.body
    where = sum(isinstance(part, ast.Import | ast.ImportFrom) for part in body)
    body[where:where] = lines
