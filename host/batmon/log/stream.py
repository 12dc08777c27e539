"""Logs of any length as tables, one shard after another, in bounded memory.

A frame can be dated only when the whole boot is known, for the clock may have been set at its
end. So shards are read once: their frames wait in a temporary file, and of each log a few frames
stay in memory, enough to reconstruct its time. Then the tables are made, shard by shard.
"""

import tempfile
import zoneinfo
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from batmon.console import UserError, note
from batmon.log import resample, shards, timeline
from batmon.log.formats import frame
from batmon.log.timeline import FRAME

# Frames that stay in memory are at most so far apart that u16 times between them are unambiguous.
_SPAN_S = 8192


@dataclass
class _Part:
    """One shard of a log: where its frames wait, and which of them are in the log's skeleton."""

    shard: shards.Shard  # without its frames
    offset: int
    count: int
    kept: np.ndarray  # indices of frames in the shard
    first: int  # index in the skeleton of the first of them


@dataclass
class Log:
    """One battery's log, oldest shard first."""

    battery: str
    parts: list[_Part] = field(default_factory=list)
    skeleton: np.ndarray = field(default_factory=lambda: np.empty(0, FRAME))
    line: timeline.Timeline | None = None  # of the skeleton


class Logs:
    """The logs below some paths, and what is wrong with their files.

    `damage` has (path, sentence) of each flaw, `doubles` paths of shards that are there a second
    time, `foreign` paths of files that are no shards.
    """

    def __init__(self, paths: Iterable[str | Path], what: str = "reading"):
        """Read all shards; raises UserError when a path does not exist or there is no shard."""
        from batmon.console import track

        found, self.foreign = shards.find(paths)
        self.damage: list[tuple[Path, str]] = []
        self.doubles: list[Path] = []
        self.logs: list[Log] = []
        self.files = len(found)
        self.shards = 0  # of these, those that are used
        self._file = tempfile.TemporaryFile(prefix="batmon-")  # noqa: SIM115, lives as long as we
        candidates: dict[tuple[str, int], list[Path]] = {}
        for path in found:
            battery, _, number = path.stem.rpartition("-")
            candidates.setdefault((battery, int(number)), []).append(path)
        builder = None
        for key in track(sorted(candidates), what):
            if builder is None or builder.log.battery != key[0]:
                builder = _Builder(Log(key[0]), self._file)
                self.logs.append(builder.log)
            loaded = [shards.load(path) for path in candidates[key]]
            (shard,), doubles = shards.choose(loaded)
            self.damage += [(each.path, said) for each in loaded for said in each.damage]
            self.doubles += [each.path for each in doubles]
            builder.add(shard)
            self.shards += 1
        for log in self.logs:
            log.line = timeline.reconstruct(log.skeleton, _breaks(log))
        # whose index may leave the choice between two
        self._of_several = any(shards.most_cells(log.skeleton) > 16 for log in self.logs)

    @property
    def batteries(self) -> list[str]:
        """The names of the batteries."""
        return [log.battery for log in self.logs]

    def last_boot(self, battery: str) -> int:
        """Return the newest boot of a battery's log, timeline.NO_BOOT if it has none."""
        boots = next(log.line.boot for log in self.logs if log.battery == battery)
        return int(boots[-1]) if len(boots) else timeline.NO_BOOT

    def shared(self, battery: str) -> list[tuple[int, int]]:
        """Return spans (first, last unix second) in which more than one boot seems to have been.

        A clock that was behind, or set back, makes them: two rows may then have one time.
        """
        line = next(log.line for log in self.logs if log.battery == battery)
        spans = []
        for boot in np.unique(line.boot[line.unix != timeline.NO_TIME]):
            unix = line.unix[(line.boot == boot) & (line.unix != timeline.NO_TIME)]
            spans.append((int(unix.min()), int(unix.max())))
        found, latest = [], None
        for first, last in sorted(spans):
            if latest is not None and first <= latest:
                found.append((first, min(last, latest)))
            latest = max(last, latest or last)
        return found

    def tell(self):
        """Say on stderr what is wrong with the files, a line for each flaw."""
        for path, sentence in self.damage:
            note(f"{path}: {sentence}")
        for path in self.doubles:
            note(f"{path} is not used, the same shard is there a second time")
        for path in self.foreign:
            note(shards.left_out(path))

    def dated(self) -> Iterator[shards.Log]:
        """Yield each shard with the time of its frames, battery after battery."""
        for log in self.logs:
            for part in log.parts:
                self._file.seek(part.offset)
                data = self._file.read(part.count * FRAME.itemsize)
                frames = np.frombuffer(data, FRAME)
                yield shards.Log(log.battery, [part.shard], frames, _line(log, part, frames))

    def tables(self) -> Iterator[pd.DataFrame]:
        """Yield the rows of each shard that has any, as `read` describes them."""
        return (table for _, table in self.numbered())

    def numbered(self) -> Iterator[tuple[int, pd.DataFrame]]:
        """Yield the number of each shard that has rows, and these."""
        names = self.batteries
        dtype = pd.CategoricalDtype(names)
        before = None  # (uptime, voltage) of the last row, None when a run, or log, has ended
        for dated in self.dated():
            table = shards.table([dated], self._of_several).astype({"battery": dtype})
            begins, ends = _edges(dated)
            if len(table):
                voltage = table["voltage_V"].to_numpy()
                previous = np.concatenate([voltage[:1], voltage[:-1]])
                if before and not begins:
                    interval = int(table["uptime_s"].iloc[0]) - before[0]
                    table.loc[0, "interval_s"] = max(0, interval)
                    previous[0] = before[1]
                charge = table["current_A"] * table["interval_s"] / 3600
                table["energy_Wh"] = charge * (previous + voltage) / 2
                before = (int(table["uptime_s"].iloc[-1]), voltage[-1])
                yield dated.shards[0].number, table
            if ends:
                before = None

    def empty(self) -> pd.DataFrame:
        """Return the table of samples without a row."""
        table = shards.table([next(self.dated())], self._of_several).iloc[:0]
        dtype = pd.CategoricalDtype(self.batteries)
        return table.astype({"battery": dtype}).assign(energy_Wh=np.empty(0))


