# Runs the app from the start to its end, and starts the board again if that was an error
# What the start alone needs is in app/start.py, whose memory is free by now.
import os
import sys
import time

import machine
from micropython import const

CRASHES = "/crashes"  # how many starts in a row came to nothing; absent when none
_HEALTHY_S = const(120)  # who lives so long has not crashed at the start
_RESTART_S = const(10)


def run(app):
    """Run the app until Ctrl-C; after an error that nobody expected the board starts again."""
    _let_go_of_the_start()
    import asyncio

    async def live():
        await asyncio.sleep(_HEALTHY_S)
        forget_crashes()

    async def main():
        asyncio.create_task(live())
        await app.run()

    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        forget_crashes()
        app.stop()
    except Exception as exc:
        for end, said in (app.errors.note, ("app", exc)), (app.stop, ()):
            try:
                end(*said)
            except Exception:
                pass  # whatever is broken: RTC memory keeps what is not stored
        restart(exc)


def _let_go_of_the_start():
    if sys.modules.pop("app.start", None):
        del sys.modules["app"].start


def forget_crashes():
    """Let the next start be the first in a row."""
    try:
        os.remove(CRASHES)
    except OSError:
        pass


def restart(why):
    """Start again after a while; `why` is an exception or a sentence."""
    try:
        if isinstance(why, str):
            print(why)
        else:
            sys.print_exception(why)
        print("batmon failed, the board starts again in %d s" % _RESTART_S)
    except Exception:
        pass  # there may be no memory even for that
    time.sleep(_RESTART_S)
    machine.reset()
