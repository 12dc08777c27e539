# A small stand-in for aioble's core, where the real one is not at hand
# Names and faults are the original's, so whoever lives with this one lives with that.
# ruff: noqa: F401
from .core import GattError, config, stop
