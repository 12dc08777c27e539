# Tells the log what has changed: alarms, switches, health; and the minutes around a fault
# Loaded when app/watching.py finds something, and forgotten again. docs/FORMAT.md has the codes.
import struct
import sys
from binascii import crc32

from micropython import const
from shards import frame

_AFTER_S = const(60)  # so long behind a fault each poll is recorded too
_BACK_S = const(140)  # the ring's two minutes, and how far apart polls are that are alike
_AT_ONCE = const(20)  # changes of one kind are told at once, then one each _EACH_S
_EACH_S = const(1800)
_SLOWLY_S = const(604_800)  # what is of no hurry, for it changes each day: one in so long
_EPISODES = const(4)  # at once, then one each _EPISODE_S
_EPISODE_S = const(21600)
_HOUR_S = const(3600)
_NEVER_S = const(1 << 29)
_NEWS_H = const(24)
_SWITCHES = ("charge", "discharge", "heater", "balancer")
_UNKNOWN = const(0xFFFFFFFF)
_LONGEST = const(0xFFFFFFFFFFFFFFFF)

# places in Watching
_DISCHARGE = const(1)
_BALANCER = const(3)
_HEALTH_AT = const(4)
_CODE_AT = const(7)
_WORDS_AT = const(8)
_PLACES = const(9)

# codes of events
_ALARM = const(12)
_SWITCHED = const(13)
_HEALTH = const(14)
_LIMITS = const(15)
_UNTOLD = const(16)
_MAKE = const(17)
# What an event tells: its code, and the places in Watching from the first to before the end.
_EVENTS = (
    (_SWITCHED, 0, _HEALTH_AT),
    (_HEALTH, _HEALTH_AT, _CODE_AT),
    (_ALARM, _CODE_AT, _WORDS_AT),
    (_LIMITS, _WORDS_AT, _PLACES),
)


def tell(watch, battery, news, now_s):
    """Tell the log of a `battery` what `watch` found, and its status what was; `news`: bits.

    There is one for each place that has changed.
    """
    if now_s >= watch.due_s:
        _look_back(watch, battery, now_s)
    if news:
        _log(watch, battery, news, now_s)


def _log(watch, battery, news, now_s):
    """Store what `news` says; with a fault the records of the ring."""
    store = battery.store
    why = _fault(watch, news)
    limits = _limits(watch.known[_WORDS_AT])
    for code, first, end in _EVENTS:
        changed = news >> first & (1 << end - first) - 1
        if not changed:
            continue
        untold = 0
        for i in range(first, end):
            if news >> i & 1:
                untold += _said(watch, i, now_s)
        if code == _LIMITS and _limits(watch.known[first]) == limits:
            continue  # what the BMS says is in its code
        if code == _ALARM and not watch.named:
            # codes of alarms mean nothing without
            store.event(_MAKE, crc32(_make(battery.link.driver).encode()))
            watch.named = True
        store.event(code, *_numbers(code, battery, watch.known, changed))
        if untold > 0 and code != _HEALTH:  # its numbers tell what came between
            store.event(_UNTOLD, untold, code)
    if why:
        _say(battery, why.replace("\n", ", "))
        watch.why = why
        watch.over_s = 0
        if _may_record(watch, now_s):
            _record(watch, store, now_s)
        watch.due_s = max(now_s, watch.until_s) + 1
        store.flush()  # the battery may be about to switch this board off


def _said(watch, i, now_s):
    """Note that the log is told of place `i`; return how many changes it never knew of."""
    least_s = now_s - _AT_ONCE * _EACH_S
    each_s = _EACH_S
    if _BALANCER <= i < _CODE_AT:
        least_s = now_s
        each_s = _SLOWLY_S
    watch.wait_s[i] = max(watch.wait_s[i], least_s) + each_s
    untold = watch.changes[i] - 1
    watch.known[i] = watch.seen[i]
    watch.changes[i] = 0
    return untold


def _may_record(watch, now_s):
    """Claim the minutes around a fault that came now for the log, unless it has so many."""
    since_s = max(watch.fault_s, now_s - _EPISODES * _EPISODE_S)
    if since_s > now_s or now_s <= watch.until_s:
        return False
    watch.fault_s = since_s + _EPISODE_S
    return True


