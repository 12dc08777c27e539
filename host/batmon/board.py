"""The board's own modules for the formats on flash, loaded from lib/ of the checkout.

One definition of frames and shards serves the board and the PC: `half`, `frame`, `shardcodec`.
"""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

_LIB = Path(__file__).resolve().parents[2] / "lib"
_NAMES = ("half", "frame", "shardcodec")

# All that the formats need of MicroPython: a mark for its compiler.
_MICROPYTHON = ModuleType("micropython")
_MICROPYTHON.const = lambda value: value


def _load() -> list[ModuleType]:
    modules = []
    hidden = {name: sys.modules.pop(name, None) for name in (*_NAMES, "micropython")}
    try:
        sys.modules["micropython"] = _MICROPYTHON
        for name in _NAMES:
            spec = importlib.util.spec_from_file_location(name, _LIB / f"{name}.py")
            module = importlib.util.module_from_spec(spec)
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


half, frame, shardcodec = _load()
