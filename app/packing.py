# Packs full shards in a start of its own: the codec and the app do not fit into the heap together
# app/handover.py carries over the two resets what they would lose.
import sys
import time

import machine
from app import handover
from micropython import const

_TRIES = const(2)


def resume():
    """Do what a start does first. If there is something to pack, pack it, and reset the board.

    Else return what was paused for that, or None: the `name` of the log, its `boot`, the
    `uptime_s` by now, how much of it was the pause (`gap_s`, 0 if the boot does not go on), the
    `events` of packing, and `watching`. The store removes the file when it has told them.
    """
    paused = handover.read()
    if paused is None:
        return None
    if paused["tries"] < _TRIES:
        paused["tries"] += 1  # before: a start that dies in it shall not die for ever
        handover.write(paused)
        try:
            try:
                _pack(paused)
            except Exception as exc:  # whatever is wrong: logging goes on, the shard stays raw
                sys.print_exception(exc)
            paused["tries"] = handover.DONE
        finally:  # after Ctrl-C too: the log is to tell what was deleted
            _note(paused)
        machine.reset()
    pause_s = time.time() - paused["time_s"]
    goes_on = machine.reset_cause() != machine.PWRON_RESET and 0 <= pause_s < handover.PAUSE_MOST_S
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


def _note(paused):
    for _ in range(3):
        try:
            handover.write(paused)
            return
        except (Exception, KeyboardInterrupt) as exc:  # the reset is near anyway
            sys.print_exception(exc)
