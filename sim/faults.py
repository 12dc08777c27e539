# What goes wrong on the air, one fault after another, as a seed says; records how the link heals
# Every fault ends, and the peer is then as good as new: how soon a sample comes is told.
import errno
import gc

import air
import records
import tasks
import vclock
from micropython import const

_LOOK_MS = const(250)
_FIRST_MS = const(120_000)  # calm at the start
_CALM_MIN_MS = const(180_000)  # between two faults
_CALM_MAX_MS = const(900_000)
_ANSWER_MS = const(500)  # more, or a poll that is due as the calm ends may not be answered yet
_LAST_MS = const(3_600_000)  # and at the end
_SHORT_S = const(5)
_LONG_S = const(600)
_HOUR_S = const(3600)
_REACH_MS = const(180_000)  # for a link to get where it is to break
_LOST_MS = const(7_200_000)  # without a sample after a fault: it does not heal
_HOUR_MS = const(3_600_000)
_LOOKS = const(24)

_PHASES = {
    "gone in scan": "scan",
    "gone in connect": "connect",
    "gone in discovery": "discover",
    "gone in subscribe": "subscribe",
    "gone in a frame": "notify",
}
KINDS = tuple(_PHASES) + (
    "out of reach",
    "hung up",
    "connected too late",
    "connect refused",
    "discovery fails",
    "notifications dropped",
    "notifications doubled",
    "notifications split",
    "answers late",
    "no answers",
    "writes fail",
    "end not told",
    "dead link kept",
    "radio deaf",
    "no name",
    "name in response only",
    "phone has it",
    "values frozen",
    "values impossible",
    "another protocol",
)
# faults of the board's own radio: the peer is in reach all the time
_OWN = ("end not told", "dead link kept", "radio deaf", "radio dead")
_JBD = b"\xdd\x03\x00\x1b\x17\x00\x00\x00\x02\xd0\x03\xe8\x00\x00\x20\x78" + bytes(15) + b"\xff\x77"


class _Impostor:
    """Stands for a battery that stopped at this moment."""

    def __init__(self, real):
        self.cells_mv = list(real.cells_mv)
        self.temp_dc = list(real.temp_dc)
        for name in ("voltage_mv", "current_ma", "soc_milli", "remaining_mah", "design_mah",
                     "cycles", "charge_out_mas", "problem"):  # fmt: skip
            setattr(self, name, getattr(real, name))

    def advance(self, t_ms):
        pass