class _Builder:
    """Adds shards to a log, in the order of their numbers."""

    def __init__(self, log: Log, file):
        self.log = log
        self._file = file

    def add(self, shard: shards.Shard):
        kept = _keep(shard.frames, shard.breaks)
        log = self.log
        part = _Part(shard, self._file.tell(), len(shard.frames), kept, len(log.skeleton))
        self._file.write(shard.frames.tobytes())
        log.skeleton = np.concatenate([log.skeleton, shard.frames[kept]])
        shard.frames = np.empty(0, FRAME)
        log.parts.append(part)


def _keep(frames: np.ndarray, breaks: list[int]) -> np.ndarray:
    """Return the indices of the frames that tell the time of all others of a shard."""
    n = len(frames)
    keep = np.zeros(n, bool)
    keep[:1] = keep[-1:] = True
    spans = _passed(frames["time"]) // _SPAN_S
    firsts = np.flatnonzero(np.diff(spans)) + 1
    anchors = np.flatnonzero(timeline.kinds(frames) == frame.ANCHOR)
    starts = np.array([at for at in breaks if 0 < at < n], np.int64)
    rests = frames.view(timeline.EVENT)["code"] == timeline.REST  # between them a clock drifts
    rests = np.flatnonzero(rests & (timeline.kinds(frames) == frame.EVENT))
    for first in (firsts, anchors, starts, rests):
        keep[first] = True
        keep[np.maximum(first - 1, 0)] = True
    return np.flatnonzero(keep)


def _passed(time: np.ndarray) -> np.ndarray:
    """Return the seconds since the first frame, as if nothing was lost in between."""
    steps = np.diff(time.astype(np.int64), prepend=time[:1])
    return np.cumsum((steps + 32768) % 65536 - 32768)


def _breaks(log: Log) -> np.ndarray:
    """Return the indices in the skeleton before which frames may be lost."""
    breaks, expected = [], log.parts[0].shard.number
    for part in log.parts:
        if part.shard.number != expected or not part.count:
            breaks.append(part.first)
        breaks += (part.first + np.searchsorted(part.kept, part.shard.breaks)).tolist()
        expected = part.shard.number + 1
    return np.array(sorted(breaks), np.int64)


