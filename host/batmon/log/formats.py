"""The board's own modules for the formats on flash, loaded from lib/ and shards/ of the checkout.

One definition of frames and shards serves the board and the PC: `half`, `frame`, `codec` and below
it `model`, `numbers` and `rangecoder`. With numba installed these three are compiled when first
used (the extra `fast`: `pip install batmon[fast]`), which makes them a hundred times faster.
`counters` adds up lifetimes, `sums` has the files that keep them, `alarms` has the words for what a
BMS tells.
"""

import hashlib
import importlib.util
import sys
from pathlib import Path
from types import FunctionType, ModuleType

from batmon.paths import ROOT

_SHARDS = ROOT / "shards"
_COMPILED = ("rangecoder", "numbers", "model")
_NOT_COMPILED = ("new", "ready", "finish")
_FILES = {"half": ROOT / "lib/half.py"}
_FILES |= {f"shards.{name}": _SHARDS / f"{name}.py" for name in ("frame", *_COMPILED, "codec")}
_FILES |= {f"shards.{name}": _SHARDS / f"{name}.py" for name in ("counters", "sums")}
_FILES |= {"alarms": ROOT / "screen/alarms.py"}


def _same(x):
    return x


# All that the formats need of MicroPython: marks for its compiler.
_MICROPYTHON = ModuleType("micropython")
_MICROPYTHON.const = _same
_MICROPYTHON.viper = _same
_POINTERS = ("ptr8", "ptr16", "ptr32")


def load() -> list[ModuleType]:
    """Return modules of their own, not compiled, in the order of the names below."""
    modules = []
    hidden = {name: sys.modules.pop(name, None) for name in (*_FILES, "shards", "micropython")}
    try:
        sys.modules["micropython"] = _MICROPYTHON
        sys.modules["shards"] = package = ModuleType("shards")
        for name, path in _FILES.items():
            spec = importlib.util.spec_from_file_location(f"{__name__}.{path.stem}", path)
            module = importlib.util.module_from_spec(spec)
            vars(module).update(dict.fromkeys(_POINTERS, _same))
            sys.modules[spec.name] = module  # where numba's cache looks for it
            sys.modules[name] = module  # they import each other by these names
            spec.loader.exec_module(module)
            setattr(package, path.stem, module)
            modules.append(module)
    finally:
        # Names this common must not stay taken in a program that imports batmon.
        for name, module in hidden.items():
            sys.modules.pop(name, None)
            if module:
                sys.modules[name] = module
    return modules


half, frame, rangecoder, numbers, model, codec, counters, sums, alarms = load()
_plain = model.code


def _code_first(*args):
    """Stand for `model.code` until it is wanted: compile all of it, if numba is there."""
    model.code = _plain
    files = [_SHARDS / f"{name}.py" for name in _COMPILED]
    compile_functions([vars(module) for module in (rangecoder, numbers, model)], files)
    model.code(*args)


def compile_functions(namespaces: list[dict], files: list[Path], plain=_NOT_COMPILED):
    """Replace all functions of the namespaces but those named in `plain` by compiled ones.

    `files` are their sources. Nothing happens without numba.
    """
    try:
        import numba
    except ImportError:
        return
    sources = __name__.encode()  # what is kept names the modules
    sources += b"".join(file.read_bytes() for file in files)
    kept, numba.config.CACHE_DIR = (
        numba.config.CACHE_DIR,
        str(ROOT / "build" / "numba" / hashlib.blake2b(sources, digest_size=8).hexdigest()),
    )
    try:
        jit = numba.njit(cache=True)
        compiled = {_same: jit(_same)}
        for namespace in namespaces:
            for name, value in list(namespace.items()):
                if isinstance(value, FunctionType) and name not in plain:
                    if value not in compiled:
                        compiled[value] = jit(value)
                    namespace[name] = compiled[value]
    finally:
        numba.config.CACHE_DIR = kept


model.code = _code_first
