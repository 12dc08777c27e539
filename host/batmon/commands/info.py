"""`batmon info`: what is in each shard file."""

import collections
import json
from pathlib import Path

from batmon.console import many, note, printable, subcommand, track

_KINDS = {"raw": "raw", "bts": "sealed"}


def _run(args) -> int:
    from batmon.log import lifetime, shards

    found, foreign = shards.find(args.paths)
    loaded = []
    for path in track(found, "reading"):
        loaded.append(shards.load(path))
    facts = []
    chosen, doubles = shards.choose(loaded)
    for log in shards.logs(chosen):
        first = 0
        for shard in log.shards:
            end = first + len(shard.frames)
            facts.append(_facts(shard, log.line, first, end))
            first = end
    for shard in doubles:
        facts.append({"file": str(shard.path), "double": True, "damage": shard.damage})
    ever = lifetime.kept(args.paths)
    if args.json:
        ever = [{"battery": name, "lifetime": counted} for name, counted in ever.items()]
        print(json.dumps(facts + ever, indent=2))
    else:
        _print_writers(args.paths)
        for fact in facts:
            if "double" in fact:
                print(f"{printable(fact['file'])}: not used, the same shard is there a second time")
                _print_damage(fact)
            else:
                _print(fact)
        for name, counted in ever.items():
            print(f"{printable(name)} ever: {_ever(counted)}")
        rows = sum(fact.get("rows", 0) for fact in facts)
        print(f"{many(len(chosen), 'shard')}, {many(rows, 'row')}")
    for path in foreign:
        note(shards.left_out(path))
    return 1 if any(fact.get("damage") for fact in facts) else 0


def _facts(shard, line, first: int, end: int) -> dict:
    """Return what is to be said about a shard, the frames `first` to `end` of its log."""
    import numpy as np

    from batmon.log import shards, timeline
    from batmon.log.formats import frame

    kinds = timeline.kinds(shard.frames)
    data = first + np.flatnonzero(kinds == 0)
    times = shards.utc(line.unix[data]).dropna()
    ends = [f"{times[i]:%Y-%m-%d %H:%M:%S}Z" for i in (0, -1)] if len(times) else [None, None]
    boots = np.unique(line.boot[first:end])
    events = collections.Counter(shard.frames[kinds == frame.EVENT].view(timeline.EVENT)["code"])
    return {
        "file": str(shard.path),
        "battery": shard.battery,
        "number": shard.number,
        "kind": _KINDS[shard.kind],
        "rows": len(data),
        "boots": boots[boots != timeline.NO_BOOT].tolist(),
        "first": ends[0],
        "last": ends[1],
        "time_known": bool(len(data) and line.known[data].all()),
        "bytes": shard.size,
        "bytes_per_row": round(shard.size / len(data), 2) if len(data) else None,
        "events": {timeline.EVENTS.get(c, f"event {c}"): n for c, n in sorted(events.items())},
        "damage": shard.damage,
    }


def _ever(counted: dict) -> str:
    """Say in a line what a board has counted of a battery's whole life."""
    said = [
        f"{counted['energy_in_kWh']:.1f} kWh ({counted['charge_in_Ah']:.1f} Ah) in",
        f"{counted['energy_out_kWh']:.1f} kWh ({counted['charge_out_Ah']:.1f} Ah) out",
    ]
    full = many(counted["full_charges"], "full charge")
    since = counted["since_full_h"]
    said.append(full if since is None else f"{full}, the last {since:.0f} h before the last count")
    if counted["soc_min_percent"] is not None:
        said.append(f"never below {counted['soc_min_percent']:g} %")
    if counted["cell_min_mV"] is not None:
        said.append(f"cells {counted['cell_min_mV']} to {counted['cell_max_mV']} mV")
    said.append(f"{counted['logged_h']:.0f} h logged")
    return ", ".join(said)


def _print_writers(paths: list[str]):
    """Print which batmon wrote the newest shards of each folder, where that is known."""
    for path in map(Path, paths):
        for file in sorted(path.rglob("version")) if path.is_dir() else ():
            words = file.read_text(errors="replace", encoding="utf-8").split()
            if len(words) == 2:
                said = f"{file.parent}: from a board with batmon {words[0]}, log format {words[1]}"
                print(printable(said))


def _print(facts: dict):
    """Print the facts about one file for people."""
    rows, size = facts["rows"], facts["bytes"] / 1024
    file = printable(facts["file"])
    print(f"{file}: {facts['kind']}, {many(rows, 'row')} in {size:.1f} kB", end="")
    print(f", {facts['bytes_per_row']:.2f} bytes each" if rows else "")
    boots = facts["boots"]
    if boots and not rows:
        print(f"    boot {boots[0]}, of which nothing was stored")
    elif boots:
        print(f"    boot {boots[0]}" + (f" to {boots[-1]}" if boots[1:] else ""), end="")
        when = f", {facts['first']} to {facts['last']}" if facts["first"] else ", time unknown"
        print(when + ("" if facts["time_known"] else ", or later: the clock was not set"))
    for words, count in facts["events"].items():
        print(f"    {words}" + (f", {count} times" if count > 1 else ""))
    _print_damage(facts)


def _print_damage(facts: dict):
    for sentence in facts["damage"]:
        print(f"    DAMAGE: {sentence}")


def add_parser(subparsers):
    """Add `batmon info`."""
    parser = subcommand(
        subparsers,
        "info",
        "say what is in each shard",
        "  batmon info data/\n"
        "  batmon info --json van-00007.bts\n\n"
        "Where something is damaged the exit code is 1.",
    )
    parser.add_argument("paths", metavar="PATH", nargs="+", help="shards, or folders of them")
    parser.add_argument("--json", action="store_true", help="print a JSON list, an object per file")
    parser.set_defaults(run=_run)
