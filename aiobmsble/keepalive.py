# What keeps a link alive between polls, for the drivers whose BMS hangs up else
# Loaded by aiobmsble/connection.py when a driver has an ALIVE_INTERVAL.

import asyncio


async def run(alive, interval_s, lock, log):
    """Await `alive()` every `interval_s`, with `lock`, until it fails or the task is cancelled."""
    try:
        while True:
            await asyncio.sleep(interval_s)
            async with lock:
                await alive()
    except Exception:
        # The next poll finds the link broken and reports it.
        log.error("keep-alive ended")


async def end(task):
    """Cancel the task that runs `run`, and wait until it is over."""
    if not task.done():
        task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            pass
