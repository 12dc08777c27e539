# What a BMS tells besides its values is watched for change, and the last two minutes of polls kept
# Loaded with the setting events; app/events.py, for the moment when there is something, tells it.
import struct
import sys

import half
from micropython import const

_SIZE = const(13)  # of a frame
_RECORD = const(0xFE04)  # kind of control frame
_NAN = const(0x7E00)
# places in Sampler.last
_V = const(0)
_MIN = const(1)
_MAX = const(2)
_T = const(6)
_I = const(7)
_INDEX = const(8)

_BACK_S = const(120)  # so long the ring reaches back, if there is a poll each `poll_s`
_MOST = const(115)  # records: 1.5 kB
_STILL_S = const(20)  # polls that are all alike are kept once in so long

# What is watched: the keys of aiobmsble, switches first; then alarms, and limits as words.
_KEYS = (
    "chrg_mosfet", "dischrg_mosfet", "heater", "balancer",
    "cycles", "battery_health", "cell_count",
)  # fmt: skip
_DISCHARGE = const(1)
_BALANCER = const(3)
_CODE = const(7)
_KINDS = const(9)
_LONG_AGO_S = const(-86_400)  # so all that is told at once may come
_NEVER_S = const(1 << 29)


class Watching:
    """What changes of one battery; `poll_s` are the seconds between polls.

    By place in _KEYS, then code and words of alarms: `seen` has what was last polled, `known` what
    the log was told, `changes` how often it changed since, `wait_s` until when it is told no more.
    A battery is taken to be switched on and to have no alarm before its first poll; None is not
    known. `frames` is a ring of records, the newest at `cursor`; until the uptime `until_s` each of
    them goes into the log. The rest is for app/events.py: at `due_s` it has something to tell even
    if nothing changes, `why` has the last fault in words, which was over at `over_s`, 0 not yet; at
    `fault_s` the log had as many faults as it may; `named` is whether it was told the make.
    """

    def __init__(self, poll_s):
        self.frames = bytearray(_SIZE * min(_MOST, int(_BACK_S / poll_s) + 1))
        self.cursor = self.until_s = self.over_s = 0
        self.seen = [1, 1, 0, 0, None, None, None, 0, ""]
        self.known = list(self.seen)
        self.changes = [0] * _KINDS
        self.wait_s = [_LONG_AGO_S] * _KINDS
        self.fault_s = _LONG_AGO_S
        self.due_s = _NEVER_S
        self.why = ""
        self.named = False

    def sample(self, battery, sample):
        """Take the sample of a `battery` that its sampler took before."""
        now_s = battery.sample_s
        fresh = self._keep(battery.sampler.last)
        news = 0
        for i in range(_KINDS):
            if i < _CODE:
                value = sample.get(_KEYS[i])
                if value is None:
                    continue
                value = int(value) if i > _BALANCER else 1 if value else 0
            elif i == _CODE:
                value = sample.get("problem_code") or (-1 if sample.get("problem") else 0)
            else:
                value = battery.status.alarm
                if not value and not self.seen[_DISCHARGE]:
                    value = battery.status.alarm = "discharge is off"
            if value != self.seen[i]:
                self.seen[i] = value
                self.changes[i] += 1
            if value != self.known[i] and now_s >= self.wait_s[i]:
                news |= 1 << i
        if news:
            self.tell(battery, now_s, news)
        elif fresh and now_s <= self.until_s:
            battery.store.append(memoryview(self.frames)[self.cursor :])

    def tell(self, battery, now_s, news=0):
        """Let the log know `news`, a bit for each place that has changed; and what is due."""
        if news or now_s >= self.due_s:
            try:
                from app import events
            except MemoryError:
                return  # the next time finds the same
            events.tell(self, battery, news, now_s)
            del sys.modules["app.events"], sys.modules["app"].events

    def _keep(self, poll):
        """Put a poll into the ring; return whether it is in it, for it may be as the last."""
        ring = self.frames
        last = self.cursor
        at = (last + _SIZE) % len(ring)
        struct.pack_into(
            "<HHHHHHB",
            ring,
            at,
            poll[_T] & 0xFFFF,
            _RECORD,
            half.from_milli(poll[_V]) if poll[_V] else _NAN,
            _NAN if poll[_I] is None else half.from_milli(poll[_I]),
            poll[_MIN],
            poll[_MAX],
            poll[_INDEX],
        )
        i = 4  # behind time and kind
        while i < _SIZE and ring[at + i] == ring[last + i]:
            i += 1
        # seconds modulo 256: after a break one that is alike may be left out
        if i == _SIZE and (ring[at] - ring[last]) & 0xFF < _STILL_S:
            return False
        self.cursor = at
        return True
