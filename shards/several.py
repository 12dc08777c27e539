# What the logs of several batteries in one folder share: numbers, room, and the RTC memory
# Loaded only where there are several; docs/FORMAT.md says how that memory is shared out.
from micropython import const
from shards import frame

_RTC_BYTES = const(2048)
_SHORT = const(19)  # of a name, where the end of an address follows
_LONGEST = const(24)
_REST_BYTES = const(33)  # of a part, beside its frames


class Part:
    """One log's part of the RTC memory, to be used like the whole: frames, what is held, a tail."""

    def __init__(self, whole, rtc, part):
        self.part = part
        self._whole = whole
        self._rtc = rtc

    def memory(self, data=None):
        """Return what is in it, or write it, once it was changed in place."""
        if data is None:
            return self.part
        self._rtc.memory(self._whole)


class Common:
    """What the logs of `count` batteries share.

    Before any of them is opened, `name` those that are known: what they write is not to be packed.
    """

    def __init__(self, rtc, count):
        self.names = [""] * count  # "" as long as it is not known
        self._shared = [0, 0]
        self._kept = []
        self._unsealed = []
        self._rtc = rtc
        self._whole = bytearray(_RTC_BYTES)
        old = rtc.memory()
        if len(old) == _RTC_BYTES:  # else it is of another number of batteries, or none
            self._whole[:] = old

    def name(self, place, called, address):
        """Return the name that the log of the battery in that place of the list has from now on.

        `called` is what it would be alone; a second one gets the end of its `address`, if known.
        """
        name = alone = frame.shard_name(called)
        number = str(place + 1)
        end = address[-5:].replace(":", "") if address else number
        while self.has(name, place):
            name = alone[: min(_SHORT, _LONGEST - 1 - len(end))] + "_" + end
            end += number
        self.names[place] = name
        return name

    def has(self, name, place):
        """Is that the name of another one's log? FAT takes capitals for small letters."""
        names = [name.lower() for name in self.names]
        return name.lower() in names[:place] + names[place + 1 :]

    def part(self, place):
        """Return the RTC memory of the log of the battery in that place of the list."""
        share = _RTC_BYTES // len(self.names)
        size = share - (share - _REST_BYTES) % frame.SIZE
        at = place * share
        return Part(self._whole, self._rtc, memoryview(self._whole)[at : at + size])

    def join(self, store):
        """Let a Store, not opened yet, be one of them."""
        store.names = self.names
        store.highest = self._shared
        store.kept = self._kept
        store.unsealed = self._unsealed


def first_to_go(shards):
    """Return the place in `shards.kept` of what goes to make room.

    It is the oldest of the battery that has most bytes.
    """
    sizes = {}
    for some in (shards.kept, shards.unsealed):
        for shard in some:
            sizes[shard[1]] = sizes.get(shard[1], 0) + shard[2]
    most = 0
    for i in range(len(shards.kept)):
        if sizes[shards.kept[i][1]] > sizes[shards.kept[most][1]]:
            most = i
    return most
