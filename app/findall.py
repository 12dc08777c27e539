# "batteries": "all": finds every BMS in reach at the first start, and keeps the list from then on
# Loaded where the settings say so.
import asyncio
import json

import machine
from micropython import const

_FILE = const("/data/found.json")
_AGAIN_S = const(5)


def read():
    """Return the list that was found, as settings.json would have it; None if there is none."""
    try:
        with open(_FILE) as f:
            found = json.loads(f.read())
        return found if isinstance(found, list) else None
    except (OSError, ValueError):
        return None  # never yet, or a power cut while it was written: it is found anew


async def find():
    """Look for all BMSs until there are some; then the board starts again, with them."""
    import bleradio
    from link import search

    while True:
        bleradio.claim(bleradio.LINK)
        found = await search.all_bms()
        for entry in found:
            print("found %s, driver %s, at %s" % (entry["called"], entry["bms"], entry["dev_name"]))
        if found:
            with open(_FILE, "w") as f:
                f.write(json.dumps(found))
            machine.reset()
        await asyncio.sleep(_AGAIN_S)
