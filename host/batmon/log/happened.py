"""What happened: alarms, switches, health, and faults with the minutes around them, in words.

docs/FORMAT.md specifies the events and records that tell it. Batteries that a board watched before
it knew them, and boards of before, have none.
"""

import importlib.metadata
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from batmon.log import shards, timeline
from batmon.log.formats import alarms, frame, half
from batmon.log.timeline import EVENTS

SWITCHES = "charge", "discharge", "heater", "balancer"
_ON = 0b11  # charge and discharge: so a boot begins
_BALANCER = 3  # told once a week at most: nobody knows for how long it was on
_NO_CODE = timeline.NO_CODE | timeline.NO_CODE << 32
# Records further apart belong to two faults.
_APART_S = 200
# What is told right before the first record of a fault or up to its last one is its cause.
_CAUSE_S = 10
# Less is no story.
_MOVED_MV = 50
_SURGE = 1.5
_MANY_H = 48


@dataclass
class Happening:
    """One thing that happened to a battery.

    `unix` is its UTC, timeline.NO_TIME if nothing is known; `known` is False where that is only
    the earliest it can have been; `kind` is alarm, switch, health, limit, fault, or log for what is
    about the log; `words` tell it. `end_unix` is `unix`, of a fault the time of the last of its
    records. `a` and `b` are the numbers of an event.
    """

    battery: str
    unix: int
    known: bool
    boot: int
    uptime: int
    kind: str
    words: str
    end_unix: int
    a: int = 0
    b: int = 0


def happenings(logs) -> Iterator[Happening]:
    """Yield what happened to the batteries of `logs` (stream.Logs), each in order of storing.

    Gaps in the log are left out; the report has a list of them.
    """
    teller = None
    for dated in logs.dated():
        if teller is None or teller.battery != dated.battery:
            if teller:
                yield from teller.end_fault()
            teller = _Teller(dated.battery)
        yield from teller.tell(dated)
    if teller:
        yield from teller.end_fault()


class _Teller:
    """Tells one battery's shards, in order."""

    def __init__(self, battery: str):
        self.battery = battery
        self._boot = timeline.NO_BOOT
        self._make = ""
        self._records = []  # of a fault: (unix, boot, uptime, known, row of values)
        self._causes: list = []  # what was told of trouble: (place, words)
        self._begin_boot(timeline.NO_BOOT)

    def _begin_boot(self, boot: int):
        self._boot = boot
        self._code = self._limits = 0
        self._on = _ON
        self._since: dict = {}  # when something began, by what: unix or None, uptime
        self._causes = []

    def tell(self, dated) -> Iterator[Happening]:
        kinds = timeline.kinds(dated.frames)
        over = shards.cells_told(dated.frames)
        events = dated.frames.view(timeline.EVENT)
        records = dated.frames.view(timeline.RECORD)
        for i in np.flatnonzero((kinds == frame.EVENT) | (kinds == timeline.RECORDED)).tolist():
            line = dated.line
            place = int(line.unix[i]), bool(line.known[i]), int(line.boot[i]), int(line.uptime[i])
            if place[2] != self._boot:
                yield from self.end_fault()
                self._begin_boot(place[2])
            if kinds[i] == timeline.RECORDED:
                if self._records and place[3] - self._records[-1][0][3] > _APART_S:
                    yield from self.end_fault()
                self._records.append((place, records[i], int(over[i])))
                continue
            code, a, b = (int(events[i][name]) for name in ("code", "a", "b"))
            if code == frame.GAP:
                continue
            if self._records and place[3] - self._records[-1][0][3] > _APART_S:
                yield from self.end_fault()
            kind, words = self._words(code, a, b, place)
            if words:
                yield self._happening(place, kind, words, a, b)

    def _happening(self, place, kind, words, a=0, b=0, end=None) -> Happening:
        unix, known, boot, uptime = place
        return Happening(
            self.battery, unix, known, boot, uptime, kind, words, unix if end is None else end, a, b
        )

    def _words(self, code: int, a: int, b: int, place) -> tuple[str, str]:
        """Return the kind of an event and its words, "" for one that only helps others."""
        if code == timeline.MAKE:
            self._make = makes().get(a, "")
            return "", ""
        if code == timeline.SWITCHED:
            words = [self._switched(i, a >> i & 1, place) for i in range(4) if b >> i & 1]
            self._on = a
            return "switch", self._cause("; ".join(words), place, b & ~a & _ON)
        if code == timeline.ALARM:
            return "alarm", self._alarm(a | b << 32, place)
        if code == timeline.LIMITS:
            came, went = _limits(a & ~self._limits), _limits(self._limits & ~a)
            self._limits = a
            words = [f"limit passed: {came}"] * bool(came)
            words += [f"back within limits: {went}"] * bool(went)
            return "limit", self._cause("; ".join(words), place, came)
        if code == timeline.HEALTH:
            return "health", _health(a, b)
        if code == timeline.REST:
            return "log", self._rest(a, b, place)
        if code == timeline.UNTOLD:
            what = EVENTS.get(b, f"event {b}")
            return "log", f"{a} more changes were only counted ({what})"
        numbers = f" ({a}{f', {b}' if b else ''})" if a or b else ""
        return "log", EVENTS.get(code, f"event {code}") + numbers

    def _switched(self, i: int, on: int, place) -> str:
        words = f"{SWITCHES[i]} switched {'on' if on else 'off'}"
        if i == _BALANCER:
            return words
        usual = _ON >> i & 1
        if on != usual:
            self._since[i] = place
            return words
        return words + self._lasted(i, place)

    def _lasted(self, what, place) -> str:
        """Return for how long something was, if its beginning is known."""
        since = self._since.pop(what, None)
        return f" after {_duration(place[3] - since[3])}" if since else ""

    def _rest(self, every_s: int, before_s: int, place) -> str:
        if every_s:
            self._since["rest"] = place
            return f"rest: the board sleeps and looks every {_duration(every_s)}"
        words = f"rest over{self._lasted('rest', place)}"
        return f"{words}; the look before was {_duration(before_s)} ago" if before_s else words

    def _alarm(self, code: int, place) -> str:
        before, self._code = self._code, code
        if code == _NO_CODE:
            self._since["alarm"] = place
            return self._cause("alarm of the BMS, which tells no code", place, True)
        if before == _NO_CODE:
            before = 0
        if not code:
            return "alarm over" + self._lasted("alarm", place)
        if not before:
            self._since["alarm"] = place
        came, went = self._said(code & ~before), self._said(before & ~code)
        words = [f"alarm: {came}"] * bool(came) + [f"no longer: {went}"] * bool(went)
        return self._cause("; ".join(words), place, came)

    def _said(self, code: int) -> str:
        said = alarms.words(self._make, code).replace("\n", ", ") if code else ""
        make = self._make.removesuffix("_bms")
        return said.replace("BMS alarm", f"{make or 'BMS'} code")

    def _cause(self, words: str, place, bad) -> str:
        if bad:
            self._causes.append((place, words))
        return words

    def end_fault(self) -> Iterator[Happening]:
        """Yield the fault whose records were gathered, if there are any."""
        records, self._records = self._records, []
        if len(records) < 2:
            return
        first, last = records[0][0], records[-1][0]
        causes = [
            (place, words)
            for place, words in self._causes
            if first[3] - _CAUSE_S <= place[3] <= last[3] + _CAUSE_S
        ]
        words = [*dict.fromkeys(words for _, words in causes), *_story(records)]
        at = causes[0][0] if causes else first
        yield self._happening(at, "fault", "; ".join(words) or "a fault", end=last[0])


