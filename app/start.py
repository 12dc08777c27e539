# The start of the logger: a moment for Ctrl-C, the imports, and safe mode if they keep crashing
# app/run.py goes on from there, and lets go of this module.
import gc
import os
import sys
import time

import machine
from app.run import CRASHES, forget_crashes, restart
from app.version import VERSION
from micropython import const

_MOST = const(5)
_ESCAPE_MS = const(1500)
# Taken between two collections: the heap's large holes stay large. A large heap (PSRAM) takes
# longer to collect, and so much less often is enough: no chip has 500 kB free without one.
_COLLECT_BYTES = const(4000)
_COLLECT_SHIFT = const(7)  # to the share of what is free
_NEED = "the start", 110_000, 64_000  # of the system: for Bluetooth, and to double the heap
_SHARED = (  # texts that many modules have
    "battery_level",
    "cell_voltages",
    "current",
    "cycle_charge",
    "delta_voltage",
    "design_capacity",
    "problem_code",
    "temp_values",
    "temperature",
    "voltage",
    "write-without-response",
)


def make_app():
    """Return the App; None after Ctrl-C, and None or never when it cannot be made."""
    gc.threshold(max(_COLLECT_BYTES, gc.mem_free() >> _COLLECT_SHIFT))
    for text in _SHARED:
        getattr(None, text, None)  # makes it a name: there is one of each, whatever is loaded
    try:
        trouble = ""
        paused = _wake()
        if not paused:
            print("batmon %s: press Ctrl-C now for the REPL" % VERSION)
            time.sleep_ms(_ESCAPE_MS)
            if _count_start() > _MOST:
                from app import safemode

                safemode.wait(_MOST)
                forget_crashes()
                machine.reset()
            trouble = _mend()
            paused = _resume()
        _bluetooth_first()
        try:
            # One after the other, not from within the next: imports inside imports take stack.
            import aioble  # noqa: F401
            import bleak  # noqa: F401
            import aiobmsble.basebms  # noqa: F401
            import link  # noqa: F401
            import conn  # a user's source, compiled here: before the rest, while memory is free
        except Exception as exc:  # a user edits it: anything may be in it
            conn = exc
        gc.collect()
        from app.app import App

        app = App(conn, paused)
        if trouble:
            print(trouble)
            app.sentences.append(trouble)
        return app
    except KeyboardInterrupt:
        forget_crashes()
    except Exception as exc:
        restart(exc)


def _wake():
    """Return what goes on after a sleep, see app/rest.py; None if this is no such start."""
    if machine.reset_cause() != machine.DEEPSLEEP_RESET:
        return None
    from app import rest

    del sys.modules["app.rest"], sys.modules["app"].rest
    return rest.wake()


def _mend():
    """Mend the flash if nothing could be written; return what the user has to do, mostly ""."""
    try:
        os.stat("/data/unreadable")
    except OSError:
        return ""
    from app import mending

    try:
        return mending.resume()
    except Exception as exc:  # whatever is wrong: the rest works
        sys.print_exception(exc)
        return ""
    finally:
        del sys.modules["app.mending"], sys.modules["app"].mending  # their memory


def _resume():
    """Pack the log if that is due, which resets the board; return what goes on, mostly None."""
    try:
        os.stat("/data/packing")
    except OSError:
        return None
    from app import claim

    try:
        claim.claim("/data")
    except ValueError:
        return None  # a newer version's, which goes on with it; the app says so
    from app import packing

    try:
        return packing.resume()
    except Exception as exc:  # whatever is wrong: logging goes on without
        sys.print_exception(exc)
        return None
    finally:
        for name in ("packing", "handover"):
            del sys.modules["app." + name]  # their memory
            delattr(sys.modules["app"], name)


def _bluetooth_first():
    """Switch Bluetooth on while the heap is small: later it has grown into Bluetooth's memory."""
    import bleradio

    try:
        if machine.reset_cause() == machine.SOFT_RESET:
            bleradio.claim(_NEED)
        bleradio.on()
    except bleradio.Short as exc:
        if machine.reset_cause() != machine.SOFT_RESET:
            restart(str(exc))
        # WiFi, for one, gives back what it has at a hard reset only
        print("%s; the board resets to get it back" % exc)
        machine.reset()


def _count_start():
    """Return which start in a row this is; one after power-on is the first."""
    n = 1
    if machine.reset_cause() != machine.PWRON_RESET:
        try:
            with open(CRASHES) as f:
                n = int(f.read()) + 1
        except (OSError, ValueError):
            pass  # the one before was good
    try:
        with open(CRASHES, "w") as f:
            f.write(str(n))
    except OSError:
        pass  # a full or broken volume; logging goes on as far as it can
    return n
