# Brings a battery's lifetime counters up to date: a minute after the start, every four hours, and
# before shards are packed. Loaded for that and forgotten, with shards/counters.py, which counts.
import sys


async def count(battery):
    """Count what is on flash since the last time; flash that fails is asked again later."""
    if not battery.store:
        return
    from shards import counters

    try:
        values = await counters.Counters().count(battery.store)
        if battery.status.counted is not None:
            from screen import lifetime

            battery.status.counted = lifetime.lines(values)
    except OSError:
        pass
    finally:
        del sys.modules["shards.counters"], sys.modules["shards"].counters
