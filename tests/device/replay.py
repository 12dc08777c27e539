# Answers cases from a file of JSON lines on the interpreter: replay.py FILE FOLDER...
# The folders become sys.path. The same for upstream's drivers on CPython: tests/host/reference.py.
import sys


def main(path):
    import vclock

    vclock.install()
    # One after the other, as app/start.py does: imports inside imports take stack.
    import aioble  # noqa: F401
    import asyncio
    import bleak  # noqa: F401
    import gc

    import conversation

    with open(path) as file:
        for line in file:
            asyncio.new_event_loop()
            print("\x1e" + asyncio.run(conversation.answer(line)))
            gc.collect()


sys.path[:] = sys.argv[2:]
main(sys.argv[1])
