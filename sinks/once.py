# Modules of this room that are loaded for a use and dropped
import sys


def once(name):
    """Return the module `name` of sinks/, for this use only: its memory is free after it."""
    module = getattr(__import__("sinks." + name), name)
    del sys.modules["sinks." + name]
    delattr(sys.modules["sinks"], name)
    return module
