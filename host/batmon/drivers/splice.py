"""Which parts of upstream's core modules are translated; the rest is our runtime's business."""

import ast

from batmon.drivers import cells, taken
from batmon.drivers.module import PARTS, Module, name

# Methods of BaseBMS that only decode or compute. Its connection half is aiobmsble/connection.py.
_BASE_METHODS = {
    "bms_id",
    "_fetch_device_info",
    "_raw_values",
    "_calculation_registry",
    "_add_missing_values",
    "_alive",
    "_disconnect",
    "_cmd_modbus",
    "_decode_data",
    "_decode_pack",
    "_cell_voltages",
    "_temp_values",
    "_check_integrity",
}
MOVED = {(origin, label): part for part, (origin, names) in PARTS.items() for label in names}

# Upstream declares these for its own use on a PC.
_UNUSED_METHODS = {"matcher_dict_list", "__hash__"}
_UNUSED_CLASSES = {"MatcherPattern"}
_REGISTRY = {
    "_C", "BMSSample_Calc_registry", "_validated_calc_registry", "derive_missing_fields"
}  # fmt: skip


def keep(module: Module) -> None:
    """Reduce a module to what the board needs of it."""
    if module.name in PARTS:
        _, names = PARTS[module.name]
        module.tree.body = [
            part
            for part in module.tree.body
            if isinstance(part, ast.Import | ast.ImportFrom) or getattr(part, "name", "") in names
        ]
        return
    module.tree.body = [
        part for part in module.tree.body if (module.name, getattr(part, "name", "")) not in MOVED
    ]
    _SPLICES.get(module.name, _driver)(module)
    cells.note(module)
    cells.Zeros.run(module)
    taken.Emptied.run(module)


def _driver(module: Module) -> None:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ClassDef):
            node.body = [
                part for part in node.body if getattr(part, "name", "") not in _UNUSED_METHODS
            ]


def _package(module: Module) -> None:
    _driver(module)
    module.tree.body = [
        part
        for part in module.tree.body
        if not isinstance(part, ast.With)
        and getattr(part, "name", "") not in _UNUSED_CLASSES
        and not _targets(part, "__version__")
    ]


def _base(module: Module) -> None:
    for node in module.tree.body:
        if isinstance(node, ast.ClassDef) and node.name == "BaseBMS":
            node.body = [
                part
                for part in node.body
                if isinstance(part, ast.AnnAssign | ast.Assign)
                or getattr(part, "name", "") in _BASE_METHODS
            ]
            node.bases = [name("Connection")]
    source = ast.ImportFrom("aiobmsble.connection", [ast.alias("Connection")], 0)
    module.tree.body.insert(0, ast.fix_missing_locations(source))


# What upstream's function of this name does, over a table that is sorted already.
_DERIVE = """
def derive_missing_fields(data, raw_values=()):
    if data.get("packs"):
        from aiobmsble._sample_packs import derive_from_packs
        derive_from_packs(data)
    pending = [one for one in CALCULATIONS if one[0] not in data and one[0] not in raw_values]
    progress = True
    while pending and progress:
        progress = False
        waiting = []
        for one in pending:
            if all([key in data for key in one[1]]):
                progress |= one[2](data)
            else:
                waiting.append(one)
        pending = waiting
"""


def _sample_calc(module: Module) -> None:
    """Its registry of objects becomes a table, validated and sorted at build time."""
    registry = module.host._validated_calc_registry()
    rows = [
        f"({one.output!r}, {tuple(sorted(one.requires))!r}, {one.apply.__name__}),"
        for one in sorted(registry, key=lambda one: (len(one.requires), one.output))
    ]
    module.tree.body = [
        part for part in module.tree.body if getattr(part, "name", "") not in _REGISTRY
    ]
    made = ast.parse(f"CALCULATIONS = ({' '.join(rows)})\n{_DERIVE}").body
    last = module.tree.body[-1]
    for part in made:
        for node in ast.walk(part):
            ast.copy_location(node, last)
    module.tree.body += made


def _utils(module: Module) -> None:
    module.tree.body = [
        part
        for part in module.tree.body
        if (isinstance(part, ast.ImportFrom) and part.module == "typing")
        or getattr(part, "name", "") == "StreamParser"
    ]


def _targets(node: ast.stmt, label: str) -> bool:
    return isinstance(node, ast.AnnAssign) and getattr(node.target, "id", "") == label


_SPLICES = {
    "aiobmsble": _package,
    "aiobmsble.basebms": _base,
    "aiobmsble._sample_calc": _sample_calc,
    "aiobmsble.utils": _utils,
}
