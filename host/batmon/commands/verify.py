"""`batmon verify`: checks every CRC and every frame, and lists what is wrong."""

import json

from batmon.console import many, note, printable, subcommand, track


def _run(args) -> int:
    import numpy as np

    from batmon.log import check, shards, timeline

    found, foreign = shards.find(args.paths)
    loaded = []
    for path in track(found, "checking"):
        loaded.append(shards.load(path))
    chosen, doubles = shards.choose(loaded)
    problems = {shard.path: check.check(shard) for shard in [*chosen, *doubles]}
    for shard in doubles:
        problems[shard.path].append("the same shard is there a second time")
    wrong = {str(path): sentences for path, sentences in problems.items() if sentences}
    rows = sum(int(np.count_nonzero(timeline.kinds(s.frames) == 0)) for s in chosen)
    if args.json:
        summary = {"shards": len(chosen), "rows": rows, "problems": wrong}
        summary["doubles"] = [str(shard.path) for shard in doubles]
        summary["foreign"] = [str(path) for path in foreign]
        print(json.dumps(summary, indent=2))
    else:
        for path, sentences in sorted(wrong.items()):
            for sentence in sentences:
                print(printable(f"{path}: {sentence}"))
        bad = f"{many(len(wrong), 'file')} with problems" if wrong else "all good"
        print(f"{many(len(chosen), 'shard')}, {many(rows, 'row')}, {bad}")
    for path in foreign:
        note(shards.left_out(path))
    return 1 if wrong else 0


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
