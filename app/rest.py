# Rest: the board sleeps where nothing flows, and looks at the BMS now and then, see docs/REST.md
# Loaded when the current has been low for a while, and at each wake; app/look.py is the look.
import json
import struct
import sys
import time
from binascii import crc32

import machine
from micropython import const
from sampling import keep
from shards import frame

_AT = const(1073)  # of RTC memory, behind what the log has there; docs/FORMAT.md
_HEAD = const("<HHI")  # magic, bytes, CRC-32
_HEAD_BYTES = const(8)
_MAGIC = const(0x5352)
_RTC_BYTES = const(2048)
_BUTTON = const(0)  # GPIO of the button that boards have beside RESET
_LEARN_S = const(500)  # in a shorter sleep whole seconds tell nothing
_OLD_S = const(15)  # a sample that is older, by more than two polls, tells nothing
_STANDING_S = const(3600)  # an alarm that is on for so long keeps the board awake no longer
_SET_S = const(2)  # a smaller change is no setting of the clock
_GRAIN_AH = 0.001
_PPM_MOST = const(100_000)  # more is no drift of the slow clock


def rest(app, battery):
    """Sleep, if nothing speaks against it; the board starts anew after that.

    The current has been low for long enough. Returns if something does.
    """
    now_s = app.clock.uptime_s()
    app.loud_s = now_s  # asked again when it was low for as long again
    store = battery.store
    before = app.rested = app.rested or {"ppm": 0, "slept_s": 0, "base_s": 0, "alarm": ""}
    if battery.status.alarm != before["alarm"]:
        before["alarm"] = battery.status.alarm
        before["alarm_s"] = now_s
    if _is_busy(app, battery, now_s, before):
        return
    every_s = interval_s(app, battery)
    base_s = time.time() - now_s  # of the uptime, which goes on
    if before["base_s"] and learn(before, app.clock) == 0:
        base_s = before["base_s"]  # whole seconds waver: in a hundred rests that adds up
    store.event(frame.REST, every_s)
    secure(store)
    kept = {
        "boot": store.boot,
        "base_s": base_s,
        "ppm": before["ppm"],
        "slept_s": before["slept_s"],
        "late_us": 0,
        "since_s": now_s,  # uptime when this rest began
        "saved_s": now_s,  # and when all was on flash
        "looked_s": battery.sample_s,  # and when the BMS was polled last
        "alarm": battery.status.alarm,
        "silence_s": app.quiet_s,
        "name": battery.link.name,
        "make": _make(battery.link.driver),
        "cells": store.cells,
        "offset_s": store.unix_offset_s,
        "charge_ah": counted_ah(battery.sample),
    }
    print("at rest: the board sleeps and looks every %d min" % (every_s // 60))
    if not store.message:
        if app.display:
            sign(app, app.display, 0)
        sleep(app, battery, kept, every_s)
    store.event(frame.REST, 0)  # it could not: the flash failed, or there is too much to keep


def _is_busy(app, battery, now_s, before):
    store = battery.store
    if not store or store.message or store.packing_due or not battery.status.connected:
        return True
    if now_s - battery.sample_s > _OLD_S + 2 * app.settings["poll_s"]:
        return True
    alarm = battery.status.alarm
    if alarm and now_s - before["alarm_s"] < _STANDING_S:
        return True
    if alarm and "alarm.pin" in app.settings and alarm != battery.status.seen:
        return True  # it would be silent
    return has_phone(app)


def has_phone(app):
    """Is a phone connected?"""
    for sink in app.sinks:
        if getattr(sink, "conn", None) is not None:
            return True
    return False


def learn(kept, clock):
    """Learn from a clock that somebody set how far it goes wrong in sleep; return that step, s.

    0 if nobody set it: what is less than 2 s.
    """
    step_s = time.time() - clock.uptime_s() - kept["base_s"]
    slept_s = kept["slept_s"]
    if abs(step_s) < _SET_S:
        return 0
    kept["slept_s"] = 0
    if slept_s >= _LEARN_S and abs(step_s) * 10 < slept_s:
        ppm = kept["ppm"] + step_s * 1000 // ((slept_s + 999) // 1000)
        kept["ppm"] = max(-_PPM_MOST, min(_PPM_MOST, ppm))
    return step_s


def counted_ah(sample):
    """Return the charge that the BMS counts, Ah; None where it is only another word for its SoC."""
    charge_ah = sample.get("cycle_charge")
    design_ah = sample.get("design_capacity")
    soc = sample.get("battery_level")
    if charge_ah and design_ah and soc is not None:
        if abs(charge_ah - design_ah * soc / 100) < _GRAIN_AH:
            return None
    return charge_ah


def interval_s(app, battery):
    """Return how long to sleep: longer as the charge falls, an hour at the reserve."""
    want = app.settings
    minutes = want["rest.minutes"]
    soc = (battery.sample or {}).get("battery_level")
    if soc is not None and soc <= want["rest.reserve"]:
        minutes = 60
    elif soc is not None and soc <= 3 * want["rest.reserve"]:
        minutes = min(60, 2 * minutes)
    return 60 * minutes


def secure(store):
    """Write what waits, and what is held, onto the flash."""
    risk_s, store.risk_s = store.risk_s, 0
    store.tick()
    store.risk_s = risk_s


def sign(app, display, hours):
    """Show the last values and that the board rests, and for how long, without light."""
    lcd, picture = display
    battery = app.batteries[0]
    now_s = battery.update()
    text = picture.render(battery.sample, battery.status, now_s)
    words = "at rest for %d %s" % ((hours, "h") if hours < 48 else (hours // 24, "d"))
    at = len(text) - lcd.cols
    for i in range(lcd.cols):
        text[at + i] = ord(words[i]) if i < len(words) else 32
    lcd.backlight(False)
    lcd.show(text)


def sleep(app, battery, kept, every_s):
    """Keep what is to go on, and sleep; returns only if that does not fit into RTC memory."""
    waiting = battery.store.waiting
    kept["every_s"] = every_s
    kept["newest_s"] = waiting.newest_s
    kept["sampler"] = keep.state(battery.sampler)
    if battery.watch:
        kept["watch"] = keep.state(battery.watch)
    kept["asleep_s"] = time.time()
    data = json.dumps(kept).encode()
    if _AT + _HEAD_BYTES + len(data) > _RTC_BYTES:
        print("too much to keep for a sleep (%d bytes), going on awake" % len(data))
        return
    app.hang_up()
    waiting.mirror()
    memory = bytearray(_AT + _HEAD_BYTES)
    memory[:_AT] = waiting.buffer
    struct.pack_into(_HEAD, memory, _AT, _MAGIC, len(data), crc32(data))
    machine.RTC().memory(memory + data)
    _wake_by_button(app.settings)
    machine.deepsleep(every_s * 1000)


def wake():
    """Return what App is to go on with after a sleep, or None if RTC memory has nothing of it.

    The clock is set right by what is known of its drift.
    """
    rtc = machine.RTC()
    memory = rtc.memory()
    try:
        magic, size, crc = struct.unpack_from(_HEAD, memory, _AT)
        data = memory[_AT + _HEAD_BYTES : _AT + _HEAD_BYTES + size]
        if magic != _MAGIC or crc32(data) != crc:
            return None
        kept = json.loads(data)
    except ValueError:
        return None  # shorter than its head
    rtc.memory(memory[:_AT])  # as every other start expects it
    slept_s = time.time() - kept["asleep_s"]
    kept["slept_s"] += slept_s
    late_us = kept["late_us"] + slept_s * kept["ppm"]
    if abs(late_us) >= 1_000_000:
        late_s = late_us // 1_000_000
        late_us -= late_s * 1_000_000
        now = time.gmtime(time.time() + late_s)
        us = rtc.datetime()[7]
        rtc.datetime((now[0], now[1], now[2], now[6], now[3], now[4], now[5], us))
    kept["late_us"] = late_us
    uptime_s = time.time() - kept["base_s"]
    return {"boot": kept["boot"], "uptime_s": uptime_s, "gap_s": 0, "events": [], "rest": kept}


def _wake_by_button(want):
    """Let a press of the button end the sleep, where the chip can do that."""
    try:
        import esp32

        pin = machine.Pin(want.get("button.pin", _BUTTON), machine.Pin.IN, machine.Pin.PULL_UP)
        if pin.value():  # else something holds it down, and there would be no sleep
            esp32.wake_on_ext0(pin, esp32.WAKEUP_ALL_LOW)
    except (ImportError, AttributeError, ValueError):
        pass  # a C3 or C6: RESET does


def _make(driver):
    """Return what the module of a BMS class is called, e.g. "jikong_bms"."""
    for name in sys.modules:
        if name.startswith("aiobmsble.bms.") and sys.modules[name].BMS is driver:
            return name[14:]
    return ""
