"""`batmon report`: one interactive page about one or more batteries, in a single file."""

import json
from pathlib import Path

from batmon import files
from batmon.console import UserError, many, subcommand, track


def _run(args) -> int:
    out = _checked(args.out) if args.out else None
    if not out and not args.json:
        raise UserError("-o FILE.html is missing: where the page is to be written.")

    from batmon.log import history, lifetime, stream
    from batmon.web import counting, report

    tz = args.tz or _own_zone()
    if tz:
        stream.zone(tz)
    logs = stream.Logs(args.paths)
    logs.tell()
    events = history.events(logs)
    told = history.happenings(logs)
    ever = lifetime.kept(args.paths)
    batteries = []
    for name, (rows, left_out) in track(list(history.tables(logs).items()), "packing"):
        cells = history.cells(logs, name)
        batteries.append(
            report.battery(name, rows, events[name], cells, left_out, told[name], ever.get(name))
        )
    if not batteries:
        raise UserError("there is no row in these shards.", 1)
    result = {"rows": sum(each["rows"] for each in batteries)}
    if out:
        with files.whole(out) as part:
            part.write_text(report.page(batteries, tz), encoding="utf-8")
        result |= {"out": str(out), "bytes": out.stat().st_size}
    if args.json:
        result |= counting.count(batteries, tz)
        for each in result["batteries"]:
            if each["name"] in ever:
                each["ever"] = ever[each["name"]]
        print(json.dumps(result, indent=2, ensure_ascii=False))
    else:
        size = f"{many(result['rows'], 'row')} in {result['bytes'] / 1e6:.1f} MB"
        print(f"{out}: {size}; open it in a browser")
    return 1 if logs.damage else 0


def _checked(name: str) -> Path:
    out = Path(name)
    if out.suffix not in (".html", ".htm"):
        raise UserError(f"-o {out} does not end in .html; the report is a page for a browser.")
    if not out.absolute().parent.is_dir():
        raise UserError(f"there is no folder {out.absolute().parent}; make it first.")
    files.check(out)
    return out


def _own_zone() -> str | None:
    """Return the name of this PC's time zone; None where only the browser may know it."""
    from batmon.log import forms

    try:
        return forms.local_zone()
    except UserError:
        return None


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
    parser.add_argument("-o", "--out", metavar="FILE", help="page to write, .html")
    parser.add_argument(
        "--tz", metavar="ZONE", help="time zone such as Europe/Berlin (default: this PC's)"
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help="print all figures of the page as JSON; -o may be left out",
    )
    parser.set_defaults(run=_run)
