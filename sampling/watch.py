# Watches what a BMS tells besides its values for change, and keeps the last two minutes of polls
# 2 kB with its ring for polls of 2 s. app/events.py, loaded when something changes, tells it.
import struct

import half
from micropython import const
from shards import frame

_RECORD = const(0xFE04)  # kind of control frame
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
_AT_ONCE = const(20)  # changes of one kind are told at once, then one each _EACH_S
_EACH_S = const(1800)
_SLOWLY_S = const(86400)
_EPISODES = const(4)  # at once, then one each _EPISODE_S
_EPISODE_S = const(21600)

# What is watched: the keys of aiobmsble, switches first; then alarms, and limits as words.
_KEYS = (
    "chrg_mosfet", "dischrg_mosfet", "heater", "balancer",
    "cycles", "battery_health", "cell_count",
)  # fmt: skip
_BALANCER = const(3)  # from this on, what is of no hurry: told once a day at most
_CODE = const(7)
_ALARM = const(8)
_KINDS = const(9)


class Watch:
    """What changes of one battery; `poll_s` are the seconds between polls.

    By place in _KEYS, then _CODE and _ALARM: `seen` has what was last polled, `known` what the log
    was told, `changes` how often it changed since. A battery is taken to be switched on and to
    have no alarm before its first poll; None is not known. `frames` is a ring of records, the
    newest, if `fresh` that of the last poll, at `cursor`; until the uptime `until_s` each of them
    goes into the log. `why` tells of the last fault, `named` whether the log was told the make.
    """

    def __init__(self, poll_s):
        self.frames = bytearray(frame.SIZE * min(_MOST, int(_BACK_S / poll_s) + 1))
        self.cursor = 0
        self.fresh = False
        self.until_s = 0
        self.named = False
        self.seen = [1, 1, 0, 0, None, None, None, 0, ""]
        self.known = list(self.seen)
        self.changes = [0] * _KINDS
        self.why = ""
        self._fault_s = -_EPISODES * _EPISODE_S  # when the log has as many as it may
        self._next_s = [-_AT_ONCE * _EACH_S] * _KINDS  # and of each kind
        self._kept_s = 0

    def poll(self, now_s, sample, alarm, sampler):
        """Keep the poll that `sampler` took of `sample`; `alarm` are the words for it.

        Return what the log is to be told: a bit for each place that has changed.
        """
        self._keep(now_s, sampler)
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
                value = alarm
            if value != self.seen[i]:
                self.seen[i] = value
                self.changes[i] += 1
            if value != self.known[i] and now_s >= self._next_s[i]:
                news |= 1 << i
        return news

    def said(self, i, now_s):
        """Note that the log was told of place `i`; return how many changes it never knew of."""
        least_s = now_s - _AT_ONCE * _EACH_S
        each_s = _EACH_S
        if i >= _BALANCER and i < _CODE:
            least_s = now_s
            each_s = _SLOWLY_S
        self._next_s[i] = max(self._next_s[i], least_s) + each_s
        untold = self.changes[i] - 1
        self.known[i] = self.seen[i]
        self.changes[i] = 0
        return untold

    def claim(self, now_s):
        """Claim the minutes around a fault that came now for the log, unless it has so many."""
        self._fault_s = max(self._fault_s, now_s - _EPISODES * _EPISODE_S)
        if self._fault_s > now_s or now_s <= self.until_s:
            return False
        self._fault_s += _EPISODE_S
        return True

    def _keep(self, now_s, sampler):
        ring = self.frames
        last = self.cursor
        at = (last + frame.SIZE) % len(ring)
        poll = sampler.last
        struct.pack_into(
            "<HHHHHHB",
            ring,
            at,
            poll[_T] & 0xFFFF,
            _RECORD,
            half.from_milli(poll[_V]) if poll[_V] else half.NAN,
            half.NAN if poll[_I] is None else half.from_milli(poll[_I]),
            poll[_MIN],
            poll[_MAX],
            poll[_INDEX],
        )
        i = 4  # behind time and kind
        while i < frame.SIZE and ring[at + i] == ring[last + i]:
            i += 1
        self.fresh = i < frame.SIZE or now_s - self._kept_s >= _STILL_S
        if self.fresh:
            self.cursor = at
            self._kept_s = now_s
