# Starts what sends over WiFi, if the chip has room for it
# Imported for the start only.
import sys

import bleradio
from app.version import VERSION


def start(app, keep):
    """Start what the settings of `app` ask for, or say in a sentence why not."""
    want = app.settings
    problem = _problem(want)
    if problem:
        app.sentences.append(problem)
        print(problem)
        return
    from sinks.wifi import Wifi

    wifi = Wifi(want["wifi.ssid"], want["wifi.password"], want["wifi.ntp"], app.clock)
    several = want, app.sinks, app.clock, app.batteries, wifi
    if "influx.host" in want:
        from sinks import influx

        keep(app, "influx", influx.run, *several)
    if "mqtt.host" in want:
        from sinks import mqtt

        keep(app, "mqtt", mqtt.run, *several, VERSION)


def _problem(want):
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