class Faults:
    """Plays tricks on the first of `peers`, which `link()` (the board's BmsLink, or None) is to get
    samples from every `poll_ms`, until `end_ms`; `kinds` of KINDS or "radio dead"; `past` is kept
    over resets. The others are left in peace."""

    def __init__(self, peers, link, poll_ms, end_ms, kinds, past):
        peer = self._peer = peers[0]
        self._peers = len(peers)
        self._link = link
        self._poll_ms = poll_ms
        self._end_ms = end_ms
        self._kinds = kinds
        self._changes = []  # (object, attribute, value before)
        self._kind = None
        self._from_s = 0
        self._seen = 0  # samples when it was looked last
        self._told = peer.on_sample
        self._calm_ms = vclock.now_ms()  # when the calm began
        self._calm_seen = 0
        self._past = past
        if "samples" not in past:
            past.update({"samples": 0, "expected": 0, "leaks": 0, "faults": 0})
        tasks.count()
        vclock.call_later(_FIRST_MS, self._begin)
        if vclock.now_ms() < _HOUR_MS:
            vclock.call_at(_HOUR_MS, self._look_at_heap, "first_hour", _LOOKS)
        vclock.call_at(end_ms - 60_000, self._look_at_heap, "end", _LOOKS)
        vclock.call_at(end_ms - 1000, self._settle)

    # ---- one after another

    def _samples(self):
        link = self._link()
        return link.samples if link else 0

    def _begin(self):
        now_ms = vclock.now_ms()
        if not self._samples() and now_ms < self._end_ms:  # the board is still starting
            vclock.call_later(1000, self._begin)
            return
        self._settle()
        if not self._kinds or now_ms > self._end_ms - _LAST_MS:
            return
        self._check()
        self._past["faults"] += 1
        self._kind = self._kinds[air.rand(len(self._kinds))]
        seconds = _SHORT_S
        while seconds < _LONG_S and air.rand(8):  # half of them are over within a minute
            seconds = seconds * 5 // 4 + 1
        if self._kind == "phone has it":
            seconds = _HOUR_S
        self._from_s = now_ms // 1000
        self._start(self._kind, seconds * 1000)

    def _settle(self):
        """Count what came in the calm."""
        if self._kind is None:
            now_ms = vclock.now_ms()
            self._past["samples"] += self._samples() - self._calm_seen
            # a calm begins with a sample that does not count
            self._past["expected"] += (now_ms - self._calm_ms) // self._poll_ms
            self._calm_ms = now_ms
            self._calm_seen = self._samples()

    def _check(self):
        # a link that was left behind is there for good: the calm was long enough
        links = len(air.radio.links)
        if links > self._peers or not self._peer.connected:
            self._past["leaks"] += 1
            print("%d links, peer connected: %s" % (links, self._peer.connected))

    def _end(self):
        """The peer is as it was; now the link has to find out."""
        for target, name, value in reversed(self._changes):
            setattr(target, name, value)
        self._changes.clear()
        air.add(self._peer)
        self._healing(vclock.now_ms())

    def _healing(self, since_ms):
        self._seen = self._samples()
        vclock.call_later(_LOOK_MS, self._watch, since_ms)

    def _watch(self, since_ms):
        took_ms = vclock.now_ms() - since_ms
        if self._samples() <= self._seen and took_ms < _LOST_MS:
            vclock.call_later(_LOOK_MS, self._watch, since_ms)
            return
        fault = {"kind": self._kind, "ms": took_ms}
        fault["from_s"] = self._from_s
        fault["to_s"] = since_ms // 1000
        records.send("fault", fault)
        self._kind = None
        self._calm_ms = vclock.now_ms()
        self._calm_seen = self._samples()
        calm_ms = _CALM_MIN_MS + air.rand((_CALM_MAX_MS - _CALM_MIN_MS) // 1000) * 1000
        calm_ms += _ANSWER_MS
        vclock.call_later(calm_ms, self._begin)

    # ---- the faults

    def _set(self, name, value, target=None):
        target = target or self._peer
        self._changes.append((target, name, getattr(target, name)))
        setattr(target, name, value)

    def _drop(self, told=True):
        if self._peer.connected:
            self._peer._link.drop(told)

    def _start(self, kind, ms):
        peer = self._peer
        if kind in _PHASES:
            self._trap(_PHASES[kind], ms)
            return
        if kind in _OWN:
            if kind == "end not told":
                self._drop(False)
            elif kind == "dead link kept":
                peer.connected and peer._link.haunt()
            else:
                air.radio.deaf = 1 if kind == "radio deaf" else 2  # which only a reset ends
                self._drop()
            self._healing(vclock.now_ms())
            return
        percent = 5 + air.rand(40)
        if kind == "out of reach":
            air.remove(peer)
        elif kind == "hung up":
            self._drop()
            ms = 0
        elif kind == "connected too late":
            self._set("connect_delay_ms", 7000 + air.rand(7000))
            self._drop()
        elif kind == "connect refused":
            self._set("refuse", 1 << 28)
            self._drop()
        elif kind == "discovery fails":
            self._set("fail_discovery", 1 << 28)
            self._drop()
        elif kind == "notifications dropped":
            self._set("copies", lambda: 0 if air.rand(100) < percent else 1)
        elif kind == "notifications doubled":
            self._set("copies", lambda: 2 if air.rand(100) < percent else 1)
        elif kind == "notifications split":
            self._set("size", lambda: 20 + air.rand(225))
        elif kind == "answers late":
            self._set("late_ms", 500 + air.rand(9000))
        elif kind == "no answers":
            self._set("copies", lambda: 0)
        elif kind == "writes fail":
            self._set("fail_writes", 1 << 28)
            self._set("write_errno", (errno.ENOMEM, errno.EALREADY)[air.rand(2)])
        elif kind == "no name":
            self._set("adv", air.adv())
            self._set("scan_rsp", None)
            self._drop()
        elif kind == "name in response only":
            self._set("adv", air.adv())
            self._drop()
        elif kind == "phone has it":
            self._drop()
            if air.rand(2):
                air.remove(peer)
            else:
                self._set("refuse", 1 << 28)
        elif kind == "values frozen":
            self._freeze()
        elif kind == "values impossible":
            self._freeze()
            if air.rand(2):
                peer.battery.voltage_mv *= 2
            else:
                peer.battery.soc_milli = 250_000
        else:
            self._set("on_write", lambda handle, data, response: peer.notify(handle, _JBD))
        vclock.call_later(ms, self._end)

    def _trap(self, phase, ms):
        # the peer vanishes when the link gets to this phase, for the `countdown`th time
        countdown = [1 + air.rand(4) if phase == "discover" else 1]

        def reached(at):
            if at == phase:
                countdown[0] -= 1
                if countdown[0] == 0:
                    self._peer.reached = _pass
                    air.remove(self._peer)
                    vclock.cancel(late)
                    vclock.call_later(ms, self._end)

        late = vclock.call_later(_REACH_MS, self._end)
        self._set("reached", reached)
        if phase == "notify":
            self._set("chunk", 20)
            countdown[0] = 1 + air.rand(15)
        else:
            self._drop()

    def _freeze(self):
        peer = self._peer
        peer.battery.advance(vclock.now_ms())
        impostor = _Impostor(peer.battery)
        if abs(impostor.current_ma) < 1000:
            impostor.current_ma = -5000
        true = _Impostor(impostor)  # what can be of what it sends, whatever is made of it
        told = self._told
        told(vclock.now_ms(), true)
        self._set("battery", impostor)
        self._set("on_sample", lambda t_ms, _: told(t_ms, true))

    # ---- what is left behind

    def _look_at_heap(self, name, looks):
        """Tell the memory and tasks of some calm moments: a poll takes some for a while."""
        if self._kind is not None:
            vclock.call_later(_CALM_MIN_MS, self._look_at_heap, name, looks)
            return
        alive = tasks.count()
        gc.collect()
        records.send("look", {"at": name, "heap": gc.mem_alloc(), "tasks": alive})
        if looks > 1:
            vclock.call_later(_LOOK_MS * 3 + 17, self._look_at_heap, name, looks - 1)


def _pass(phase):
    pass
