# The system's memory of the virtual chip: Bluetooth, WiFi and a growing GC heap take from it
# What the GC heap holds is seen when somebody looks; between two looks it may have been more.
import gc
import sys

import chips
from micropython import const

_HOLDS = const(125)  # of 128 bytes of heap; the rest is the collector's own (py/gc.c)
_GROWS_BY = const(2048)  # at least (py/gc.c)
_WORDS = 2 if sys.maxsize >> 32 else 1  # what a program allocates and drops is words, see threshold

chip = chips.CHIPS["esp32"]
heap = chip["heap"]  # bytes that the GC heap has taken, the first piece included
least = 0  # free bytes, ever
hog = 0  # taken by a test
_taken = []  # [start, size, who] in the block that all share, in order
_own = None  # bytes of the interpreter's heap that are the simulator's; None: nobody knows
_percent = 100  # of what the same takes on a chip, where words have 32 bits
_grows = False  # the heap lies where the radios take from


def power_on(name, wifi):
    """Be the chip `name` after a reset; `wifi`: a soft one, that left WiFi its memory."""
    global chip, heap, least
    chip = chips.CHIPS[name]
    heap = chip["heap"]
    _taken.clear()
    if wifi:
        take("wifi")
    least = free()


def measure(own, percent, grows):
    """From now on the GC heap beyond `own` bytes is the board's, `percent` of a chip's; it `grows`
    into the radios' memory, if the board has none beside it."""
    global _own, _percent, _grows
    _own = own
    _percent = percent
    _grows = grows


def used():
    """Return how many bytes of heap the board's program would keep on the chip."""
    gc.collect()
    return 0 if _own is None else max(0, _share())


def _share():
    """Return how many bytes of heap the board's program has as on the chip, with its garbage."""
    return (gc.mem_alloc() - _own) * 100 // _percent


def look():
    """Let the heap grow by what it holds, as MicroPython does: doubled, or by all there is."""
    global heap
    if not _grows or _share() <= heap * _HOLDS // 128:
        return  # even what nobody needs any more fits: it need not be collected first
    held = used()
    while held > heap * _HOLDS // 128:
        start, size = _largest()
        if size < _GROWS_BY:
            return
        _insert(start, min(size, heap), "heap")
        heap += min(size, heap)


def take(who):
    """Give memory to "bluetooth", "wifi" or a "link"; False if there is no such block."""
    size = chip[who]
    found = None
    for gap in _gaps():
        if gap[1] >= size and (found is None or gap[1] < found[1]):
            found = gap
    if found is None:
        return False
    start = found[0]
    if who == "bluetooth" and start <= chip["apart"] <= start + found[1] - size:
        start = chip["apart"]
    _insert(start, size, who)
    return True


def give(who):
    """Take back what one `who` had."""
    for one in _taken:
        if one[2] == who:
            _taken.remove(one)
            return


def has(who):
    """Return whether `who` has memory."""
    return any(one[2] == who for one in _taken)


def free():
    """Return how many bytes the system has left."""
    return max(0, sum(gap[1] for gap in _gaps()) + chip["rest"] - hog)


def areas():
    """Return (size, free, largest free, least ever free) of each area, as ESP-IDF tells it."""
    look()
    rest = min(chip["rest"], free())
    left = free() - rest
    return [
        (rest + 1000, rest, rest, rest),
        (chip["block"], left, min(left, _largest()[1]), max(0, least - rest)),
    ]


def _insert(start, size, who):
    global least
    at = 0
    while at < len(_taken) and _taken[at][0] < start:
        at += 1
    _taken.insert(at, [start, size, who])
    least = min(least, free())


def _gaps():
    """Yield (start, size) of what lies free between those who have some."""
    at = 0
    for start, size, _ in _taken:
        if start > at:
            yield at, start - at
        at = start + size
    if chip["block"] > at:
        yield at, chip["block"] - at


def _largest():
    return max(_gaps(), key=lambda gap: gap[1], default=(0, 0))


class _Gc:
    """The module gc of a board: its own heap, and in what is free what the system could give."""

    def __getattr__(self, name):
        return getattr(gc, name)

    def threshold(self, *size):
        return gc.threshold(*[n * _WORDS for n in size])

    def mem_alloc(self):
        return _share()

    def mem_free(self):
        held = self.mem_alloc()
        whole = heap * _HOLDS // 128 if _grows else held + gc.mem_free() * 100 // _percent
        return whole - held + areas()[1][2]


def pretend():
    """Be the chip's heap for all that is loaded from now on."""
    sys.modules["gc"] = _Gc()
