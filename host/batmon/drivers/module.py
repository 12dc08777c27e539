"""What a pass knows about the module it works on: its tree, its values on the PC, its names.

Every pass is `run(module)`: it rewrites `module.tree` in place or replaces it.
"""

import ast
import functools
import importlib
from dataclasses import dataclass, field
from pathlib import Path

# Our half of what the board has, in the checkout.
RUNTIME = Path(__file__).resolve().parents[3] / "aiobmsble"

# Functions that few drivers call get a module of their own, which the others do not load.
PARTS = {
    "aiobmsble._sample_packs": ("aiobmsble._sample_calc", ("derive_from_packs",)),
    "aiobmsble.checksums": (
        "aiobmsble.basebms",
        ("crc8", "crc_xmodem", "lrc_modbus", "lstr2int", "swap32"),
    ),
}


class Unsupported(Exception):
    """A construct that is not known to behave the same on MicroPython; names file and line."""


@dataclass
class Tables:
    """Names that upstream declares, by simple class name, from the package and from one module."""

    tuples: dict[str, tuple[list[str], list[ast.expr | None]]] = field(default_factory=dict)
    typed_dicts: set[str] = field(default_factory=set)
    enums: dict[str, dict[str, object]] = field(default_factory=dict)
    nested: set[str] = field(default_factory=set)  # enums inside a class: never a bare name
    functions: set[str] = field(default_factory=set)

    def joined(self, other: "Tables") -> "Tables":
        """Both tables; names of `other` win."""
        return Tables(
            self.tuples | other.tuples,
            self.typed_dicts | other.typed_dicts,
            self.enums | other.enums,
            self.nested | other.nested,
            self.functions | other.functions,
        )


@dataclass
class Module:
    """One upstream module on its way to MicroPython."""

    name: str  # "aiobmsble.bms.jbd_bms"
    path: Path
    tree: ast.Module
    host: object  # the same module, imported on the PC; None in tests of single passes
    tables: Tables
    kinds: dict[str, str] = field(default_factory=dict)  # name or attribute -> dict|set|bytearray
    constants: dict[str, ast.expr] = field(default_factory=dict)  # of the module, as const()
    shared_attributes: set[str] = field(default_factory=set)  # read from instances somewhere
    source: str = ""

    def refuse(self, node: ast.AST, what: str) -> Unsupported:
        """The error for `node`, to be raised by the caller."""
        return Unsupported(f"{self.path.name}:{getattr(node, 'lineno', 0)}: {what}")

    def host_class(self):
        """The driver class on the PC, or None."""
        return getattr(self.host, "BMS", None)

    def constant(self, node: ast.AST) -> object:
        """The value of a literal, a constant of the module or one of the class; else None."""
        if isinstance(node, ast.Name):
            node = self.constants.get(node.id)
        elif isinstance(node, ast.Attribute) and last_name(node.value) == "BMS":
            return getattr(self.host_class(), node.attr, None)
        return node.value if isinstance(node, ast.Constant) else None


_LEAVES = (ast.expr_context, ast.operator, ast.cmpop, ast.unaryop, ast.boolop, ast.Constant)


class Rewriter(ast.NodeTransformer):
    """A transformer that knows its module and keeps source lines on what it replaces."""

    def __init__(self, module: Module) -> None:
        self.module = module

    def visit(self, node: ast.AST):
        if isinstance(node, _LEAVES):
            return node  # no pass asks for them, and they are half of a tree
        new = super().visit(node)
        for part in new if isinstance(new, list) else [new]:
            if isinstance(part, ast.AST) and part is not node and not hasattr(part, "lineno"):
                ast.copy_location(part, node)
                ast.fix_missing_locations(part)
        return new

    @classmethod
    def run(cls, module: Module) -> None:
        """Apply this pass to the module."""
        module.tree = cls(module).visit(module.tree)


def name(ident: str) -> ast.Name:
    """A load of a plain name."""
    return ast.Name(ident, ast.Load())


def call(function: str | ast.expr, *args: ast.expr) -> ast.Call:
    """A call with positional arguments."""
    return ast.Call(name(function) if isinstance(function, str) else function, list(args), [])


