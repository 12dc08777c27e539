"""When each frame was: uptime without its wraps, boots, and UTC from the anchors.

A frame knows the low 16 bits of its uptime. Anchors name the boot and, when the board knew it,
the wall-clock time. docs/FORMAT.md gives the rules for readers that this module follows.
"""

from dataclasses import dataclass

import numpy as np

from batmon.log.formats import frame

FRAME = np.dtype(
    [
        ("time", "<u2"),
        ("voltage", "<u2"),
        ("current", "<u2"),
        ("temperature", "u1"),
        ("soc", "u1"),
        ("cell_min", "<u2"),
        ("cell_max", "<u2"),
        ("cell_index", "u1"),
    ]
)
ANCHOR = np.dtype(
    [
        ("time", "<u2"),
        ("kind", "<u2"),
        ("unix", "<u4"),
        ("boot", "<u2"),
        ("reset_cause", "u1"),
        ("cells", "u1"),
        ("version", "u1"),
    ]
)
RECORD = np.dtype(
    [
        ("time", "<u2"),
        ("kind", "<u2"),
        ("voltage", "<u2"),
        ("current", "<u2"),
        ("cell_min", "<u2"),
        ("cell_max", "<u2"),
        ("cell_index", "u1"),
    ]
)
EVENT = np.dtype([("time", "<u2"), ("kind", "<u2"), ("code", "u1"), ("a", "<u4"), ("b", "<u4")])
RECORDED = 0xFE04  # the kind of a RECORD
ALARM, SWITCHED, HEALTH, LIMITS, UNTOLD, MAKE, REST = range(12, 19)
# The codes of events, as docs/FORMAT.md has them.
EVENTS = {
    1: "connected to the BMS",
    2: "lost the BMS",
    3: "frames dropped",
    4: "oldest shard deleted to make room",
    5: "clock stepped",
    6: "flash error",
    7: "shard set aside as bad",
    8: "torn end of a shard left out",
    9: "no samples",
    10: "coarseness of the log changed",
    11: "unreadable shard deleted, what could be read of it is saved",
    12: "alarm",
    13: "switched",
    14: "health",
    15: "limit of the settings",
    16: "changes that were only counted",
    17: "make of the BMS",
    18: "rest",
}

NO_CODE = 0xFFFFFFFF  # of an alarm
NO_BOOT = -1
NO_TIME = np.iinfo(np.int64).min

# An anchor's unix and uptime are whole seconds, so that their difference wavers by one.
_SET_S = 2
# A crystal is off by some 20 ppm; a larger difference is a clock that was wrong and then set.
_MAX_DRIFT = 100e-6
# The clock that runs while a board sleeps is off by up to 5 %, and by as much more if it was
# corrected for what it did in another season.
_SLOW_DRIFT = 0.1
_WRAP_S = 65536
# After a loss a run may begin a little before the last one ended: a step stores the frame before,
# a fault two minutes of records.
_OVERLAP_S = 180


@dataclass
class Timeline:
    """Per frame: uptime in s, boot (or NO_BOOT), UTC in unix s (or NO_TIME), and if it is sure.

    Times that are not sure say the earliest the frame can have been: right after the last boot.
    """

    uptime: np.ndarray
    boot: np.ndarray
    unix: np.ndarray
    known: np.ndarray
    starts: np.ndarray  # indices where a boot begins, or frames may be lost before


def kinds(frames: np.ndarray) -> np.ndarray:
    """Return 0 for each data frame, else its control word 0xFExx."""
    words = frames["voltage"]
    return np.where(words & 0xFF00 == 0xFE00, words, 0)


def reconstruct(frames: np.ndarray, breaks: np.ndarray) -> Timeline:
    """Date `frames` (dtype FRAME, control frames included, in the order of their storing).

    `breaks` are indices before which frames may have been lost.
    """
    n = len(frames)
    anchors = np.flatnonzero(kinds(frames) == frame.ANCHOR)
    said = frames[anchors].view(ANCHOR)
    boot = _boots(n, anchors, said["boot"])

    starts = np.zeros(n, bool)
    starts[:1] = True
    starts[breaks[breaks < n]] = True
    starts[1:] |= boot[1:] != boot[:-1]
    starts = np.flatnonzero(starts)
    uptime = _unwrap(frames["time"], starts)

    line = Timeline(uptime, boot, np.full(n, NO_TIME), np.zeros(n, bool), starts)
    sure = said["unix"] > 0
    anchors, unix = anchors[sure], said["unix"][sure].astype(np.int64)
    rests = np.flatnonzero(kinds(frames) == frame.EVENT)
    rests = rests[frames[rests].view(EVENT)["code"] == REST]
    sleeps = frames[rests].view(EVENT)["a"] > 0
    ends = np.append(starts, n)[1:]
    runs = list(zip(starts.tolist(), ends.tolist(), strict=True))
    group = []
    for run in runs:
        if group and boot[run[0]] != boot[group[0][0]]:
            _date(line, group, anchors, unix, rests, sleeps)
            group = []
        group.append(run)
    if group:
        _date(line, group, anchors, unix, rests, sleeps)
    return line


