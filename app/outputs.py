# Starts what tells others of the batteries, as far as the settings ask for it
# Imported only when they do, and dropped.
import asyncio
import sys


def start(app):
    """Start what the settings of `app` ask for."""
    want = app.settings
    if "bthome" in want:
        import advertising  # each here, because it takes memory
        from sinks import bthome

        battery = app.batteries[0]
        advertising.name = "batmon"
        if len(app.batteries) == 1:
            advertising.name += " " + (battery.name or battery.link.name)
        keep(app, "bthome", bthome.run, app.batteries, app.clock, want["poll_s"])
    if "wifi.ssid" in want:
        from app import network

        del sys.modules["app.network"], sys.modules["app"].network
        network.start(app, keep)


def keep(app, name, part, *args):
    """Run `part(*args)` for ever, see App.keep."""
    asyncio.create_task(app.keep(name, part, *args))
