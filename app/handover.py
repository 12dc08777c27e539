# The file /data/packing: what a start that packs or mends is to know, and to tell the log
# Loaded to ask for such a start, and in it; app/packing.py is the start. docs/FORMAT.md names it.
import json
import os
import time

from micropython import const

PAUSE_MOST_S = 3600  # a longer one was no pause, or the clock was set in it
DONE = 99  # tries
_FILE = const("/data/packing")


def request(store, clock, watching=()):
    """Have the next start pack what waits in `store`, which is flushed. Raises OSError.

    `watching` is for the boot that goes on: of each battery what sampling/keep.py makes of its
    Watching, None without.
    """
    before = read()  # of a start that found no time to tell them
    write(
        {
            "name": store.name,
            "boot": store.boot,
            "uptime_s": clock.uptime_s(),
            "time_s": time.time(),
            "tries": 0,
            "events": before["events"] if before else [],
            "names": list(store.names),
            "watching": watching,
        }
    )


def tell(event):
    """Have the next start store an event, (code, a, b). Raises OSError."""
    before = read()
    write(
        {
            "name": "",
            "boot": 0,
            "uptime_s": 0,
            "time_s": time.time() + PAUSE_MOST_S,  # no boot goes on
            "tries": DONE,
            "events": (before["events"] if before else []) + [event],
        }
    )


def read():
    """Return what is in it, a dict as `request` makes it; None if there is none, or half of one."""
    for _ in range(3):
        try:
            with open(_FILE) as f:
                paused = json.loads(f.read())
            for key in ("name", "boot", "uptime_s", "time_s", "tries", "events"):
                paused[key]
            return paused
        except OSError:
            return None  # there is none, nearly always
        except (ValueError, KeyError, TypeError):
            pass  # torn by a power cut, or this look failed
    os.remove(_FILE)  # the store finds out what waits
    return None


def write(paused):
    """Let `paused` be what is in it; raises OSError."""
    with open(_FILE, "w") as f:
        json.dump(paused, f)  # in pieces: memory may be short
