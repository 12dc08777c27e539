# Starts the battery logger; app.py is the logger itself
import gc
import sys

try:
    # One after the other, not each from within the next: imports inside imports take stack.
    import aioble  # noqa: F401
    import bleak  # noqa: F401
    import aiobmsble.basebms  # noqa: F401
    import conn  # before the rest: it is compiled here, which takes memory
except Exception as exc:  # a user edits it: anything may be in it
    conn = exc
gc.collect()

import asyncio
import time

import machine
from app import App
from micropython import const

_RESTART_S = const(10)


def run(app):
    """Run the app until Ctrl-C; after an error that nobody expected the board starts again."""
    try:
        asyncio.run(app.run())
    except KeyboardInterrupt:
        app.stop()
    except Exception as exc:
        sys.print_exception(exc)
        print("batmon failed, the board starts again in %d s" % _RESTART_S)
        try:
            app.stop()
        except Exception as stop_exc:  # whatever is broken: RTC memory keeps what is not stored
            sys.print_exception(stop_exc)
        time.sleep(_RESTART_S)
        machine.reset()


if __name__ == "__main__":
    app = App(conn)  # stays in reach of the REPL: app.store.frames
    run(app)
