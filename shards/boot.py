# What a start does with a log: the folder brought into order, what waited taken back, a boot begun
# Loaded for that and forgotten, with what it loads. `store` is a Store; docs/FORMAT.md specifies.
import gc
import os
import sys

from micropython import const
from shards import frame
from shards.folder import PACKING

_LOOKS = const(10)  # for what is on flash, before a shard is left as it is


def wake(store):
    """Take back the frames that waited at the end; return whether a rest was all that ended."""
    from shards import leftover

    _forget("leftover")
    paused = store._paused
    if paused and "rest" in paused and leftover.wake(store.waiting):
        store.boot = store.highest[1] = paused["boot"]
        return True
    leftover.take_back(store.waiting, store._held_file(), store._opened_s)
    return False


def begin(store, late):
    """Read the folder and begin this boot; return whether it could be read.

    `late` if frames of this boot wait already, behind an anchor without its number.
    """
    from shards import entries, room  # noqa: F401, I001  first: imports inside imports take stack
    from shards import leftover, recovery

    found = recovery.Found(store._looks < _LOOKS)
    try:
        recovery.recover(store, found)
    except OSError as exc:
        store._trouble(exc)
        store._looks += 1
        store.events = []  # the next time tells them
        return False
    finally:
        _forget("entries")
        _forget("leftover")
        _forget("recovery")
        _forget("room")
    store._looks = 0
    waiting = store.waiting
    same = leftover.sort_out(waiting, found)
    store.highest[0] = max(store.highest[0], found.highest)
    waiting.shard = found.number
    waiting.flush = found.flush
    store._size = found.size
    if not found.size and (found.there or not same):
        waiting.shard = store._next_number()  # files may have been deleted
        store._size = 0
    paused = store._paused
    store.packing_due = bool(store.unsealed) and not paused
    goes_on = paused and paused["boot"] == found.boot and paused["gap_s"]
    boot = store.highest[1] or (found.boot if goes_on else found.boot + 1)
    store.boot = max(boot, leftover.name_boots(waiting, boot) - late)
    store.highest[1] = store.boot
    store._first_boot = found.boot
    store._ready = True
    store._save_state()
    store.flush()
    if not late:
        enter(store)
    if paused:
        for event in paused["events"]:
            store.event(*event)
        paused["events"] = []  # another log does not tell them again
        try:
            os.remove(store.path + PACKING)  # not before: it is told now, or in RTC memory
        except OSError:
            pass  # the next start does not go on with it: its boot is over
        store._paused = None
    gc.collect()
    return True


def enter(store):
    """Mark in the log where this boot begins, or goes on."""
    store.anchor()
    if store._paused and store._paused["gap_s"]:
        store.event(frame.GAP, store._paused["gap_s"])


def _forget(module):
    del sys.modules["shards." + module]
    delattr(sys.modules["shards"], module)
