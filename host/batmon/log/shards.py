"""Reads shards, raw and sealed, of one or more batteries into one table.

Nothing a file may hold stops the reader: what is damaged is described and left out, the rest
is delivered. docs/FORMAT.md specifies the bytes.
"""

import collections
import re
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from batmon.console import UserError
from batmon.log import sealing, timeline, version3
from batmon.log.formats import codec, frame
from batmon.log.timeline import FRAME

# What a board or `batmon pull` keeps beside shards.
_COMPANIONS = {
    "state", "state.bak", "index", "packing", "unreadable", "version", "errors.txt", "errors.old",
    "restart.txt", "names.txt", "restored", "board.json", "bms", *(f"bms{n}" for n in range(1, 8)),
    "phone", "phone.tries", "found.json",
}  # fmt: skip
# And of one battery there: the frame that was held, lifetime counters.
_OF_BATTERY = (".held", ".held2", ".sum", ".sum2")
_FILE_NAME = re.compile(r"([A-Za-z0-9_]{1,24})-([0-9]{5,9})\.(raw|bts)")
# A board rolls over at 256 kB. Far more is no shard, and not worth the memory and the time.
_MAX_BYTES = 1 << 20
_MAX_FRAMES = _MAX_BYTES // frame.SIZE
_MAX_TOLD = 5  # places of damage in a shard, one sentence each
# An interrupted flush is no more than this; the board writes its frames again or restarts.
_TORN_BYTES = 1040
_COMMIT = np.dtype(
    [("time", "<u2"), ("kind", "<u2"), ("crc", "<u4"), ("count", "<u2"), ("rest", "3u1")]
)


@dataclass
class Shard:
    """One file: its intact frames without commits, and what is wrong with it."""

    path: Path
    battery: str
    number: int
    kind: str  # "raw" or "bts"
    size: int = 0
    frames: np.ndarray = field(default_factory=lambda: np.empty(0, FRAME))
    breaks: list[int] = field(default_factory=list)  # indices in frames where some are lost
    damage: list[str] = field(default_factory=list)  # sentences


@dataclass
class Log:
    """All shards of one battery in order, and the time of their frames."""

    battery: str
    shards: list[Shard]
    frames: np.ndarray
    line: timeline.Timeline


def find(paths: Iterable[str | Path]) -> tuple[list[Path], list[Path]]:
    """Return the shard files named by or below `paths`, and the files there that are none."""
    found, foreign = {}, []
    for path in map(Path, paths):
        if path.is_dir():
            for inner in sorted(path.rglob("*")):
                if not inner.is_file() or inner.name in _COMPANIONS:
                    continue
                if inner.suffix in _OF_BATTERY:
                    continue
                if _FILE_NAME.fullmatch(inner.name):
                    found[inner.resolve()] = inner
                else:
                    foreign.append(inner)
        elif not path.exists():
            raise UserError(f"{path} does not exist; name a shard or a folder of shards.")
        elif path.is_file() and _FILE_NAME.fullmatch(path.name):
            found[path.resolve()] = path
        else:
            foreign.append(path)
    if not found:
        where = " ".join(str(path) for path in paths)
        raise UserError(f"no shards in {where}; they are called like NAME-00042.raw or .bts.", 1)
    return list(found.values()), foreign


def left_out(path: Path) -> str:
    """Return the sentence about a file that is no shard."""
    if path.suffix == ".bad":
        return f"{path} was set aside by the board, for it is damaged; it is not read"
    return f"{path} is not a shard, left out"


def load(path: Path) -> Shard:
    """Read one shard file; whatever is wrong with it becomes a sentence in `damage`."""
    try:
        size = path.stat().st_size
        if size <= _MAX_BYTES:
            return parse(path, path.read_bytes())
        why = f"{size} bytes are too many for a shard, a board rolls over at 262144"
    except OSError as error:
        size, why = 0, f"cannot be read: {error.strerror}"
    shard = _named(path)
    shard.size, shard.damage = size, [why]
    return shard


def parse(path: Path, data: bytes) -> Shard:
    """Read the content of the shard file that is called `path`; nothing is read from disk."""
    shard = _named(path)
    shard.size = len(data)
    if shard.kind == "raw":
        _load_raw(shard, data)
    else:
        _load_sealed(shard, data)
    more = len(shard.damage) - _MAX_TOLD
    if more > 0:
        shard.damage[_MAX_TOLD:] = [f"{more} more places are damaged"]
    return shard


def _named(path: Path) -> Shard:
    battery, number, kind = _FILE_NAME.fullmatch(path.name).groups()
    return Shard(path, battery, int(number), kind)


