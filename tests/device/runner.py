# Runs tests/device/test_*.py on the MicroPython interpreter, under the virtual clock
# Prints one JSON line per test function: {"test", "ok", "error"}.
import binascii
import gc
import io
import os
import random
import sys


def _dirname(path):
    return path.rsplit("/", 1)[0] if "/" in path else "."


def _exists(path):
    try:
        os.stat(path)
    except OSError:
        return False
    return True


_ROOT = _dirname(__file__) + "/../.."
_HERE = _dirname(sys.argv[1])  # the tests, or copies of them
_TREE = os.getenv("BOARD") or _ROOT + "/build/board"
if not _exists(_TREE):
    _TREE = _ROOT
_SIM = os.getenv("SIM") or _ROOT + "/sim"
sys.path[:] = [_SIM, _TREE, _TREE + "/lib", _HERE, ".frozen"]
if os.getenv("AIOBLE"):
    sys.path.insert(0, os.getenv("AIOBLE"))

import vclock

vclock.install()
gc.threshold(2 << 20)  # in a heap full of garbage it takes long to find room

# One after the other, as app/start.py does: imports inside imports take stack.
import aioble  # noqa: F401
import bleak  # noqa: F401
import asyncio
import json

_SEED = "%08x" % int(os.getenv("SEED") or binascii.hexlify(os.urandom(4)).decode(), 16)
os.putenv("SEED", _SEED)  # for tests that choose by it themselves


async def _bounded(coro, timeout_s=48 * 3600):
    # virtual time is free; a test that waits for ever must still end
    await asyncio.wait_for(coro, timeout_s)


def _run(name, fn):
    gc.collect()
    random.seed(int(_SEED, 16))
    asyncio.new_event_loop()
    result = {"test": name, "ok": True}
    try:
        coro = fn()
        if hasattr(coro, "send"):
            asyncio.run(_bounded(coro))
    except KeyboardInterrupt:
        raise
    except BaseException as exc:  # a SystemExit in a test is a failure too
        out = io.StringIO()
        sys.print_exception(exc, out)
        result["ok"] = False
        result["error"] = out.getvalue()
    print("\x1e" + json.dumps(result))


def main(paths):
    print("random choices: repeat them with SEED=%s" % _SEED)
    for path in paths:
        if path.startswith("-"):
            raise SystemExit("runner.py: unknown option %s; usage: runner.py FILE..." % path)
        module = __import__(path.rsplit("/", 1)[-1][:-3])
        names = sorted(n for n in dir(module) if n.startswith("test_"))
        for name in names:
            _run(name, getattr(module, name))


main(sys.argv[1:])