def _boots(n: int, anchors: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """Return the boot of every frame; the numbers are u16 and may wrap."""
    boot = np.full(n, NO_BOOT, np.int64)
    if len(anchors):
        steps = np.diff(numbers.astype(np.int64), prepend=numbers[0])
        counted = int(numbers[0]) + np.cumsum(_signed(steps))
        lengths = np.diff(np.append(anchors, n))
        boot[anchors[0] :] = np.repeat(counted, lengths)
    return boot


def _unwrap(time: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Undo the wraps of the u16 time within each run; a run begins with its own low bits."""
    time = time.astype(np.int64)
    passed = np.cumsum(_signed(np.diff(time, prepend=time[:1])))
    lengths = np.diff(np.append(starts, len(time)))
    return passed + np.repeat(time[starts] - passed[starts], lengths)


def _signed(steps: np.ndarray) -> np.ndarray:
    """Read differences of u16 numbers as the smaller of forward and backward."""
    return (steps + 32768) % _WRAP_S - 32768


def _date(
    line: Timeline,
    runs: list[tuple[int, int]],
    anchors: np.ndarray,
    unix: np.ndarray,
    rests: np.ndarray,
    sleeps: np.ndarray,
):
    """Date the runs of one boot; `anchors` (indices) and `unix` are all that know the time.

    At `rests` (indices) the board went to rest, where `sleeps`, or ended that.
    """
    first, end = runs[0][0], runs[-1][1]
    _align(line, runs, anchors, unix)
    low, high = np.searchsorted(anchors, (first, end))
    up = line.uptime[first:end]
    if low < high:
        inside = slice(*np.searchsorted(rests, (first, end)))
        rested = _rested(line.uptime[rests[inside]], sleeps[inside], int(up[-1]))
        points, offsets = _offsets(line.uptime[anchors[low:high]], unix[low:high], *rested)
        line.unix[first:end] = up + np.floor(np.interp(up, points, offsets)).astype(np.int64)
        for run_first, run_end in runs:
            # What was lost between two runs may have hidden a wrap.
            inside = np.searchsorted(anchors, (run_first, run_end))
            line.known[run_first:run_end] = len(runs) == 1 or inside[0] < inside[1]
    elif first and line.unix[first - 1] != NO_TIME:
        line.unix[first:end] = line.unix[first - 1] + up


def _align(line: Timeline, runs: list[tuple[int, int]], anchors: np.ndarray, unix: np.ndarray):
    """Add the wraps that happened between the runs of one boot to the uptime of the later ones."""
    offset = None  # unix minus uptime, at the last anchor that told
    for i, (first, end) in enumerate(runs):
        low, high = np.searchsorted(anchors, (first, end))
        if i:
            wraps = -((line.uptime[first] + _OVERLAP_S - line.uptime[first - 1]) // _WRAP_S)
            if low < high and offset is not None:
                late = unix[low] - line.uptime[anchors[low]] - offset
                wraps = max(wraps, round(late / _WRAP_S))
            line.uptime[first:end] += max(0, wraps) * _WRAP_S
        if low < high:
            offset = unix[high - 1] - line.uptime[anchors[high - 1]]


def _rested(uptime: np.ndarray, sleeps: np.ndarray, end: int) -> tuple[list[int], list[int]]:
    """Return at which uptimes a rest began or ended, and for how long the board had rested then."""
    edges, rested = [0], [0]
    begun = None
    for up, asleep in [*zip(uptime.tolist(), sleeps.tolist(), strict=True), (end, False)]:
        if begun is not None:
            edges.append(up)
            rested.append(rested[-1] + up - begun)
        elif asleep:
            edges.append(up)
            rested.append(rested[-1])
        begun = up if asleep else None
    return edges, rested


def _offsets(
    uptime: np.ndarray, unix: np.ndarray, edges: list[int], rested: list[int]
) -> tuple[list[int], list[float]]:
    """Return points (uptime, unix minus uptime) between which to draw straight lines.

    A point is where the clock was set. Small differences are drift, which grew evenly, or while
    the board rested if it did: up to the uptimes `edges`, for as long as `rested` says. At a large
    one the clock had been wrong before, and the later time holds for the earlier frames.
    """
    points, offsets = [int(uptime[0])], [float(unix[0] - uptime[0])]
    for up, offset in zip(uptime.tolist(), (unix - uptime).tolist(), strict=True):
        if abs(offset - offsets[-1]) >= _SET_S:
            points.append(max(up, points[-1]))
            offsets.append(float(offset))
    for i in reversed(range(len(points) - 1)):
        low, high = np.interp(points[i : i + 2], edges, rested)
        allowed = _MAX_DRIFT * (points[i + 1] - points[i]) + _SLOW_DRIFT * (high - low)
        drift = offsets[i + 1] - offsets[i]
        if abs(drift) > allowed:
            offsets[i] = offsets[i + 1]
        elif high > low:
            between = [k for k in range(len(edges)) if points[i] < edges[k] < points[i + 1]]
            grown = [offsets[i] + drift * (rested[k] - low) / (high - low) for k in between]
            points[i + 1 : i + 1] = [edges[k] for k in between]
            offsets[i + 1 : i + 1] = grown
    return points, offsets
