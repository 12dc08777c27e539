# Starts what tells others of the batteries: as far as the settings ask and the chip has room
# Imported only when they ask for something.
import asyncio
import sys

import advertising
import bleradio
from app.version import VERSION


def start(app):
    """Start what the settings of `app` ask for; what is left out is a sentence of the app."""
    want = app.settings
    battery = app.batteries[0]
    alone = len(app.batteries) == 1
    advertising.name = "batmon " + (battery.name or battery.link.name) if alone else "batmon"
    if "bthome" in want:
        from sinks import bthome

        _keep(app, "bthome", bthome.run, app.batteries, app.clock, want["poll_s"])
    if "wifi.ssid" not in want:
        return
    problem = _no_wifi(want)
    if problem:
        app.sentences.append(problem)
        print(problem)
        return
    from sinks.wifi import Wifi  # here, because it takes memory

    def on_time():
        for battery in app.batteries:
            if battery.store:
                battery.store.tick()  # it notes the new time, by which frames are dated

    wifi = Wifi(want["wifi.ssid"], want["wifi.password"], want["wifi.ntp"], app.clock, on_time)
    several = want, app.sinks, app.clock, app.batteries, wifi
    if "influx.host" in want:
        from sinks import influx

        _keep(app, "influx", influx.run, *several)
    if "mqtt.host" in want:
        from sinks import mqtt

        _keep(app, "mqtt", mqtt.run, *several, VERSION)


def _no_wifi(want):
    """Return why nothing can be sent over WiFi, or ""."""
    what = [name for name in ("influx", "mqtt") if name + ".host" in want]
    import boards

    row = boards.row()
    del sys.modules["boards"]
    if row[5] == "no" and bleradio.idf_heap_info:
        return "%s: off, WiFi has no room beside Bluetooth on this chip; bthome needs none" % (
            " and ".join(what)
        )
    if not want["wifi.ssid"]:
        return "settings.json: %s.host is set, but wifi.ssid is not; nothing is sent" % what[0]
    try:
        bleradio.claim(bleradio.WIFI)
    except bleradio.Short as exc:
        return "%s; nothing is sent" % exc
    return ""


def _keep(app, name, part, *args):
    asyncio.create_task(app.keep(name, lambda: part(*args)))
