# Sees that somebody has set the board's clock, so that a DS3231 is set as well
# Kept where there is one; app/ownclock.py does what is to be done.
import asyncio
import sys

from micropython import const

_LOOK_S = const(10)
_LOOKS = const(6)  # from try to try where nobody knows the time: the bus may have failed
_STEP_S = const(2)  # both count whole seconds


async def run(clock, i2c, ahead_s):
    """Look for ever; `ahead_s` is what `agree` of app/ownclock.py returned last."""
    looks = 0
    while True:
        await asyncio.sleep(_LOOK_S)
        looks += 1
        unix_s = clock.unix_s()
        if not unix_s:
            due = looks % _LOOKS == 0
        else:
            due = ahead_s is None or abs(unix_s - clock.uptime_s() - ahead_s) >= _STEP_S
        if due:
            from app import ownclock

            del sys.modules["app.ownclock"], sys.modules["app"].ownclock
            ahead_s = ownclock.agree(clock, i2c, ahead_s)
