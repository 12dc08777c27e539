"""`batmon send`: the log into InfluxDB (or as line protocol to stdout), or into Home Assistant."""

import json

from batmon.console import many, note, subcommand, track


def _run(args) -> int:
    return _home_assistant(args) if args.home_assistant else _influx(args)


def _home_assistant(args) -> int:
    from batmon.log import homeassistant, hourly, stream

    server = homeassistant.HomeAssistant(args.home_assistant)
    logs = stream.Logs(args.paths)
    logs.tell()
    written, places = 0, []
    for battery, tables in hourly.statistics(logs).items():
        ids = homeassistant.statistic_ids(server, battery)
        for kind in track(hourly.KINDS, f"sending {battery}"):
            written += homeassistant.fill(server, battery, ids[kind.key], kind, tables[kind.key])
        places.append({"battery": battery, "statistics": ids, "hours": len(tables["energy_in"])})
    server.close()
    if args.json:
        print(json.dumps({"target": server.name, "rows": written, "batteries": places}))
        return 1 if logs.damage else 0
    for place in places:
        where = "its MQTT sensors" if "." in place["statistics"]["soc"] else "batmon:..."
        print(f"{place['battery']}: {many(place['hours'], 'hour')}, in the statistics of {where}")
    if not places:
        note("no hour of the log is whole and of a sure time")
    print(f"{server.name}: {many(written, 'new or changed row')}")
    return 1 if logs.damage else 0


def _influx(args) -> int:
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
        "send the log to InfluxDB or Home Assistant, only what is new",
        "  batmon send data/ --influx http://localhost:8086 --db batmon\n"
        "  batmon send data/ --influx https://me:password@example.org:8086 --db batmon\n"
        "  INFLUX_TOKEN=... batmon send data/ --influx http://localhost:8086 --org home"
        " --bucket batmon\n"
        "  batmon send data/ --influx - > lines.txt\n"
        "  batmon send data/ --home-assistant http://homeassistant.local:8123\n\n"
        "The first two write as to InfluxDB 1, the third as to 2 and 3. The last fills the hours\n"
        "of the log into Home Assistant's statistics, see docs/HOMEASSISTANT.md. What is sent\n"
        "twice does no harm. Rows from before the board's clock was set are left out.",
    )
    parser.add_argument("paths", metavar="PATH", nargs="+", help="shards, or folders of them")
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument("--influx", metavar="URL", help="InfluxDB, or - for stdout")
    target.add_argument(
        "--home-assistant", metavar="URL", help="Home Assistant; its access token is asked for, or"
        " in HOME_ASSISTANT_TOKEN",
    )  # fmt: skip
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
