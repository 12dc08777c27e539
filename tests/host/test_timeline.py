"""Dates of frames: boots, wraps of the u16 time, clocks that are set late or stepped."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shardfiles import anchor, data, event

from batmon.log import timeline

_START = 1_767_247_200
# The store anchors before a silence gets this long, so that u16 times stay unique.
_SILENCE_S = 30_000


def _reconstruct(frames, breaks=()):
    array = np.frombuffer(b"".join(frames), timeline.FRAME)
    return timeline.reconstruct(array, np.array(breaks, np.int64))


_BOOT = st.fixed_dictionaries(
    {
        "off": st.integers(0, 90 * 86400),  # seconds without power before it
        "steps": st.lists(st.integers(0, 40_000), min_size=1, max_size=40),
        "rollovers": st.sets(st.integers(0, 39)),  # frames before which a new shard begins
        "known_at_boot": st.booleans(),
        "set_at": st.none() | st.integers(0, 39),  # the frame before which the clock gets set
        # What the clock was wrong by before; a little would be taken for drift.
        "wrong_by": st.just(0) | st.integers(-(10**7), -200) | st.integers(200, 10**7),
    }
)


class _Boards:
    """Plays boots as a board does; `truth` has (boot, uptime, unix, sure) for each frame."""

    def __init__(self, boots):
        self.frames, self.truth = [], []
        self.unix = _START
        for self.number, boot in enumerate(boots, 1):
            self.unix += boot["off"]
            self._play(boot)

    def _play(self, boot):
        set_at = boot["set_at"]
        known, wrong_by = boot["known_at_boot"], boot["wrong_by"]
        will_be_set = set_at is not None and set_at < len(boot["steps"])
        self.sure = will_be_set or (known and wrong_by == 0)
        self.clock = self.unix + wrong_by if known else None  # what it said at power-on
        uptime = 0
        self._anchor(0)
        for i, step in enumerate(boot["steps"]):
            if step >= _SILENCE_S:
                self._anchor(uptime + _SILENCE_S)
            uptime += step
            if i == set_at:
                self.clock = self.unix
                self._anchor(uptime)
            if i in boot["rollovers"]:
                self._anchor(uptime)
            self._put(data(uptime), uptime)
        self.unix += uptime

    def _anchor(self, uptime):
        said = 0 if self.clock is None else self.clock + uptime
        self._put(anchor(uptime, said, self.number), uptime)

    def _put(self, frame, uptime):
        self.frames.append(frame)
        self.truth.append((self.number, uptime, self.unix + uptime, self.sure))


@settings(max_examples=150)
@given(st.lists(_BOOT, min_size=1, max_size=6))
def test_every_boot_with_a_right_clock_is_dated(boots):
    boards = _Boards(boots)
    line = _reconstruct(boards.frames)
    number, uptime, unix, sure = map(np.array, zip(*boards.truth, strict=True))
    assert (line.boot == number).all()
    assert (line.uptime == uptime).all()
    assert line.known[sure].all()
    assert (abs(line.unix[sure] - unix[sure]) <= 2).all()


def test_later_anchor_dates_earlier_frames():
    line = _reconstruct([anchor(0), data(10), data(30_000), anchor(50_000, _START), data(50_010)])
    assert line.known.all()
    assert (line.unix - _START).tolist() == [-50_000, -49_990, -20_000, 0, 10]


def test_boot_without_clock_follows_the_one_before_and_is_marked():
    line = _reconstruct(
        [anchor(0, _START, 7), data(100), anchor(0, 0, 8), data(50), anchor(0, _START + 999, 9)]
    )
    assert line.known.tolist() == [True, True, False, False, True]
    assert (line.unix - _START).tolist() == [0, 100, 100, 150, 999]
    assert line.boot.tolist() == [7, 7, 8, 8, 9]


def test_nothing_known_is_no_time():
    line = _reconstruct([anchor(0, 0, 1), data(5)])
    assert (line.unix == timeline.NO_TIME).all() and not line.known.any()


def test_drift_is_spread_over_the_time_it_took():
    # A crystal that loses 20 s in 30 days, noticed when the clock is set again.
    month = 30 * 86400
    times = range(0, month, 20_000)
    frames = [anchor(t, _START + t) for t in times] + [anchor(month, _START + month + 20)]
    line = _reconstruct(frames)
    true = np.array([*times, month]) * (1 + 20 / month) + _START
    assert (abs(line.unix - true) <= 2).all()
    assert (np.diff(line.unix) >= 0).all()


def test_stepped_clock_is_right_at_last():
    line = _reconstruct([anchor(0, _START + 86400), data(10), anchor(20, _START + 20), data(30)])
    assert (line.unix - _START).tolist() == [0, 10, 20, 30]


def test_boot_number_wraps():
    line = _reconstruct([anchor(0, _START, 65535), data(1), anchor(0, _START + 60, 0), data(1)])
    assert line.boot.tolist() == [65535, 65535, 65536, 65536]


def test_loss_hides_a_wrap_until_an_anchor_tells():
    lost = 3 * 65536
    frames = [anchor(0, _START), data(10), data(20 + lost), anchor(30 + lost, _START + 30 + lost)]
    line = _reconstruct(frames, breaks=[2])
    assert line.known.all()
    assert (line.unix - _START).tolist() == [0, 10, 20 + lost, 30 + lost]
    assert line.uptime.tolist() == [0, 10, 20 + lost, 30 + lost]


_LOST = 3 * 65536  # as if nothing


@pytest.mark.parametrize(
    "frames, uptime",  # the third frame is the first after a loss
    [
        # a step stores the frame before it, which is older than the event before the loss
        ([(0, 0), (1000, None), (995, None)], [0, 1000, 995]),
        ([(0, 0), (10, None), (65_530, None)], [0, 10, 65_530]),
        ([(0, 0), (30_000, None), (100, None)], [0, 30_000, 65_636]),
        # the clock has gained 4 s on the crystal, or lost them, until an anchor tells
        ([(0, 0), (10, None), (20, None), (30, _LOST + 34)], [0, 10, _LOST + 20, _LOST + 30]),
        ([(0, 0), (10, None), (20, None), (30, _LOST + 26)], [0, 10, _LOST + 20, _LOST + 30]),
        # it was a day wrong before, and after
        ([(0, -86_400), (10, 10), (20, None), (30, 30)], [0, 10, 20, 30]),
        ([(0, 0), (30_000, None), (100, 100 - 86_400)], [0, 30_000, 65_636]),
    ],
)
def test_uptime_after_a_loss(frames, uptime):
    frames = [data(up) if at is None else anchor(up, _START + at) for up, at in frames]
    assert _reconstruct(frames, breaks=[2]).uptime.tolist() == uptime


def test_a_clock_that_was_wrong_by_more_than_drift_is_right_for_all_of_the_boot():
    day, wrong = 86_400, 300
    times = range(0, 10 * day, 20_000)
    frames = [anchor(t, _START + t + wrong) for t in times] + [anchor(10 * day, _START + 10 * day)]
    assert (_reconstruct(frames).unix - _START).tolist() == [*times, 10 * day]


def test_frames_after_a_loss_are_marked_until_an_anchor_tells():
    line = _reconstruct([anchor(0, _START), data(10), data(20)], breaks=[2])
    assert line.known.tolist() == [True, True, False]


def test_frames_before_any_anchor_have_no_time():
    line = _reconstruct([data(10), anchor(20, _START, 3), data(30)])
    assert line.boot.tolist() == [timeline.NO_BOOT, 3, 3]
    assert line.unix[0] == timeline.NO_TIME and not line.known[0]


def test_a_frame_may_be_a_little_older_than_the_one_before():
    # The sampler stores the frame before a step after an event that came between them.
    line = _reconstruct([anchor(65_530, _START), data(65_540), data(65_535), data(65_541)])
    assert line.uptime.tolist() == [65_530, 65_540, 65_535, 65_541]


@pytest.mark.parametrize("drift", (-0.05, 0.02))
def test_a_clock_that_drifts_at_rest_is_right_again_when_it_is_set(drift):
    begin, end = 600, 600 + 5 * 86_400
    frames = [anchor(0, _START), data(10), event(begin, timeline.REST, 600)]
    times = range(begin + 1800, end, 1800)
    frames += [data(t) for t in times] + [event(end, timeline.REST, 0, 600), data(end + 5)]
    frames.append(anchor(end + 9000, _START + end + 9000 + round(drift * (end - begin))))
    line = _reconstruct(frames)
    right = [t + drift * (t - begin) for t in times]
    assert line.unix[3 : 3 + len(right)] - _START == pytest.approx(right, abs=2)
    assert line.unix[1] - _START == 10
    assert line.unix[-2] - _START == pytest.approx(end + 5 + drift * (end - begin), abs=2)


def test_no_frames():
    assert len(_reconstruct([]).unix) == 0
