# Opens the log of a battery, at the start or when its name is known
# Loaded for that, and its memory given back.
import machine
from micropython import const
from shards import frame
from store import Store

_DATA = "/data"
_DAYS_LEAST = const(200)  # that the volume lasts, at so many bytes for a frame
_FRAME_BYTES = const(4)


def open_log(battery, app, name):
    """Give the battery its Store, called `name` if no other has that name."""
    common = app.common
    rtc = common.part(battery.index) if common else machine.RTC()
    store = Store(_DATA, name, app.clock, rtc, machine.reset_cause())
    paused = app.paused
    if common:
        common.join(store)
    store.open(paused)
    if frame.shard_name(battery.name) != store.name:
        battery.name = store.name  # there is another of that name
    battery.store = store  # not before: one that is half open would be taken for a good one
    if all([one.store for one in app.batteries]):
        app.paused = None
    try:
        size = store.ask_free()
    except OSError:
        size = 0  # then the log has no limit
    many = len(app.batteries)
    battery.sampler.frames_a_day = size // (_DAYS_LEAST * _FRAME_BYTES) // many
    app.open(battery)
