"""What the board's code takes on flash."""

from collections.abc import Iterable

from batmon.firmware import payload
from batmon.firmware.build import build
from batmon.paths import BOARD, BUILD

_BLOCK = 4096


def measure() -> dict[str, dict[str, float]]:
    """Return the bytes of each file of build/board; the drivers as one row, and their largest."""
    build()
    sizes = {
        path.relative_to(BOARD).as_posix(): path.stat().st_size
        for path in sorted(BOARD.rglob("*"))
        if path.is_file()
    }
    drivers = {name: size for name, size in sizes.items() if name.startswith("aiobmsble/bms/")}
    rows = {name: {"bytes": size} for name, size in sizes.items() if name not in drivers}
    rows["all drivers"] = {"bytes": sum(drivers.values()), "largest": max(drivers.values())}
    rows["everything"] = {"bytes": sum(sizes.values())}
    build(BUILD / "board-jikong", ["jikong_bms"])
    rows["everything"] |= {"in_blocks_of_4_kB": _in_blocks(sizes.values())}
    tree = BUILD / "board-jikong"
    chosen = {path: path.stat().st_size for path in tree.rglob("*") if path.is_file()}
    several = {tree / path[1:] for path in payload.SEVERAL}
    for row, paths in (("one battery", chosen.keys() - several), ("several", chosen)):
        sizes = [chosen[path] for path in paths]
        rows[f"with one driver (Jikong), for {row}"] = {
            "bytes": sum(sizes),
            "in_blocks_of_4_kB": _in_blocks(sizes),
        }
    return rows


def _in_blocks(sizes: Iterable[int]) -> int:
    """Return what files of these sizes take on the board's file system, its folders not counted."""
    return sum(-(-size // _BLOCK) * _BLOCK for size in sizes)
