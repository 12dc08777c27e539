# Several batteries: those that the user chose and that fit, and what their links and logs share
# Loaded for the start only, and only where there are several; docs/BATTERIES.md is for users.
import asyncio
import sys

import boards
import machine
from app import choice, known, settings
from app.battery import Battery
from micropython import const
from shards import frame
from shards.several import Common

_DATA = "/data"
_KEYS = ("bms", "dev_name", "capacity_ah", "secret")
_MOST = const(8)
# Bytes of heap: of one battery without display and what several share, and of what connecting,
# counting and a new shard take for a moment in whatever holes are left (13; 8 to 11 will do); of a
# display; of the phone; of another battery of a make that is loaded already, and of a make that is
# not; of `events`, each battery's. tests/host/test_heap.py holds them.
_FIRST = const(89_300)
_DISPLAY = const(15_500)
_PHONE = const(7_000)
_SAME = const(7_150)
_OTHER = const(12_300)
_EVENTS = const(1_900)
_SHORT = "this board's memory is enough for %d of the batteries, %d of %d are left out"
_PLAIN = 'this board\'s memory is enough for %d batteries without "events"; they are off'


def plan(app):
    """Make `app.batteries` of the user's list; raises ValueError if none of it is right.

    Returns what setup.py makes each of; nothing where the batteries have to be found first.
    """
    try:
        return _plan(app)
    finally:
        for name in ("several", "settings"):
            del sys.modules["app." + name]  # their memory
            delattr(sys.modules["app"], name)
        del sys.modules["boards"]


def _plan(app):
    want = app.settings
    if isinstance(app.conn, Exception):
        choice.choose(app.conn, want)  # says why
    given, where = want["batteries"], "settings.json"
    if given is None:
        given, where = _listed(app.conn.BATTERIES), "conn.py"
    if given == "all":
        from app import findall

        del sys.modules["app.findall"], sys.modules["app"].findall
        given, where = findall.read(), "found.json"
        if not given:
            app.say("looking for all BMSs in reach")
            asyncio.create_task(app.keep("search", findall.find))
            return []
    try:
        chosen = _chosen(app, given, where)
    finally:
        app.conn.BMS = None  # of the first lines, which do not count
    _let_go([one[0] for one in chosen])
    if "rest.minutes" in want:
        app.say("the board stays awake: rest is for one battery, in the first lines of conn.py")
    logs = _logs(chosen)
    several = len(chosen) > 1
    if several:
        app.common = Common(machine.RTC(), len(chosen))
        _name(app.common, logs)
    app.batteries[:] = [Battery(app, place) for place in range(len(chosen))]
    make = app.conn.BmsLink
    if several:
        from link.peers import Peer as make
    return [(make,) + one[:4] + tuple(log[:3]) for one, log in zip(chosen, logs)]


def _logs(chosen):
    """Return [what its log would be called alone, address and name as noted, address, old log].

    Who had a log goes on in it, whatever it is called now and wherever in the list it is.
    """
    owned = known.logs(_DATA)
    named = [one[1].upper() for one in chosen if _is_address(one[1])]
    logs = []
    for place in range(len(chosen)):
        _, name, _, _, called = chosen[place]
        noted, seen = known.read(_DATA, name, place)
        address = noted
        if _is_address(name):
            address = name.upper()
        elif noted in named:  # it is another one's, who is told by it
            noted = seen = address = None
        old = owned.get(address)
        logs.append([old or called or name or seen or "", noted, seen, address, old])
    return logs


def _name(common, logs):
    """Have no two of the `logs` one name; "" is the name of one that has to be found first."""
    for place in sorted(range(len(logs)), key=lambda place: (not logs[place][4], place)):
        log, _, _, address, _ = logs[place]
        if log and (address or not common.has(frame.shard_name(log), place)):
            logs[place][0] = common.name(place, log, address)
        else:
            logs[place][0] = ""


