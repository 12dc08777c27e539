# Polls one driver on the interpreter and prints what it took: run by bench/drivers.py
# A module `peer`, made by it, says what the BMS answers; bleak is reduced to what drivers name.
import asyncio
import gc

import bleak
import client
import peer


def used():
    """Bytes in use on the heap."""
    gc.collect()
    return gc.mem_alloc()


async def main():
    for name in ("Event", "Lock", "sleep", "wait_for"):
        getattr(asyncio, name)  # loads it: asyncio is not what is measured
    before = used()
    driver = __import__("aiobmsble.bms." + peer.MODULE, None, None, ("BMS",)).BMS
    imported = used() - before
    bms = driver(bleak.BLEDevice("C8:47:80:00:00:01", "x", None))
    early = 0
    for poll in range(peer.POLLS):
        if bms.is_connected:
            bms._client.answer(b"poll")
        await bms.async_update()
        if poll == 9:
            early = used()
    print(imported, used() - early)


bleak.BleakClient = client.Client
asyncio.run(main())
