"""The virtual board at a parked battery, for tests of what it does at rest."""

import shutil

import numpy as np

from batmon.firmware.build import build
from batmon.log import stream, timeline
from batmon.log.formats import frame
from batmon.paths import BUILD
from batmon.virtual import process

CAPACITY_AH = 280
HOUR_S = 3600
POWER, WATCHDOG = 1, 3  # causes of a reset


class Run:
    """A board with a parked battery: what its log has, and what it was doing when.

    `boot`: its boot.py, if it is another one. `flows` are those of sim/parked.py.
    """

    def __init__(self, out, hours, flows="", rest=None, settings=(), boot="", **config):
        out.mkdir(exist_ok=True)
        board = BUILD / "board-jikong"
        build(board, ["jikong_bms"])
        if boot:
            board = shutil.copytree(board, out / "board")
            (board / "boot.py").write_text(boot)
        self.words = []
        self.at_s = []  # when each of them was said
        self._t_s = 0
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
                "capacity_ah": CAPACITY_AH,
                "lcd": {"fitted": False},
            }
            | {"rest": {"minutes": 30} if rest is None else rest}
            | dict(settings),
            **config,
        )
        self.shown = []  # records with what the display shows
        self.end = process.run(self.path, self._record, self._hear)
        self.out = out
        self.power = self.end["power"]

    def _hear(self, line):
        self.words.append(line)
        self.at_s.append(self._t_s)

    def _record(self, record):
        self._t_s = record.get("t_s", self._t_s)
        if "lcd" in record:
            self.shown.append(record)

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


def unix(table):
    """Return the unix seconds of the rows."""
    return table["time_utc"].astype("datetime64[s, UTC]").astype("int64").to_numpy()