def _load_raw(shard: Shard, data: bytes):
    """Take the frames of every flush whose commit holds; no flush has a commit within."""
    frames = np.frombuffer(data, FRAME, len(data) // FRAME.itemsize)
    commits = np.flatnonzero(timeline.kinds(frames) == frame.COMMIT)
    said = frames[commits].view(_COMMIT)
    after = np.concatenate([[0], commits[:-1] + 1]) if len(commits) else commits
    parts, total, end = [], 0, 0
    for commit, crc, count, before in zip(
        commits.tolist(), said["crc"].tolist(), said["count"].tolist(), after.tolist(), strict=True
    ):
        first = commit - count
        if not count or first < before:
            continue
        if zlib.crc32(data[first * FRAME.itemsize : commit * FRAME.itemsize]) != crc:
            continue
        if first > end:
            _note_gap(shard, end, first)
            shard.breaks.append(total)
        parts.append(frames[first:commit])
        total += count
        end = commit + 1
    rest = len(data) - end * FRAME.itemsize
    if rest:
        shard.damage.append(f"torn end: {rest} bytes after the last whole flush are left out")
    if rest > _TORN_BYTES:
        shard.breaks.append(total)
    if parts:
        shard.frames = np.concatenate(parts)
    anchors = shard.frames[timeline.kinds(shard.frames) == frame.ANCHOR]
    version = max(anchors.tobytes()[frame.SIZE - 1 :: frame.SIZE], default=0)
    if version > frame.VERSION:
        _refuse_format(shard, version, frame.VERSION)
        shard.frames = shard.frames[:0]


def _refuse_format(shard: Shard, theirs: int, ours: int):
    shard.damage.append(
        f"is of format version {theirs}, this batmon reads {ours}: take the batmon that wrote it"
    )


def _note_gap(shard: Shard, first: int, end: int):
    size = FRAME.itemsize
    shard.damage.append(
        f"bytes {first * size} to {end * size} are damaged, {end - first} frames are left out"
    )


def _load_sealed(shard: Shard, data: bytes):
    """Take the frames of every block whose CRC holds."""
    version = sealing.version(data)
    if version not in (0, version3.VERSION, codec.HEADER[3]):
        _refuse_format(shard, version, codec.HEADER[3])
        return
    if not version:
        shard.damage.append("does not begin as a sealed shard")
    blocks = list(sealing.blocks(data))
    claimed = sum(sealing.frames(block) for _, block in blocks)
    if claimed > _MAX_FRAMES:
        shard.damage.append(f"claims {claimed} frames, more than a shard can have, {_MAX_FRAMES}")
        return
    parts, total, end, said = [], 0, len(codec.HEADER), None
    known = codec.new_model()
    for start, block in blocks:
        if start > end:
            shard.damage.append(f"bytes {end} to {start} are damaged")
            shard.breaks.append(total)
            known = codec.new_model()
        end = start + len(block)
        said = codec.end_total(block)
        if said >= 0:
            break
        try:
            count = codec.check(block)
            out = bytearray(count * FRAME.itemsize)
            if version == version3.VERSION:
                version3.decode(block, out)
            else:
                collections.deque(codec.decode(block, out, known), maxlen=0)
        except ValueError as error:
            shard.damage.append(f"block at byte {start}: {error}")
            shard.breaks.append(total)
            continue
        parts.append(np.frombuffer(bytes(out), FRAME))
        total += count
    if said is None or said < 0:
        shard.damage.append(f"is cut off after byte {min(end, len(data))}")
        shard.breaks.append(total)
    else:
        if end < len(data):
            shard.damage.append(f"{len(data) - end} bytes follow its end")
        if said != total:
            shard.damage.append(f"{said} frames were sealed, {total} are intact")
    if parts:
        shard.frames = np.concatenate(parts)


def choose(shards: Iterable[Shard]) -> tuple[list[Shard], list[Shard]]:
    """Return one shard per battery and number, ordered by both, and the superfluous ones.

    A shard can be there twice, raw and sealed after a cut of power, or in copies: the one with
    the most intact frames is taken, and of equals the undamaged and then the sealed one. What is
    in another one alone is told in its `damage`.
    """
    taken, doubles = {}, []
    for shard in shards:
        key = (shard.battery, shard.number)
        other = taken.setdefault(key, shard)
        if other is not shard:
            worse, better = sorted((other, shard), key=_worth)
            taken[key] = better
            doubles.append(worse)
            lost = len(set(worse.frames.tolist()) - set(better.frames.tolist()))
            if lost:
                worse.damage.append(
                    f"{lost} of its frames are not in {better.path}, which is used in its place; "
                    "if these are two logs (of a board that was erased), read one at a time"
                )
    return [taken[key] for key in sorted(taken)], doubles


def _worth(shard: Shard) -> tuple:
    return len(shard.frames), not shard.damage, shard.kind == "bts", str(shard.path)


def logs(shards: Iterable[Shard]) -> list[Log]:
    """Order shards by battery and number, and date their frames."""
    chosen: dict[str, list[Shard]] = {}
    for shard in choose(shards)[0]:
        chosen.setdefault(shard.battery, []).append(shard)
    return [_log(battery, of_battery) for battery, of_battery in chosen.items()]


def _log(battery: str, shards: list[Shard]) -> Log:
    breaks, total, expected = [], 0, shards[0].number
    for shard in shards:
        if shard.number != expected or not len(shard.frames):
            breaks.append(total)
        breaks += [total + at for at in shard.breaks]
        total += len(shard.frames)
        expected = shard.number + 1
    frames = np.concatenate([shard.frames for shard in shards])
    line = timeline.reconstruct(frames, np.array(breaks, np.int64))
    return Log(battery, shards, frames, line)


def most_cells(frames: np.ndarray) -> int:
    """Return the largest number of cells that an anchor tells, 0 if none does."""
    return int(cells_told(frames).max(initial=0))


def table(of: list[Log], of_several: bool = False) -> pd.DataFrame:
    """Return samples as the DataFrame that `batmon.read` describes, without energy.

    `of_several`: with the columns that say between which cells an index leaves the choice.
    """
    names = [log.battery for log in of]
    parts = [_table(log, names, of_several) for log in of]
    return pd.concat(parts, ignore_index=True)


def _table(log: Log, names: list[str], of_several: bool) -> pd.DataFrame:
    rows = np.flatnonzero(timeline.kinds(log.frames) == 0)
    frames, line = log.frames[rows], log.line
    no_cells = frames["cell_min"] == frame.UNKNOWN_U16
    over = cells_told(log.frames)[rows]
    index = frames["cell_index"].astype(np.int64)
    nobody_tells = no_cells | (index == frame.UNKNOWN_U8) & (over <= 16)
    lowest, highest = numbers(index & 15, over), numbers(index >> 4, over)
    table = pd.DataFrame(
        {
            "battery": pd.Categorical.from_codes(
                np.full(len(rows), names.index(log.battery)), names
            ),
            "time_utc": utc(line.unix[rows]),
            "time_known": line.known[rows],
            "boot": _nullable(line.boot[rows], line.boot[rows] == timeline.NO_BOOT, "Int64"),
            "uptime_s": line.uptime[rows],
            "voltage_V": _finite(frames["voltage"]),
            "current_A": _finite(frames["current"]),
            "temperature_degC": _halves(frames["temperature"]) - 40,
            "soc_percent": _halves(frames["soc"]),
            "cell_min_mV": _nullable(frames["cell_min"], no_cells, "UInt16"),
            "cell_max_mV": _nullable(
                frames["cell_max"], frames["cell_max"] == frame.UNKNOWN_U16, "UInt16"
            ),
            "cell_min_index": _nullable(lowest[0], nobody_tells, "UInt8"),
            "cell_max_index": _nullable(highest[0], nobody_tells, "UInt8"),
            "interval_s": _intervals(log, rows),
        }
    )
    if of_several:
        table["cell_min_index_to"] = _nullable(lowest[1], nobody_tells, "UInt8")
        table["cell_max_index_to"] = _nullable(highest[1], nobody_tells, "UInt8")
    return table


def cells_told(frames: np.ndarray) -> np.ndarray:
    """Return over how many cells the index of each frame counts, 0 if no anchor tells.

    An anchor tells it for what follows, the first that does so for what is before it as well.
    """
    anchors = frames.view(timeline.ANCHOR)
    told = np.flatnonzero((timeline.kinds(frames) == frame.ANCHOR) & (anchors["cells"] > 0))
    if not len(told):
        return np.zeros(len(frames), np.int64)
    last = np.searchsorted(told, np.arange(len(frames)), side="right") - 1
    return anchors["cells"][told[np.maximum(last, 0)]].astype(np.int64)


def numbers(index: np.ndarray, over: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the first and the last cell, from 1, that each 4-bit index of a frame may mean."""
    first, last = -(-index * over // 16), -(-(index + 1) * over // 16) - 1
    exact = over <= 16
    return np.where(exact, index, first) + 1, np.where(exact, index, last) + 1


def _intervals(log: Log, rows: np.ndarray) -> np.ndarray:
    """Return the seconds between each row and the one before, 0 where a run begins."""
    begins = np.zeros(len(log.frames), np.int64)
    begins[log.line.starts] = 1
    events = np.flatnonzero(timeline.kinds(log.frames) == frame.EVENT)
    begins[events[log.frames[events].view(timeline.EVENT)["code"] == frame.GAP]] = 1
    run = np.cumsum(begins)[rows]
    uptime = log.line.uptime[rows]
    intervals = np.diff(uptime, prepend=uptime[:1])
    intervals[np.diff(run, prepend=-1) != 0] = 0
    return np.maximum(intervals, 0)


def utc(unix: np.ndarray) -> pd.DatetimeIndex:
    """Return unix seconds as UTC timestamps, NaT for NO_TIME."""
    unknown = unix == timeline.NO_TIME
    times = np.where(unknown, 0, unix).astype("datetime64[s]").astype("datetime64[ms]")
    times[unknown] = np.datetime64("NaT", "ms")
    return pd.DatetimeIndex(times).tz_localize("UTC")


def _finite(patterns: np.ndarray) -> np.ndarray:
    # no board writes infinity, and one would spoil every sum; `batmon verify` tells of it
    values = patterns.view("<f2").astype(np.float64)
    return np.where(np.isfinite(values), values, np.nan)


def _halves(counts: np.ndarray) -> np.ndarray:
    return np.where(counts == frame.UNKNOWN_U8, np.nan, counts / 2)


def _nullable(values: np.ndarray, missing: np.ndarray, dtype: str) -> pd.Series:
    column = pd.Series(values).astype(dtype)
    column[missing] = pd.NA
    return column
