"""`batmon report`: one interactive page about one or more batteries, in a single file."""

import json
from pathlib import Path

from batmon import files
from batmon.console import UserError, many, subcommand, track


def _run(args) -> int:
    out = Path(args.out)
    if out.suffix not in (".html", ".htm"):
        raise UserError(f"-o {out} does not end in .html; the report is a page for a browser.")
    if not out.absolute().parent.is_dir():
        raise UserError(f"there is no folder {out.absolute().parent}; make it first.")
    files.check(out)

    from batmon.log import figures, stream
    from batmon.web import report

    stream.zone(args.tz)
    logs = stream.Logs(args.paths)
    logs.tell()
    events = figures.events(logs)
    batteries = []
    for name, rows in track(list(figures.tables(logs).items()), "counting"):
        batteries.append({"name": name, **report.battery(rows, events[name], args.tz)})
    if not batteries:
        raise UserError("no row of these shards has a time; set the board's clock first.", 1)
    with files.whole(out) as part:
        part.write_text(report.page(batteries, args.tz), encoding="utf-8")
    rows = sum(each["summary"]["frames"] for each in batteries)
    result = {"out": str(out), "rows": rows, "bytes": out.stat().st_size}
    if args.json:
        print(json.dumps(result | {"batteries": [each["name"] for each in batteries]}, indent=2))
    else:
        print(f"{out}: {many(rows, 'row')} in {result['bytes'] / 1e6:.1f} MB; open it in a browser")
    return 1 if logs.damage else 0


def add_parser(subparsers):
    """Add `batmon report`."""
    parser = subcommand(
        subparsers,
        "report",
        "write an interactive page about batteries, to be opened in any browser",
        "  batmon report data/ -o van.html\n"
        "  batmon report van/ house/ -o all.html --tz Europe/Berlin\n\n"
        "The page is one file, needs no network and works on a phone too.",
    )
    parser.add_argument("paths", metavar="PATH", nargs="+", help="shards, or folders of them")
    parser.add_argument("-o", "--out", metavar="FILE", required=True, help="page to write, .html")
    parser.add_argument(
        "--tz", metavar="ZONE", default="UTC", help="time zone such as Europe/Berlin (%(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="print what was done as JSON")
    parser.set_defaults(run=_run)
