# Gets what the board needs from the network, over WiFi: `import install` on its REPL
# For a board that has no computer at hand; install.sh does all of this, and more, over USB.
import json
import os
import sys
import time

_PACKAGES = (("aioble-central", "0.3.0"),)
_MODULES = ("aioble", "aioble.core")  # which then can be imported
_UNUSED = ("__init__", "central", "device")  # of aioble: on the board its core alone
_OURS = ("boot.py", "main.py", "conn.py", "app", "link", "lib/bleak", "aiobmsble")
_JOIN_S = 30


def run(index=None):
    """Join the WiFi of settings.json, install, check; say what happens and what remains.

    `index` is where mip finds its packages, its own when None. Returns whether all is there.
    """
    problem = _join() or _fetch(index) or _check()
    if problem:
        print("install: %s" % problem)
        return False
    print("install: aioble is there")
    left = [name for name in _OURS if not _exists(name)]
    if left:
        print("install: to copy from a computer: %s" % ", ".join(left))
        print("  make build && mpremote cp -r build/board/* :")
    else:
        print("install: everything is there; machine.reset() starts it")
    return not left


def _join():
    """Join the network; return what is wrong, or None."""
    try:
        with open("settings.json") as f:
            wifi = json.load(f)["wifi"]
        ssid, password = "" + wifi["ssid"], "" + wifi.get("password", "")  # or a TypeError
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return 'settings.json must say {"wifi": {"ssid": "...", "password": "..."}}'
    try:
        import network
    except ImportError:
        return "this board has no WiFi; use install.sh over USB"
    wlan = network.WLAN(network.STA_IF)
    wlan.active(True)
    if not wlan.isconnected():
        print("install: joining %s" % ssid)
        wlan.connect(ssid, password)
        end_ms = time.ticks_add(time.ticks_ms(), _JOIN_S * 1000)
        while not wlan.isconnected():
            if time.ticks_diff(end_ms, time.ticks_ms()) < 0:
                wlan.active(False)
                return "%s was not joined in %d s; check its name and password" % (ssid, _JOIN_S)
            time.sleep_ms(200)


def _fetch(index):
    """Install the packages; return what is wrong, or None."""
    try:
        import mip
    except ImportError:
        return "this MicroPython has no mip; use install.sh over USB"
    options = {"index": index} if index else {}
    for name, version in _PACKAGES:
        try:
            mip.install(name, version=version, **options)
        except Exception as exc:  # of the network, of the flash, of what the server sent
            return "%s %s: %s; run this again" % (name, version, str(exc) or repr(exc))
    for folder in sys.path:
        for name in _UNUSED:
            for kind in ("mpy", "py"):
                path = "%s/aioble/%s.%s" % (folder, name, kind)
                if _exists(path):
                    os.remove(path)


def _check():
    """Import what was installed, for mip does not tell; return what is wrong, or None."""
    for name in _MODULES:
        try:
            __import__(name)
        except Exception as exc:  # whatever is wrong with it
            return "%s does not start (%r); run this again" % (name, exc)


def _exists(path):
    try:
        os.stat(path)
    except OSError:
        return False
    return True


run()  # importing this file is how it is started; install.run() repeats it