def _listed(given):
    """Return conn.py's BATTERIES as settings.json would have it; raises ValueError."""
    if isinstance(given, (list, tuple)) and given:
        tuples = [isinstance(one, (list, tuple)) and len(one) <= len(_KEYS) for one in given]
        if all(tuples):
            return [dict(zip(_KEYS, one)) for one in given]
    raise ValueError(
        'conn.py: BATTERIES must be like (("jikong_bms", "jk-pak01", 280), ("jbd_bms", "van", 100))'
    )


def _chosen(app, given, where):
    """Return [(BMS class or None, name, Ah, secret, called)] of the right ones that fit.

    Tells of each of the others in a sentence; raises ValueError if there is no right one.
    """
    chosen, problems = [], []
    room = int(boards.row()[4]) * 1000 - _FIRST
    if app.settings["lcd.fitted"]:
        room -= _DISPLAY
    if "phone" in app.settings:
        room -= _PHONE
    for entry in given:
        problem = _problem(entry)
        place = "%s: battery %d" % (where, 1 + len(chosen) + len(problems))
        if not problem:
            name = entry["dev_name"].strip()
            if [other for other in chosen if _are_one(other[1], name)]:
                problem = "dev_name is that of another one"
        full = chosen and room < _SAME or len(chosen) == _MOST  # one is logged in any case
        if not problem and not full:  # else not even its driver is to be loaded
            try:
                one = _one(app, entry)
            except ValueError as exc:
                problem = str(exc).split(": ", 1)[1]  # without the file
        if problem:
            problems.append("%s: %s" % (place, problem))
            continue
        more = 0  # one is logged in any case
        if chosen and not full:
            same = one[0] and [other for other in chosen if other[0] is one[0]]
            more = _SAME if same else _OTHER
        if full or more > max(0, room):
            left = len(given) - len(chosen) - len(problems)
            app.say(_SHORT % (len(chosen), left, len(given)))
            break
        room -= more
        chosen.append(one)
    if not chosen:
        raise ValueError(problems[0])
    if len(chosen) > 1 and app.settings["events"] and room < _EVENTS * len(chosen):
        app.settings["events"] = False
        app.say(_PLAIN % len(chosen))
    for problem in problems:
        app.say(problem + "; it is left out")
    return chosen


def _let_go(drivers):
    """Let go of all other drivers: that of conn.py's first lines, those of who was left out."""
    for name in [name for name in sys.modules if name.startswith("aiobmsble.bms.")]:
        if getattr(sys.modules[name], "BMS", None) not in drivers:
            del sys.modules[name]
            if hasattr(sys.modules["aiobmsble.bms"], name[14:]):
                delattr(sys.modules["aiobmsble.bms"], name[14:])


def _one(app, entry):
    want = dict(app.settings)
    want.update({"bms": "", "secret": ""})
    want.update(entry)
    driver, name, capacity_ah = choice.choose(_Conn(app.conn), want)
    return driver, name.strip(), capacity_ah, want["secret"], entry.get("called")


def _problem(given):
    """Return what is wrong with `given`, one of several batteries, or ""."""
    if not isinstance(given, dict):
        return "%s must be {...}" % settings.short(given)
    allowed = {row[0]: row[2] for row in settings.rows() if row[0] in _KEYS}
    allowed["called"] = "text"  # of one that was found, see app/findall.py
    for key in given:
        if key not in allowed:
            return "unknown key %s" % settings.short(key)
        problem = settings.problem_with(given[key], allowed[key])
        if problem:
            shown = "not right" if key == "secret" else settings.short(given[key])
            return "%s is %s, must be %s" % (key, shown, problem)
    return "" if "dev_name" in given else "dev_name is missing"


def _are_one(name, other):
    """Are these the same battery? Two may have one name, but not one address."""
    return name.upper() == other.upper() and (_is_address(name) or not name)


def _is_address(name):
    return name.count(":") == 5


class _Conn:
    """What of conn.py counts for each of several batteries: the capacity, where none is said."""

    dev_name = ""

    def __init__(self, conn):
        self.DESIGN_CAP = getattr(conn, "DESIGN_CAP", 100)
