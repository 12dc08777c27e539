# A look at a BMS at rest: what a wake does, before the board sleeps on or stays awake
# Loaded for that; docs/REST.md tells what it does for users.
import asyncio
import sys
import time

import machine
from app import rest
from link import resting
from micropython import const
from sampling import keep
from shards import frame

_STEP_MS = const(100)
_FIND_MS = const(10_000)  # without the BMS: the next look may find it
_ANSWER_MS = const(25_000)  # with it, for its first sample
_LINGER_MS = const(4000)  # on the air, for those who listen
_SILENCE_S = const(30_000)  # time in frames needs an anchor
_FLUSH_S = const(3600)  # of the log may be in RTC memory alone
_FAIR_S = const(21_600)  # a rest that something ends sooner came too early
_QUIET_S = const(300)
_QUIET_MOST_S = const(14_400)
_PRESSED_S = const(600)
_MOST_SHARE = const(4)  # of what flows at a look may have flowed before it
_MISSED_MS = const(2500)  # for each s between looks: so long without one the run goes on


async def look(app):
    """Poll once, and sleep on. Returns when the board is to stay awake, with all that runs then."""
    kept = app.paused["rest"]
    app.paused["link"] = resting.of  # makes the link, see app/setup.py
    app.begin()
    rest.learn(kept, app.clock)  # a DS3231 may have set the clock
    battery = app.batteries[0]
    if battery.link is None:
        return  # the settings are no more what they were
    _go_on(app, battery, kept)
    every_s = kept["every_s"]
    link = battery.link
    loud = []

    def first(sample):
        amps = sample.get("current")
        now_ms = app.clock.uptime_ms()
        dark_s = now_ms // 1000 - kept["looked_s"]
        if amps is None or abs(amps) * 1000 >= app.rest_ma:
            loud.append(amps)
            mean = _mean(kept, sample, dark_s)
            if mean is None:
                # nobody knows since when: nothing is said of the time before
                battery.flush()
            else:
                told = dict(sample)
                told["current"] = mean
                n = battery.sampler.poll(now_ms, told)
                battery.store.append(battery.sampler.frames, n)
            battery.store.event(frame.REST, 0, dark_s)
        kept["charge_ah"] = rest.counted_ah(sample)

    link.on_first = first
    pressed = machine.wake_reason() != machine.TIMER_WAKE
    if app.settings["watchdog_s"]:
        machine.WDT(timeout=app.settings["watchdog_s"] * 1000)
    began_ms = time.ticks_ms()
    while not battery.sample and not pressed:
        waited_ms = time.ticks_diff(time.ticks_ms(), began_ms)
        if waited_ms >= (_ANSWER_MS if link.found else _FIND_MS):
            break
        await asyncio.sleep_ms(_STEP_MS)
    if battery.sample:
        kept["looked_s"] = battery.sample_s
        if not loud and ("bthome" in app.settings or "phone" in app.settings):
            await asyncio.sleep_ms(_LINGER_MS)
    store = battery.store
    now_s = app.clock.uptime_s()
    alarm = battery.status.alarm
    if not (loud or pressed or alarm and alarm != kept["alarm"] or rest.has_phone(app)):
        kept["alarm"] = alarm
        every_s = rest.interval_s(app, battery) if battery.sample else every_s
        if now_s - store.waiting.newest_s >= _SILENCE_S:
            store.anchor()
        if now_s + every_s - kept["saved_s"] > _FLUSH_S:
            rest.secure(store)
            kept["saved_s"] = now_s
            await _draw(app, kept, now_s)
        if not (store.message or store.packing_due):
            rest.sleep(app, battery, kept, every_s)
    if not loud:
        store.event(frame.REST, 0, now_s - kept["looked_s"])
    link.on_first = None
    _stay(app, battery, kept, now_s, loud, pressed)


def _mean(kept, sample, dark_s):
    """Return the mean current since the look before, as the BMS counted it itself, None if unknown.

    It has to be of a sign with what flows now, and not far more: a BMS that finds its battery full
    or empty sets its count.
    """
    amps = sample.get("current")
    before_ah = kept["charge_ah"]
    now_ah = rest.counted_ah(sample)
    if not amps or before_ah is None or now_ah is None or dark_s <= 0:
        return None
    share = (now_ah - before_ah) * 3600 / dark_s / amps
    return share * amps if 0 <= share <= _MOST_SHARE else None


def _go_on(app, battery, kept):
    """Let everything be as it was before the sleep."""
    link = battery.link
    if not link.name or not link.driver:  # the nearest, or of whatever make: it is that one
        link.name = kept["name"]
        link.driver = __import__("aiobmsble.bms." + kept["make"], None, None, ("BMS",)).BMS
    if battery.store is None:
        battery.open_store(link.name)
    keep.restore(battery.sampler, kept["sampler"])
    link.widened = battery.sampler.widened  # the log knows
    if battery.watch and "watch" in kept:
        keep.restore(battery.watch, kept["watch"])
    store = battery.store
    store.cells = kept["cells"]
    store.unix_offset_s = kept["offset_s"]
    store.waiting.newest_s = kept["newest_s"]
    battery.sampler.timeout_ms = _MISSED_MS * kept["every_s"]


async def _draw(app, kept, now_s):
    """Once an hour: the display tells for how long this rest lasts."""
    if not app.settings["lcd.fitted"]:
        return
    from app import setup

    parts = setup.display(app)
    del sys.modules["app.setup"], sys.modules["app"].setup
    if not parts:
        return
    lcd, picture = parts[:2]
    lcd.backlight(False)
    if await lcd.start():
        rest.sign(app, (lcd, picture), (now_s - kept["since_s"]) // 3600)


def _stay(app, battery, kept, now_s, loud, pressed):
    """Be awake as after any start, and remember what the next rest is to know."""
    lasted_s = now_s - kept["since_s"]
    app.quiet_s = _QUIET_S
    if loud and lasted_s < _FAIR_S:
        app.quiet_s = min(_QUIET_MOST_S, 2 * kept["silence_s"])
    app.loud_s = now_s + (_PRESSED_S - app.quiet_s if pressed else 0)
    battery.sampler.timeout_ms = 0
    app.rested = {name: kept[name] for name in ("ppm", "slept_s", "base_s", "alarm")}
    app.rested["alarm_s"] = now_s
    print("awake after %d min of rest" % (lasted_s // 60))
    battery.link.stay()
