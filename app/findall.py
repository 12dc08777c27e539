# "batteries": "all": finds every BMS in reach at the first start, and keeps the list from then on
# Loaded where the settings say so.
import asyncio
import json

import machine
from micropython import const
from shards import frame

_DATA = const("/data")
_FILE = const("/data/found.json")
_AGAIN_S = const(5)
_SHORT = const(19)  # of a name, where the end of an address follows
_ENOUGH = const(2)  # searches in a row that find nobody new: some advertise rarely


def read():
    """Return the list that was found, as settings.json would have it; None if there is none."""
    try:
        with open(_FILE) as f:
            found = json.loads(f.read())
        return found if [entry["dev_name"] for entry in found] else None
    except (OSError, ValueError, TypeError, KeyError):
        return None  # never yet, or a power cut while it was written: it is found anew


async def find():
    """Look for all BMSs until no more are found; then the board starts again, with them."""
    import bleradio
    from bleak import radio
    from link import search

    found = {}  # address: entry
    in_vain = 0
    while in_vain < _ENOUGH or not found:
        bleradio.claim(bleradio.LINK)
        in_vain += 1
        async with radio.turn:
            heard = await search.all_bms()
        for entry in heard:
            address = entry["dev_name"]
            if address not in found:
                found[address] = entry
                in_vain = 0
                print("found %s, driver %s, at %s" % (entry["called"], entry["bms"], address))
        await asyncio.sleep(_AGAIN_S)
    with open(_FILE, "w") as f:
        f.write(json.dumps(_named(found)))
    machine.reset()


def _named(found):
    """Return the list of what was found, {address: entry}.

    Who was logged before goes on in its log: it comes first, and no other gets that name.
    """
    from app import known

    logs = known.logs(_DATA)
    names = [log.lower() for log in logs.values()]
    for address in found:
        called = logs.get(address, found[address]["called"])
        name = frame.shard_name(called)
        if address not in logs and name.lower() in names:
            called = name[:_SHORT] + "_" + address[-5:].replace(":", "")
        found[address]["called"] = called
    return [found[address] for address in sorted(found, key=lambda one: (one not in logs, one))]
