# Starts what tells others of the batteries, as far as the settings ask for it
# Imported only when they do, and dropped.
import asyncio
import sys

from micropython import const

_ROOM = const(29)  # bytes for a name in what answers scanners
_ROOM_PHONE = const(11)  # beside the phone's service
_NAME = const(0x09)  # types of what is told (Bluetooth's assigned numbers)
_NAME_CUT = const(0x08)


def start(app):
    """Start what the settings of `app` ask for."""
    want = app.settings
    if "bthome" in want:
        from sinks import bthome  # each here, because it takes memory

        battery = app.batteries[0]
        name = "batmon"
        if len(app.batteries) == 1:
            name += " " + (battery.name or battery.link.name)
        name = named(name, _ROOM_PHONE if "phone" in want else _ROOM)
        keep(app, "bthome", bthome.run, app.batteries, app.clock, want["poll_s"], name)
    if "wifi.ssid" in want:
        from app import network

        del sys.modules["app.network"], sys.modules["app"].network
        network.start(app, keep)


def named(name, room):
    """Return the AD structure for a board of that name, cut to `room` bytes."""
    text = name.encode()
    kind = _NAME
    if len(text) > room:
        kind = _NAME_CUT
        while text[room] & 0xC0 == 0x80:  # not within a character
            room -= 1
    text = text[:room]
    return bytes((len(text) + 1, kind)) + text


def keep(app, name, part, *args):
    """Run `part(*args)` for ever, see App.keep."""
    asyncio.create_task(app.keep(name, part, *args))
