# When the app ends: for Ctrl-C, or for a start that packs full shards or mends the flash
# Loaded then.
import sys

import machine
from micropython import const

_REPL_WATCHDOG_MS = const(3_600_000)


def stop(app):
    """Store what is not stored yet and let the radio go."""
    if app.settings["watchdog_s"]:
        # it cannot be switched off, but files can be copied in peace
        machine.WDT(timeout=_REPL_WATCHDOG_MS)
    why = ""
    for battery in app.batteries:
        if not battery.flush():
            why = battery.store.message
    app.hang_up()
    print("stopped: " + why if why else "stopped, everything is stored")


async def see_to(app, battery, may_pack):
    """Pause for what `battery`'s store needs, if that can be; app/packing.py, app/mending.py."""
    store = battery.store
    if store.unreadable:
        store.unreadable = False
        _mend(app)
    if store.packing_due and may_pack:
        store.packing_due = False  # tried once for each shard that fills
        # of all batteries: packing takes a minute more, and none is counted in what is packed
        if all([one.flush() for one in app.batteries]):  # a volume in trouble has to wait
            from app import counting

            for one in app.batteries:
                await counting.count(one)
            del sys.modules["app.counting"], sys.modules["app"].counting
            _pack(app, store)


def _mend(app):
    from app import mending

    try:
        if mending.request():
            app.restart("a file on flash cannot be read")
    finally:
        del sys.modules["app.mending"], sys.modules["app"].mending


def _pack(app, store):
    from sampling import keep

    watching = [battery.watch and keep.state(battery.watch) for battery in app.batteries]
    del sys.modules["sampling.keep"], sys.modules["sampling"].keep, keep
    from app import handover

    try:
        handover.request(store, app.clock, watching)
    except OSError as exc:
        print("the log is packed later: flash error %d" % exc.errno)
        return
    finally:
        del sys.modules["app.handover"], sys.modules["app"].handover
    app.leave()
