# What a link does about a failure: in which words, how long it waits, whether the radio is at fault
# Loaded when there is one, and dropped. docs/LINK.md has the words.
import random

from micropython import const

_SETTLED = const(5)  # samples after which a link counts as good
_RADIO_CYCLE = const(3)  # failures in a row, and twice, four times as many: radio off and on
_HOPELESS_S = const(7200)  # without a sample after there were some: only a reset is left
_HOPELESS_NEVER_S = const(86_400)  # the same if this boot has never seen one


def met(link, kind, why, wait_max_s):
    """Count the failure of a BmsLink and say so; return what comes of it.

    That is how long to wait, ms, whether the radio is to be switched off and on, and why there is
    no more hope, or None. `why` says more than `kind`: a sentence, what was raised, or None.
    """
    link.failures[kind] = link.failures.get(kind, 0) + 1
    link._in_a_row += 1
    if kind != "values are frozen":
        link._fingerprint = None
    if 0 < link._given < _SETTLED:  # it flaps: each time costs frames
        wait_max_s <<= min(2, link.widened)
    wait_ms = min(wait_max_s, 1 << min(8, link._in_a_row - 1)) * 1000
    wait_ms += random.getrandbits(10) * wait_ms >> 12  # up to a quarter of jitter
    text = _words(why, kind) if isinstance(why, Exception) else why or kind
    if link._bms and not link.connected:
        try:
            from link import advice

            text = advice.of(link._bms, text)
        except MemoryError:
            pass
    link._say("%s, retry %d in %d s" % (text, link._in_a_row, (wait_ms + 500) // 1000), False)
    rounds = link._in_a_row // _RADIO_CYCLE
    cycle = rounds and link._in_a_row % _RADIO_CYCLE == 0 and not rounds & (rounds - 1)
    hopeless = None
    if link.silent_s >= (_HOPELESS_S if link.samples else _HOPELESS_NEVER_S):
        hopeless = "no data for %d h (%s)" % (link.silent_s // 3600, text)
    return wait_ms, cycle, hopeless


def _words(exc, kind):
    """Say what went wrong for a user: no names of exceptions."""
    text = exc.args[0] if exc.args else ""
    if isinstance(text, int):
        return "%s (radio error %d)" % (kind, text)
    text = str(exc)
    return text if text and "Error" not in text else kind
