# Packs full shards in a start of its own: the codec and the app do not fit into the heap together
# The file /data/packing carries over the two resets what they would lose, see docs/FORMAT.md.
import json
import os
import sys
import time

import machine
from micropython import const

_FILE = const("/data/packing")
_TRIES = const(2)
_DONE = const(99)
_PAUSE_MOST_S = const(3600)  # a longer one was no pause, or the clock was set in it


def request(store, clock, watching=()):
    """Have the next start pack what waits in `store`, which is flushed. Raises OSError.

    `watching` is for the boot that goes on: of each battery what sampling/keep.py makes of its
    Watching, None without.
    """
    before = _read()  # of a start that found no time to tell them
    _write(
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
    before = _read()
    _write(
        {
            "name": "",
            "boot": 0,
            "uptime_s": 0,
            "time_s": time.time() + _PAUSE_MOST_S,  # no boot goes on
            "tries": _DONE,
            "events": (before["events"] if before else []) + [event],
        }
    )


def resume():
    """Do what a start does first. If there is something to pack, pack it, and reset the board.

    Else return what was paused for that, or None: the `name` of the log, its `boot`, the
    `uptime_s` by now, how much of it was the pause (`gap_s`, 0 if the boot does not go on), the
    `events` of packing, and `watching`. The store removes the file when it has told them.
    """
    paused = _read()
    if paused is None:
        return None
    if paused["tries"] < _TRIES:
        paused["tries"] += 1  # before: a start that dies in it shall not die for ever
        _write(paused)
        try:
            try:
                _pack(paused)
            except Exception as exc:  # whatever is wrong: logging goes on, the shard stays raw
                sys.print_exception(exc)
            paused["tries"] = _DONE
        finally:  # after Ctrl-C too: the log is to tell what was deleted
            _note(paused)
        machine.reset()
    pause_s = time.time() - paused["time_s"]
    goes_on = machine.reset_cause() != machine.PWRON_RESET and 0 <= pause_s < _PAUSE_MOST_S
    paused["gap_s"] = max(1, pause_s) if goes_on else 0
    paused["uptime_s"] = paused["uptime_s"] + pause_s if goes_on else 0
    return paused


def _pack(paused):
    from app import settings
    from clock import Clock
    from screen.notice import Notice
    from shards import packing, recovery
    from shards.folder import Shards

    print("packing the log; the BMS is polled again in a minute")
    want = settings.load()[0]
    notice = Notice(want)
    notice.show("Packing the log")
    watchdog = machine.WDT(timeout=want["watchdog_s"] * 1000) if want["watchdog_s"] else None

    def say(percent):
        if watchdog:
            watchdog.feed()
        notice.show("Packing the log", "%d %%" % percent)

    shards = Shards("/data", Clock())
    shards.name = paused["name"]
    shards.names = paused.get("names", ())
    shards.events = paused["events"]
    recovery.recover(shards, recovery.Found())
    packing.pack(shards, say)


def _read():
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


def _note(paused):
    for _ in range(3):
        try:
            _write(paused)
            return
        except (Exception, KeyboardInterrupt) as exc:  # the reset is near anyway
            sys.print_exception(exc)


def _write(paused):
    with open(_FILE, "w") as f:
        f.write(json.dumps(paused))
