"""Translates the drivers of the pinned aiobmsble into MicroPython source for the board.

`translate()` is the way in.
"""

import ast
import difflib
import importlib.metadata
import importlib.util
import shutil
from pathlib import Path

from batmon.drivers import emit, matchers, pieces, splice
from batmon.drivers.module import (
    PARTS,
    RUNTIME,
    Module,
    Tables,
    Unsupported,
    load,
    load_tables,
    shared_attributes,
    source_file,
)
from batmon.drivers.passes import PASSES

# The translator copies its functions into drivers one by one.
_NOT_ON_BOARD = "compat_more.py"
_CORE = ("aiobmsble", "aiobmsble._sample_calc", "aiobmsble.basebms", *PARTS)


def upstream() -> Path:
    """The folder of the installed aiobmsble package."""
    spec = importlib.util.find_spec("aiobmsble")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("aiobmsble is not installed; it is pinned in pyproject.toml")
    return Path(spec.submodule_search_locations[0])


def drivers() -> list[str]:
    """Names of all driver modules that aiobmsble has, sorted: "abc_bms", "ag_bms", …"""
    return sorted(path.stem for path in (upstream() / "bms").glob("*_bms.py"))


def translate(
    out_dir: Path, only: list[str] | None = None, refused: list[str] | None = None
) -> list[str]:
    """Write `out_dir/aiobmsble`: translated modules and our runtime; returns the modules' names.

    `only` names driver modules ("jbd_bms" or "jbd"); what they import comes along. Raises
    Unsupported for a construct that is not known to be safe, or, if there is a list `refused`,
    adds the sentence to that and leaves the module out; ValueError for an unknown driver.
    """
    target = Path(out_dir) / "aiobmsble"
    if target.resolve() == RUNTIME:
        raise ValueError(f"{target} holds the runtime's own source")
    version = importlib.metadata.version("aiobmsble")
    chosen = _chosen(only)
    texts = {}
    for name in chosen:
        try:
            texts[name] = source_of(load(upstream(), name), version)
        except Unsupported as error:
            if refused is None:
                raise
            refused.append(str(error))
    shutil.rmtree(target, ignore_errors=True)
    (target / "bms").mkdir(parents=True)
    for path in sorted(RUNTIME.glob("*.py")):
        if path.name != _NOT_ON_BOARD:
            shutil.copyfile(path, target / path.name)
    for name, text in texts.items():
        _file_of(target, name).write_text(text, encoding="utf-8")
    (target / "bms" / "__init__.py").write_text("", encoding="utf-8")
    names = [name.rpartition(".")[2] for name in texts if name.startswith("aiobmsble.bms.")]
    (target / "matchers.py").write_text(matchers.source_of(names), encoding="ascii")
    return list(texts)


def source_of(module: Module, version: str) -> str:
    """Run all passes on an upstream module; returns MicroPython source."""
    tables = Tables(functions=load_tables(upstream(), "aiobmsble.basebms").functions)
    for imported in ["aiobmsble", *_imports(module.tree, module.name)]:
        if imported.startswith("aiobmsble") and imported != module.name:
            tables = tables.joined(load_tables(upstream(), imported))
    module.tables = tables.joined(module.tables)
    module.shared_attributes = shared_attributes(upstream(), RUNTIME)
    splice.keep(module)
    for run in PASSES:
        run(module)
    return emit.source_of(module, version) + pieces.source_of(module.name.rpartition(".")[2])


def _chosen(only: list[str] | None) -> list[str]:
    known = drivers()
    names = known if only is None else [full_name(name) for name in only]
    wanted = [f"aiobmsble.bms.{name}" for name in names]
    # Releases before 0.28 have no _sample_calc.
    found = {name for name in _CORE if source_file(upstream(), name).exists()}
    while wanted:
        name = wanted.pop()
        if name in found:
            continue
        found.add(name)
        tree = ast.parse(source_file(upstream(), name).read_text(encoding="utf-8"))
        wanted += [
            part
            for part in _imports(tree, name)
            if part == "aiobmsble.utils" or part.startswith("aiobmsble.bms.")
        ]
    return sorted(found)


def full_name(name: str) -> str:
    """Return the driver's module of a make; raises ValueError, which names makes that are near."""
    known = drivers()
    full = name if name.endswith("_bms") else f"{name}_bms"
    if full not in known:
        short = full.removesuffix("_bms")
        makes = [driver.removesuffix("_bms") for driver in known]
        near = [make for make in makes if short and make.startswith(short[:1])]
        near = difflib.get_close_matches(short, near, 3, 0.4)
        meant = f"; is it {' or '.join(near)}?" if near else ";"
        raise ValueError(f"there is no BMS driver {short!r}{meant} docs/BMS.md lists them all")
    return full


def _imports(tree: ast.Module, name: str) -> list[str]:
    parent = name.rpartition(".")[0]
    return [
        f"{parent}.{node.module}" if node.level else node.module
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and node.module
    ]


def _file_of(target: Path, name: str) -> Path:
    parts = name.split(".")[1:]
    return target.joinpath(*parts).with_suffix(".py") if parts else target / "__init__.py"
