"""Lifetime counters of a battery from a pulled log: the board's file, and what was logged since."""

import io
from pathlib import Path

import numpy as np

from batmon.log import sealing, shards
from batmon.log.formats import counters, sums


def count(folder: Path, battery: str) -> counters.Counters:
    """Return what the log of `battery` in `folder` adds up to, as its board would count it.

    Where the board's files are missing, only what is in the shards there is counted.
    """
    found = counters.Counters(sums.load(str(folder), battery))
    there, _ = shards.choose(
        shards.load(path)
        for path in sorted(folder.glob(f"{battery}-*.*"))
        if path.suffix in (".raw", ".bts") and path.stem.rpartition("-")[0] == battery
    )
    for shard in there:
        _go_on(found, shard)
    return found


def kept(paths) -> dict[str, dict[str, float | None]]:
    """Return by battery what the board's files in the folders `paths` say, by its name and unit.

    That is up to four hours older than the log there; of several files the newest counts.
    """
    found: dict[str, list[int] | None] = {}
    for folder in filter(Path.is_dir, map(Path, paths)):
        for file in sorted([*folder.rglob("*.sum"), *folder.rglob("*.sum2")]):
            counted = sums.load(str(file.parent), file.stem)
            found[file.stem] = max(found.get(file.stem), counted, key=sums.rank)
    return {
        battery: dict(zip(sums.NAMES.split(), sums.values(counted), strict=True))
        for battery, counted in found.items()
        if counted and sums.place(counted)[0]
    }


def _go_on(found: counters.Counters, shard: shards.Shard):
    """Count a shard that is not behind what is counted already; a part of it may be."""
    number, at = sums.place(found.n)
    if shard.number < number or (shard.number == number and at and shard.kind == "bts"):
        return  # before a board seals a shard it has counted it
    if shard.number > number:
        found.begin(shard.number)
    if shard.kind == "raw":
        parts = [shard.path.read_bytes()]
    else:
        parts = [sealing.raw(part.tobytes()) for part in np.split(shard.frames, shard.breaks)]
    for place, part in enumerate(parts):
        if place:
            found.begin(shard.number)  # what is between is lost
        for _ in found.take(io.BytesIO(part)):
            pass
