"""Passes for imports: where each name that a driver uses comes from on the board."""

import ast

from batmon.drivers import allowlist, splice
from batmon.drivers.module import RUNTIME, Module, Rewriter, literal, module_names, name


class Constants(Rewriter):
    """Constants that upstream imports from CPython's library become their values."""

    def visit_Module(self, node: ast.Module):
        self._values = {}
        for part in node.body:
            if isinstance(part, ast.ImportFrom) and part.module in allowlist.CONSTANT_MODULES:
                for alias in part.names:
                    label = alias.asname or alias.name
                    value = getattr(self.module.host, label)
                    if isinstance(value, int | float | str):
                        self._values[label] = value
        return self.generic_visit(node)

    def visit_ImportFrom(self, node: ast.ImportFrom):
        node.names = [a for a in node.names if (a.asname or a.name) not in self._values]
        return node if node.names else None

    def visit_Name(self, node: ast.Name):
        return literal(self._values[node.id]) if node.id in self._values else node


class Renames(Rewriter):
    """Names that the board has elsewhere, such as `struct.error` and `contextlib.suppress`."""

    def visit_Module(self, node: ast.Module):
        self._names = dict(allowlist.RENAMED_BUILTINS)
        for part in ast.walk(node):
            if isinstance(part, ast.ImportFrom):
                for alias in part.names:
                    new = allowlist.RENAMED.get((part.module, alias.name))
                    if new:
                        self._names[alias.asname or alias.name] = new
        return self.generic_visit(node)

    def visit_ImportFrom(self, node: ast.ImportFrom):
        node.names = [a for a in node.names if (node.module, a.name) not in allowlist.RENAMED]
        return node if node.names else None

    def visit_Import(self, node: ast.Import):
        node.names = [a for a in node.names if a.name not in allowlist.RENAMED_MODULES]
        return node if node.names else None

    def visit_Name(self, node: ast.Name):
        return name(self._names[node.id]) if node.id in self._names else node

    def visit_Attribute(self, node: ast.Attribute):
        if isinstance(node.value, ast.Name) and node.value.id in allowlist.RENAMED_MODULES:
            new = allowlist.RENAMED.get((node.value.id, node.attr))
            if new is None:
                raise self.module.refuse(node, f"{node.value.id}.{node.attr}")
            return name(new)
        return self.generic_visit(node)


class Sources(Rewriter):
    """Every import names the board's module; what the allowlist does not know is refused."""

    def visit_Import(self, node: ast.Import):
        for alias in node.names:
            if alias.name not in allowlist.MODULES:
                raise self.module.refuse(node, f"import {alias.name}")
        return node

    def visit_ImportFrom(self, node: ast.ImportFrom):
        source = node.module or ""
        if node.level:
            parts = self.module.name.split(".")
            source = ".".join([*parts[: len(parts) - node.level], source]).strip(".")
        for alias in node.names:
            if source.split(".")[0] == "aiobmsble":
                continue
            if alias.name not in allowlist.IMPORTS.get(source, ()):
                raise self.module.refuse(node, f"from {source} import {alias.name}")
        node.module = source.split(".")[0] if source.startswith("bleak.") else source
        node.level = 0
        return self._parted(node)

    def _parted(self, node: ast.ImportFrom) -> list[ast.ImportFrom]:
        """One import for each of the board's modules that upstream's module became."""
        sources: dict[str, list[ast.alias]] = {}
        for alias in node.names:
            source = splice.MOVED.get((node.module, alias.name), node.module)
            sources.setdefault(source, []).append(alias)
        return [ast.ImportFrom(source, names, 0) for source, names in sources.items()]


def drop_unused(module: Module) -> None:
    """Drop imports that nothing uses any more: they served annotations and dropped parts."""
    used = {node.id for node in ast.walk(module.tree) if isinstance(node, ast.Name)}
    body = []
    for node in module.tree.body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            node.names = [alias for alias in node.names if (alias.asname or alias.name) in used]
            if not node.names:
                continue
        body.append(node)
    module.tree.body = body


def copy_helpers(module: Module) -> None:
    """Copy the rare helpers that the passes brought in; the board has no module of them."""
    bound = module_names(module.tree)
    used = {node.id for node in ast.walk(module.tree) if isinstance(node, ast.Name)}
    wanted = used & allowlist.COPIED
    if wanted & bound:
        raise module.refuse(module.tree.body[0], f"{min(wanted & bound)} is the name of a helper")
    source = (RUNTIME / "compat_more.py").read_text(encoding="utf-8")
    copies = []
    for node in ast.parse(source).body:
        if getattr(node, "name", "") in wanted:
            node.body = node.body[1:] or [ast.Pass()]  # without the docstring
            for part in ast.walk(node):
                part.__dict__.pop("lineno", None)  # its lines are not upstream's
            copies.append(node)
    where = sum(isinstance(part, ast.Import | ast.ImportFrom) for part in module.tree.body)
    module.tree.body[where:where] = copies
    ast.fix_missing_locations(module.tree)


def add_helpers(module: Module) -> None:
    """Import the helpers that the passes brought in; one import per source, sorted."""
    tree = module.tree
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    own = module_names(tree)
    kept, body = {}, []
    for node in tree.body:
        if isinstance(node, ast.Import):
            kept[""] = kept.get("", []) + node.names
        elif isinstance(node, ast.ImportFrom):
            kept[node.module] = kept.get(node.module, []) + node.names
        else:
            body.append(node)
    for label in sorted(used & set(allowlist.HELPERS)):
        if label in own:
            raise module.refuse(tree.body[0], f"{label} is the name of a helper")
        source = allowlist.HELPERS[label]
        kept[source] = [*kept.get(source, []), ast.alias(label)]
    imports = [ast.Import([alias]) for alias in kept.pop("", [])]
    for source in sorted(kept):
        names = {(alias.name, alias.asname): alias for alias in kept[source]}
        order = sorted(names, key=lambda key: key[0])
        imports.append(ast.ImportFrom(source, [names[key] for key in order], 0))
    tree.body = imports + body
    ast.fix_missing_locations(tree)
