# Brings a battery's lifetime counters up to date: a minute after the start, every four hours, and
# before shards are packed. Loaded for that and forgotten, with shards/counters.py, which counts.
import sys


async def count(battery):
    """Count what is on flash since the last time; what fails is tried again the next time."""
    if not battery.store:
        return
    try:
        from shards import counters
    except MemoryError:
        return
    try:
        values = await counters.Counters().count(battery.store)
        if battery.status.counted is not None:
            from screen import lifetime

            battery.status.counted = lifetime.lines(values)
    except (OSError, MemoryError):
        pass
    finally:
        del sys.modules["shards.counters"], sys.modules["shards"].counters
