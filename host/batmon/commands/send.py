"""`batmon send`: rows into InfluxDB with the times they have, or as line protocol to stdout."""

import json

from batmon.console import many, note, subcommand, track


def _run(args) -> int:
    # Below it are pandas and ssl, for which `batmon --help` should not wait.
    from batmon.log import influx, stream

    tags = influx.tags(args.tag)
    if args.influx == "-":
        target, memory = influx.Stdout(), None
    else:
        target = influx.Server(args.influx, args.db, args.org, args.bucket)
        memory = influx.Memory(target.name + tags, args.state, args.again)

    logs = stream.Logs(args.paths)
    logs.tell()
    undated, twins = 0, influx.Twins(logs.shared)
    for number, table in track(logs.numbered(), "sending", logs.files):
        battery = table["battery"].iloc[0]
        undated += int((~table["time_known"]).sum())
        # The newest boot may get its time yet: its rows wait.
        waiting = ~table["time_known"] & (table["boot"] == logs.last_boot(battery))
        table = table[~waiting.cummax()]
        if not len(table):
            continue
        begin = memory.rows(battery, number, table) if memory else 0
        times = twins.nanoseconds(table)
        lines = list(influx.lines(table, times, tags)) if begin < len(table) else []
        for first in range(begin, len(lines), influx.BATCH_ROWS):
            batch = lines[first : first + influx.BATCH_ROWS]
            target.write([line for line in batch if line])
            if memory:
                memory.sent(battery, number, table.iloc[: first + len(batch)])
    if undated:
        why = "from before the board's clock was set, left out: their time is not sure"
        note(f"{many(undated, 'row')} {why}")
    result = {"target": target.name, "rows": target.rows, "undated": undated}
    if args.json:
        print(json.dumps(result), file=target.words)
    elif memory:
        print(f"{target.name}: {many(target.rows, 'new row')} of {', '.join(logs.batteries)}")
    return 1 if logs.damage else 0


def add_parser(subparsers):
    """Add `batmon send`."""
    parser = subcommand(
        subparsers,
        "send",
        "send rows to InfluxDB with the times they have, only what is new",
        "  batmon send data/ --influx http://localhost:8086 --db batmon\n"
        "  batmon send data/ --influx https://me:password@example.org:8086 --db batmon\n"
        "  INFLUX_TOKEN=... batmon send data/ --influx http://localhost:8086 --org home"
        " --bucket batmon\n"
        "  batmon send data/ --influx - > lines.txt\n\n"
        "The first two write as to InfluxDB 1, the third as to 2 and 3. Rows that are sent twice\n"
        "do no harm. Rows from before the board's clock was set are left out.",
    )
    parser.add_argument("paths", metavar="PATH", nargs="+", help="shards, or folders of them")
    parser.add_argument("--influx", metavar="URL", required=True, help="server, or - for stdout")
    parser.add_argument("--db", default="batmon", help="database of InfluxDB 1 (%(default)s)")
    parser.add_argument("--org", help="organisation of InfluxDB 2")
    parser.add_argument("--bucket", help="bucket of InfluxDB 2")
    parser.add_argument(
        "--tag", metavar="KEY=VALUE", action="append", default=[],
        help="a tag for every row, such as the board=... of what the board sends live",
    )  # fmt: skip
    parser.add_argument("--again", action="store_true", help="send everything, not what is new")
    parser.add_argument(
        "--state", metavar="FILE", help="where to remember what was sent (~/.local/state/batmon/)"
    )
    parser.add_argument("--json", action="store_true", help="print what was done as JSON")
    parser.set_defaults(run=_run)