def _look_back(watch, battery, now_s):
    """Let the status of a `battery` say what the last fault was, until that is no news."""
    if not watch.over_s:
        watch.over_s = now_s
        watch.why += _worst(watch, battery.store.cells)
    hours = (now_s - watch.over_s) // _HOUR_S
    watch.due_s = watch.over_s + (hours + 1) * _HOUR_S
    ago = "%d h ago" % hours if hours else "lately"
    if hours >= _NEWS_H:
        watch.due_s = _NEVER_S
        battery.status.past = ""
    else:
        battery.status.past = ago + "\n" + watch.why


def _worst(watch, cells):
    """Return in words how far a cell of `cells` (0 unknown) went in the fault, "" if unknown."""
    ring = watch.frames
    lowest = highest = 0  # where they are
    high_mv = low_mv = 0
    for at in range(0, len(ring), frame.SIZE):
        low, high = struct.unpack_from("<HH", ring, at + 8)
        if frame.kind(ring, at) and low != frame.UNKNOWN_U16:
            if not low_mv or low < low_mv:
                low_mv = low
                lowest = ring[at + 12] & 15
            if high > high_mv:
                high_mv = high
                highest = ring[at + 12] >> 4
    if not low_mv:
        return ""
    high = "over" in watch.why or "high" in watch.why
    number = " %d" % ((highest if high else lowest) + 1) if 0 < cells <= 16 else ""
    return "\ncell%s %.2f V" % (number, (high_mv if high else low_mv) / 1000)


def _fault(watch, news):
    """Return in words what of `news` makes a fault, "" if nothing does."""
    known = watch.known
    seen = watch.seen
    bad = news >> _DISCHARGE & 1 and not seen[_DISCHARGE]
    if news >> _CODE_AT & 1:
        code = seen[_CODE_AT]
        bad = bad or code < 0 or code & ~max(0, known[_CODE_AT])
    if news >> _WORDS_AT & 1:
        bad = bad or _limits(seen[_WORDS_AT]) & ~_limits(known[_WORDS_AT])
    return (seen[_WORDS_AT] or "BMS alarm") if bad else ""


def _limits(words):
    if not words:
        return 0
    from screen import alarms

    return alarms.limit(words)


def _make(driver):
    """Return what the module of a BMS class is called, e.g. "jikong_bms"."""
    for name in sys.modules:
        if name.startswith("aiobmsble.bms.") and sys.modules[name].BMS is driver:
            return name[14:]
    return ""


def _say(battery, words):
    """Print `words`, with the battery's name if there are several."""
    print("%s: %s" % (battery.name, words) if battery.link.peers else words)


def _numbers(code, battery, known, changed):
    """Return the two numbers of an event."""
    if code == _SWITCHED:
        on = 0
        for i in range(_HEALTH_AT):
            on |= known[i] << i
            if changed >> i & 1:
                _say(battery, _SWITCHES[i] + (" on" if known[i] else " off"))
        return on, changed
    if code == _HEALTH:
        cycles, percent, cells = known[_HEALTH_AT:_CODE_AT]
        cycles = _UNKNOWN if cycles is None else cycles & _UNKNOWN
        percent = frame.UNKNOWN_U8 if percent is None else percent & 0xFF
        return cycles, percent | (cells or 0) << 8 & 0xFF00
    if code == _LIMITS:
        return _limits(known[_WORDS_AT]), 0
    problem = known[_CODE_AT]
    if problem < 0:
        return _UNKNOWN, _UNKNOWN
    problem = problem & _LONGEST or problem >> 64 & _LONGEST
    return problem & _UNKNOWN, problem >> 32


def _record(watch, store, now_s):
    """Store the ring's last two minutes, the oldest first, but for what is stored already."""
    ring = watch.frames
    view = memoryview(ring)
    at = watch.cursor
    for _ in range(len(ring) // frame.SIZE):
        at = (at + frame.SIZE) % len(ring)
        age_s = now_s - (ring[at] | ring[at + 1] << 8) & 0xFFFF
        if frame.kind(ring, at) and age_s <= _BACK_S and now_s - age_s > watch.until_s:
            store.append(view[at : at + frame.SIZE])
    watch.until_s = now_s + _AFTER_S
