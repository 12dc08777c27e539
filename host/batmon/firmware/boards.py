"""The board's table of chips, lib/boards.py of the checkout."""

import importlib.util
from types import ModuleType

from batmon.paths import ROOT


def load() -> ModuleType:
    """Return the board's module `boards`."""
    spec = importlib.util.spec_from_file_location("batmon_boards", ROOT / "lib/boards.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
