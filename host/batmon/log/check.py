"""What is wrong with a shard that was read: its damage, and frames that no board writes."""

import numpy as np

from batmon.log import timeline
from batmon.log.formats import frame

_MAX_LISTED = 5  # frames per shard and kind of mistake
_NEGATIVE = 0x8000
_INFINITE = 0x7C00
_NAN = 0x7E00
# The frame of the last poll may be stored some minutes later, behind events that came since.
_BACK_S = 600


def check(shard) -> list[str]:
    """Return what is wrong with a loaded shard, a sentence each: its damage, then its frames."""
    frames, kinds = shard.frames, timeline.kinds(shard.frames)
    problems = list(shard.damage)
    if len(frames) and kinds[0] != frame.ANCHOR:
        problems.append("does not begin with an anchor")
    anchors = frames["cell_index"][kinds == frame.ANCHOR]  # the last byte is the version
    for version in np.unique(anchors[anchors > frame.VERSION]).tolist():
        problems.append(f"an anchor is of format version {version}")
    data = kinds == 0
    voltage, current = frames["voltage"], frames["current"]
    low, high = frames["cell_min"], frames["cell_max"]
    known = low != frame.UNKNOWN_U16
    back = np.zeros(len(frames), bool)
    passed = np.diff(frames["time"].astype(np.int64)) % 65536
    back[1:] = (passed > 32768) & (passed < 65536 - _BACK_S) & (kinds[1:] != frame.ANCHOR)
    back[[at for at in shard.breaks if at < len(frames)]] = False
    for wrong, words in (
        (data & (voltage & 0x7FFF == 0), "no voltage"),
        (data & (voltage >= _NEGATIVE), "a negative voltage"),
        (data & (voltage >= _INFINITE) & (voltage < _NAN), "a voltage that is no number"),
        (data & (voltage > _NAN) & (voltage < _NEGATIVE), "a voltage that is no number"),
        (data & (current & 0x7FFF >= _INFINITE) & (current != _NAN), "a current that is no number"),
        (data & known & (low > high), "a lowest cell above the highest"),
        (data & (known != (high != frame.UNKNOWN_U16)), "only one of the cell voltages"),
        (back, "a time before that of the frame before"),
    ):
        at = np.flatnonzero(wrong)
        for index in at[:_MAX_LISTED].tolist():
            problems.append(f"frame {index} has {words}")
        if len(at) > _MAX_LISTED:
            problems.append(f"{len(at) - _MAX_LISTED} more frames have {words}")
    return problems
