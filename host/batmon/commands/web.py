"""`batmon web`: the page that opens shards, and connects to a board, in a browser."""

from pathlib import Path

from batmon import files
from batmon.console import UserError, subcommand


def _run(args):
    out = Path(args.out)
    if out.exists() and not out.is_dir():
        raise UserError(f"{out} is a file; name a folder for the page.")
    if not out.absolute().parent.is_dir():
        raise UserError(f"there is no folder {out.absolute().parent}; make it first.")

    # They bring pandas, for which `batmon --help` should not wait.
    from batmon.web import phone

    made = phone.files()
    out.mkdir(exist_ok=True)
    for name, text in made.items():
        with files.whole(out / name) as part:
            part.write_text(text, encoding="utf-8")
    kilobytes = sum(len(text.encode()) for text in made.values()) / 1000
    print(f"{out}: {len(made)} files, {kilobytes:.0f} kB; put them where https serves them")


def add_parser(subparsers):
    """Add `batmon web`."""
    parser = subcommand(
        subparsers,
        "web",
        "write a page that opens shards and connects to boards by Bluetooth, in a browser",
        "  batmon web -o page/\n\n"
        "The page is static files for any https server. Once visited it works without network,\n"
        "and can be installed as an app. It opens from the disk as well (page/index.html).",
    )
    parser.add_argument(
        "-o", "--out", metavar="DIR", required=True, help="folder to write, made if missing"
    )
    parser.set_defaults(run=_run)
