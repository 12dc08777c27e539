"""The board's own modules for the formats on flash, loaded from lib/ of the checkout.

One definition of frames and shards serves the board and the PC: `half`, `frame`, `shardcodec`
and below it `shardmodel` and `rangecoder`. With numba installed the last two are compiled when
first used (the extra `fast`: `pip install batmon[fast]`), which makes them a hundred times faster.
"""

import hashlib
import importlib.util
import sys
from pathlib import Path
from types import FunctionType, ModuleType

_ROOT = Path(__file__).resolve().parents[2]
_LIB = _ROOT / "lib"
_NAMES = ("half", "frame", "rangecoder", "shardmodel", "shardcodec")
_COMPILED = ("rangecoder", "shardmodel")


def _same(x):
    return x


# All that the formats need of MicroPython: marks for its compiler.
_MICROPYTHON = ModuleType("micropython")
_MICROPYTHON.const = _same
_MICROPYTHON.viper = _same
_POINTERS = ("ptr8", "ptr16", "ptr32")


def _load() -> list[ModuleType]:
    modules = []
    hidden = {name: sys.modules.pop(name, None) for name in (*_NAMES, "micropython")}
    try:
        sys.modules["micropython"] = _MICROPYTHON
        for name in _NAMES:
            spec = importlib.util.spec_from_file_location(f"{__name__}.{name}", _LIB / f"{name}.py")
            module = importlib.util.module_from_spec(spec)
            vars(module).update(dict.fromkeys(_POINTERS, _same))
            sys.modules[spec.name] = module  # where numba's cache looks for it
            sys.modules[name] = module  # they import each other by these names
            spec.loader.exec_module(module)
            modules.append(module)
    finally:
        # Names this common must not stay taken in a program that imports batmon.
        for name, module in hidden.items():
            sys.modules.pop(name, None)
            if module:
                sys.modules[name] = module
    return modules


half, frame, rangecoder, shardmodel, shardcodec = _load()
_plain = shardmodel.code


def _code_first(*args):
    """Stand for `shardmodel.code` until it is wanted: compile it, or find that numba is missing."""
    shardmodel.code = _compiled() or _plain
    shardmodel.code(*args)


def _compiled():
    try:
        import numba
    except ImportError:
        return None
    sources = b"".join((_LIB / f"{name}.py").read_bytes() for name in _COMPILED)
    kept, numba.config.CACHE_DIR = numba.config.CACHE_DIR, str(
        _ROOT / "build" / "numba" / hashlib.blake2b(sources, digest_size=8).hexdigest()
    )
    try:
        jit = numba.njit(cache=True)
        same = jit(_same)
        for module in (rangecoder, shardmodel):
            for name, value in list(vars(module).items()):
                if name in _POINTERS:
                    vars(module)[name] = same
                elif isinstance(value, FunctionType) and name[0] == "_":
                    vars(module)[name] = jit(value)
        rangecoder.number = shardmodel.number = jit(rangecoder.number)
        return jit(_plain)
    finally:
        numba.config.CACHE_DIR = kept


shardmodel.code = _code_first
