# Turns of more links than there may be connections at a time
# Loaded only where there are so many batteries.
import asyncio
import time

from micropython import const

_LEAST_MS = const(12_000)  # that a link keeps its place, some polls
_MOST_MS = const(40_000)
_LOOK_MS = const(200)


class Places:
    """`count` places for connections; a link asks for one when it has found its battery.

    Those that wait are served in the order in which they came. For them a link that has had its
    place for a while leaves: at least twice as long as it takes it to be back. That is its make's
    time, measured at each of its turns before it is first asked to leave.
    """

    def __init__(self, count):
        self._free = count
        self._waiting = []
        self._since = {}  # when a link got its place
        self._back_ms = {}  # how long its first sample took then

    async def take(self, link):
        """Wait for a place; the caller bounds how long."""
        self._waiting.append(link)
        try:
            while not self._free or self._waiting[0] is not link:
                await asyncio.sleep_ms(_LOOK_MS)
            self._free -= 1
            self._since[link] = time.ticks_ms()
        finally:
            self._waiting.remove(link)

    def give_back(self, link):
        """Nothing happens if it has none."""
        if self._since.pop(link, None) is not None:
            self._free += 1

    def came(self, link):
        """The first sample of a connection is there."""
        self._back_ms[link] = time.ticks_diff(time.ticks_ms(), self._since[link])

    def over(self, link):
        """Is it time to leave, for others wait?"""
        if self._free >= len(self._waiting):
            return False
        keep_ms = min(_MOST_MS, max(_LEAST_MS, 2 * self._back_ms.get(link, 0)))
        return time.ticks_diff(time.ticks_ms(), self._since[link]) >= keep_ms
