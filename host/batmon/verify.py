"""`batmon verify`: checks every CRC and every frame, and lists what is wrong."""

import json

import numpy as np

from batmon.cli import note, subcommand

_MAX_LISTED = 5  # frames per shard and kind of mistake
_NEGATIVE = 0x8000
_INFINITE = 0x7C00
_NAN = 0x7E00
# The frame of the last poll may be stored some minutes later, behind events that came since.
_BACK_S = 600


def _run(args) -> int:
    from batmon import shards
    from batmon.progress import track

    found, foreign = shards.find(args.paths)
    loaded = []
    for path in track(found, "checking"):
        loaded.append(shards.load(path))
    chosen, doubles = shards.choose(loaded)
    problems = {shard.path: check(shard) for shard in [*chosen, *doubles]}
    for shard in doubles:
        problems[shard.path].append("the same shard is there a second time")
    wrong = {str(path): sentences for path, sentences in problems.items() if sentences}
    frames = sum(len(shard.frames) for shard in loaded)
    if args.json:
        summary = {"shards": len(loaded), "frames": frames, "problems": wrong}
        print(json.dumps(summary, indent=2))
    else:
        for path, sentences in sorted(wrong.items()):
            for sentence in sentences:
                print(f"{path}: {sentence}")
        bad = f"{len(wrong)} of them with problems" if wrong else "all good"
        print(f"{len(loaded)} shards, {frames} frames, {bad}")
    for path in foreign:
        note(f"{path} is not a shard, left out")
    return 1 if wrong else 0


def check(shard) -> list[str]:
    """Return what is wrong with a loaded shard, a sentence each: its damage, then its frames."""
    from batmon import timeline
    from batmon.board import frame

    frames, kinds = shard.frames, timeline.kinds(shard.frames)
    problems = list(shard.damage)
    if len(frames) and kinds[0] != frame.ANCHOR:
        problems.append("does not begin with an anchor")
    anchors = frames["cell_index"][kinds == frame.ANCHOR]  # the last byte is the version
    for version in np.unique(anchors[anchors != frame.VERSION]).tolist():
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
        (data & (voltage >= _INFINITE) & (voltage < _NEGATIVE), "a voltage that is no number"),
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


def add_parser(subparsers):
    """Add `batmon verify`."""
    parser = subcommand(
        subparsers,
        "verify",
        "check every CRC and every frame",
        "  batmon verify data/\n"
        "  batmon verify --json van-00007.bts\n\n"
        "Where something is wrong it is listed, and the exit code is 1. What is intact can be\n"
        "exported all the same.",
    )
    parser.add_argument("paths", metavar="PATH", nargs="+", help="shards, or folders of them")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=_run)
