"""Free ports of loopback, for servers that do not choose one themselves."""

import contextlib
import os
import random
import socket

# Below those that the system gives to whoever names none (32768 and up, macOS: 49152): else the
# next connection of another test could have a port before its server starts.
_FIRST, _EACH, _WORKERS = 20_000, 1000, 12
_chance = random.SystemRandom()  # no test's seed makes two of them choose alike


def free(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """Return a port that nobody uses now and no other worker of these tests chooses."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) % _WORKERS
    while True:
        port = _FIRST + _EACH * worker + _chance.randrange(_EACH)
        with socket.socket(socket.AF_INET, kind) as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
