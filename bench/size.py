"""What the board's code takes on flash."""

from pathlib import Path

from batmon.build import BOARD, BUILD, build


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
    rows["everything with one driver (Jikong)"] = {"bytes": _size(BUILD / "board-jikong")}
    return rows


def _size(tree: Path) -> int:
    return sum(path.stat().st_size for path in tree.rglob("*") if path.is_file())
