"""Each frame of a board that sleeps, resets and loses its power: none doubled, none lost unsaid.

The board says each frame that its log is given; what is in the log at the end is held against it.
"""

import random
from collections import Counter

import pytest
import seeds
from parkedboard import HOUR_S, POWER, WATCHDOG, Run

from batmon.log import stream, timeline

_SIZE = 13
_AT_REST_S = HOUR_S + 60  # of the log are lost by a power cut, see docs/REST.md; README: awake 600
_PUT, _HELD, _SLEEPS = "put ", "held ", "at rest: the board sleeps"
_BOOT = """
import builtins
import sys
from binascii import hexlify

load = builtins.__import__
done = []

def tell(name, *rest):
    module = load(name, *rest)
    there = "store" in sys.modules and hasattr(sys.modules["store"], "Store")
    if there and not done:  # imports are nested
        done.append(True)
        builtins.__import__ = load
        store = sys.modules["store"].Store
        append, hold = store.append, store.hold

        def say(what, frames, at):
            print(what + hexlify(bytes(memoryview(frames)[at : at + 13])).decode())

        def appended(self, frames, n=1):
            for i in range(n):
                say("put ", frames, 13 * i)
            append(self, frames, n)

        def held(self, frames, offset=0):
            say("held ", frames, offset)
            hold(self, frames, offset)

        store.append, store.hold = appended, held
    return module

builtins.__import__ = tell
"""


class Frames:
    """The data frames of a run: those that the log was given, and those that it has."""

    def __init__(self, run):
        self.given = []  # (s, frame, how often the board had fallen asleep by itself)
        self.held = set()
        self.rests_s = []
        for at_s, line in zip(run.at_s, run.words, strict=True):
            if line.startswith(_HELD):
                self.held.add(bytes.fromhex(line[len(_HELD) :]))
            elif line.startswith(_PUT):
                one = bytes.fromhex(line[len(_PUT) :])
                if one[3] != 0xFE:
                    self.given.append((at_s, one, len(self.rests_s)))
            elif line.startswith(_SLEEPS):
                self.rests_s.append(at_s)
        self.log = []
        for dated in stream.Logs([run.out / "data"]).dated():
            content = dated.frames.tobytes()
            kinds = timeline.kinds(dated.frames)
            ones = [content[i : i + _SIZE] for i in range(0, len(content), _SIZE)]
            self.log += [one for one, kind in zip(ones, kinds, strict=True) if kind == 0]

    def check(self, cuts_s, resets):
        """All that was given is there once and in order, but for what power cuts may take."""
        given = [one for _, one, _ in self.given]
        assert len(given) > 4
        more = Counter(self.log) - Counter(given)
        # what was held became a frame where the board did not come to say so
        assert set(more) <= self.held and more.total() == len(more) <= resets
        missing = Counter(given) - Counter(self.log)
        # after a reset the same may be given once more: which of the two was lost nobody can tell
        allowed = Counter(one for at_s, one, n in self.given if self._may_go(at_s, n, cuts_s))
        assert missing <= allowed, [one.hex() for one in missing - allowed]
        left = iter(given)
        assert all(one in left for one in self.log if one not in more)

    def _may_go(self, at_s, rests, cuts_s):
        """May a power cut take what was given then? Before a rest's first sleep all is written."""
        cut_s = min((cut_s for cut_s in cuts_s if cut_s >= at_s), default=float("inf"))
        slept = any(rest_s < cut_s for rest_s in self.rests_s[rests:])
        return cut_s - at_s <= _AT_REST_S and not slept


def _run(out, seed, hours, hangs, cuts):
    rnd = random.Random(seed)
    resets = [[rnd.uniform(700, hours * HOUR_S - 700), WATCHDOG] for _ in range(hangs)]
    cuts_s = [rnd.uniform(700, hours * HOUR_S - 700) for _ in range(cuts)]
    flows = []
    for _ in range(hours // 3):
        begin = rnd.uniform(0, hours)
        flows.append(f"{begin:.3f}-{begin + rnd.uniform(0.01, 0.2):.3f}:{rnd.uniform(-40, 40):.2f}")
    run = Run(
        out,
        hours,
        " ".join(flows) or "0-0:0",
        {"minutes": rnd.choice((5, 10, 20))},
        {"poll_s": 30},
        boot=_BOOT,
        resets=sorted([*resets, *([at_s, POWER] for at_s in cuts_s)]),
        presses=[[0, hours * HOUR_S - 300, 1]],  # awake at the end: it stores all
        status_wall_ms=0,
        seed=rnd.randrange(1 << 15),
    )
    assert run.power["looks"] > 1
    Frames(run).check(cuts_s, hangs + cuts)


def test_no_frame_is_lost_or_doubled(tmp_path):
    _run(tmp_path, seeds.new(), 2, 1, 1)


@pytest.mark.campaign
@pytest.mark.parametrize("seed", range(12))
def test_no_frame_is_lost_or_doubled_in_a_day(tmp_path, seed):
    _run(tmp_path, seed, 24, 8, 4)
