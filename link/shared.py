# A link that leaves the BMS to others between two polls: most take one link at a time
# Loaded only where link.share_s asks for it.
import asyncio
import time

from link import BmsLink
from micropython import const

_TURN_MS = const(60_000)


class Shared(BmsLink):
    """A BmsLink that hangs up after each sample. It stays `connected` in what it says meanwhile."""

    async def __anext__(self):
        if self._given:
            self._given = 0
            if await self._let_go():
                self._in_a_row = 0
            else:
                self._cycle()
            wait_ms = 1
            while wait_ms > 0 and not self.paused:
                self.turns += 1
                wait_ms = min(_TURN_MS, time.ticks_diff(self._due_ms, time.ticks_ms()))
                await asyncio.sleep_ms(max(0, wait_ms))
        return await super().__anext__()

    def _say(self, text, connected=None):
        if connected is None and self.connected:
            return  # back in a moment
        super()._say(text, connected)
