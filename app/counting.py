# Brings a battery's lifetime counters up to date: a minute after the start, every four hours, and
# before shards are packed. Loaded for that and forgotten, with what of shards/ it uses in turn.
import sys


async def count(battery):
    """Count what is on flash since the last time; what fails is tried again the next time."""
    if not battery.store:
        return
    try:
        n = await add_up(battery.store)
        if battery.status.counted is not None:
            from screen import lifetime

            battery.status.counted = lifetime.lines(_once("sums").values(n))
    except (OSError, MemoryError):
        pass


async def add_up(store):
    """Count, keep what comes of it, and return it: numbers, see shards/counters.py.

    Raises OSError when flash cannot be read or written.
    """
    n = _once("sums").load(store.path, store.name)
    n = await _once("counters").count(store, n)
    for _ in range(2 if store.unsealed else 1):  # before what the older file needs is sealed
        _once("sums").save(store.path, store.name, n)
    return n


def _once(name):
    module = getattr(__import__("shards." + name), name)
    del sys.modules["shards." + name]
    delattr(sys.modules["shards"], name)
    return module
