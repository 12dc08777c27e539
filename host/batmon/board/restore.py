"""A new board goes on where a pulled log ends: with its counters, and numbers no shard had yet."""

import re
from dataclasses import dataclass
from pathlib import Path

from batmon.board.boardlog import BoardLog
from batmon.board.remote import Remote
from batmon.console import UserError, note, printable
from batmon.log import formats, lifetime, shards, timeline
from batmon.log.formats import frame

_STATES = ("state", "state.bak")
# which battery is which, and whose log that is: two may have one name
_WHOSE = ("bms", *(f"bms{n}" for n in range(1, 8)), "found.json")
_SHARD = re.compile(r"([A-Za-z0-9_]{1,24})-([0-9]{5,9})\.(?:raw|bts|bad)(?:\.part)?")
_MARK = "restored"  # docs/FORMAT.md


@dataclass
class Past:
    """What a pulled log leaves to the next board."""

    folder: Path
    number: int  # the highest that a shard has had
    boot: int  # the last one
    sums: dict[str, bytes]  # lifetime counters, a file for each battery
    whose: dict[str, bytes]  # files that tell which battery is which


def load(folder: Path) -> Past:
    """Return what the log in `folder` leaves; raises UserError if there is none."""
    if not folder.is_dir():
        raise UserError(f"{folder} is no folder; name the one that `batmon pull` filled.")
    found = [match for path in folder.iterdir() if (match := _SHARD.fullmatch(path.name))]
    if not found:
        raise UserError(f"{folder} has no log; name the folder that `batmon pull` filled.")
    boot, number = _stated((folder / name).read_bytes() for name in _STATES if _is(folder, name))
    number = max(number, *(int(match[2]) for match in found))
    sums = {}
    for battery in sorted({match[1] for match in found}):
        counted = lifetime.count(folder, battery)
        counted.begin(number)  # all before the next shard is counted
        sums[battery] = bytes(formats.sums.encode(counted.n))
        boot = max(boot, _last_boot(folder, battery))
    whose = {name: (folder / name).read_bytes() for name in _WHOSE if _is(folder, name)}
    return Past(folder, number, boot, sums, whose)


def _is(folder: Path, name: str) -> bool:
    return (folder / name).is_file()


def _stated(copies) -> tuple[int, int]:
    """Return the last boot and the highest number of a shard that any copy of the state tells."""
    best = 0, 0
    for copy in copies:
        if match := re.fullmatch(rb"(\d{1,9}) (\d{1,9})\n", copy):
            best = tuple(map(max, best, (int(match[1]), int(match[2]))))
    return best


def _last_boot(folder: Path, battery: str) -> int:
    """Return the boot of the last anchor in the newest shard that has one."""
    for path in sorted(folder.glob(f"{battery}-*.*"), reverse=True):
        if path.suffix in (".raw", ".bts"):
            frames = shards.load(path).frames
            anchors = frames[timeline.kinds(frames) == frame.ANCHOR]
            if len(anchors):
                return int(anchors.view(timeline.ANCHOR)["boot"][-1])
    return 0


def put(board: Remote, past: Past):
    """Let the log of the board go on behind that one; its program is stopped.

    Raises UserError if the board has a log of its own, with which that one would be mixed.
    """
    there = BoardLog(board).files()
    if _MARK in there:
        note("the board was restored before: its log goes on, the counters and numbers are left.")
        return
    own = [match for name in there if (match := _SHARD.fullmatch(name))]
    boot, number = _stated(board.read(f"/data/{name}") for name in _STATES)
    number = max([number, *(int(match[2]) for match in own)])
    same = next((match[0] for match in own if match[1] in past.sums), None)
    if same or number > past.number:
        raise UserError(
            f"the board has a log of its own ({same or f'up to number {number}'}), which would be"
            f" mixed with that in {past.folder}: `batmon pull` it into another folder, delete it"
            " with `mpremote rm -r :data`, then run this again.",
            1,
        )
    files = {f"{name}.sum": data for name, data in past.sums.items()}
    state = b"%d %d\n" % (max(boot, past.boot), past.number)
    files |= past.whose | dict.fromkeys(_STATES, state) | {_MARK: b"%d\n" % past.number}
    for name, data in files.items():
        board.write(f"/data/{name}", data, lambda _: None)
    print(
        f"the log goes on behind {printable(str(past.folder))}: shard {past.number + 1}, lifetime"
        f" counters of {', '.join(past.sums)}"
    )
