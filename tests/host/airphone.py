"""A phone's radio in reach of a virtual board: the other end of sim/outside.py's pipes."""

import os
import queue
import select
import threading
import time
from pathlib import Path


class AirPhone:
    """What a phone's Bluetooth does, for a board with `radio` in `folder`.

    `answer` is what the board answers to scanners, b"" while it cannot be connected to; `heard` is
    called with each notification, `gone` when the connection ends, both in a thread of its own.
    """

    def __init__(self, folder: Path):
        self.answer = b""
        self.mtu = 0
        self.heard = self.gone = lambda *_: None
        self._in = os.open(folder / "radio.in", os.O_RDWR)
        self._out = os.open(folder / "radio.out", os.O_RDWR | os.O_NONBLOCK)
        self._connected: queue.Queue[int] = queue.Queue()
        self._stopping = False
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def close(self):
        self._stopping = True
        self._thread.join()
        os.close(self._in)
        os.close(self._out)

    def wait(self, within_s: float = 120) -> bytes:
        """Return what the board answers to scanners, as soon as it can be connected to."""
        end = time.monotonic() + within_s
        while not self.answer:
            assert time.monotonic() < end, "the board does not advertise"
            time.sleep(0.02)
        return self.answer

    def connect(self) -> bool:
        self._say("connect")
        self.mtu = self._connected.get(timeout=120)
        return self.mtu > 0

    def write(self, data: bytes, characteristic: int = 2):
        self._say(f"write {characteristic} {data.hex()}")

    def disconnect(self):
        self._say("disconnect")

    def vanish(self):
        self._say("vanish")

    def _say(self, line: str):
        os.write(self._in, line.encode() + b"\n")

    def _listen(self):
        rest = b""
        while not self._stopping:
            if not select.select([self._out], [], [], 0.1)[0]:
                continue
            *lines, rest = (rest + os.read(self._out, 65536)).split(b"\n")
            for line in lines:
                what, _, value = line.decode().partition(" ")
                if what == "heard":
                    self.heard(bytes.fromhex(value))
                elif what == "told":
                    self.answer = bytes.fromhex(value)
                elif what == "connected":
                    self._connected.put(int(value))
                elif what == "refused":
                    self._connected.put(0)
                elif what == "gone":
                    self.gone()