def literal(value: object) -> ast.expr:
    """A host value as source: numbers, text, bytes, and tuples of them. ValueError otherwise."""
    if isinstance(value, tuple):
        return ast.Tuple([literal(part) for part in value], ast.Load())
    if isinstance(value, bool) or value is None:
        return ast.Constant(value)
    for kind in (int, float, str, bytes):
        if isinstance(value, kind):
            plain = kind(value)  # an enum member becomes what it stands for
            return ast.parse(repr(plain), mode="eval").body
    raise ValueError(f"no literal for {value!r}")


def last_name(node: ast.expr | None) -> str:
    """`X` of `X`, `a.X`, `X[...]` and `a.X[...]`; "" for anything else."""
    if isinstance(node, ast.Subscript):
        return last_name(node.value)
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def bound_arguments(
    module: Module, node: ast.Call, names: list[str], defaults: list[ast.expr | None]
) -> list[ast.expr]:
    """Arguments of a call in the order of `names`, keywords and defaults filled in."""
    given = dict(zip(names, node.args, strict=False))
    given |= {keyword.arg: keyword.value for keyword in node.keywords}
    if len(node.args) > len(names) or set(given) - set(names):
        raise module.refuse(node, f"arguments of {last_name(node.func)}()")
    values = [given.get(key, default) for key, default in zip(names, defaults, strict=True)]
    if None in values:
        raise module.refuse(node, f"missing argument of {last_name(node.func)}()")
    return values


def tables_of(tree: ast.Module, host: object) -> Tables:
    """Collect the named tuples, typed dicts, enums and functions that a module declares."""
    tables = Tables()

    def scan(body: list[ast.stmt], scope: object) -> None:
        for node in body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                tables.functions.add(node.name)
            if not isinstance(node, ast.ClassDef):
                continue
            bases = {last_name(base) for base in node.bases}
            here = getattr(scope, node.name, None)
            if "TypedDict" in bases or bases & tables.typed_dicts:
                tables.typed_dicts.add(node.name)
            elif "NamedTuple" in bases or is_record(node):
                fields = [part for part in node.body if isinstance(part, ast.AnnAssign)]
                tables.tuples[node.name] = (
                    [part.target.id for part in fields],
                    [part.value for part in fields],
                )
            elif bases & {"IntEnum", "StrEnum", "Enum"}:
                tables.enums[node.name] = {member.name: member.value for member in here or ()}
                if scope is not host:
                    tables.nested.add(node.name)
            scan(node.body, here)

    scan(tree.body, host)
    return tables


def module_names(tree: ast.Module) -> set[str]:
    """Names that a module binds itself, at any depth, imports aside."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.arg):
            found.add(node.arg)
        elif isinstance(node, ast.ExceptHandler) and node.name:
            found.add(node.name)
    return found


def is_record(node: ast.ClassDef) -> bool:
    """Whether a class is a frozen dataclass without methods and defaults: a named tuple."""
    decorators = {
        last_name(part.func) if isinstance(part, ast.Call) else last_name(part)
        for part in node.decorator_list
    }
    if "dataclass" not in decorators:
        return False
    fields = [part for part in node.body if isinstance(part, ast.AnnAssign)]
    rest = [part for part in node.body if part not in fields and not isinstance(part, ast.Expr)]
    return not rest and all(part.value is None for part in fields)


def load(package: Path, module_name: str) -> Module:
    """Read one upstream module from the package's folder and import it on the PC."""
    path = source_file(package, module_name)
    source = path.read_text(encoding="utf-8")
    tree = ast.parse(source, str(path))
    host = importlib.import_module(origin(module_name))
    return Module(module_name, path, tree, host, tables_of(tree, host), source=source)


@functools.cache
def load_tables(package: Path, module_name: str) -> Tables:
    """The tables of one upstream module; read once."""
    return load(package, module_name).tables


def source_file(package: Path, module_name: str) -> Path:
    """The file of one upstream module."""
    parts = origin(module_name).split(".")[1:]
    return package.joinpath(*parts).with_suffix(".py") if parts else package / "__init__.py"


def origin(module_name: str) -> str:
    """The upstream module whose text a module of the board has."""
    return PARTS[module_name][0] if module_name in PARTS else module_name


@functools.cache
def shared_attributes(*folders: Path) -> set[str]:
    """Attributes that some file in the folders reads from something else than a class by name."""
    found = set()
    for path in (path for folder in folders for path in sorted(folder.rglob("*.py"))):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
                owner = node.value.id if isinstance(node.value, ast.Name) else ""
                if owner not in {"BMS", "BaseBMS"}:
                    found.add(node.attr)
    return found
