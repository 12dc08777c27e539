"""The board at rest: what is logged while it sleeps and looks, how long it is awake, what is lost.

The battery is sim/parked.py's; the virtual board sleeps deeply, by a slow clock that is off.
"""

import numpy as np
import pytest

from batmon.firmware.build import build
from batmon.log import stream, timeline
from batmon.log.formats import frame
from batmon.paths import BUILD
from batmon.virtual import process, sim

_CAPACITY_AH = 280
_HOUR_S = 3600
_DRIFT_S = 0.05 * 6 * _HOUR_S
_VISIT = "3-3.5:-20"  # hours from the beginning, amperes


class Run:
    """A board with a parked battery: what its log has, and what it was doing when."""

    def __init__(self, out, hours, flows="", rest=None, settings=(), **config):
        out.mkdir(exist_ok=True)
        board = BUILD / "board-jikong"
        build(board, ["jikong_bms"])
        self.words = []
        self.path = process.configure(
            out,
            board,
            days=hours / 24,
            driver="jikong_bms",
            names=["jk-pak01"],
            battery="parked=" + flows,
            size=1 << 20,
            settings={
                "poll_s": 10,
                "dev_name": "jk-pak01",
                "capacity_ah": _CAPACITY_AH,
                "lcd": {"fitted": False},
            }
            | {"rest": {"minutes": 30} if rest is None else rest}
            | dict(settings),
            **config,
        )
        self.end = process.run(self.path, lambda record: None, self.words.append)
        self.out = out
        self.power = self.end["power"]

    def table(self):
        return stream.read(self.out / "data")

    def rests(self):
        """Return [(unix s, a, b)] of the events REST of the log."""
        found = []
        for dated in stream.Logs([self.out / "data"]).dated():
            events = dated.frames.view(timeline.EVENT)
            for i in np.flatnonzero(timeline.kinds(dated.frames) == frame.EVENT):
                if events[i]["code"] == timeline.REST:
                    found.append((int(dated.line.unix[i]), *map(int, events[i].tolist()[3:])))
        return found


def _unix(table):
    return table["time_utc"].astype("datetime64[s, UTC]").astype("int64").to_numpy()


@pytest.fixture(scope="module")
def winter(tmp_path_factory):
    """Six hours of it, with a visit, by a clock that is 3 % slow."""
    return Run(tmp_path_factory.mktemp("rest"), 6, _VISIT, slow_clock=[-30_000, 5_000])


def test_it_sleeps_and_looks(winter):
    power = winter.power
    asleep_s = power["asleep_ms"] / 1000
    assert asleep_s > 4.5 * _HOUR_S
    assert power["looks"] == pytest.approx(asleep_s / 1800, abs=4)
    assert power["look_ms"] / (power["look_ms"] + power["asleep_ms"]) < 0.04


def test_a_visit_is_seen_at_the_look_that_it_meets(winter):
    table = winter.table()
    begin_s = process.START_UNIX + 3 * _HOUR_S
    loud = _unix(table[table["current_A"] < -15])
    assert loud[0] - begin_s < 1.05 * 1800 + _DRIFT_S
    rests = winter.rests()
    assert [bool(every) for _, every, _ in rests] == [True, False, True]
    assert 1700 < rests[1][2] < 1950  # since the look before


def test_a_rest_is_one_run_of_one_boot(winter):
    table = winter.table()
    assert table["boot"].nunique() == 1
    first = table[_unix(table) < process.START_UNIX + 2.5 * _HOUR_S]
    assert (first["interval_s"] > 0).sum() == len(first) - 1  # all but the first belong to a run
    assert first["interval_s"].max() <= 3600


def test_the_charge_is_within_the_bounds(winter):
    """What a visit takes before the look that meets it is not known: 20 A for half an hour."""
    told = sim.compare(winter.end, winter.out)
    missed_ah = told["truth_charge_out_ah"] - told["charge_out_ah"]
    assert -0.1 < missed_ah < 20 * 0.5 + 0.1


def test_a_log_that_never_rests_is_the_same(tmp_path):
    logs = []
    for rest in (False, {"minutes": 10}):
        run = Run(tmp_path / str(bool(rest)), 0.3, "0-1:-20", rest=rest)
        assert not run.power["asleep_ms"]
        logs.append([path.read_bytes() for path in sorted((run.out / "data").glob("*.raw"))])
    assert logs[0] and logs[0] == logs[1]
