# app.pause(minutes) at the REPL: the BMS is left to others for a while, then the board starts again
# Loaded for that only.
import asyncio

import machine
from micropython import const

_MOST = const(50)  # within the hour for which a stopped app lets the watchdog wait
_USE = "app.pause(10) leaves the BMS to others for 10 minutes, then the board starts again"


def pause(app, minutes):
    """Wait with the display on, then reset the board; Ctrl-C ends it. At the REPL only."""
    if not isinstance(minutes, int) or not 1 <= minutes <= _MOST:
        print("minutes is %s, must be a whole number from 1 to %d: %s" % (minutes, _MOST, _USE))
        return
    asyncio.new_event_loop()  # of the old one tasks may be left
    try:
        asyncio.run(_wait(app, minutes))
    except KeyboardInterrupt:
        print("no longer paused; machine.reset() starts the board again")
        return
    machine.reset()


async def _wait(app, minutes):
    if app.settings["lcd.fitted"]:
        asyncio.create_task(app.keep("display", app.show))
    print("the BMS is left to others for %d min; Ctrl-C ends that" % minutes)
    while minutes:
        for battery in app.batteries:
            battery.sample = None
            battery.status.link = "paused, %d min left" % minutes
        await asyncio.sleep(60)
        minutes -= 1