def _story(records) -> list[str]:
    """Return what the values did in the minutes of a fault, a clause each."""
    rows = np.array([row for _, row, _ in records], timeline.RECORD)
    seconds = np.array([place[3] for place, _, _ in records])
    over = records[0][2]
    said = []
    low = rows["cell_min"].astype(float)
    low[rows["cell_min"] == frame.UNKNOWN_U16] = np.nan
    high = rows["cell_max"].astype(float)
    high[np.isnan(low)] = np.nan
    for values, shift, verb, sign in ((low, 0, "fell", 1), (high, 4, "rose", -1)):
        if np.isnan(values).all():
            continue
        end = int(np.nanargmin(values * sign))
        before = values[: end + 1]
        start = int(np.flatnonzero(before * sign >= np.nanmax(before * sign) - 5)[-1])
        if abs(values[start] - values[end]) >= _MOVED_MV:
            who = _cell(int(rows["cell_index"][end]), shift, over)
            volts = f"from {values[start] / 1000:.2f} to {values[end] / 1000:.2f} V"
            passed = _duration(int(seconds[end] - seconds[start]))
            said.append(f"{who} {verb} {volts} within {passed}")
    amps = np.array([half.decode(int(bits)) for bits in rows["current"]])
    if not np.isnan(amps).all():
        peak = int(np.nanargmax(np.abs(amps)))
        if abs(amps[peak]) > _SURGE * np.nanmedian(np.abs(amps)):
            said.append(f"current up to {amps[peak]:.1f} A")
    return said


def _cell(indices: int, shift: int, over: int) -> str:
    if indices == frame.UNKNOWN_U8 and over <= 16:
        return "a cell"
    index = np.array(indices >> shift & 15)
    first, last = (int(n) for n in shards.numbers(index, np.array(over)))
    return f"cell {first}" if first == last else f"cell {first} or {last}"


def _limits(bits: int) -> str:
    known = [name for i, name in enumerate(alarms.LIMITS) if bits >> i & 1]
    return ", ".join(known) or ("limit" if bits else "")


def _health(cycles: int, more: int) -> str:
    percent, cells = more & 0xFF, more >> 8
    words = [f"{cycles} cycles"] * (cycles != timeline.NO_CODE)
    words += [f"{percent} % health"] * (percent != frame.UNKNOWN_U8)
    words += [f"{cells} cells"] * bool(cells)
    return ", ".join(words)


def _duration(seconds: int) -> str:
    if seconds < 120:
        return f"{seconds} s"
    if seconds < 7200:
        return f"{round(seconds / 60)} min"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours < _MANY_H else f"{hours // 24} d {hours % 24} h"


def table(logs):
    """Return all happenings as a DataFrame: battery, time_utc, time_known, boot, uptime_s, kind,
    what, a, b; see `Happening`."""
    import pandas as pd

    rows = list(happenings(logs))
    unix = np.array([row.unix for row in rows], np.int64)
    boots = pd.Series([row.boot for row in rows], dtype="Int64")
    return pd.DataFrame(
        {
            "battery": [row.battery for row in rows],
            "time_utc": shards.utc(unix),
            "time_known": np.array([row.known for row in rows], bool),
            "boot": boots.mask(boots == timeline.NO_BOOT),
            "uptime_s": np.array([row.uptime for row in rows], np.int64),
            "kind": [row.kind for row in rows],
            "what": [row.words for row in rows],
            "a": np.array([row.a for row in rows], np.int64),
            "b": np.array([row.b for row in rows], np.int64),
        }
    )


def makes() -> dict[int, str]:
    """Return the names of all drivers by the number that a MAKE event has for them."""
    try:
        files = importlib.metadata.files("aiobmsble") or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    names = {file.stem for file in files if file.parent.name == "bms" and file.suffix == ".py"}
    return {zlib.crc32(name.encode()): name for name in names | {"jikong_bms", "jbd_bms"}}
