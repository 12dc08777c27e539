# The links of several batteries, which share one radio: what one does must not harm the others
# Loaded only where there are several.
import asyncio

from link import BmsLink
from micropython import const

_ABSENT_MAX_S = const(10)  # listening for one that is not there keeps others from connecting
_DEAF = const(6)  # scans in which nobody is heard, in a row
_DEAF_AGAIN = const(700)  # some hours of them, where it did not help the last time
_LONELY_S = const(600)  # without data of any, what only a reset cures is believed
_TURN_S = const(240)  # for a place at most


def share(links, count):
    """Let the links know of each other; return whether they take turns: `count` have a place."""
    places = None
    if len(links) > count:
        from link import places as turns

        places = turns.Places(count)
    for link in links:
        link.peers = links
        link.places = places
    return places is not None


class Peer(BmsLink):
    """A BmsLink beside others.

    `peers` are all links of the board, `places` None or the Places of link/places.py that they take
    turns in. A link that left for another one's sake stays `connected` in what it says: its battery
    is in reach.
    """

    places = None
    _heard = False  # anybody, in a search that was in vain
    _believed = False  # that it is not there: the radio was switched off and on for it
    _stuck = False
    _left = False  # it was hung up on for another one's sake

    async def __anext__(self):
        if self.places and self._bms and self.places.over(self):
            await self._let_go()
        return await super().__anext__()

    async def _find(self):
        await super()._find()
        if self.places:
            await asyncio.wait_for(self.places.take(self), _TURN_S)

    def _good(self):
        super()._good()
        self._believed = False
        if self.places and self._given == 1:
            self.places.came(self)

    async def _fail(self, kind, why=None, wait_max_s=60):
        if self._left:  # it is no news of its battery: nothing is told, no frame stored for it
            self._left = False
            await self._let_go()
            return
        if kind == "not found":
            wait_max_s = _ABSENT_MAX_S
            # as link/search.py says it
            if "not found (seen: none)" not in why and "found among 0 " not in why:
                self._heard = True
        await super()._fail(kind, why, wait_max_s)

    async def _let_go(self):
        try:
            gone = await super()._let_go()
        finally:
            if self.places:
                self.places.give_back(self)
        self._stuck = not gone
        return gone

    def _cycle(self):
        """Switch the radio off and on, if that is worth the other links.

        They prove that it works, unless it hears nobody at all, or does not hang up.
        """
        heard, self._heard = self._heard, False
        deaf = not heard and self._in_a_row >= (_DEAF_AGAIN if self._believed else _DEAF)
        self._believed = self._believed or deaf
        if deaf or self._stuck or not self._in_company():
            self._stuck = False
            for peer in self.peers:
                peer._left = peer.connected and peer is not self
            super()._cycle()

    def _give_up(self, reason):
        # one that is just being found again gave data a moment ago
        others = [peer for peer in self.peers if peer is not self and peer.samples]
        if not [peer for peer in others if peer.silent_s < _LONELY_S]:
            super()._give_up(reason)

    def _in_company(self):
        """Does another link work? Then it is not the radio that fails, nor the board."""
        return any([peer.connected for peer in self.peers if peer is not self])

    def _say(self, text, connected=None):
        if connected is None and self.connected and self._bms is None:
            return  # back in a moment
        super()._say(text, connected)
