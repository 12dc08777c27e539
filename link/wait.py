# Waits while the BMS is left to another app, for most take one link; loaded for that and dropped
# Called by names that are in use anyway: a new one would take memory for ever.
import asyncio
import sys

from micropython import const

_HANG_UP_S = const(15)


async def run(link, bms, say):
    """Hang up on `bms`, if there is one, and wait until the link's `paused` seconds have passed.

    `say(text, connected)` tells what the link does. Setting them anew is heard within a second.
    """
    say("left to another app for %d s" % link.paused, False)
    if bms:
        try:
            await asyncio.wait_for(bms.disconnect(True), _HANG_UP_S)
        except Exception:
            pass  # the next connection begins with a clean start in any case
    while link.paused > 0:
        link.paused -= 1
        link.turns += 1
        await asyncio.sleep(1)
    del sys.modules["link.wait"], sys.modules["link"].wait