def _line(log: Log, part: _Part, frames: np.ndarray) -> timeline.Timeline:
    """Return the time of all frames of a shard from that of those in the skeleton."""
    known = slice(part.first, part.first + len(part.kept))
    starts = log.line.starts
    starts = starts[(starts >= known.start) & (starts < known.stop)] - part.first
    starts = part.kept[starts] if len(starts) else np.empty(0, np.int64)
    uptime, unix = log.line.uptime[known], log.line.unix[known]
    passed = _passed(frames["time"])
    near = np.searchsorted(part.kept, np.arange(len(frames)), side="right") - 1
    since = passed - passed[part.kept[near]]
    offset = np.where(unix == timeline.NO_TIME, 0, unix - uptime)
    # The offset follows the drift of the board's clock from one of them to the next.
    grows = np.diff(offset, append=offset[-1:])
    length = np.maximum(np.diff(uptime, append=uptime[-1:]), 1)
    up = uptime[near] + since
    dated = up + offset[near] + since * grows[near] // length[near]
    return timeline.Timeline(
        uptime=up,
        boot=log.line.boot[known][near],
        unix=np.where(unix[near] == timeline.NO_TIME, timeline.NO_TIME, dated),
        known=log.line.known[known][near],
        starts=starts,
    )


def _edges(dated: shards.Log) -> tuple[bool, bool]:
    """Does a run begin before the first data frame of a shard, does one end after the last?"""
    kinds = timeline.kinds(dated.frames)
    begins = np.zeros(len(kinds), bool)
    begins[dated.line.starts] = True
    events = np.flatnonzero(kinds == frame.EVENT)
    begins[events[dated.frames[events].view(timeline.EVENT)["code"] == frame.GAP]] = True
    rows = np.flatnonzero(kinds == 0)
    if not len(rows):
        return begins.any(), begins.any()
    return bool(begins[: rows[0] + 1].any()), bool(begins[rows[-1] + 1 :].any())


def zone(name: str) -> zoneinfo.ZoneInfo:
    """Return the time zone of a name such as Europe/Berlin; raises UserError."""
    try:
        return zoneinfo.ZoneInfo(name)
    except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError):
        sentence = f"there is no time zone {name}; they are called like Europe/Berlin or UTC."
        raise UserError(sentence) from None


def even(logs: Logs, every: str | None, tz: str | None) -> Iterator[pd.DataFrame]:
    """Yield the rows of `logs`, resampled if `every` is given, in the time zone `tz` or UTC."""
    tables = logs.tables()
    if every:
        tables = resample.resample(tables, resample.width_s(every), tz or "UTC")
    for table in tables:
        if tz:
            table["time_utc"] = table["time_utc"].dt.tz_convert(tz)
            table = table.rename(columns={"time_utc": "time"})
        yield table


def read(
    paths: str | Path | Iterable[str | Path], every: str | None = None, tz: str | None = None
) -> pd.DataFrame:
    """Read shards (files, or folders with all below them) into one DataFrame.

    One row per stored sample, in the order of storing, battery after battery. Columns: battery,
    time_utc (UTC; NaT when nothing is known), time_known (False: the board's clock was never
    set in that boot, time_utc is the earliest possible), boot, uptime_s, voltage_V, current_A
    (+ = charging), temperature_degC, soc_percent, cell_min_mV, cell_max_mV, cell_min_index,
    cell_max_index (from 1), interval_s (for how long current_A is the mean; 0 where there is no
    row right before), energy_Wh (of that interval, + = charging). Unknown values are missing.
    With more than 16 cells a frame may not tell which of two or three it is: if there is such a
    log, cell_min_index_to and cell_max_index_to say up to which.

    `every` (10s, 1min, 1h, 1d ...) gives means on an even grid instead; their columns are those
    of `batmon.log.resample.resample`. With `tz`, a name such as Europe/Berlin, the time is the
    column `time`, in that zone, and so are the days of `every`.

    Raises UserError when a path does not exist, when there is no shard at all, or for a wrong
    `every` or `tz`.
    """
    if every:
        resample.width_s(every)
    if tz:
        zone(tz)
    logs = Logs([paths] if isinstance(paths, str | Path) else paths)
    tables = list(even(logs, every, tz))
    return pd.concat(tables, ignore_index=True) if tables else logs.empty()
